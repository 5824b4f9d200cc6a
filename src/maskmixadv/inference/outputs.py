"""Where outputs may land: never among inputs, and never on a file that this program did not write.

A folder of outputs has a record of them, by name and content: what is in it may be replaced, and what was changed
since, or was there before, may not. Nothing here imports torch.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from maskmixadv.errors import InputError
from maskmixadv.files import held, make_directory, read_json, write_text

RECORD: Final = ".maskmixadv.json"
"""The record's file; an exported model's script reads and writes it, too."""


def apart(out: Path, inputs: Iterable[Path]) -> None:
    """See that folder `out` is another one than those of `inputs`, files or folders of a series.

    Raises
    ------
    InputError
        Where outputs would come to lie beside an input, or in it.
    """
    for path in inputs:
        if any(_same(out, place) for place in (path.parent, path.resolve().parent)) or (
            path.is_dir() and out.resolve().is_relative_to(path.resolve())
        ):
            raise InputError(f"{out}: holds {path.name}, which is an input; name another directory for the outputs")


def free(folder: Path, names: Sequence[str]) -> None:
    """See that each of `names` in `folder` is free, or a file that this program wrote and nobody changed.

    Raises
    ------
    InputError
        With the first one that is neither.
    """
    if not any(os.path.lexists(folder / name) for name in names):
        return
    known = _read(folder)
    for name in names:
        path = folder / name
        if os.path.lexists(path) and not (name in known and _unchanged(path, known[name])):
            what = "was changed since" if name in known else "was not written by this program"
            raise InputError(f"{path}: is there already and {what}; move it away, or name another directory")


@contextmanager
def recorded(folder: Path, names: Sequence[str]) -> Iterator[None]:
    """Make `folder` for files `names`, which what follows writes, and record those that are there afterwards.

    Where the process is killed meanwhile, they count as written by it.

    Raises
    ------
    InputError
        Where `free` does, or the folder or its record can't be written.
    """
    free(folder, names)
    make_directory(folder)
    _note(folder, dict.fromkeys(names))
    try:
        yield
    finally:
        with suppress(InputError, OSError):  # without space for the hashes, what stands there is right, if less strict
            _note(folder, {name: _hash(folder / name) for name in names if (folder / name).is_file()}, without=names)


def _note(folder: Path, entries: Mapping[str, str | None], *, without: Sequence[str] = ()) -> None:
    with held(folder, wait=True):  # several processes may write into one folder
        known = {name: digest for name, digest in _read(folder).items() if name not in without}
        write_text(folder / RECORD, json.dumps({"written": {**known, **entries}}, indent=1))


def _read(folder: Path) -> dict[str, str | None]:
    """SHA-256 by name of what was written; None where that was not finished."""
    path = folder / RECORD
    if not path.is_file():
        return {}
    raw = read_json(path)
    written = raw.get("written") if isinstance(raw, dict) else None
    if not isinstance(written, dict) or not all(isinstance(digest, str | None) for digest in written.values()):
        raise InputError(f"{path}: malformed; delete it, and name another directory")
    return written


def _unchanged(path: Path, digest: str | None) -> bool:
    try:
        return path.is_file() and not path.is_symlink() and digest in (None, _hash(path))
    except OSError:
        return False


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _same(one: Path, other: Path) -> bool:
    """Whether both are one directory, whatever it is called; one that is missing is none."""
    try:
        return one.samefile(other)
    except OSError:
        return one.resolve() == other.resolve()
