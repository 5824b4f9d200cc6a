"""The command ``demo``."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Demo:
    """Make phantoms, train the default method on them, score it and write the report; minutes on a CPU.

    Attributes
    ----------
    out
        Directory to make; must be new or empty. If it holds a demo that was stopped, that demo goes on.
    """

    out: Path = Path("demo")

    def run(self, line: str | None = None) -> int:
        """Run the demo; returns 130 if it was interrupted. `line` is the command line, for the record."""
        from maskmixadv.evaluation.demo import demo

        return demo(self.out, command=line)
