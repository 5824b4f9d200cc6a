"""The odds that a run has found: read, written, refused."""

from pathlib import Path

import pytest

from maskmixadv.errors import InputError
from maskmixadv.runs.odds import FILE, Odds

CLASSES = ("background", "RV", "LV")
FOUND = Odds(CLASSES, (2.3784, 0.5, 2.0), used=True, patients=8, cases=16, before=0.8, after=0.9, error=0.01)


def test_a_run_that_decided_nothing_has_its_own_probabilities(tmp_path: Path) -> None:
    assert Odds.of_run(tmp_path, CLASSES).applied is None
    assert str(Odds.of_run(tmp_path, CLASSES)) == "neutral"


def test_what_was_found_is_told_and_read_again(tmp_path: Path) -> None:
    FOUND.write(tmp_path)
    assert Odds.of_run(tmp_path, CLASSES) == FOUND
    assert FOUND.applied == (2.3784, 0.5, 2.0)
    assert str(FOUND) == "background 2.4, RV 0.5, LV 2"


def test_what_was_found_and_is_not_used_changes_nothing() -> None:
    assert Odds(CLASSES, (2.0, 1.0, 1.0), used=False, patients=8, cases=16).applied is None


def test_those_of_other_classes_are_refused(tmp_path: Path) -> None:
    FOUND.write(tmp_path)
    with pytest.raises(InputError, match=r"odds\.json: classes background, RV, LV, allowed are those of the run: "):
        Odds.of_run(tmp_path, ("background", "LV", "RV"))


@pytest.mark.parametrize("factors", ["[1, 1]", "[1, 1, 0]", "[1, 1, -1]", '["a"]'])
def test_numbers_that_are_no_odds_are_refused(tmp_path: Path, factors: str) -> None:
    (tmp_path / FILE).write_text(f'{{"classes": ["background", "RV", "LV"], "factors": {factors}, "used": true}}')
    with pytest.raises(InputError, match=r"odds\.json: .*factors"):
        Odds.of_run(tmp_path, CLASSES)


@pytest.mark.parametrize("content", ['{"classes": 3}', '{"odd": 1}', "[]", "{", '{"factors": [1, NaN]}'])
def test_a_malformed_file_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(InputError, match=r"odds\.json"):
        Odds.of_run(tmp_path, CLASSES)
