"""Names that people spell in several ways."""

import re
import unicodedata
from typing import Final

_BLANKS: Final = re.compile(r"[\s_]+")


def folded(name: str) -> str:
    """Return a name in the one form that all its spellings have.

    Upper and lower case are one, as are blanks and underscores, and accents that a system stores within their letter or
    behind it. Columns of tables and segments of other programs can't tell such names apart.

    Examples
    --------
    >>> folded("Left  Lung") == folded("left_lung"), folded("T1") == folded("T2")
    (True, False)
    """
    return _BLANKS.sub("_", unicodedata.normalize("NFKC", name).casefold().strip())


def as_file(name: str) -> str:
    """Return a name as systems know a file by it that take upper and lower case, or an accent's two forms, for one.

    Examples
    --------
    >>> as_file("P1_ED") == as_file("p1_ed"), as_file("p 1") == as_file("p_1")
    (True, False)
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
