"""What names, words and numbers of a corpus may be."""

from collections.abc import Sequence
from typing import Final

from maskmixadv.errors import InputError
from maskmixadv.files import LONGEST_NAME
from maskmixadv.types import Spacing

MOST_CLASSES: Final = 250
"""Classes; the codes above them have other meanings."""


def check_classes(names: Sequence[str], where: str) -> None:
    """Raise `InputError` where `names` are not those of classes: 2 to 250, unique, printable."""
    if not 2 <= len(names) <= MOST_CLASSES or len(set(names)) < len(names):
        raise InputError(f"{where}: {len(names)} classes, allowed are 2 to {MOST_CLASSES} of unique names")
    for name in names:
        check_word(name, f"{where}: class")


def check_word(word: str, where: str, *, empty: bool = False) -> None:
    """Raise `InputError` where `word` is too long, or not printable; `empty` says whether it may be."""
    if not word.isprintable() or len(word) > LONGEST_NAME or not (empty or word.strip()):
        raise InputError(f"{where} {word[:60]!r}, allowed are up to {LONGEST_NAME} printable characters")


def check_spacing(spacing: Spacing, where: str) -> None:
    """Raise `InputError` where a spacing is not above 0."""
    if min(spacing) <= 0:
        raise InputError(f"{where} {spacing}, allowed are numbers above 0")
