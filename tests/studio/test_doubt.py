"""The studio's masks are those of ``predict``, for every method, and doubt is what the decoders make of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import tiny
from maskmixadv import methods
from maskmixadv.inference.predictor import Predictor
from maskmixadv.networks.unet import UNet
from maskmixadv.runs.odds import Odds
from maskmixadv.runs.pieces import Piece, Pieces
from maskmixadv.studio.learning.doubt import judge
from quick import quick
from untrained import predictor

SPACING = (8.0, 1.5, 1.2)


def two_decoders(net: nn.Module) -> bool:
    return isinstance(net, UNet) and len(net.decoders) == 2


@pytest.mark.parametrize("name", quick(methods.ALL, "walk-teacher", "maskmixadv", "wsl4mis", "pce", "supervised"))
def test_labels_are_those_of_predict(name: str) -> None:
    made, image = predictor(name), tiny.volume(3, d=5)[0]
    labels, doubt, _ = judge(made, image[None], SPACING)
    expected = made.labels(image[None], SPACING)
    assert len(np.unique(expected)) > 1, "a network that says one thing shows nothing"
    np.testing.assert_array_equal(labels, expected)
    assert labels.dtype == doubt.dtype == np.uint8
    assert doubt.shape == image.shape
    assert doubt.max() > 0


def test_structures_in_one_piece_are_those_of_predict(monkeypatch: pytest.MonkeyPatch) -> None:
    made, image = predictor("pce"), tiny.volume(3, d=5)[0]
    drawn = torch.zeros(image.shape, dtype=torch.uint8)
    drawn[:, 5:9, 5:9], drawn[0, 30, 30] = 1, 1
    monkeypatch.setattr("maskmixadv.studio.learning.doubt.most_probable", lambda _: drawn)
    piece = Piece((made.classes[1],), kept=True, cases=9, outside=0.0, lost=0.0)
    assert judge(made, image[None], SPACING).labels.sum() == 81
    assert judge(replace(made, pieces=Pieces((piece,))), image[None], SPACING).labels.sum() == 80


@pytest.mark.parametrize("name", ["pce", "wsl4mis"])
def test_classes_have_the_odds_of_predict(name: str) -> None:
    made, image = predictor(name), tiny.volume(3, d=5)[0]
    own = made.labels(image[None], SPACING)
    most = int(np.bincount(own.ravel()).argmax())
    factors = tuple(0.5 if number == most else 1.0 for number in range(len(made.classes)))
    weighted = replace(made, odds=Odds(made.classes, factors, used=True, patients=3, cases=3))
    labels = judge(weighted, image[None], SPACING).labels
    np.testing.assert_array_equal(labels, weighted.labels(image[None], SPACING))
    assert (labels == most).sum() < (own == most).sum()


def test_odds_by_size_leave_the_doubt_of_two_decoders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slices may go through the network twice then, and each decoder is overheard twice."""
    made, image = predictor("wsl4mis"), tiny.volume(3, d=5)[0]
    usual = tuple(1 / len(made.classes[1:]) for _ in made.classes[1:])
    odds = Odds(made.classes, (1.0,) * len(made.classes), 0.5, usual, used=True, patients=3, cases=3)
    doubt = judge(made, image[None], SPACING).doubt
    for kept in (2**26, 0):
        monkeypatch.setattr("maskmixadv.inference.predictor.KEPT", kept)
        np.testing.assert_array_equal(judge(replace(made, odds=odds), image[None], SPACING).doubt, doubt)


@pytest.mark.parametrize("name", [name for name in methods.ALL if name in ("maskmixadv", "wsl4mis")])
def test_two_decoders_are_in_doubt_where_they_differ(name: str) -> None:
    made, image = predictor(name), tiny.volume(3, d=5)[0]
    net = made.net
    assert isinstance(net, UNet)
    assert two_decoders(net)

    class One(nn.Module):
        def __init__(self, number: int) -> None:
            super().__init__()
            self.net, self.number = net, number

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return net.decode(net.encode(image), self.number)

    one, other = (Predictor(One(at), made.grid, made.classes).probs(image[None], SPACING) for at in range(2))
    expected = ((one - other).abs().sum(1) / 2).clamp(0, 1) * 255
    _, doubt, _ = judge(made, image[None], SPACING)
    assert np.abs(doubt - expected.numpy()).max() <= 0.51


@pytest.mark.parametrize("name", methods.ALL)
def test_no_part_of_the_network_works_twice(name: str) -> None:
    made, calls = predictor(name), dict[str, int]()
    for path, part in made.net.named_modules():
        if isinstance(part, nn.Conv2d):
            part.register_forward_hook(lambda *_, at=path: calls.update({at: calls.get(at, 0) + 1}))
    image = tiny.volume(d=2)[0]  # as many slices as a CPU takes at once
    judge(made, image[None], SPACING)
    assert calls
    assert set(calls.values()) == {1}


def test_labels_of_turned_volumes_are_the_same_bits() -> None:
    made, image = predictor("pce"), tiny.volume(3, d=40, w=44)[0]
    turned = np.moveaxis(image, 2, 0)
    labels, *_ = judge(made, turned[None], SPACING)
    np.testing.assert_array_equal(labels, made.labels(turned[None], SPACING))
