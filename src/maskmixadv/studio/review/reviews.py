"""What people said of slices and how long they drew: ``studio.json``."""

import json
import math
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from maskmixadv.errors import InputError
from maskmixadv.files import read_json, write_text
from maskmixadv.formats.reading import in_one_line
from maskmixadv.studio.layout import RUN_NAME

Verdict = Literal["accepted", "rejected"]
REVIEWS_FORMAT = 1


class Reviews:
    """Verdicts and seconds by case and slice; written at each change.

    Raises
    ------
    InputError
        Where the file is there and malformed.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, Lock()
        self._cases: dict[str, dict[str, dict[str, Any]]] = _read(path)

    def judge(self, case: str, index: int, verdict: Verdict | None, run: str) -> None:
        """Keep what somebody says of what `run` made of a slice, or take it back."""
        with self._lock:
            notes = self._of(case)
            reviews = {at: said for at, said in notes["reviews"].items() if at != str(index)}
            if verdict is not None:
                reviews[str(index)] = {"verdict": verdict, "run": run}
            self._keep(case, {**notes, "reviews": reviews})

    def spend(self, case: str, index: int, seconds: float) -> None:
        """Add to the time that somebody drew in a slice."""
        with self._lock:
            notes = self._of(case)
            spent = round(notes["seconds"].get(str(index), 0.0) + seconds, 2)
            self._keep(case, {**notes, "seconds": {**notes["seconds"], str(index): spent}})

    def verdicts(self, case: str, run: str | None) -> dict[int, Verdict]:
        """What holds while `run` is shown: what was accepted, and what of this run was rejected."""
        with self._lock:
            reviews = self._cases.get(case, {}).get("reviews", {}).items()
            held = [(int(index), review) for index, review in reviews]
        return {index: said["verdict"] for index, said in held if said["verdict"] == "accepted" or said["run"] == run}

    def accepted_from(self, case: str) -> dict[int, str]:
        """Accepted slices, with the run whose prediction that was."""
        with self._lock:
            reviews = self._cases.get(case, {}).get("reviews", {}).items()
            return {int(index): said["run"] for index, said in reviews if said["verdict"] == "accepted"}

    def seconds(self, case: str) -> float:
        """How long people drew in a case."""
        with self._lock:
            return round(sum(self._cases.get(case, {}).get("seconds", {}).values(), start=0.0), 2)

    def _of(self, case: str) -> dict[str, dict[str, Any]]:
        return self._cases.get(case, {"reviews": {}, "seconds": {}})

    def _keep(self, case: str, notes: dict[str, dict[str, Any]]) -> None:
        """Hold `notes` of `case` once they are on the disk; where they can't be, what was held stays true."""
        cases = {**self._cases, case: notes}
        write_text(self._path, json.dumps({"format": REVIEWS_FORMAT, "cases": cases}, indent=1))
        self._cases = cases


def _read(path: Path) -> dict[str, dict[str, dict[str, Any]]]:
    if not path.is_file():
        return {}
    raw = read_json(path)
    try:
        cases = {
            case: {
                "reviews": {_slice(k): _review(said) for k, said in notes["reviews"].items()},
                "seconds": {_slice(k): _seconds(spent) for k, spent in notes["seconds"].items()},
            }
            for case, notes in raw["cases"].items()
        }
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(
            f"{path}: malformed ({in_one_line(repr(error))}); correct it, or delete it with its reviews"
        ) from None
    if raw.get("format") != REVIEWS_FORMAT:
        raise InputError(f"{path}: format {raw.get('format')!r}, allowed is {REVIEWS_FORMAT}")
    return cases


def _slice(index: str) -> str:
    if int(index) < 0:
        raise ValueError(index)
    return str(int(index))


def _seconds(spent: float) -> float:
    if not 0 <= float(spent) < math.inf:
        raise ValueError(spent)
    return float(spent)


def _review(said: dict[str, Any]) -> dict[str, str]:
    if said["verdict"] not in ("accepted", "rejected") or not RUN_NAME.fullmatch(said["run"]):
        raise ValueError(said)
    return {"verdict": said["verdict"], "run": said["run"]}
