"""Folders of exports: new files replace all earlier ones of their kind, or none. What others wrote there stays.

A record in ``export/`` says which files exports wrote (`maskmixadv.inference.outputs`).
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from maskmixadv.files import together
from maskmixadv.inference import outputs
from maskmixadv.studio.refusals import EmptyError, TakenError

NOT_OURS: Final = "changed since or not written by an export"
"""What is said of files that stay."""


@dataclass
class Renewal:
    """A directory to write an export's files into, and how many of them are in their places when the block ends."""

    place: Path
    files: int = 0


@contextmanager
def renewed(
    out: Path, problems: list[str], *, whole: bool = False, among: Collection[str] | None = None
) -> Iterator[Renewal]:
    """Give a new directory, whose files replace those of earlier exports in `out` when the block ends.

    What an earlier export wrote and nobody has changed since is replaced, or deleted if it is not written any more.
    Everything else stays, and a line in `problems` names it. If nothing was ever recorded of `out`, files with the
    names of new ones count as written by an export.

    Parameters
    ----------
    whole
        Whether the files are of no use without one another: then all are replaced, or none.
    among
        If `out` is ``export/`` itself, the names that the export may write; None if `out` is a folder in it.

    Raises
    ------
    EmptyError
        If the block writes no file; the error has `problems`.
    TakenError
        If none of the files may take its place.
    InputError
        If a file can't be written; earlier files stay.
    """
    export = out.parent if among is None else out
    inside, shown = out.relative_to(export), out.relative_to(export.parent)
    with ExitStack() as record:
        try:
            with together(out) as place:
                renewal = Renewal(place)
                yield renewal
                new = {path.name for path in place.iterdir()}
                if not new:
                    raise EmptyError(problems)
                names = [(inside / name).as_posix() for name in sorted(new)]
                earlier = _earlier(export, inside, names)
                taken = outputs.taken(export, [*names, *earlier])
                held = [Path(name).name for name in names if name in taken]
                told = f"{shown}: not replaced, as {NOT_OURS}: {', '.join(held)}; move it away to have the new one"
                if held and (whole or len(held) == len(new)):
                    raise TakenError(told)
                for name in held:
                    (place / name).unlink()
                gone = [name for name in earlier if name not in names and name not in taken]
                record.enter_context(outputs.recorded(export, [name for name in [*names, *gone] if name not in taken]))
        finally:
            if among is None:
                with suppress(OSError):
                    out.rmdir()  # empty, where nothing was written
        for name in gone:
            (export / name).unlink(missing_ok=True)
        renewal.files = len(new) - len(held)
        problems += [told] if held else []
        if stay := sorted(path.name for path in out.iterdir() if path.name not in new and _counts(path, among)):
            problems.append(f"{shown}: beside the export stays what was {NOT_OURS}: {', '.join(stay)}")


def _earlier(export: Path, inside: Path, names: Sequence[str]) -> list[str]:
    """Return the names of all files that exports wrote into the folder `inside`; of `names` if none is recorded."""
    of = [name for name in outputs.written(export) if Path(name).parent == inside]
    return of or outputs.adopt(export, names)


def _counts(path: Path, among: Collection[str] | None) -> bool:
    """Whether a file could be taken for one of the export."""
    return not path.name.startswith(".") if among is None else path.name in among
