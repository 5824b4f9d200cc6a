"""Tiles: parts of a large slice that go through the network one after another, and overlap."""

from collections.abc import Callable
from itertools import product
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from maskmixadv.types import STRIDE

TILE: Final = 512
"""Side of a tile in pixels of the network's grid, a multiple of its stride."""
OVERLAP: Final = 128
"""Pixels that two tiles side by side share, about."""


def begins(length: int) -> list[int]:
    """Return the first pixels of the tiles along a side of `length` pixels, a multiple of the network's stride.

    Examples
    --------
    >>> begins(512), begins(1024)
    ([0], [0, 256, 512])
    """
    count = max(1, -(-(length - OVERLAP) // (TILE - OVERLAP)))
    last = (length - TILE) // STRIDE
    return [0] if count == 1 else [STRIDE * round(number * last / (count - 1)) for number in range(count)]


def blended(
    image: Float[Tensor, "b c h w"], predict: Callable[[Float[Tensor, "b c y x"]], Float[Tensor, "b k y x"]]
) -> Float[Tensor, "b k h w"]:
    """Predict an image tile by tile; where tiles overlap, the result is their mean, and a tile's middle counts most.

    Near its border a network sees less of the image, so that the weight of a pixel grows with its distance from the
    border over `OVERLAP` pixels.

    Parameters
    ----------
    image
        Its sides are multiples of the network's stride.
    predict
        Maps a part of `image` to maps of the same sides.

    Examples
    --------
    >>> image = torch.rand(1, 1, 640, 1040)
    >>> torch.allclose(blended(image, lambda tile: 2 * tile), 2 * image)
    True
    """
    h, w = image.shape[2:]
    total, weights = torch.zeros(()), image.new_zeros(h, w)
    for top, left in product(begins(h), begins(w)):
        rows, columns = slice(top, min(h, top + TILE)), slice(left, min(w, left + TILE))
        maps = predict(image[..., rows, columns])
        weight = _ramp(maps.shape[2], image)[:, None] * _ramp(maps.shape[3], image)
        total = total if total.ndim else maps.new_zeros(*maps.shape[:2], h, w)
        total[..., rows, columns] += weight * maps
        weights[rows, columns] += weight
    return total.div_(weights)


def _ramp(length: int, like: Tensor) -> Float[Tensor, "length"]:
    """Return the weights along a side: they grow from both ends up to 1."""
    place = torch.arange(length, device=like.device, dtype=like.dtype) + 0.5
    return (torch.minimum(place, length - place) / OVERLAP).clamp(max=1)
