"""Parts of methods that no step of a run comes to: they are told."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import tiny
from maskmixadv.corpus.masks import Masks
from maskmixadv.methods import CycleMix, Method, Scribble2Label, ShapePU, WalkTeacher, ZScribbleSeg
from maskmixadv.methods.method import never_begun
from maskmixadv.methods.parts.views import occlusion
from maskmixadv.training.begin import begin

SIDE = tiny.batch().image.shape[-1]


@pytest.mark.parametrize(
    ("method", "told"),
    [
        (ShapePU(warmup=1.0), "nothing is learnt from unlabelled pixels"),
        (ZScribbleSeg(warmup=1.0), "there is no spatial term"),
        (Scribble2Label(warmup=1.0), "there are no pseudo labels"),
    ],
)
def test_what_begins_after_the_last_step_is_told(method: Method, told: str) -> None:
    assert never_begun(method, 1500) == (f"warmup: 1, of 1,500 steps none comes after it, so that {told}",)


@pytest.mark.parametrize("kind", [ShapePU, ZScribbleSeg, Scribble2Label])
def test_the_last_step_decides(kind: Callable[..., Method]) -> None:
    """The last of four steps is the one at three quarters of the run."""
    assert not never_begun(kind(warmup=0.75), 4)
    assert len(never_begun(kind(warmup=0.76), 4)) == 1


def test_what_is_switched_off_by_its_weight_is_not_told() -> None:
    for method in (
        ShapePU(warmup=1.0, unlabelled=0.0),
        ZScribbleSeg(warmup=1.0, spatial=0.0),
        Scribble2Label(warmup=1.0, weight=0.0),
        WalkTeacher(heed=1.0, study=0),
    ):
        assert not never_begun(method, 1500)
    assert not Scribble2Label(threshold=1.0, weight=0.0).idle(4, 96)


def test_labels_that_are_never_corrected_are_told() -> None:
    (line,) = never_begun(WalkTeacher(heed=1.0), 1500)
    assert line.startswith("heed: 1, of 1,500 steps none comes after it")
    late = never_begun(WalkTeacher(listen=0.9), 4)
    assert [line.split(":")[0] for line in late] == ["listen"]


def test_a_threshold_that_nothing_exceeds_is_told() -> None:
    (line,) = Scribble2Label(threshold=1.0).idle(4, 96)
    assert line.startswith("threshold: 1, ")
    assert not Scribble2Label(threshold=0.99).idle(4, 96)


@pytest.mark.parametrize("kind", [ShapePU, ZScribbleSeg, CycleMix])
def test_a_square_that_hides_all_is_told(kind: Callable[..., Method]) -> None:
    (line,) = kind(side=2 * SIDE).idle(4, SIDE)
    assert line.startswith(f"side: {2 * SIDE}, a window of {SIDE} pixels is always hidden")
    assert not kind(side=2 * SIDE - 1).idle(4, SIDE)
    assert occlusion(tiny.batch(), 2 * SIDE).sum() == 0
    corner = tiny.batch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "rand", lambda *shape, **_: torch.zeros(*shape))
        assert occlusion(corner, 2 * SIDE - 2).sum() > 0


def test_dense_slices_that_no_step_studies_are_told() -> None:
    """Of 100 steps those from number 30 on may study, and step 0 is before them."""
    (line,) = never_begun(WalkTeacher(study=100), 100)
    assert line.startswith(
        "study: 100, of 100 steps none that may study dense slices is a multiple of it, so that none"
    )
    assert not never_begun(WalkTeacher(study=99), 100)
    assert not never_begun(WalkTeacher(study=100, listen=0.0), 100)
    assert not never_begun(WalkTeacher(study=100, listen=1.0), 100)  # of which `idle` tells


def test_without_slices_to_study_what_is_given_for_them_is_told() -> None:
    lines = never_begun(WalkTeacher(study=100, paste=0.3), 1, studied=False)
    assert [line.split(",")[0] for line in lines] == ["study: 100", "paste: 0.3"]
    assert not never_begun(WalkTeacher(), 1, studied=False)


@pytest.mark.parametrize("masks", ["none", "all"])
def test_notes_on_dense_slices_are_given_where_there_are_some(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], masks: str
) -> None:
    """A first look at the program is a run of one step, of strokes alone: nothing is wrong with it."""
    corpus = tiny.corpus(tmp_path / "corpus")
    schedule = replace(tiny.SCHEDULE, steps=1)
    for name, method in (("a", WalkTeacher()), ("b", WalkTeacher(listen=1.0))):
        begin(corpus.root, tmp_path / name, method=method, schedule=schedule, masks=Masks(masks))
    notes = [line for line in capsys.readouterr().err.splitlines() if "/b: listen" in line or "/a: " in line]
    found = [note.split(f"{tmp_path}/")[1].split(":")[0:2] for note in notes]
    expected = {"none": [["b", " listen"]], "all": [["a", " listen"], ["a", " heed"], ["b", " listen"]]}
    assert found == expected[masks]
    assert masks == "all" or "changes nothing" in notes[0]
