"""The odds that a run has found: read, written, refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from maskmixadv.errors import InputError
from maskmixadv.runs.odds import FILE, LEAST, LOOKED_AT, RANGE, Odds, larger, looked_at, sizes

CLASSES = ("background", "RV", "LV")
FOUND = Odds(CLASSES, (2.3784, 0.5, 2.0), used=True, patients=8, cases=16, before=0.8, after=0.9, error=0.01)


def test_a_run_that_decided_nothing_has_its_own_probabilities(tmp_path: Path) -> None:
    assert Odds.of_run(tmp_path, CLASSES).of_case() is None
    assert str(Odds.of_run(tmp_path, CLASSES)) == "neutral"


def test_what_was_found_is_told_and_read_again(tmp_path: Path) -> None:
    FOUND.write(tmp_path)
    assert Odds.of_run(tmp_path, CLASSES) == FOUND
    assert FOUND.of_case() == (2.3784, 0.5, 2.0)
    assert str(FOUND) == "background 2.4, RV 0.5, LV 2"


def test_of_many_classes_those_that_differ_most_are_told() -> None:
    names = ("background", *(f"c{number:03}" for number in range(1, 101)))
    factors = [1.0 + number / 1000 for number in range(101)]
    factors[70] = 0.25
    told = str(Odds(names, tuple(factors), used=True))
    assert told.startswith("c070 0.25, c100 1.1, c099 1.1, ")
    assert told.endswith(" and 93 more nearer 1")


def test_what_was_found_and_is_not_used_changes_nothing() -> None:
    assert Odds(CLASSES, (2.0, 1.0, 1.0), used=False, patients=8, cases=16).of_case() is None


def test_they_go_by_what_is_drawn_in_a_case() -> None:
    found = replace(FOUND, power=0.5, usual=(0.5 + LEAST, 0.5 + LEAST))
    assert found.of_case(np.array([70, 20, 20])) == pytest.approx((2.3784, 0.5, 2.0))
    wide = (0.6 + LEAST) / (0.5 + LEAST), (0.4 + LEAST) / (0.5 + LEAST)
    assert found.of_case(np.array([70, 30, 20])) == pytest.approx((2.3784, 0.5 * wide[0] ** 0.5, 2 * wide[1] ** 0.5))
    assert found.of_case(np.array([70, 20, 0])) == pytest.approx(
        (2.3784, 0.5 * ((1 + LEAST) / (0.5 + LEAST)) ** 0.5, 2 / RANGE**0.5)
    ), "no size counts as more than so many times the usual one"
    assert found.of_case(np.array([70, 0, 0])) == pytest.approx((2.3784, 0.5, 2.0)), "nothing drawn says nothing"
    assert str(found) == "background 2.4, RV 0.5, LV 2, times a structure's relative size to the power 0.5"
    with pytest.raises(ValueError, match="was not counted"):
        found.of_case()
    assert replace(found, used=False).of_case(np.array([70, 30, 20])) is None


def test_a_single_structure_is_always_of_its_usual_size() -> None:
    assert larger(sizes(np.array([[9, 1], [5, 5]])), [1 + LEAST]).tolist() == [[0.0], [0.0]]


def test_few_slices_are_all_looked_at_and_many_evenly() -> None:
    assert looked_at(LOOKED_AT).tolist() == list(range(LOOKED_AT))
    some = looked_at(500)
    assert (len(some), some[0], some[-1]) == (LOOKED_AT, 0, 499)
    assert set(np.diff(some).tolist()) <= {7, 8}


@pytest.mark.parametrize(
    "told",
    [
        '"power": -1',
        '"power": 1e999, "usual": [1, 1]',
        '"power": 11, "usual": [1, 1]',
        '"power": 1',
        '"power": 1, "usual": [1]',
        '"usual": [1, 0]',
    ],
)
def test_numbers_that_are_no_sizes_are_refused(tmp_path: Path, told: str) -> None:
    start = '{"classes": ["background", "RV", "LV"], "factors": [1, 1, 1], "used": true, '
    (tmp_path / FILE).write_text(f"{start}{told}}}")
    with pytest.raises(InputError, match=r"odds\.json: .*(power|usual)"):
        Odds.of_run(tmp_path, CLASSES)


def test_those_of_other_classes_are_refused(tmp_path: Path) -> None:
    FOUND.write(tmp_path)
    with pytest.raises(InputError, match=r"odds\.json: classes background, RV, LV, allowed are those of the run: "):
        Odds.of_run(tmp_path, ("background", "LV", "RV"))


@pytest.mark.parametrize("factors", ["[1, 1]", "[1, 1, 0]", "[1, 1, -1]", "[1, 1, 1e39]", "[1e-60, 1, 1]", '["a"]'])
def test_numbers_that_are_no_odds_are_refused(tmp_path: Path, factors: str) -> None:
    (tmp_path / FILE).write_text(f'{{"classes": ["background", "RV", "LV"], "factors": {factors}, "used": true}}')
    with pytest.raises(InputError, match=r"odds\.json: .*factors"):
        Odds.of_run(tmp_path, CLASSES)


@pytest.mark.parametrize("content", ['{"classes": 3}', '{"odd": 1}', "[]", "{", '{"factors": [1, NaN]}'])
def test_a_malformed_file_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(InputError, match=r"odds\.json"):
        Odds.of_run(tmp_path, CLASSES)
