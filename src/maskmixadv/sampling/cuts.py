"""Cuts: of slices that are much larger than a window, a step takes a part each, about something that is labelled.

The rest stays where the slices lie, in the host's memory or on the disk.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from maskmixadv.strokes.enclosure import ENCLOSED

PLACES: Final = 64
"""Labelled pixels of a slice that parts may lie about."""


def places(target: UInt8[Tensor, "s s"], rng: np.random.Generator) -> Int[Tensor, "p 2"]:
    """Choose labelled pixels of a slice, of its classes in turn; any pixels if nothing is labelled.

    Parameters
    ----------
    target
        Labels on the canvas.
    rng
        Source of random numbers.

    Returns
    -------
    Column and row of each.

    Examples
    --------
    >>> target = torch.full((2000, 2000), 255, dtype=torch.uint8)
    >>> target[1990, 7] = 1
    >>> places(target, np.random.default_rng(0))[0]
    tensor([   7, 1990])
    """
    labels = target.numpy().reshape(-1)
    pixels = np.flatnonzero(labels < ENCLOSED)
    if not pixels.size:
        pixels = np.arange(labels.size)
    classes = np.unique(labels[pixels])
    by_class = [pixels[labels[pixels] == each] for each in classes]
    chosen = np.array([rng.choice(by_class[number % len(by_class)]) for number in range(PLACES)])
    rows, columns = np.divmod(chosen, target.shape[1])
    return torch.from_numpy(np.stack((columns, rows), 1))


def corners(
    places: Int[Tensor, "b p 2"], *, canvas: int, side: int, stray: float, key: Sequence[int]
) -> tuple[Int[Tensor, "b 2"], Int[Tensor, "b 2"]]:
    """Draw where the parts of a step's slices begin.

    Parameters
    ----------
    places
        Labelled pixels of each slice, column and row.
    canvas, side
        Sides of the canvas and of a part, in pixels.
    stray
        Share of the parts that lie anywhere, so that what has no label near it is seen, too.
    key
        Seed of the random numbers.

    Returns
    -------
    Column and row of each part's first pixel, and of the pixel on the canvas that it lies about.

    Examples
    --------
    >>> about = torch.tensor([[[1000, 1500]], [[0, 1999]]])
    >>> corners(about, canvas=2000, side=192, stray=0.0, key=(0, 1))[0].tolist()
    [[904, 1404], [0, 1808]]
    """
    rng = np.random.default_rng(key)
    count = len(places)
    number = torch.from_numpy(rng.integers(places.shape[1], size=count))
    anywhere = torch.from_numpy(rng.integers(canvas, size=(count, 2)))
    astray = torch.from_numpy(rng.random(count) < stray)
    middle = torch.where(astray[:, None], anywhere, places[torch.arange(count), number])
    return (middle - side // 2).clamp(0, canvas - side), middle
