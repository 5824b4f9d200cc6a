"""nnU-Net is given the training patients of a fold alone, and is scored as our runs are."""

import json
from pathlib import Path

import pytest

import nnunet
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.errors import InputError
from maskmixadv.metrics import scores
from maskmixadv.sources.nnunet_export import export
from maskmixadv.sources.phantoms import phantom


@pytest.fixture(scope="module")
def hearts(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return phantom.prepare(tmp_path_factory.mktemp("nnunet") / "hearts", cases=8, size=64)


def test_test_patients_are_not_handed_over(hearts: Corpus, tmp_path: Path) -> None:
    split = hearts.split("paper", 2)
    options = nnunet.Options(hearts.root, tmp_path / "out", fold=2)
    export(nnunet.given(hearts, options), tmp_path / "raw")
    told = json.loads((tmp_path / "raw" / "splits_final.json").read_text())
    names = {part: [entry.name for entry in hearts.of(getattr(split, part))] for part in ("train", "val", "test")}
    assert names["test"]
    assert told == [{"train": names["train"], "val": names["val"]}]
    written = {path.name.removesuffix("_0000.nii.gz") for path in (tmp_path / "raw" / "imagesTr").iterdir()}
    assert written == {*names["train"], *names["val"]}


def test_without_masks_to_score_with_nothing_begins(tmp_path: Path) -> None:
    bare = phantom.prepare(tmp_path / "bare", cases=6, size=64)
    text = (bare.root / "corpus.json").read_text()
    (bare.root / "corpus.json").write_text(text.replace('"dense": true', '"dense": false'))
    with pytest.raises(InputError, match="no test patient of paper 1 has a mask"):
        nnunet.main(nnunet.Options(bare.root, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_it_learns_for_the_time_that_it_has(hearts: Corpus, tmp_path: Path) -> None:
    pytest.importorskip("nnunetv2", reason="nnU-Net is not installed")
    summary = nnunet.main(nnunet.Options(hearts.root, tmp_path / "out", seconds=5.0, processes=1, device="cpu"))
    tested = [entry.name for entry in hearts.of(hearts.split("paper", 1).test)]
    assert {row.case for row in scores.read(tmp_path / "out" / "scores.csv")} == set(tested)
    assert summary.provenance["nnunet"]["steps"] > 0
    assert summary.mean.dice.mean > 0
