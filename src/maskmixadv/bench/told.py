"""What a process that makes several runs tells the one that began it, line by line."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Told:
    """One line.

    Attributes
    ----------
    identity, code, reason
        Which job has ended, its exit code, and why it failed.
    line
        A line for people; empty with a job's end.
    """

    identity: str = ""
    code: int = 0
    reason: str = ""
    line: str = ""
