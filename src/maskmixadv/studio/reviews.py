"""What people said of slices and how long they drew: ``studio.json``."""

import json
import math
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from maskmixadv.data.reading import in_one_line
from maskmixadv.errors import InputError
from maskmixadv.files import read_json, write_text

Verdict = Literal["accepted", "rejected"]
FORMAT = 1


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
            reviews = self._of(case)["reviews"]
            reviews.pop(str(index), None)
            if verdict is not None:
                reviews[str(index)] = {"verdict": verdict, "run": run}
            self._write()

    def spend(self, case: str, index: int, seconds: float) -> None:
        """Add to the time that somebody drew in a slice."""
        with self._lock:
            spent = self._of(case)["seconds"]
            spent[str(index)] = round(spent.get(str(index), 0.0) + seconds, 2)
            self._write()

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
        return self._cases.setdefault(case, {"reviews": {}, "seconds": {}})

    def _write(self) -> None:
        write_text(self._path, json.dumps({"format": FORMAT, "cases": self._cases}, indent=1))


def _read(path: Path) -> dict[str, dict[str, dict[str, Any]]]:
    if not path.is_file():
        return {}
    try:
        raw = read_json(path)
        cases = {
            case: {
                "reviews": {str(int(k)): _review(said) for k, said in notes["reviews"].items()},
                "seconds": {str(int(k)): _seconds(each) for k, each in notes["seconds"].items()},
            }
            for case, notes in raw["cases"].items()
        }
    except InputError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(
            f"{path}: malformed ({in_one_line(repr(error))}); correct it, or delete it with its reviews"
        ) from None
    if raw.get("format") != FORMAT:
        raise InputError(f"{path}: format {raw.get('format')!r}, allowed is {FORMAT}")
    return cases


def _seconds(spent: Any) -> float:  # noqa: ANN401
    if type(spent) not in (int, float) or not 0 <= spent < math.inf:
        raise ValueError(spent)
    return float(spent)


def _review(said: dict[str, Any]) -> dict[str, str]:
    run = said["run"]
    if said["verdict"] not in ("accepted", "rejected") or not isinstance(run, str) or not run.isdecimal():
        raise ValueError(said)
    return {"verdict": said["verdict"], "run": run}
