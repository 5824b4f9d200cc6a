"""Large slices are predicted in tiles: as the whole slice would be, in bounded memory."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from maskmixadv.inference import predictor as predictors
from maskmixadv.inference.predictor import Predictor
from maskmixadv.inference.tiles import OVERLAP, TILE, begins, blended
from maskmixadv.networks.unet import UNet
from maskmixadv.sampling.grid import Grid
from maskmixadv.types import STRIDE

pytestmark = pytest.mark.usefixtures("narrow", "unpictured")


@pytest.mark.parametrize("length", [16, 512, 528, 640, 896, 912, 4000, 4096])
def test_tiles_cover_a_side_and_overlap(length: int) -> None:
    starts = begins(length)
    assert starts[0] == 0
    assert starts[-1] + TILE >= length
    assert all(start % STRIDE == 0 for start in starts)
    assert all(0 < after - before <= TILE - OVERLAP + STRIDE for before, after in pairwise(starts))
    assert len(starts) == 1 or starts[-1] + TILE == length


def test_tiles_of_a_local_network_give_what_the_whole_slice_gives() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.LeakyReLU(), nn.Conv2d(4, 3, 3, padding=1))
    image = torch.rand(2, 2, 656, 1040)
    with torch.inference_mode():
        # Two pixels at a tile's border see less of the image, and count hardly.
        torch.testing.assert_close(blended(image, net), net(image), rtol=0, atol=0.01)


def test_a_slice_in_tiles_has_the_labels_of_the_whole_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    predictor = Predictor(UNet(1, 3).eval(), Grid(640), ("background", "a", "b"))
    image = np.random.default_rng(0).random((1, 1, 640, 400), dtype=np.float32)
    image[..., 120:520, 80:280] += 2
    whole = predictor.probs(image, None)
    monkeypatch.setattr(predictors, "WHOLE", 2**16)
    assert predictor.in_tiles(image, None)
    tiled = predictor.probs(image, None)
    assert (whole - tiled).abs().max() < 0.02
    np.testing.assert_array_equal(predictor.labels(image, None), tiled.argmax(1))
    sure = whole.topk(2, 1).values.diff(dim=1).abs()[:, 0] > 0.02
    assert (whole.argmax(1) == tiled.argmax(1))[sure].all()


def test_at_most_some_pixels_go_through_the_network_at_once() -> None:
    seen: list[int] = []

    class Counted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            seen.append(image.numel())
            return torch.cat((image, 1 - image), 1)

    predictor = Predictor(Counted(), Grid(2000), ("background", "a"))
    image = np.zeros((1, 3, 2000, 600), np.float32)
    image[:, :, 500:1500, 100:400] = 1
    np.testing.assert_array_equal(predictor.labels(image, None), image[0] == 0)
    assert max(seen) <= 2 * TILE**2
