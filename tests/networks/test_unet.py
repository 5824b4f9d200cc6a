"""The network's stride: one constant for all who cut, pad or check images."""

import pytest
import torch

from maskmixadv.errors import InputError
from maskmixadv.methods.parts.views import BLOCKS, check_blocks
from maskmixadv.networks.unet import UNet
from maskmixadv.tensors import Batch
from maskmixadv.types import STRIDE


def test_the_stride_is_that_of_the_coarsest_level() -> None:
    coarsest = UNet(1, 2).encode(torch.rand(1, 1, 2 * STRIDE, 3 * STRIDE))[-1]
    assert coarsest.shape[2:] == (2, 3)


def test_blocks_divide_every_window() -> None:
    assert BLOCKS == (1, 2, 4, 8, 16)
    with pytest.raises(InputError, match="allowed are 1, 2, 4, 8 and 16"):
        check_blocks(3)


@pytest.mark.parametrize("side", [0, STRIDE - 1, STRIDE + 1])
def test_a_batch_to_try_things_out_has_sides_that_the_network_takes(side: int) -> None:
    with pytest.raises(InputError, match=f"multiple of {STRIDE}"):
        Batch.example(side=side)
    assert Batch.example(side=STRIDE).image.shape[2:] == (STRIDE, STRIDE)
