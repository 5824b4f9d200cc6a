"""Where outputs may be written: never among the inputs, and never over a file that this program did not write.

A folder of outputs has a record of their names and hashes; a name may begin with a folder inside. A file in the record
may be replaced. A file that was changed since, or that is not in the record, may not. Nothing here imports torch.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from maskmixadv.errors import InputError, listed
from maskmixadv.files import held, make_directory, must_not_be_read, read_json, sha256, write_text
from maskmixadv.processes import used, using

RECORD: Final = ".maskmixadv.json"
"""Name of the record's file; the script of an exported model reads and writes it, too."""


def apart(out: Path, inputs: Iterable[Path]) -> None:
    """Check that folder `out` is not one of those that hold `inputs`, which are files or folders of a series.

    Raises
    ------
    InputError
        Where outputs would lie beside an input, or in it, or be read as images or labels of a corpus later
        (`maskmixadv.files.must_not_be_read`).

    Examples
    --------
    >>> apart(Path("labels"), [Path("images/a.nii.gz")])
    >>> apart(Path("images"), [Path("images/a.nii.gz")])
    Traceback (most recent call last):
    maskmixadv.errors.InputError: images: holds a.nii.gz, which is an input; name another directory for the outputs
    """
    for path in inputs:
        if any(_same(out, place) for place in (path.parent, path.resolve().parent)) or (
            path.is_dir() and out.resolve().is_relative_to(path.resolve())
        ):
            raise InputError(f"{out}: holds {path.name}, which is an input; name another directory for the outputs")
    must_not_be_read(out)


def free(folder: Path, names: Sequence[str]) -> None:
    """Check that each of `names` in `folder` is free, or a file that this program wrote and nobody has changed since.

    Raises
    ------
    InputError
        Where it is neither; the message names the first such file.

    Examples
    --------
    >>> Path("labels").mkdir()
    >>> _ = Path("labels/a.nii.gz").write_text("of somebody else")
    >>> free(Path("labels"), ["b.nii.gz"])
    >>> free(Path("labels"), ["a.nii.gz"])
    Traceback (most recent call last):
    maskmixadv.errors.InputError: labels/a.nii.gz: is there already and was not written by this program; move it away...
    """
    for name, why in taken(folder, names).items():
        raise InputError(f"{folder / name}: is there already and {why}; move it away, or name another directory")


def taken(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Return those of `names` that are in `folder` and may not be replaced, each with the reason.

    Raises
    ------
    InputError
        If the record can't be read.

    Examples
    --------
    >>> Path("labels").mkdir()
    >>> _ = Path("labels/a.nii.gz").write_text("of somebody else")
    >>> taken(Path("labels"), ["a.nii.gz", "b.nii.gz"])
    {'a.nii.gz': 'was not written by this program'}
    """
    there = [name for name in names if os.path.lexists(folder / name)]
    known = _read(folder) if there else {}
    return {
        name: "was changed since" if name in known else "was not written by this program"
        for name in there
        if not (name in known and _unchanged(folder / name, known[name]))
    }


def written(folder: Path) -> list[str]:
    """Return the names of the files that this program wrote into `folder`; raises as `taken`.

    Examples
    --------
    >>> with recorded(Path("labels"), ["a.txt"]):
    ...     _ = Path("labels/a.txt").write_text("ours")
    >>> written(Path("labels"))
    ['a.txt']
    """
    return list(_read(folder))


def adopt(folder: Path, names: Iterable[str]) -> list[str]:
    """Record those of `names` that are files in `folder` as written by this program, and return them.

    It is for files of versions that kept no record.

    Raises
    ------
    InputError
        If the record can't be read or written.

    Examples
    --------
    >>> Path("labels").mkdir()
    >>> _ = Path("labels/a.txt").write_text("of an earlier version")
    >>> adopt(Path("labels"), ["a.txt", "b.txt"])
    ['a.txt']
    >>> free(Path("labels"), ["a.txt"])
    """
    found = [name for name in names if (folder / name).is_file() and not (folder / name).is_symlink()]
    if found:
        _note(folder, {name: sha256(folder / name) for name in found})
    return found


@contextmanager
def recorded(folder: Path, names: Sequence[str]) -> Iterator[None]:
    """Make `folder`, let the block write files `names` into it, and record those that are there afterwards.

    Where the process is killed meanwhile, these files count as written by it.

    Raises
    ------
    InputError
        Where `free` does, or the folder or its record can't be written.

    Examples
    --------
    >>> for text in ("first", "second"):   # the second may replace the first
    ...     with recorded(Path("labels"), ["a.txt"]):
    ...         _ = Path("labels/a.txt").write_text(text)
    >>> _ = Path("labels/a.txt").write_text("changed")
    >>> free(Path("labels"), ["a.txt"])
    Traceback (most recent call last):
    maskmixadv.errors.InputError: labels/a.txt: is there already and was changed since; move it away...
    """
    free(folder, names)
    make_directory(folder)
    _note(folder, dict.fromkeys(names))
    try:
        yield
    finally:
        # Where there is no space for the hashes, the record stays as it is: right, but less strict.
        with suppress(InputError, OSError):
            _note(folder, {name: sha256(folder / name) for name in names if (folder / name).is_file()}, without=names)


class Made(NamedTuple):
    """How predictions are made; those in one folder are all made in one way.

    Attributes
    ----------
    network
        The network's hash.
    how
        What the options amount to, in words.

    Examples
    --------
    >>> Made("9f3c", "flips off").network
    '9f3c'
    """

    network: str
    how: str


def made_otherwise(folder: Path, made: Made) -> str:
    """Return in words how the predictions in `folder` were made, where it is not as `made` says; else nothing.

    It is nothing, too, where the record does not say.

    Raises
    ------
    InputError
        If the record can't be read.

    Examples
    --------
    >>> with made_alike(Path("labels"), Made("9f3c", "flips off"), []):
    ...     pass
    >>> made_otherwise(Path("labels"), Made("51d0", "flips off"))
    "of another network than this run's"
    >>> made_otherwise(Path("labels"), Made("9f3c", "flips on"))
    'made with flips off (now flips on)'
    >>> made_otherwise(Path("labels"), Made("9f3c", "flips off"))
    ''
    """
    record = _record(folder)
    network, how = (record.get(key) or now for key, now in zip(Made._fields, made, strict=True))
    if network != made.network:
        return "of another network than this run's"
    return "" if how == made.how else f"made with {how:.300} (now {made.how})"


@contextmanager
def made_alike(folder: Path, made: Made, names: Iterable[str]) -> Iterator[None]:
    """Record how the predictions in `folder` are made, to which the block adds; the others there are made alike.

    Where all that are made otherwise are among `names`, which are made anew, they are deleted: of an image that can't
    be segmented now, or is not when the program is stopped, they would be taken for this network's. Where nothing says
    how they were made, they may stay.

    Raises
    ------
    InputError
        Where others would stay that were made otherwise, or another process adds such ones; or the folder or its record
        can't be read or written.

    Examples
    --------
    >>> with made_alike(Path("labels"), Made("9f3c", "flips off"), []):
    ...     with made_alike(Path("labels"), Made("51d0", "flips off"), []):
    ...         pass
    Traceback (most recent call last):
    maskmixadv.errors.InputError: labels: another process adds predictions of another network than this run's, and ...
    """
    make_directory(folder)
    with ExitStack() as stack:
        with held(folder, wait=True):  # so that of two that begin at once one sees the other
            gone = set(_made_anew(folder, made, list(names)))
            record = _record(folder)
            known = {name: digest for name, digest in record["written"].items() if name not in gone}
            _write(folder, {**record, "written": known, **made._asdict()})
            stack.enter_context(using(folder))
        yield


def _made_anew(folder: Path, made: Made, names: Sequence[str]) -> list[str]:
    """Delete those of `names` that were made otherwise, and return them; refuse what would be mixed with others."""
    if not (other := made_otherwise(folder, made)):
        return []
    if used(folder):
        told = f"another process adds predictions {other}, and results would be mixed"
        raise InputError(f"{folder}: {told}; wait for it, or name another directory")
    if stay := [name for name in _read(folder) if name not in names and (folder / name).is_file()]:
        raise InputError(
            f"{folder}: holds {listed(sorted(stay))} {other}, and results would be mixed; name another directory"
        )
    return _deleted(folder, names)


def remove(folder: Path, names: Iterable[str]) -> list[str]:
    """Delete those of `names` in `folder` that this program wrote and nobody has changed since, and return them.

    Raises
    ------
    InputError
        If the record can't be read or written.

    Examples
    --------
    >>> with recorded(Path("labels"), ["a.txt"]):
    ...     _ = Path("labels/a.txt").write_text("ours")
    >>> _ = Path("labels/b.txt").write_text("of somebody else")
    >>> remove(Path("labels"), ["a.txt", "b.txt"])
    ['a.txt']
    """
    if gone := _deleted(folder, names):
        _note(folder, {}, without=gone)
    return gone


def _deleted(folder: Path, names: Iterable[str]) -> list[str]:
    """Do the work of `remove`, but for the record."""
    there = [name for name in dict.fromkeys(names) if os.path.lexists(folder / name)]
    kept = taken(folder, there)
    gone = [name for name in there if name not in kept]
    for name in gone:
        (folder / name).unlink(missing_ok=True)
    return gone


def _note(folder: Path, entries: Mapping[str, str | None], *, without: Sequence[str] = ()) -> None:
    with held(folder, wait=True):  # several processes may write into one folder
        known = {name: digest for name, digest in _read(folder).items() if name not in without}
        _write(folder, {**_record(folder), "written": {**known, **entries}})


def _write(folder: Path, record: Mapping[str, Any]) -> None:
    write_text(folder / RECORD, json.dumps(record, indent=1))


def _read(folder: Path) -> dict[str, str | None]:
    """Return the SHA-256 of each file that was written, by name; None where it was not finished."""
    return _record(folder)["written"]


def _record(folder: Path) -> dict[str, Any]:
    path = folder / RECORD
    raw = read_json(path) if path.is_file() else {"written": {}}
    written = raw.get("written") if isinstance(raw, dict) else None
    if not isinstance(written, dict) or not all(isinstance(digest, str | None) for digest in written.values()):
        raise InputError(f"{path}: malformed; delete it, and name another directory")
    return raw


def _unchanged(path: Path, digest: str | None) -> bool:
    try:
        return path.is_file() and not path.is_symlink() and digest in (None, sha256(path))
    except OSError:
        return False


def _same(one: Path, other: Path) -> bool:
    """Whether both paths are the same directory."""
    try:
        return one.samefile(other)
    except OSError:
        return one.resolve() == other.resolve()
