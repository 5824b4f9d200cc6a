"""The command ``demo``."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Demo:
    """Make phantoms, train the default method on them, score it and write the report; minutes on a CPU.

    Attributes
    ----------
    out
        Directory to make; must be new or empty, or hold a demo that was stopped, which then goes on.
    """

    out: Path = Path("demo")

    def run(self, line: str | None = None) -> int:
        """Run the demo, with its command line for the record; returns 130 where it was interrupted."""
        from maskmixadv.evaluation.demo import demo

        return demo(self.out, command=line)
