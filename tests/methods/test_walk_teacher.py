"""On what the flagship's teacher and the walks agree."""

import dataclasses

import pytest
import torch
from torch import Tensor, nn

import tiny
from maskmixadv.errors import InputError
from maskmixadv.methods import WalkTeacher
from maskmixadv.methods.walk_teacher import Advisor
from maskmixadv.networks.losses import most_probable, one_hot
from maskmixadv.tensors import Batch
from maskmixadv.types import IGNORE


class Says(nn.Module):
    """A network with one opinion of every pixel."""

    def __init__(self, *probs: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(probs).log())

    def forward(self, image: Tensor) -> Tensor:
        b, _, h, w = image.shape
        return self.logits[None, :, None, None].expand(b, -1, h, w)


def believing(*belief: float, target: int = IGNORE) -> Batch:
    """A batch of which walks say the same at every pixel."""
    batch = tiny.batch()
    maps = torch.tensor(belief)[None, :, None, None].expand(2, 4, 32, 32).clone()
    return dataclasses.replace(batch, belief=maps, target=torch.full_like(batch.target, target))


def agreed(advisor: Advisor, batch: Batch, trust: float = 1.0) -> list[float]:
    probs = advisor.advise(batch, trust)
    assert (probs == probs[:1, :, :1, :1]).all()
    return probs[0, :, 0, 0].tolist()


def test_both_are_heard() -> None:
    advisor = Advisor(Says(0.1, 0.2, 0.3, 0.4), [1.0] * 4)
    batch = believing(0.5, 0.3, 0.1, 0.1)
    assert agreed(advisor, batch) == pytest.approx([0.3, 0.25, 0.2, 0.25])
    assert agreed(advisor, batch, trust=3.0) == pytest.approx([0.2, 0.225, 0.25, 0.325])


def test_odds_count_against_thin_walls() -> None:
    advisor = WalkTeacher(odds=0.5, thin="Myo,nobody").players(tiny.TASK)["teacher"]
    assert isinstance(advisor, Advisor)
    assert advisor.odds.flatten().tolist() == [1, 1, 0.5, 1]
    even = Advisor(Says(0.25, 0.25, 0.25, 0.25), [1.0, 1.0, 0.5, 1.0])
    assert agreed(even, believing(0.25, 0.25, 0.25, 0.25)) == pytest.approx([2 / 7, 2 / 7, 1 / 7, 2 / 7])


def test_a_class_without_a_stroke_is_not_there() -> None:
    advisor = Advisor(Says(0.01, 0.01, 0.01, 0.97), [1.0] * 4)
    batch = believing(0.6, 0.2, 0.2, 0.0)
    assert agreed(advisor, batch)[3] == 0
    reached = believing(0.6, 0.2, 0.2, 0.0)
    assert reached.belief is not None
    reached.belief[:, 3, 5, 5] = 0.5  # a stroke of it in some corner is enough
    assert (most_probable(advisor.advise(reached, 3.0)) == 3).all()


def test_where_nothing_walks_the_teacher_is_heard_alone() -> None:
    advisor = Advisor(Says(0.1, 0.2, 0.3, 0.4), [1.0] * 4)
    for trust in (1.0, 0.0):
        assert agreed(advisor, believing(0.0, 0.0, 0.0, 0.0), trust=trust) == pytest.approx(
            [0.1, 0.2, 0.3, 0.4], abs=1e-6
        )


def test_of_strokes_there_is_no_doubt() -> None:
    advisor = Advisor(Says(0.97, 0.01, 0.01, 0.01), [1.0, 1.0, 0.5, 1.0])
    assert agreed(advisor, believing(0.97, 0.01, 0.01, 0.01, target=2)) == [0, 0, 1, 0]
    batch = dataclasses.replace(tiny.batch(), belief=tiny.batch().belief)
    probs = advisor.advise(batch, 1.0)
    drawn = batch.target != IGNORE
    assert torch.equal(probs.movedim(1, -1)[drawn], one_hot(batch.target, 4).movedim(1, -1)[drawn])
    torch.testing.assert_close(probs.sum(1), torch.ones(2, 32, 32))


def test_the_teacher_drops_nothing() -> None:
    advisor = WalkTeacher().players(tiny.TASK)["teacher"]
    image = tiny.batch().image
    assert torch.equal(advisor(image), advisor(image))


def test_it_needs_beliefs() -> None:
    net = WalkTeacher().players(tiny.TASK)
    with pytest.raises(InputError, match="no beliefs"):
        list(WalkTeacher().phases(net, dataclasses.replace(tiny.batch(), belief=None)))
