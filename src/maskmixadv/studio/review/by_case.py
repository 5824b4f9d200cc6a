"""A JSON file with what is noted of each case."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from maskmixadv.errors import InputError
from maskmixadv.files import read_json, write_text
from maskmixadv.formats.reading import in_one_line

Notes = TypeVar("Notes")
"""What is noted of a case: a dataclass of plain values."""


class ByCase(Generic[Notes]):
    """Notes by case; every change is written to the file. Its users take a lock around what they do.

    Parameters
    ----------
    path
        The file; it need not exist.
    version
        Version of the file's format.
    nothing
        The notes on a case of which nothing is noted.
    parsed
        Makes notes of what the file holds of a case. Where that is malformed, it raises whatever Python raises at a
        wrong key, type or value.
    lost
        What is lost with the file, for the error's text.

    Raises
    ------
    InputError
        If the file exists and is malformed.
    """

    def __init__(
        self, path: Path, version: int, nothing: Notes, parsed: Callable[[dict[str, Any]], Notes], lost: str = ""
    ) -> None:
        self._path, self._version, self._nothing, self._parsed, self._lost = path, version, nothing, parsed, lost
        self._cases = self._read() if path.is_file() else {}

    @property
    def names(self) -> list[str]:
        """Names of the cases that have notes, in order."""
        return sorted(self._cases)

    def of(self, case: str) -> Notes:
        """Return the notes on a case."""
        return self._cases.get(case, self._nothing)

    def keep(self, case: str, notes: Notes) -> None:
        """Write the file, and hold what is new only when it is on the disk."""
        cases = {**self._cases, case: notes}
        raw = {"format": self._version, "cases": {name: asdict(cast("Any", each)) for name, each in cases.items()}}
        write_text(self._path, json.dumps(raw, indent=1))
        self._cases = cases

    def _read(self) -> dict[str, Notes]:
        raw = read_json(self._path)
        try:
            cases = {case: self._parsed(notes) for case, notes in raw["cases"].items()}
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            told = f"{self._path}: malformed ({in_one_line(repr(error))}); correct it, or delete it{self._lost}"
            raise InputError(told) from None
        if raw.get("format") != self._version:
            raise InputError(f"{self._path}: format {raw.get('format')!r}, allowed is {self._version}")
        return cases
