"""Processes that outlive their parent: identified by number and start time, because numbers are used again."""

import json
import os
import signal
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from maskmixadv.files import read_json, write_text


@dataclass(frozen=True)
class Process:
    """A process of this machine.

    Attributes
    ----------
    pid
        Its number.
    start
        Its start time, in the system's own form.
    """

    pid: int
    start: str

    @classmethod
    def this(cls) -> "Process":
        """Return the current process."""
        return cls(os.getpid(), _start(os.getpid()) or "")

    @classmethod
    def read(cls, path: Path) -> "Process | None":
        """Read a file that `write` wrote; None if it is missing or malformed."""
        try:
            raw = read_json(path)
            return cls(int(raw["pid"]), str(raw["start"]))
        except (ValueError, KeyError, TypeError, OverflowError):
            return None

    def write(self, path: Path) -> None:
        """Write the process to a file, for `read`."""
        write_text(path, json.dumps(asdict(self)))

    @property
    def alive(self) -> bool:
        """Whether it still runs; another process with its number does not count."""
        return self.pid > 0 and _start(self.pid) == self.start

    def terminate(self) -> None:
        """Ask it to end if it still runs."""
        if self.alive:
            os.kill(self.pid, signal.SIGTERM)


def _start(pid: int) -> str | None:
    """Return the start time of process `pid`; None if there is none, or only a zombie."""
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            # The second field is the name, in brackets, and may hold anything.
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    asked = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, start = asked.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else start.strip()
