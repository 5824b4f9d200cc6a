"""The commands of ``export``; what they need is imported when they run."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True)
class ExportModel:
    """Write a run's network as ONNX, with all that is needed to run it without torch: model.json and predict.py.

    Attributes
    ----------
    root
        Directory of the run.
    out
        Directory to make; must be new or empty.
    """

    root: Annotated[Positional[Path], arg(metavar="RUN")]
    out: Annotated[Positional[Path], arg(metavar="OUT")]

    def run(self) -> int:
        """Export, and say how to use it."""
        from maskmixadv.export import export

        export(self.root, self.out)
        print(f"{self.out}: exported; segment with 'python {self.out / 'predict.py'} IMAGE --out DIR'")
        return 0
