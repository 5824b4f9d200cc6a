"""What tests of benchmarks share: a place for their records, a corpus, and a run that was trained for two steps."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import record
import tiny
from maskmixadv.methods import PCE
from maskmixadv.sources.phantoms import phantom
from maskmixadv.training.begin import begin
from maskmixadv.training.fit import fit
from recorded import Recorded


@pytest.fixture(autouse=True)
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """The figures of a benchmark's only record; none of them is written into `benchmarks`."""
    monkeypatch.setattr(record, "RECORDS", tmp_path / "records")
    monkeypatch.chdir(tmp_path)

    def figures(name: str) -> Any:
        (line,) = (tmp_path / "records" / f"{name}.jsonl").read_text().splitlines()
        return json.loads(line)["figures"]

    return figures


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantom.prepare(tmp_path_factory.mktemp("phantoms") / "corpus", cases=6, size=64).root


@pytest.fixture(scope="session")
def run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    schedule = replace(tiny.SCHEDULE, steps=2, validate_every=2)
    root = tmp_path_factory.mktemp("trained") / "run"
    assert fit(begin(corpus, root, method=PCE(), schedule=schedule, preset="cpu", enclosure=True))
    return root
