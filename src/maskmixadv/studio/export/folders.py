"""Folders of exports: new files replace all earlier ones of their kind, or none."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from maskmixadv.files import together
from maskmixadv.studio.refusals import TakenError


@contextmanager
def renewed(out: Path, problems: list[str]) -> Iterator[Path]:
    """Give a new directory, whose files replace those of the same suffix in `out` when the block ends.

    Raises
    ------
    TakenError
        If the block writes no file; the error has the first of `problems`.
    InputError
        If a file can't be written; earlier files stay.
    """
    with together(out) as place:
        yield place
        names = {path.name for path in place.iterdir()}
        if not names:
            raise TakenError("; ".join(["there is nothing to export", *problems[:1]]))
    suffixes = {Path(name).suffix for name in names}
    for old in out.iterdir():
        if old.suffix in suffixes and old.name not in names:
            old.unlink()
