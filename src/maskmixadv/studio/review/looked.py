"""Which slices people looked at, and what a case's dense slices are used for: ``cases.json``.

Slices are numbered in the order in which the image's file stores them.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any, Final, get_args

from maskmixadv.errors import InputError
from maskmixadv.files import read_json, write_text
from maskmixadv.formats.reading import in_one_line
from maskmixadv.studio.images.readable import Use
from maskmixadv.studio.layout import RUN_NAME

LOOKED_FORMAT: Final = 1
"""Version of the file's format."""


@dataclass(frozen=True)
class CaseLooked:
    """The slices of a case that people looked at, each with the latest run whose labels they saw; and its use."""

    looked: Mapping[int, str] = field(default_factory=dict)
    use: Use = "auto"


class Looked:
    """What people looked at, by case; every change is written to the file.

    Raises
    ------
    InputError
        If the file exists and is malformed.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, Lock()
        self._cases: dict[str, CaseLooked] = _read(path)

    def look(self, case: str, index: int, run: str) -> None:
        """Keep that somebody looked at the labels that `run` gave a slice."""
        with self._lock:
            of = self._of(case)
            if of.looked.get(index) != run:
                self._keep(case, replace(of, looked={**of.looked, index: run}))

    def at(self, case: str, run: str | None, depth: int) -> list[int]:
        """Return those of a case's `depth` slices whose labels by `run` somebody looked at, in order."""
        with self._lock:
            return sorted(index for index, seen in self._of(case).looked.items() if seen == run and index < depth)

    def use(self, case: str) -> Use:
        """Return what the dense slices of a case are for."""
        with self._lock:
            return self._of(case).use

    def set_use(self, case: str, use: Use) -> None:
        """Say what the dense slices of a case are for."""
        with self._lock:
            self._keep(case, replace(self._of(case), use=use))

    def _of(self, case: str) -> CaseLooked:
        return self._cases.get(case, CaseLooked())

    def _keep(self, case: str, looked: CaseLooked) -> None:
        """Write the file, and hold what is new only when it is on the disk."""
        cases = {**self._cases, case: looked}
        raw = {"format": LOOKED_FORMAT, "cases": {name: asdict(each) for name, each in cases.items()}}
        write_text(self._path, json.dumps(raw, indent=1))
        self._cases = cases


def _read(path: Path) -> dict[str, CaseLooked]:
    if not path.is_file():
        return {}
    raw = read_json(path)
    try:
        cases = {str(case): _looked(each) for case, each in raw["cases"].items()}
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{path}: malformed ({in_one_line(repr(error))}); correct it, or delete it") from None
    if raw.get("format") != LOOKED_FORMAT:
        raise InputError(f"{path}: format {raw.get('format')!r}, allowed is {LOOKED_FORMAT}")
    return cases


def _looked(raw: dict[str, Any]) -> CaseLooked:
    looked = {int(index): str(run) for index, run in raw["looked"].items()}
    if raw["use"] not in get_args(Use) or not all(
        index >= 0 and RUN_NAME.fullmatch(run) for index, run in looked.items()
    ):
        raise ValueError(raw)
    return CaseLooked(looked, raw["use"])
