"""Which cases a trained network is asked about after the last step."""

from dataclasses import replace
from pathlib import Path

import pytest

from maskmixadv.corpus.entry import Entry
from maskmixadv.methods.pce import PCE
from maskmixadv.runs.run import Run
from maskmixadv.sampling.grid import Grid
from maskmixadv.training.asked import LEAST, asked, tell_asked
from tiny import run as tiny_run


def _run() -> Run:
    return replace(tiny_run(PCE()), root=Path("run"), grid=Grid(100, 1.0))


def _entries(count: int, slices: int) -> list[Entry]:
    shape = (slices, 100, 100)
    return [
        Entry(f"case{number:03d}", f"p{number}", shape, (1.0, 1.0, 1.0), scribble=True, dense=True, sha256="0")
        for number in range(count)
    ]


@pytest.mark.parametrize(("slices", "number"), [(10, 60), (500, 10), (4000, LEAST)])
def test_cases_are_spread_over_all_however_large_they_are(slices: int, number: int) -> None:
    chosen = asked(_run(), entries := _entries(200, slices))
    assert len(chosen) == number
    assert (chosen[0], chosen[-1]) == (entries[0], entries[-1])


def test_few_cases_are_all_asked() -> None:
    assert len(asked(_run(), _entries(2, 10_000))) == 2
    assert asked(_run(), []) == []


def test_what_takes_long_after_the_last_step_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    tell_asked(_run(), _entries(10, 50), of="training", finds="which structures are in one piece")
    assert capsys.readouterr().err == ""
    tell_asked(_run(), _entries(2, 300), of="training", finds="which structures are in one piece")
    told = "2 training cases, 600 slices, are predicted to find which structures are in one piece"
    assert capsys.readouterr().err == f"run: all steps are taken; {told}\n"
