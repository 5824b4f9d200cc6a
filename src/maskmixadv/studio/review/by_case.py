"""A JSON file with what is noted of each case."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from maskmixadv.errors import InputError
from maskmixadv.files import read_json, write_text
from maskmixadv.formats.reading import in_one_line
from maskmixadv.formats.slicing import View
from maskmixadv.sources.marks import Mark
from maskmixadv.studio.cache import Stamp, stamp
from maskmixadv.studio.images.marks import Marks

Notes = TypeVar("Notes")
"""What is noted of a case: a dataclass of plain values."""


@dataclass(frozen=True)
class _Entry(Generic[Notes]):
    """Notes, and the image on which they were made; None in files of earlier versions."""

    notes: Notes
    mark: Mark | None


class ByCase(Generic[Notes]):
    """Notes by case; every change is written to the file. Its users take a lock around what they do.

    What other programs write into the file meanwhile is read.

    Notes are those of an image. One with other axes has them turned. Another one has notes of its own: what was noted
    before is kept, and holds again when its image is back.

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
    turned
        Returns notes on slices of an image as those of the image to which a view turns it.
    marks
        Tell images from one another.
    lost
        What is lost with the file, for the error's text.

    Raises
    ------
    InputError
        If the file exists and is malformed.
    """

    def __init__(
        self,
        path: Path,
        version: int,
        nothing: Notes,
        parsed: Callable[[dict[str, Any]], Notes],
        turned: Callable[[Notes, Mark, View], Notes],
        marks: Marks,
        lost: str = "",
    ) -> None:
        self._path, self._version, self._nothing, self._parsed, self._lost = path, version, nothing, parsed, lost
        self._turned, self._marks = turned, marks
        self._cases: dict[str, tuple[_Entry[Notes], ...]] = {}
        self._state: Stamp | None = None
        self._refresh()

    def _refresh(self) -> None:
        """Read the file if another program changed it since, as one that puts a copy back; deleted, it says nothing.

        Raises
        ------
        InputError
            If it is malformed; what was known stays.
        """
        if self._path.is_file() and (now := stamp(self._path)) != self._state:
            self._cases, self._state = self._read(), now

    @property
    def names(self) -> list[str]:
        """Names of the cases that have notes, in order."""
        return sorted(self._cases)

    def of(self, case: str) -> Notes:
        """Return the notes on a case."""
        with suppress(InputError):  # whoever changes them is told
            self._marks.once(("notes", self._path), self._refresh)
        now = self._marks.of(case)
        found = (self._on(entry, now) for entry in self._cases.get(case, ()))
        return next((notes for notes in found if notes is not None), self._nothing)

    def held_back(self, case: str) -> Notes | None:
        """Return the latest notes on a case if its image is another one by now; else None."""
        latest = next(iter(self._cases.get(case, ())), None)
        return None if latest is None or self._on(latest, self._marks.of(case)) is not None else latest.notes

    def keep(self, case: str, notes: Notes) -> None:
        """Write the file, and hold what is new only when it is on the disk.

        Raises
        ------
        InputError
            If it can't be written, or another program wrote what is malformed, which stays then.
        """
        self._refresh()
        now, before = self._marks.of(case), self._cases.get(case, ())
        others = tuple(entry for entry in before if self._on(entry, now) is None)
        mark = now or next((entry.mark for entry in before), None)
        cases = {**self._cases, case: (_Entry(notes, mark), *others)}
        raw: dict[str, Any] = {"format": self._version, "cases": {}, "former": {}}
        for name, (latest, *former) in cases.items():
            raw["cases"][name] = _plain(latest)
            raw["former"] |= {name: list(map(_plain, former))} if former else {}
        write_text(self._path, json.dumps(raw, indent=1))
        self._cases, self._state = cases, stamp(self._path)

    def _on(self, entry: _Entry[Notes], now: Mark | None) -> Notes | None:
        """Return notes as those of the image `now`; None if they were made on another one."""
        if entry.mark is None or now is None:
            return entry.notes
        view = entry.mark.turned(now)
        if view is None:
            return None
        return entry.notes if view == View() else self._turned(entry.notes, entry.mark, view)

    def _read(self) -> dict[str, tuple[_Entry[Notes], ...]]:
        raw = read_json(self._path)
        try:
            former = raw.get("former", {})
            cases = {
                case: tuple(self._entry(each) for each in (notes, *former.get(case, ())))
                for case, notes in raw["cases"].items()
            }
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            told = f"{self._path}: malformed ({in_one_line(repr(error))}); correct it, or delete it{self._lost}"
            raise InputError(told) from None
        if raw.get("format") != self._version:
            raise InputError(f"{self._path}: format {raw.get('format')!r}, allowed is {self._version}")
        return cases

    def _entry(self, raw: dict[str, Any]) -> _Entry[Notes]:
        image = raw.get("image")
        return _Entry(self._parsed(raw), None if image is None else Mark.parsed(image))


def _plain(entry: _Entry[Any]) -> dict[str, Any]:
    image = {} if entry.mark is None else {"image": asdict(entry.mark)}
    return asdict(cast("Any", entry.notes)) | image
