"""Lines of an index: a case without its arrays, and who is learnt from in a fold."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from maskmixadv.corpus.case import Case
from maskmixadv.corpus.names import check_spacing, check_word
from maskmixadv.errors import InputError
from maskmixadv.files import check_name
from maskmixadv.formats.reading import Declared, check_size
from maskmixadv.types import Spacing


@dataclass(frozen=True)
class Entry:
    """A case's line in ``corpus.json``: all but its arrays."""

    name: str
    patient: str
    shape: tuple[int, int, int]
    spacing: Spacing | None
    scribble: bool
    dense: bool
    sha256: str
    phase: str | None = None
    group: str | None = None


class Kept(NamedTuple):
    """A case that another corpus on the same disk holds already: its line and its file, which never change."""

    entry: Entry
    path: Path


class Split(NamedTuple):
    """Patients of one fold: whom to learn from, whom to validate on while training, whom to keep for the test.

    Examples
    --------
    >>> split = Split(train=("anna", "bob"), val=("carl",), test=("dora",))
    >>> split.test
    ('dora',)
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]


def split_from(fold: dict[str, tuple[str, ...]], where: str) -> Split:
    """Return a fold as the index has it; raise `InputError` where a part is missing."""
    if set(fold) != set(Split._fields):
        raise InputError(f"{where}: has {', '.join(sorted(fold))[:60]}, needed are {', '.join(Split._fields)}")
    return Split(**fold)


def check_entry(root: Path, entry: Entry, where: str) -> None:
    """Raise `InputError` where a line of the index can't be one of a case."""
    check_words(entry, where)
    if entry.spacing is not None:
        check_spacing(entry.spacing, f"{where}: spacing")
    check_size(root / "corpus.json", Declared(entry.shape, 4), f"corpus: case {entry.name!r}")


def check_words(case: Entry | Case, where: str) -> None:
    """Raise `InputError` where a case's name can't be a file's, or a word of it is not printable."""
    check_name(case.name, where)
    check_word(case.patient, f"{where}: patient")
    for word in (case.phase, case.group):
        if word is not None:
            check_word(word, f"{where}: phase or group", empty=True)
