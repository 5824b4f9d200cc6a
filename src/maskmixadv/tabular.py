"""CSV files: no text is a formula for a spreadsheet, and reading takes a limited number of bytes."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from maskmixadv.errors import InputError
from maskmixadv.files import read_text

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""First characters of cells that spreadsheets compute."""
QUOTE: Final = "'"
"""Spreadsheets take it as the sign of text, and do not show it."""
MOST: Final = 256 * 2**20
"""Bytes of a file that is read at most."""


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    r"""Return the text of a CSV file with a header; a cell that a row lacks is empty.

    A text that a spreadsheet would take as a formula gets a single quote before it (`cell`).

    Examples
    --------
    >>> csv_text(["case", "dice"], [{"case": "=1+1", "dice": 0.5}])
    "case,dice\n'=1+1,0.5\n"
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([cell(column) for column in columns])
    writer.writerows([cell(row.get(column, "")) for column in columns] for row in rows)
    return buffer.getvalue()


def cell(value: object) -> object:
    """Return `value` as a cell: a text that begins as a formula does, or with a quote before one, gets a quote.

    Examples
    --------
    >>> cell("=1+1"), cell("'=1+1"), cell("-0.5"), cell("LV"), cell(3)
    ("'=1+1", "''=1+1", '-0.5', 'LV', 3)
    """
    if not isinstance(value, str) or _number(value):
        return value
    return QUOTE + value if value.lstrip(QUOTE).startswith(FORMULA) else value


def plain(text: str) -> str:
    """Return the text of which `cell` made `text`.

    Examples
    --------
    >>> plain("'=1+1"), plain("LV")
    ('=1+1', 'LV')
    """
    return text[1:] if text.startswith(QUOTE) and text.lstrip(QUOTE).startswith(FORMULA) else text


def read_csv(path: Path, *, partial: bool = False) -> list[dict[str, str]]:
    """Rows of a CSV file by the names of its columns; cells as they were before `csv_text`.

    With `partial`, rows that do not fit the header are left out.

    Raises
    ------
    InputError
        If it is missing, larger than `MOST` bytes, no UTF-8, two columns have one name, or a row does not fit them.

    Examples
    --------
    >>> _ = Path("a.csv").write_text(csv_text(["case", "dice"], [{"case": "=1+1", "dice": 0.5}]))
    >>> read_csv(Path("a.csv"))
    [{'case': '=1+1', 'dice': '0.5'}]
    """
    reader = csv.reader(io.StringIO(read_text(path, most=MOST), newline=""))
    try:
        columns = [plain(name) for name in next(reader, [])]
        rows = [[plain(each) for each in row] for row in reader if row]
    except csv.Error as error:
        raise InputError(f"{path}: not a readable table ({error})") from None
    if twice := [name for name in columns if columns.count(name) > 1]:
        raise InputError(f"{path}: not a readable table (two columns are called {twice[0]!r:.62})")
    fitting = [row for row in rows if len(row) == len(columns)]
    if not partial and len(fitting) < len(rows):
        raise InputError(f"{path}: not a readable table (a row has another number of cells than the header)")
    return [dict(zip(columns, row, strict=True)) for row in fitting]


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
