"""Which structures are in one piece is found by the cases that were learnt from, and used in predictions."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from jaxtyping import UInt8

from maskmixadv.cli.app import run as command
from maskmixadv.corpus.case import Case
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Split
from maskmixadv.evaluation.evaluate import evaluate
from maskmixadv.inference.predictor import Predictor
from maskmixadv.methods.pce import PCE
from maskmixadv.methods.supervised import Supervised
from maskmixadv.runs.pieces import FILE, Piece, Pieces
from maskmixadv.runs.run import Run
from maskmixadv.runs.schedule import PRESETS
from maskmixadv.training.begin import begin
from maskmixadv.training.fit import fit
from maskmixadv.training.pieces import found_pieces
from maskmixadv.training.settle import settle
from maskmixadv.types import IGNORE

SIDE = 40
SCHEDULE = replace(PRESETS["demo"], size=48, window=32, batch=2, steps=1)
ORGANS = ("background", "kidney", "spleen")
Drawn = UInt8[np.ndarray, "d h w"]


def blank() -> Drawn:
    return np.zeros((2, SIDE, SIDE), np.uint8)


def organs() -> Drawn:
    """Two kidneys apart, and a spleen that touches one of them."""
    drawn = blank()
    drawn[:, 10:20, 5:12] = drawn[:, 10:20, 25:32] = 1
    drawn[:, 20:30, 25:35] = 2
    return drawn


def annotated(masks: Drawn) -> Drawn:
    """Strokes in the middle of each row of a structure, and round them."""
    strokes = np.full_like(masks, IGNORE)
    strokes[:, :2] = 0
    strokes[:, 12::4] = masks[:, 12::4]
    return strokes


def trained(root: Path, masks: Drawn, *, cases: int = 6, supervised: bool = False, val: int = 1) -> tuple[Run, Corpus]:
    """Return a run of one step on cases that all look the same; the last ones are for validation, and one for test."""
    random, names = np.random.default_rng(0), tuple(f"p{k}" for k in range(cases))
    images = random.random((cases, 1, *masks.shape), dtype=np.float32)
    written = Corpus.write(
        root / "corpus",
        [
            Case(name, name, each, annotated(masks), masks, (5.0, 1.0, 1.0))
            for name, each in zip(names, images, strict=True)
        ],
        name="organs",
        classes=ORGANS,
        folds={"one": [Split(names[: -val - 1], names[-val - 1 : -1], names[-1:])]},
    )
    method = Supervised() if supervised else PCE()
    run = begin(written.root, root / "run", method=method, schedule=SCHEDULE)
    assert fit(run, device="cpu")
    return run, written


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> Callable[[Drawn], None]:
    """Let networks draw what one wants."""

    def draw(labels: Drawn) -> None:
        def drawn(self: Predictor, *_: Any, largest: bool | None = None, **__: Any) -> Drawn:
            return self.pieces.keep(labels, self.classes) if largest is None else labels

        monkeypatch.setattr(Predictor, "labels", drawn)

    return draw


def kept(run: Run, corpus: Corpus) -> str:
    return str(found_pieces(run, corpus, Predictor.load(run.root, "cpu")))


def test_structures_in_pairs_stay_and_one_alone_is_one_piece(tmp_path: Path, draws: Callable[[Drawn], None]) -> None:
    draws(organs())
    assert kept(*trained(tmp_path, organs())) == "spleen"


def test_a_piece_that_people_annotated_is_never_an_error(tmp_path: Path, draws: Callable[[Drawn], None]) -> None:
    masks = organs()
    masks[0, 36, 2] = 2  # 1 of 201 voxels, far from the others
    draws(masks)
    run, corpus = trained(tmp_path, masks)
    assert "spleen" not in kept(run, corpus)
    found = {str(piece): piece for piece in found_pieces(run, corpus, Predictor.load(run.root, "cpu")).found}
    assert found["spleen"].outside < 0.01 < found["spleen"].lost


def test_a_speck_that_nobody_annotated_is_one(tmp_path: Path, draws: Callable[[Drawn], None]) -> None:
    masks, drawn = organs(), organs()
    drawn[0, 38, 2] = 2
    draws(drawn)
    assert kept(*trained(tmp_path, masks)) == "spleen"


def test_what_is_often_drawn_in_pieces_is_no_error(tmp_path: Path, draws: Callable[[Drawn], None]) -> None:
    masks, drawn = organs(), organs()
    drawn[:, 33:36, 2:5] = 2  # nobody annotated it, but it is a tenth of the spleen in each case
    masks[:, 34:] = 0
    draws(drawn)
    assert kept(*trained(tmp_path, masks)) == "none"


def test_it_is_one_where_masks_show_one_piece(tmp_path: Path, draws: Callable[[Drawn], None]) -> None:
    drawn = organs()
    drawn[:, 33:36, 2:5] = 2
    draws(drawn)
    run, corpus = trained(tmp_path, organs(), cases=8, val=3)
    found = found_pieces(run, corpus, Predictor.load(run.root, "cpu"))
    assert str(found) == "spleen"
    assert {(piece.cases, piece.masks) for piece in found.found} == {(4, 3)}


def test_masks_show_two_where_the_network_draws_one(tmp_path: Path, draws: Callable[[Drawn], None]) -> None:
    drawn = organs()
    drawn[:, :, 5:12] = 0
    draws(drawn)
    assert kept(*trained(tmp_path / "masks", organs(), cases=8, val=3)) == "spleen"


def test_masks_that_know_some_pixels_alone_say_nothing(tmp_path: Path, draws: Callable[[Drawn], None]) -> None:
    drawn, masks = organs(), organs()
    drawn[:, 33:36, 2:5] = 2
    draws(drawn)
    masks[:, 33:36, 2:5] = IGNORE
    assert kept(*trained(tmp_path, masks, cases=8, val=3)) == "none"


def test_all_structures_together_are_one_piece_where_each_alone_is_not(
    tmp_path: Path, draws: Callable[[Drawn], None]
) -> None:
    masks = organs()
    masks[:, 14:18, 12:25] = 2  # joins the kidneys
    masks[:, 18:20, 20:25] = 2
    draws(masks)
    assert kept(*trained(tmp_path, masks)) == "all structures together, spleen"


def test_two_cases_say_nothing(tmp_path: Path, draws: Callable[[Drawn], None]) -> None:
    draws(organs())
    assert kept(*trained(tmp_path, organs(), cases=4)) == "none"


def test_of_large_volumes_every_second_row_is_looked_at(
    tmp_path: Path, draws: Callable[[Drawn], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, corpus = trained(tmp_path, organs())
    looked: list[tuple[int, ...]] = []
    monkeypatch.setattr("maskmixadv.training.pieces.VOXELS", 2 * SIDE * SIDE // 3)
    monkeypatch.setattr(
        "maskmixadv.training.pieces.in_one_piece", lambda labels, *_: looked.append(labels.shape) or labels
    )
    draws(organs())
    found_pieces(run, corpus, Predictor.load(run.root, "cpu"))
    assert set(looked) == {(2, SIDE // 2, SIDE // 2)}


def test_masks_say_it_where_they_are_learnt_from(tmp_path: Path, draws: Callable[[Drawn], None]) -> None:
    draws(organs())
    assert kept(*trained(tmp_path, organs(), supervised=True)) == "spleen"


def test_a_training_settles_it_and_says_so(
    tmp_path: Path, draws: Callable[[Drawn], None], capsys: pytest.CaptureFixture[str]
) -> None:
    draws(organs())
    run, _ = trained(tmp_path, organs())
    assert "of these only the largest connected piece is kept in predictions: spleen" in capsys.readouterr().err
    assert Pieces.of_run(run.root, ORGANS).kept[0].structures == ("spleen",)
    # One that was stopped before is asked again; one that has decided is not.
    (run.root / FILE).unlink()
    assert fit(Run.open(run.root), device="cpu")
    assert (run.root / FILE).is_file()
    Pieces().write(run.root, Predictor.load(run.root, "cpu").network)
    assert settle(run, "cpu")[1] == Pieces()


@pytest.fixture(scope="module")
def strays(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run that has decided that the spleen is in one piece."""
    run, _ = trained(tmp_path_factory.mktemp("strays"), organs())
    Pieces((Piece(("spleen",), kept=True, cases=4, outside=0.0, lost=0.0),)).write(
        run.root, Predictor.load(run.root, "cpu").network
    )
    return run


@pytest.mark.parametrize(
    ("options", "one"),
    [([], True), (["--pieces", "all"], False), (["--largest"], True), (["--pieces", "largest"], True)],
)
def test_predict_keeps_what_the_run_decided(
    strays: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    one: bool,
) -> None:
    drawn = organs()
    drawn[0, 38, 2] = 2
    monkeypatch.setattr("maskmixadv.inference.predictor.most_probable", lambda _: torch.from_numpy(drawn))
    nib.save(
        nib.Nifti1Image(np.random.default_rng(0).random((SIDE, SIDE, 2)), np.diag([1, 1, 5, 1])), tmp_path / "a.nii"
    )
    assert (
        command(["predict", str(strays.root), str(tmp_path / "a.nii"), "--out", str(tmp_path / "out"), *options]) == 0
    )
    lost = "in 1 of 1 volumes 1 voxel beside the largest piece of spleen became background; '--pieces all' keeps it"
    assert (lost in capsys.readouterr().err) == (not options)
    labels = np.asanyarray(nib.Nifti1Image.from_filename(tmp_path / "out" / "a.nii").dataobj)
    assert (labels == 2).sum() == 200 + (not one)
    assert (labels == 1).sum() == (140 if options[-1:] in (["--largest"], ["largest"]) else 280)


@pytest.mark.usefixtures("undrawn")
def test_evaluate_says_what_it_kept(strays: Run, tmp_path: Path) -> None:
    for largest, told in ((None, "spleen"), (False, "none"), (True, "kidney, spleen")):
        evaluate(strays.root, out=tmp_path / told, largest=largest, device="cpu", jobs=1)
        summary = json.loads((tmp_path / told / "summary.json").read_text())
        assert summary["provenance"]["evaluation"]["largest"] == told
        page = (tmp_path / told / "report.html").read_text()
        assert f"<td>{told}</td>" in page
        assert (f"largest piece alone of {told}" in page) == (told != "none")


def test_options_that_contradict_each_other_are_refused(strays: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["evaluate", str(strays.root), "--largest", "--pieces", "all"]) == 2
    assert "--largest: contradicts --pieces all" in capsys.readouterr().err
