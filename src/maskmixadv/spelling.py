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
