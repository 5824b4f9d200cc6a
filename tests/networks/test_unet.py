"""The network's stride, one constant for all who cut, pad or check images; and its heads."""

import pytest
import torch

from maskmixadv.errors import InputError
from maskmixadv.methods.parts.views import BLOCKS, check_blocks
from maskmixadv.networks.unet import UNet, with_heads
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


def test_a_prediction_is_the_mean_of_all_heads() -> None:
    net, image = UNet(1, 3, decoders=2, heads=2).eval(), torch.rand(2, 1, 32, 32)
    answers = net.answers(image)
    assert [tuple(answer.shape) for answer in answers] == [(2, 3, 32, 32)] * 4
    mean = torch.stack([answer.softmax(1) for answer in answers]).mean(0)
    torch.testing.assert_close(net(image).softmax(1), mean)


def test_heads_begin_with_what_another_number_of_them_has_learnt() -> None:
    image = torch.rand(1, 1, 32, 32)
    one, two = UNet(1, 3).eval(), UNet(1, 3, heads=2).eval()
    two.load_state_dict(with_heads(one.state_dict(), two))
    for answer in two.answers(image):
        torch.testing.assert_close(answer, one(image))
    another = UNet(1, 3, heads=2).eval()
    one.load_state_dict(with_heads(another.state_dict(), one))
    torch.testing.assert_close(one(image), another.answers(image)[0])
    assert all(
        torch.equal(weight, with_heads(one.state_dict(), one)[name]) for name, weight in one.state_dict().items()
    )


def test_what_differs_in_more_than_heads_does_not_fit() -> None:
    two, other = UNet(1, 2), UNet(1, 3)
    with pytest.raises(RuntimeError, match="size mismatch"):
        other.load_state_dict(with_heads(two.state_dict(), other))
