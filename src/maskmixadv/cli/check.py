"""The command ``check``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True)
class Check:
    """Print what a corpus holds and what is wrong with it: one line for each error, and exit code 2 if there is one.

    Attributes
    ----------
    root
        Directory that 'maskmixadv prepare' made, or a folder of images.
    sheet
        PNG file to write: a picture of some cases with their annotations. It replaces an earlier picture of this
        program, and no other file.
    """

    root: Annotated[Positional[Path], arg(metavar="CORPUS")]
    sheet: Annotated[Path | None, arg(metavar="PNG")] = None

    def run(self) -> int:
        """Check; returns 2 if there is an error."""
        from maskmixadv.checking.check import check
        from maskmixadv.errors import say
        from maskmixadv.sources.opening import open_corpus

        if self.sheet is not None:
            from maskmixadv.pictures import must_be_free

            must_be_free(self.sheet)
        corpus = open_corpus(self.root)
        told, problems = check(corpus)
        print(told)
        if assumed := corpus.assumed():
            say(f"maskmixadv: {assumed}")
        if self.sheet is not None:
            from maskmixadv.checking.sheet import draw

            draw(corpus, self.sheet)
        for problem in problems:
            say(f"maskmixadv: {problem}")
        return 2 if problems else 0
