"""That training learns: on squares in seconds; on phantoms, unattended, in minutes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import tiny
from maskmixadv.cli.app import run
from maskmixadv.evaluation.evaluate import evaluate
from maskmixadv.methods import PCE, MaskMixAdv, Method
from maskmixadv.sampling.ranges import Augment
from maskmixadv.training.begin import begin
from maskmixadv.training.fit import fit

pytestmark = pytest.mark.usefixtures("wide")
STILL = Augment(turns=False, rotate=5.0, scale=0.05, shift=0.05, intensity=0.0)


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(
    "method", [PCE(), pytest.param(MaskMixAdv(), marks=pytest.mark.slow)], ids=lambda method: type(method).__name__
)
def test_squares_are_learnt_from_strokes(tmp_path: Path, method: Method) -> None:
    tiny.corpus(tmp_path / "corpus")
    tiny.corpus(tmp_path / "prior", [tiny.case(f"q{number}", number + 6) for number in range(6)], name="others")
    schedule = replace(tiny.SCHEDULE, steps=80, lr=8e-3, window=48, augment=STILL)
    learnt = begin(
        tmp_path / "corpus",
        tmp_path / "run",
        method=method,
        schedule=schedule,
        prior_root=tmp_path / "prior",
        enclosure=True,
    )
    assert fit(learnt)
    assert evaluate(learnt.root).mean.dice.mean > 0.6


@pytest.mark.slow
def test_the_demo_segments_phantoms_it_never_saw(tmp_path: Path) -> None:
    assert run(["demo", "--out", str(tmp_path / "demo")]) == 0
    folder = tmp_path / "demo" / "run" / "evaluation-test"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["mean"]["dice"]["mean"] >= 0.85
    assert "<html" in (folder / "report.html").read_text()
