"""Records of a corpus's index: a case without its arrays, and the patients of a fold."""

import math
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
    """A case in ``corpus.json``: all of it but the arrays.

    Attributes
    ----------
    name, patient, spacing, phase, group
        As `maskmixadv.corpus.case.Case` has them.
    shape
        Voxels along d, h, w.
    scribble, dense
        Whether the case has that annotation.
    sha256
        Hash of its file.
    partly
        Whether its dense mask leaves pixels unknown. Records of early versions do not say so.
    channels
        Number of channels of its image.
    like_ct
        As `maskmixadv.corpus.case.Case` has it. Records of early versions do not say so.

    Examples
    --------
    >>> entry = Entry("p1_ED", "p1", (10, 256, 216), (8.0, 1.5, 1.5), scribble=True, dense=False, sha256="0")
    >>> entry.shape[0]  # slices
    10
    """

    name: str
    patient: str
    shape: tuple[int, int, int]
    spacing: Spacing | None
    scribble: bool
    dense: bool
    sha256: str
    phase: str | None = None
    group: str | None = None
    partly: bool = False
    channels: int = 1
    like_ct: bool = False

    @property
    def bytes(self) -> int:
        """Bytes that its arrays take in memory."""
        return math.prod(self.shape) * (4 * self.channels + self.scribble + self.dense)

    @property
    def masked(self) -> bool:
        """Whether its dense mask covers the whole volume."""
        return self.dense and not self.partly


class KeptCase(NamedTuple):
    """A case that another corpus on the same disk holds already; its file is linked, not written again.

    Attributes
    ----------
    entry
        Its record in the other corpus.
    path
        Its file, which never changes.

    Examples
    --------
    >>> entry = Entry("p1_ED", "p1", (10, 256, 216), None, scribble=True, dense=False, sha256="0")
    >>> KeptCase(entry, Path("corpus/cases/p1_ED.npz")).entry.name
    'p1_ED'
    """

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
    """Return a fold of the index as a `Split`.

    Raises
    ------
    InputError
        If a part is missing or unknown; the text begins with `where`.

    Examples
    --------
    >>> split_from({"train": ("p1",), "val": (), "test": ("p2",)}, "corpus.json")
    Split(train=('p1',), val=(), test=('p2',))
    """
    if set(fold) != set(Split._fields):
        raise InputError(f"{where}: has {', '.join(sorted(fold))[:60]}, needed are {', '.join(Split._fields)}")
    return Split(**fold)


def check_entry(root: Path, entry: Entry, where: str) -> None:
    """Check a case of the index of corpus `root`: its words, spacing and size.

    Raises
    ------
    InputError
        If one is out of range; the text begins with `where`.

    Examples
    --------
    >>> entry = Entry("p1", "p1", (10, 256, 216), (8.0, 1.5, 0.0), scribble=True, dense=False, sha256="0")
    >>> check_entry(Path("corpus"), entry, "corpus.json: case 'p1'")
    Traceback (most recent call last):
    maskmixadv.errors.InputError: corpus.json: case 'p1': spacing (8.0, 1.5, 0.0), allowed are numbers above 0
    """
    check_words(entry, where)
    if entry.channels < 1:
        raise InputError(f"{where}: {entry.channels} channels, allowed is at least 1")
    if entry.spacing is not None:
        check_spacing(entry.spacing, f"{where}: spacing")
    check_size(root / "corpus.json", Declared((entry.channels, *entry.shape), 4), f"corpus: case {entry.name!r}")


def check_words(case: Entry | Case, where: str) -> None:
    """Check that a case's name can be a file's, and that its patient, phase and group are printable.

    Raises
    ------
    InputError
        If not; the text begins with `where`.

    Examples
    --------
    >>> entry = Entry("../p1", "p1", (10, 256, 216), None, scribble=True, dense=False, sha256="0")
    >>> check_words(entry, "corpus.json")
    Traceback (most recent call last):
    maskmixadv.errors.InputError: corpus.json: name '../p1', allowed is up to 200 bytes of printable characters ...
    """
    check_name(case.name, where)
    check_word(case.patient, f"{where}: patient")
    for word in (case.phase, case.group):
        if word is not None:
            check_word(word, f"{where}: phase or group", empty=True)
