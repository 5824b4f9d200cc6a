"""Parts of methods that no step of a run comes to: they are told."""

from collections.abc import Callable

import pytest
import torch

import tiny
from maskmixadv.methods import CycleMix, Method, Scribble2Label, ShapePU, WalkTeacher, ZScribbleSeg
from maskmixadv.methods.method import never_begun
from maskmixadv.methods.parts.views import occlusion

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
