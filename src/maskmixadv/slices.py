"""A fold's slices as tensors on the device, and the batch of any step."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from maskmixadv.augment import Draw
from maskmixadv.data.corpus import IGNORE, Case, Corpus, Entry
from maskmixadv.data.enclosure import ENCLOSED, enclose
from maskmixadv.data.walker import load_walked
from maskmixadv.errors import InputError
from maskmixadv.grid import Grid
from maskmixadv.types import DRAWN, Image, Labels, Supervision


@dataclass(frozen=True)
class Slices:
    """Slices of several cases on one canvas.

    Attributes
    ----------
    image
        Half precision, which holds the 8 to 12 bits of an MRI.
    target
        The annotation to learn from; no other one is loaded. ``ENCLOSED`` is background by enclosure.
    centre
        Middle of what is annotated in each slice.
    """

    image: Float[Tensor, "n 1 s s"]
    target: UInt8[Tensor, "n s s"]
    centre: Float[Tensor, "n 2"]

    def __len__(self) -> int:
        return len(self.image)

    def images(self, index: Int[Tensor, "b"], draw: Draw) -> Image:
        """Augmented images of slices number `index`."""
        return draw.image(self.image[index].float())

    def labels(self, index: Int[Tensor, "b"], draw: Draw) -> Labels:
        """Labels of slices number `index`, moved as their images."""
        return draw.labels(self.target[index])


@dataclass(frozen=True)
class Masks:
    """Dense masks without their images, for a prior; `centre` as in `Slices`."""

    target: UInt8[Tensor, "n s s"]
    centre: Float[Tensor, "n 2"]

    def __len__(self) -> int:
        return len(self.target)

    def take(self, index: Int[Tensor, "b"], draw: Draw) -> Labels:
        """Augmented masks number `index`; what a window shows beyond them is background."""
        masks = draw.labels(self.target[index])
        return masks.masked_fill(masks == IGNORE, 0)


def load_slices(
    corpus: Corpus,
    entries: Sequence[Entry],
    *,
    grid: Grid,
    supervision: Supervision,
    enclosure: bool,
    device: torch.device,
) -> Slices:
    """Load those slices of `entries` that carry a label.

    Raises
    ------
    InputError
        Where no case has the annotation that `supervision` names.
    """
    drawn = DRAWN[supervision]
    annotated = [entry for entry in entries if getattr(entry, drawn)]
    if not annotated:
        raise InputError(f"{corpus.root}: no training case has a {drawn} annotation, at least one is needed")
    images, targets = zip(*_on_grid(corpus, annotated, grid, supervision, enclosure), strict=True)
    image, target = torch.cat(images)[:, None], torch.cat(targets)
    labelled = (target != IGNORE).flatten(1).any(1)
    image, target = image[labelled], target[labelled]
    centre = torch.stack([_middle(labels) for labels in target])
    return Slices(image.to(device), target.to(device), centre.to(device))


def load_masks(corpus: Corpus, entries: Iterable[Entry], *, grid: Grid, device: torch.device) -> Masks:
    """Load the dense masks of `entries`; slices without any structure are left out."""
    cases = corpus.load_all([entry for entry in entries if entry.dense])
    targets = [grid.labels(torch.from_numpy(case.dense), case.spacing) for case in cases if case.dense is not None]
    target = torch.cat(targets)
    target[target == IGNORE] = 0  # beyond a mask's image lies background
    target = target[(target > 0).flatten(1).any(1)]
    centre = torch.stack([_middle(labels) for labels in target])
    return Masks(target.to(device), centre.to(device))


def order(step: int, *, count: int, batch: int, seed: int) -> Int[Tensor, "b"]:
    """Which of `count` slices step number `step` sees: every slice once an epoch, in an order of (seed, epoch)."""
    positions = torch.arange(step * batch, (step + 1) * batch)
    epochs = {int(epoch): _permutation(int(epoch), count, seed) for epoch in (positions // count).unique()}
    return torch.stack([epochs[int(position // count)][position % count] for position in positions])


def _permutation(epoch: int, count: int, seed: int) -> Int[Tensor, "n"]:
    return torch.from_numpy(np.random.default_rng((seed, epoch)).permutation(count))


def _on_grid(
    corpus: Corpus, entries: Sequence[Entry], grid: Grid, supervision: Supervision, enclosure: bool
) -> Iterator[tuple[Float[Tensor, "d s s"], UInt8[Tensor, "d s s"]]]:
    walked = load_walked(corpus, entries, enclosure=enclosure) if supervision == "random_walker" else {}

    def place(entry: Entry) -> tuple[Tensor, Tensor]:
        case = corpus.load(entry)
        labels = walked[case.name] if walked else _annotation(case, DRAWN[supervision], enclosure)
        image = grid.image(torch.from_numpy(case.image), case.spacing)
        return image.half(), grid.labels(torch.from_numpy(labels), case.spacing)

    with ThreadPoolExecutor(max_workers=2) as pool:
        yield from pool.map(place, entries)


def _annotation(case: Case, drawn: Literal["scribble", "dense"], enclosure: bool) -> UInt8[np.ndarray, "d h w"]:
    labels = case.scribble if drawn == "scribble" else case.dense
    if labels is None:
        raise InputError(f"{case.name}: has no {drawn} annotation")
    return enclose(labels) if enclosure and drawn == "scribble" else labels


def _middle(labels: UInt8[Tensor, "s s"]) -> Float[Tensor, "2"]:
    """Middle of the structures' labels, or of the background stroke where there are none."""
    structures = (labels > 0) & (labels < ENCLOSED)
    rows, columns = torch.nonzero(structures if structures.any() else labels < ENCLOSED, as_tuple=True)
    side = labels.shape[-1]
    middle = torch.stack(((columns.min() + columns.max()) / 2, (rows.min() + rows.max()) / 2))
    return (2 * middle + 1) / side - 1
