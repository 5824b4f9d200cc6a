"""The command ``check``."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True)
class Check:
    """Say what is in a corpus, and what is wrong with it: a line a problem, and exit code 2 if there is one.

    Attributes
    ----------
    root
        Directory that 'maskmixadv prepare' made, or a folder of images.
    sheet
        PNG file to make: a sheet of cases with what was drawn on them. An earlier sheet is replaced, nothing else.
    """

    root: Annotated[Positional[Path], arg(metavar="CORPUS")]
    sheet: Annotated[Path | None, arg(metavar="PNG")] = None

    def run(self) -> int:
        """Check; returns 2 where something is wrong."""
        from maskmixadv.checking.check import check
        from maskmixadv.sources.opening import open_corpus

        if self.sheet is not None:
            from maskmixadv.pictures import must_be_free

            must_be_free(self.sheet)
        corpus = open_corpus(self.root)
        told, problems = check(corpus)
        print(told)
        if self.sheet is not None:
            from maskmixadv.checking.sheet import draw

            draw(corpus, self.sheet)
        for problem in problems:
            print(f"maskmixadv: {problem}", file=sys.stderr)
        return 2 if problems else 0
