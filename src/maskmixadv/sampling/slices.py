"""A fold's slices as tensors, on the device or streamed to it, and the batch of any step."""

import mmap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from maskmixadv.corpus.case import Case
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Entry
from maskmixadv.errors import InputError
from maskmixadv.files import work_ahead
from maskmixadv.sampling.augment import Draw
from maskmixadv.sampling.grid import Corners, Grid, Placed, strokes
from maskmixadv.sampling.learnt import Learnt
from maskmixadv.sampling.storage import make_room, read_ahead
from maskmixadv.strokes.enclosure import ENCLOSED, enclose
from maskmixadv.strokes.regrid import Strokes
from maskmixadv.strokes.walker import LabelVolume, StoredBelief, load_beliefs, load_walked
from maskmixadv.tensors import Labels
from maskmixadv.types import DRAWN, IGNORE, Supervision


class Rows(NamedTuple):
    """The slices of a step, on the device, before augmentation; `number` is theirs in the training set."""

    image: Float[Tensor, "b c s s"]
    target: UInt8[Tensor, "b s s"]
    centre: Float[Tensor, "b 2"]
    number: Int[Tensor, "b"]


@dataclass(frozen=True)
class Slices:
    """Slices of several cases on one canvas.

    Attributes
    ----------
    image
        Half precision, which holds the 8 to 12 bits of an MRI. On the device, or where it is streamed from. Beliefs,
        if they were asked for, are k more channels after the image's.
    target
        The annotation to learn from; no other one is loaded. ``ENCLOSED`` is background by enclosure. As `image`.
    centre
        Middle of what is annotated in each slice; on the device.
    mapping
        Of the file that `image` and `target` are streamed from, if they are.
    learnt
        What they were made of, counted, where they were loaded.
    """

    image: Float[Tensor, "n c s s"]
    target: UInt8[Tensor, "n s s"]
    centre: Float[Tensor, "n 2"]
    mapping: mmap.mmap | None = None
    learnt: Learnt | None = None

    def __len__(self) -> int:
        return len(self.image)

    def rows(self, index: Int[Tensor, "b"]) -> Rows:
        """Slices number `index`, which is in the host's memory, on the device."""
        self.expect(index)
        device = self.centre.device
        number = sent(index, device)
        chosen = number if self.image.device == device else index
        image, target = (sent(rows[chosen], device) for rows in (self.image, self.target))
        return Rows(image, target, self.centre[number], number)

    def expect(self, index: Int[Tensor, "b"]) -> None:
        """Have slices number `index` read from the disk meanwhile, where they are streamed; changes no result."""
        if self.mapping is not None:
            channels, size, _ = self.image.shape[1:]
            read_ahead(self.mapping, index, shape=(channels, size, size))


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
    beliefs: bool = False,
    memory: float | None = None,
    folder: Path | None = None,
) -> Slices:
    """Load those slices of `entries` that carry a label.

    Parameters
    ----------
    beliefs
        Whether to load what random walks from the strokes say, too.
    memory, folder
        How much of the device's memory they may take, in GB, and on whose disk they lie beyond that
        (`maskmixadv.sampling.storage.make_room`). No more than a few cases are then in memory at a time.

    Raises
    ------
    InputError
        Where no case has the annotation that `supervision` names, nothing of it is left on the canvas, or there is no
        room for them.
    """
    drawn = DRAWN[supervision]
    learnt = Learnt(corpus.classes, grid.size, drawn)
    annotated = learnt.chosen(entries)
    if not annotated:
        raise InputError(f"{corpus.root}: no training case has a {drawn} annotation, at least one is needed")
    count = sum(entry.shape[0] for entry in annotated)
    shape = (1 + beliefs * len(corpus.classes), grid.size, grid.size)
    room, centres = make_room(count, shape, device=device, memory=memory, folder=folder), []
    for image, placed, drawings in _on_grid(corpus, annotated, grid, supervision, enclosure, beliefs):
        target = placed.target
        labelled = (target < ENCLOSED).flatten(1).any(1)  # what is enclosed says little without its stroke
        learnt.count(drawings, placed, labelled.tolist())
        room.put(image[labelled], target[labelled])
        centres += [_middle(labels) for labels in target[labelled]]
    learnt.check(str(corpus.root))
    rows = room.rows()
    return Slices(rows.image, rows.target, torch.stack(centres).to(device), rows.mapping, learnt)


def load_masks(corpus: Corpus, entries: Iterable[Entry], *, grid: Grid, device: torch.device) -> Masks:
    """Load the dense masks of `entries`; slices without any structure are left out.

    Raises
    ------
    InputError
        Where that leaves none.
    """
    cases = corpus.load_all([entry for entry in entries if entry.dense])
    targets = [
        grid.labels(torch.from_numpy(case.dense), case.spacing, dense=True) for case in cases if case.dense is not None
    ]
    target = torch.cat(targets)
    target[target == IGNORE] = 0  # beyond a mask's image lies background
    target = target[(target > 0).flatten(1).any(1)]
    if not len(target):
        raise InputError(f"{corpus.root}: no mask shows a structure on a canvas of {grid.size} pixels, one is needed")
    centre = torch.stack([_middle(labels) for labels in target])
    return Masks(target.to(device), centre.to(device))


def order(step: int, *, count: int, batch: int, seed: int) -> Int[Tensor, "b"]:
    """Which of `count` slices step number `step` sees: every slice once an epoch, in an order of (seed, epoch)."""
    positions = np.arange(step * batch, (step + 1) * batch)
    epochs = {epoch: _permutation(epoch, count, seed) for epoch in np.unique(positions // count).tolist()}
    return torch.from_numpy(np.array([epochs[position // count][position % count] for position in positions.tolist()]))


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """`tensor` on `device`; a GPU fetches it by itself, so that nobody waits."""
    if tensor.device == device:
        return tensor
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)


@lru_cache(maxsize=4)  # of 100,000 slices it takes a millisecond, and every step asks for it
def _permutation(epoch: int, count: int, seed: int) -> Int[np.ndarray, "n"]:
    return np.random.default_rng((seed, epoch)).permutation(count)


def _on_grid(
    corpus: Corpus, entries: Sequence[Entry], grid: Grid, supervision: Supervision, enclosure: bool, beliefs: bool
) -> Iterator[tuple[Float[Tensor, "d c s s"], Placed, list[Strokes]]]:
    walks = supervision == "random_walker"
    walked = load_walked(corpus, entries, enclosure=enclosure) if walks else repeat(None)
    believed = load_beliefs(corpus, entries, enclosure=enclosure) if beliefs else repeat(None)

    def place(given: tuple[LabelVolume | None, StoredBelief | None, Entry]) -> tuple[Tensor, Placed, list[Strokes]]:
        labels, belief, entry = given
        case, dense = corpus.load(entry), supervision == "dense"
        drawn = strokes(_annotation(case, DRAWN[supervision], enclosure=False), dense=dense)
        if labels is None:
            labels = _annotation(case, DRAWN[supervision], enclosure)
        placed = grid.placed(torch.from_numpy(labels), case.spacing, drawn, keep=not dense)
        maps = [grid.image(torch.from_numpy(case.image), case.spacing, corners=placed.corners)[:, None]]
        if belief is not None:
            maps.append(_belief_on(grid, belief, case, placed.corners))
        return torch.cat(maps, 1).half(), placed, drawn

    return work_ahead(place, zip(walked, believed, entries, strict=False), threads=2)


def _belief_on(grid: Grid, belief: StoredBelief, case: Case, corners: Corners) -> Float[Tensor, "d k s s"]:
    known = torch.from_numpy(belief).float() / 255
    maps = [grid.image(known[:, label], case.spacing, corners=corners) for label in range(known.shape[1])]
    return torch.stack(maps, 1)


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
