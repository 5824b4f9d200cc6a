"""The slices of a fold as tensors, on the device or streamed to it, and their order in training."""

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from maskmixadv.sampling.augment import Augmentation
from maskmixadv.sampling.cuts import corners
from maskmixadv.sampling.learnt import Learnt
from maskmixadv.sampling.storage import read_ahead
from maskmixadv.tensors import Labels
from maskmixadv.types import IGNORE


class Rows(NamedTuple):
    """The slices of a step, on the device, before augmentation.

    Attributes
    ----------
    image, target, centre
        As in `Slices`.
    number
        Number of each slice in the training set.
    corner
        Column and row of the canvas at which `image` and `target` begin: 0, unless they are parts of it.
    whole, walked
        True for dense slices, and for those of them whose strokes are known, too.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.sampling.slices import Slices
    >>> slices = Slices(torch.rand(5, 1, 32, 32).half(), torch.zeros(5, 32, 32, dtype=torch.uint8), torch.zeros(5, 2))
    >>> slices.rows(torch.tensor([4, 0])).number
    tensor([4, 0])
    """

    image: Float[Tensor, "b c s s"]
    target: UInt8[Tensor, "b s s"]
    centre: Float[Tensor, "b 2"]
    number: Int[Tensor, "b"]
    corner: Int[Tensor, "b 2"]
    whole: Bool[Tensor, "b"]
    walked: Bool[Tensor, "b"]


@dataclass(frozen=True)
class Slices:
    """Slices of several cases on one canvas of s × s pixels.

    Attributes
    ----------
    image
        Intensities in [0, 1] in half precision, which holds the 8 to 12 bits of an MRI; on the device, or in the file
        that they are streamed from. Where beliefs were asked for, they are k more channels after the image's.
    target
        What is learnt from: masks that are taught, strokes elsewhere. ``ENCLOSED`` is background by enclosure. It lies
        where `image` does.
    centre
        Column and row of the middle of each slice's annotation, in [-1, 1] over the canvas; on the device.
    mapping
        The file that `image` and `target` are streamed from; None where they are not.
    learnt
        What the slices were made from, counted; None where they were not loaded.
    whole
        True for dense slices, of which every pixel is labelled; on the device. None: there is none.
    walked
        True for dense slices whose beliefs are walks from their strokes alone, so that these can be compared with the
        mask; in the host's memory. None: there is none.
    bare
        True for slices without any annotation: their `target` is ``IGNORE`` and their beliefs are 0 everywhere; in the
        host's memory. None: there is none.
    places
        Column and row of labelled pixels, about which parts of large canvases are cut out; in the host's memory.

    Examples
    --------
    >>> from pathlib import Path
    >>> from maskmixadv.device import pick_device
    >>> from maskmixadv.sampling.grid import Grid
    >>> from maskmixadv.sampling.loading import load_slices
    >>> from maskmixadv.sources.phantoms import phantom
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> slices = load_slices(
    ...     corpus, corpus.entries[:2], grid=Grid(64, 2.5), supervision="scribble", enclosure=True,
    ...     device=pick_device("cpu"),
    ... )
    >>> slices.image.shape[1:], len(slices) == len(slices.target)
    (torch.Size([1, 64, 64]), True)
    """

    image: Float[Tensor, "n c s s"]
    target: UInt8[Tensor, "n s s"]
    centre: Float[Tensor, "n 2"]
    mapping: mmap.mmap | None = None
    learnt: Learnt | None = None
    whole: Bool[Tensor, "n"] | None = None
    walked: Bool[Tensor, "n"] | None = None
    bare: Bool[Tensor, "n"] | None = None
    places: Int[Tensor, "n p 2"] | None = None

    def __len__(self) -> int:
        return len(self.image)

    def rows(self, index: Int[Tensor, "b"]) -> Rows:
        """Return the slices number `index`, which is in the host's memory, on the device."""
        self.expect(index)
        device = self.centre.device
        number = sent(index, device)
        chosen = number if self.image.device == device else index
        image, target = (sent(rows[chosen], device) for rows in (self.image, self.target))
        corner = torch.zeros(len(number), 2, dtype=torch.long, device=device)
        return Rows(image, target, self.centre[number], number, corner, *self._dense(index, number))

    def parts(self, index: Int[Tensor, "b"], *, side: int, stray: float, key: Sequence[int]) -> Rows:
        """Return parts of the slices number `index`, of `side` pixels, on the device (`maskmixadv.sampling.cuts`).

        Parameters
        ----------
        index
            Numbers of the slices, in the host's memory.
        side
            Side of a part in pixels.
        stray
            Share of the parts that lie anywhere.
        key
            Seed of the random numbers.

        Raises
        ------
        ValueError
            Where the slices were loaded without `places`.
        """
        if self.places is None:
            raise ValueError("the slices were loaded without places to cut about")
        device, canvas = self.centre.device, self.image.shape[-1]
        corner, middle = corners(self.places[index], canvas=canvas, side=side, stray=stray, key=key)
        boxes = [
            (k, ..., slice(top, top + side), slice(left, left + side))
            for k, (left, top) in zip(index.tolist(), corner.tolist(), strict=True)
        ]
        image, target = (sent(torch.stack([rows[box] for box in boxes]), device) for rows in (self.image, self.target))
        number, centre = sent(index, device), sent((2 * (middle - corner) + 1) / side - 1, device)
        return Rows(image, target, centre, number, sent(corner, device), *self._dense(index, number))

    def _dense(self, index: Int[Tensor, "b"], number: Int[Tensor, "b"]) -> tuple[Bool[Tensor, "b"], Bool[Tensor, "b"]]:
        """Return which of the slices are whole and walked; `number` is `index` on the device."""
        none = torch.zeros(len(number), dtype=torch.bool, device=number.device)
        whole = none if self.whole is None else self.whole[number]
        walked = none if self.walked is None else sent(self.walked[index], number.device)
        return whole, walked

    def expect(self, index: Int[Tensor, "b"]) -> None:
        """Have slices number `index` read from the disk in the background, if they are streamed; changes no result."""
        if self.mapping is not None:
            channels, size, _ = self.image.shape[1:]
            read_ahead(self.mapping, index, shape=(channels, size, size))


@dataclass(frozen=True)
class PriorMasks:
    """Dense masks of other patients without their images, for a critic of shapes.

    Attributes
    ----------
    target
        Class indices; background beyond a mask's image.
    centre
        As in `Slices`.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.sampling.augment import draw_augmentation
    >>> from maskmixadv.sampling.ranges import Augment
    >>> from maskmixadv.sampling.slices import PriorMasks
    >>> masks = PriorMasks(torch.ones(3, 64, 64, dtype=torch.uint8), torch.zeros(3, 2))
    >>> index, rng = torch.tensor([2, 1]), torch.Generator().manual_seed(0)
    >>> drawn = draw_augmentation(Augment(), masks.centre[index], canvas=64, window=48, rng=rng)
    >>> masks.take(index, drawn).shape
    torch.Size([2, 48, 48])
    """

    target: UInt8[Tensor, "n s s"]
    centre: Float[Tensor, "n 2"]

    def __len__(self) -> int:
        return len(self.target)

    def take(self, index: Int[Tensor, "b"], draw: Augmentation) -> Labels:
        """Return masks number `index` in their windows; background beyond their canvas."""
        masks = draw.labels(self.target[index])
        return masks.masked_fill(masks == IGNORE, 0)


def order(step: int, *, count: int, batch: int, seed: int) -> Int[Tensor, "b"]:
    """Return the numbers of the slices that step number `step` sees.

    Every slice comes once an epoch, in an order that depends on the seed and the epoch alone.

    Parameters
    ----------
    step
        Number of the step, counted from 0.
    count
        Number of slices in the training set.
    batch
        Number of slices in a step.
    seed
        Of the run.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.sampling.slices import order
    >>> first, second = (order(step, count=6, batch=3, seed=0) for step in range(2))
    >>> torch.cat((first, second)).sort().values
    tensor([0, 1, 2, 3, 4, 5])
    """
    positions = np.arange(step * batch, (step + 1) * batch)
    epochs = {epoch: _permutation(epoch, count, seed) for epoch in np.unique(positions // count).tolist()}
    return torch.from_numpy(np.array([epochs[position // count][position % count] for position in positions.tolist()]))


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Return `tensor` on `device`; a copy to a GPU goes on in the background.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.sampling.slices import sent
    >>> tensor = torch.zeros(3)
    >>> sent(tensor, torch.device("cpu")) is tensor
    True
    """
    if tensor.device == device:
        return tensor
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)


@lru_cache(maxsize=32)  # it takes a millisecond for 100,000 slices, in every step; several runs may share a process
def _permutation(epoch: int, count: int, seed: int) -> Int[np.ndarray, "n"]:
    return np.random.default_rng((seed, epoch)).permutation(count)
