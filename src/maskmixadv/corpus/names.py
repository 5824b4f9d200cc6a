"""Checks of a corpus's names, words and numbers."""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from maskmixadv.errors import InputError, counted
from maskmixadv.files import LONGEST_NAME
from maskmixadv.formats.volume import wrong_spacing
from maskmixadv.spelling import folded
from maskmixadv.types import Spacing

MOST_CLASSES: Final = 250
"""Classes of a corpus at most; codes above have other meanings."""
MEAN: Final = "mean"
"""What tables call the mean over the classes."""
TRUTH: Final = "truth"
"""Before a class's name, what tables call its true values."""
CAVITIES: Final = ("LV", "RV")
"""Structures with an ejection fraction. Classes with an ``LV`` are a heart, whose muscle is called ``Myo``."""


def check_classes(names: Sequence[str], where: str) -> None:
    """Check names of classes: a list of 2 to 250 of them, unique and printable.

    Parameters
    ----------
    names
        Background first.
    where
        Beginning of the error's text.

    Raises
    ------
    InputError
        If they are none.

    Examples
    --------
    >>> check_classes(["background", "LV", "LV"], "classes.toml")
    Traceback (most recent call last):
    maskmixadv.errors.InputError: classes.toml: 3 classes, allowed are 2 to 250 of unique names
    """
    _must_be_listed(names, where)
    if not 2 <= len(names) <= MOST_CLASSES or len(set(names)) < len(names):
        raise InputError(f"{where}: {counted(len(names), 'class')}, allowed are 2 to {MOST_CLASSES} of unique names")
    for name in names:
        check_word(name, f"{where}: class")


def _must_be_listed(names: object, where: str) -> None:
    """Refuse what Python takes for several names and is none: a text has letters, and a set has no order."""
    if isinstance(names, (str, bytes)) or not isinstance(names, (Sequence, np.ndarray)):
        raise InputError(f"{where}: classes are {names!r:.60}, allowed is a list of names, background first")
    for name in names:
        if not isinstance(name, str):
            raise InputError(f"{where}: class {name!r:.60} is a {type(name).__name__}, allowed is a text")


def check_spellings(names: Sequence[str], where: str) -> None:
    """Refuse names of new classes that are spellings of one name (`maskmixadv.spelling.folded`), or of ``mean``.

    Tables have the mean over the classes under that name, beside theirs, and a class's true values under ``truth`` and
    its name, by which no other class may go, nor by what a heart's volumes are called (`heart_measures`).

    Raises
    ------
    InputError
        If there are such names; `where` begins its text.

    Examples
    --------
    >>> check_spellings(["background", "lesion", "Lesion"], "classes.toml")
    Traceback (most recent call last):
    maskmixadv.errors.InputError: classes.toml: classes 'lesion' and 'Lesion' differ in spelling alone (upper and ...
    """
    known: dict[str, str] = {}
    for name in names:
        if (other := known.setdefault(folded(name), name)) != name:
            raise InputError(
                f"{where}: classes {other!r:.62} and {name!r:.62} differ in spelling alone (upper and lower case, "
                "blanks and underscores, how accents are stored); tables and segments need names that differ in more"
            )
    for name in known:
        if (taken := known.get(f"{TRUTH}_{name}")) is not None:
            raise InputError(
                f"{where}: class {taken!r:.62}, by which tables call the truth of {known[name]!r:.62}; rename it"
            )
    for measure in heart_measures(names):
        if (taken := known.get(measure)) is not None:
            raise InputError(f"{where}: class {taken!r}, by which tables call a volume of a heart; rename it")
    if (taken := known.get(MEAN)) is not None:
        raise InputError(f"{where}: class {taken!r}, by which tables call the mean over all classes; rename it")


def heart_measures(names: Iterable[str]) -> tuple[str, ...]:
    """Return what tables call volumes that are no class's, of a heart that has classes `names`; in folded spelling.

    Examples
    --------
    >>> heart_measures(["background", "LV", "Myo"]), heart_measures(["background", "liver"])
    (('lv_edv', 'lv_esv', 'lv_sv', 'lv_muscle'), ())
    """
    known = {folded(name) for name in names}
    if "lv" not in known:
        return ()
    held = [cavity.lower() for cavity in CAVITIES if cavity.lower() in known]
    volumes = tuple(f"{cavity}_{volume}" for cavity in held for volume in ("edv", "esv", "sv"))
    return (*volumes, "lv_muscle") if "myo" in known else volumes


def check_word(word: str, where: str, *, empty: bool = False) -> None:
    """Check a word such as a patient's or a group's name.

    Parameters
    ----------
    word
        Up to 200 printable characters.
    where
        Beginning of the error's text.
    empty
        Whether it may be empty.

    Raises
    ------
    InputError
        If it is longer, not printable, or empty.

    Examples
    --------
    >>> check_word("", "corpus.json: patient")
    Traceback (most recent call last):
    maskmixadv.errors.InputError: corpus.json: patient '', allowed are up to 200 printable characters
    """
    if not word.isprintable() or len(word) > LONGEST_NAME or not (empty or word.strip()):
        raise InputError(f"{where} {word[:60]!r}, allowed are up to {LONGEST_NAME} printable characters")


def check_spacing(spacing: Spacing, where: str) -> None:
    """Check that a spacing (mm along d, h, w) is above 0, and that of a voxel that an image may have.

    Raises
    ------
    InputError
        If it is not; the text begins with `where`.

    Examples
    --------
    >>> check_spacing((8.0, 1.5, 0.0), "corpus.json: spacing")
    Traceback (most recent call last):
    maskmixadv.errors.InputError: corpus.json: spacing (8.0, 1.5, 0.0), allowed are numbers above 0
    """
    if min(spacing) <= 0:
        raise InputError(f"{where} {spacing}, allowed are numbers above 0")
    if told := wrong_spacing(spacing):
        raise InputError(f"{where}: {told}")
