"""What tests of an evaluation share: a run whose network is known."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Split
from maskmixadv.methods import PCE
from maskmixadv.runs.odds import Odds
from maskmixadv.runs.origin import Facts, LearntFrom, corpus_fields
from maskmixadv.runs.run import Run
from maskmixadv.runs.schedule import Schedule
from maskmixadv.sampling.grid import Grid
from scored import CLASSES, NOMINAL, case, shifted


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a run over a corpus of six cases; its network is `shifted`, its test patients are 1, 2 and 3."""
    split = Split(train=("p00",), val=("p05",), test=("p01", "p02", "p03"))
    cases = [*(case(number) for number in range(5)), case(5, dense=False)]
    corpus = Corpus.write(
        tmp_path / "corpus", cases, name="Hearts", classes=CLASSES, folds={"paper": (split,)}, nominal=NOMINAL
    )
    directory = tmp_path / "run"
    made = Run(
        root=directory,
        learnt_from=LearntFrom(**corpus_fields(corpus), scheme="paper", fold=1, **split._asdict()),
        prior_from=None,
        method=PCE(),
        schedule=Schedule(),
        grid=Grid(32),
        enclosure=False,
        seed=7,
        facts=Facts(preset=None, command="maskmixadv train corpus --out run", commit="abc", device="cpu", versions={}),
    )
    made.create()
    log = [
        "step,seconds,lr,net/dpce,val/dice",
        *(f"{k},{k}.5,0.1,{1 / k},{'.5' if k == 9 else ''}" for k in range(1, 10)),
    ]
    (directory / "log.csv").write_text("\n".join(log))
    of = {np.asarray(each.image).tobytes(): each for each in (*cases, *(case(number) for number in range(5, 9)))}
    predictor = SimpleNamespace(
        labels=lambda image, _, **__: shifted(of[image.tobytes()]),
        averages=lambda flips: flips,
        alone=lambda _: "none",
        odds=Odds(),
        net=SimpleNamespace(parameters=lambda: iter([SimpleNamespace(device=torch.device("cpu"))])),
    )
    monkeypatch.setattr("maskmixadv.inference.predictor.Predictor.load", lambda _, __, **___: predictor)
    monkeypatch.setattr("maskmixadv.provenance.commit", lambda: "c0ffee")
    return directory
