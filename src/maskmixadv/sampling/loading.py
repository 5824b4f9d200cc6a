"""The slices of a fold are loaded: read, resampled to the network's grid, and laid where training takes them from."""

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float16, UInt8
from torch import Tensor

from maskmixadv.corpus.case import Case, whole_slices
from maskmixadv.corpus.channels import records
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Entry
from maskmixadv.corpus.masks import NONE, Masks, Taught, is_benchmark, taught
from maskmixadv.errors import InputError
from maskmixadv.files import work_ahead
from maskmixadv.sampling.cuts import places
from maskmixadv.sampling.grid import Corners, Grid, Placed, strokes
from maskmixadv.sampling.kept import Kept, Ready
from maskmixadv.sampling.learnt import Learnt
from maskmixadv.sampling.slices import PriorMasks, Slices
from maskmixadv.sampling.storage import Resident, SliceShape, make_room, slice_bytes
from maskmixadv.strokes.corrections import PLAIN, Corrections
from maskmixadv.strokes.enclosure import ENCLOSED
from maskmixadv.strokes.known import Known, known, mask_of
from maskmixadv.strokes.regrid import Strokes
from maskmixadv.strokes.walker import LabelVolume, Plan, StoredBelief, load_beliefs, load_walked
from maskmixadv.types import DRAWN, IGNORE, Supervision

_AT_ONCE: Final = 16
"""Slices of a case that are resampled at once."""
_THREADS: Final = os.cpu_count() or 1
"""That read and resample cases; what they wait for and compute leaves others the interpreter."""


def load_slices(
    corpus: Corpus,
    entries: Sequence[Entry],
    *,
    grid: Grid,
    supervision: Supervision,
    enclosure: bool,
    device: torch.device,
    beliefs: bool = False,
    corrections: Corrections = PLAIN,
    masks: Masks = NONE,
    unlabelled: bool = False,
    seed: int = 0,
    memory: float | None = None,
    folder: Path | None = None,
    in_parts: bool = False,
    keep: bool = False,
) -> Slices:
    """Load those slices of `entries` that carry a label, and with `unlabelled` the others, too.

    Parameters
    ----------
    corpus, entries
        The corpus, and its cases to load.
    grid
        The network's pixels, and the size of the canvas.
    supervision
        The annotation to learn from.
    enclosure
        Whether pixels outside of what the strokes enclose are background (``ENCLOSED``).
    device
        The device that trains.
    beliefs
        Whether to load what random walks from the strokes say, too.
    corrections
        What is done with walks to make beliefs of them.
    masks
        Which dense masks are learnt from beside strokes.
    unlabelled
        Whether to load slices without a label, too, and cases without annotation; these come last. A slice's centre is
        then the mean centre of its case's slices with a label or, where there is none, of all of them. Slices whose
        image is constant are left out, and so are cases of unknown spacing where the grid is in mm.
    seed
        Of the run; it chooses the masks where their number is given.
    memory, folder
        How much of the device's memory the slices may take, in GB, and the folder on whose disk they lie beyond that
        (`maskmixadv.sampling.storage.make_room`). Only a few cases are then in memory at a time.
    in_parts
        Whether parts of the slices will be cut out (`Slices.parts`).
    keep
        Whether to keep slices in the corpus's cache, and to take those that are kept there
        (`maskmixadv.sampling.kept.Kept`). Slices that don't fit memory are not kept.

    Raises
    ------
    InputError
        Where no case has the annotation, nothing of it is left on the canvas, there is no room for the slices, or there
        are fewer masks than are wanted.

    Examples
    --------
    >>> from pathlib import Path
    >>> from maskmixadv.device import pick_device
    >>> from maskmixadv.sampling.grid import Grid
    >>> from maskmixadv.sampling.loading import load_slices
    >>> from maskmixadv.sources.phantoms import phantom
    >>> corpus, device = phantom.prepare(Path("corpus"), cases=6, size=64), pick_device("cpu")
    >>> slices = load_slices(
    ...     corpus, corpus.entries[:2], grid=Grid(64, 2.5), supervision="dense", enclosure=False, device=device
    ... )
    >>> slices.target.unique()
    tensor([0, 1, 2, 3], dtype=torch.uint8)
    """
    drawn = DRAWN[supervision]
    learnt = Learnt(corpus.classes, grid.size, drawn, benchmark=is_benchmark(corpus))
    chosen = taught(corpus, entries, masks, supervision=supervision, seed=seed)
    others = [e for e in entries if not learnt.annotated(e, chosen) and grid.holds(e.spacing)] if unlabelled else []
    annotated = learnt.chosen(entries, chosen, others)
    if not annotated:
        raise InputError(f"{corpus.root}: no training case has a {drawn} annotation, at least one is needed")
    count = sum(entry.shape[0] for entry in (*annotated, *others))
    channels = len(corpus.channels)
    shape = (channels + beliefs * len(corpus.classes), grid.size, grid.size)
    room, centres, flags = make_room(count, shape, device=device, memory=memory, folder=folder), [], []
    about: list[Tensor] = []
    source = _Source(corpus, grid, supervision, enclosure, chosen, unlabelled, corrections, beliefs)
    kept = source.kept(shape) if keep and isinstance(room, Resident) else None
    for ready in source.ready(annotated, others, kept if kept is not None and kept.holds(count) else None):
        learnt.add(ready.learnt.counts())
        room.put(ready.image, ready.target)
        centres.append(ready.centre)
        for each in ready.target if in_parts else ():
            about.append(places(each, np.random.default_rng((seed, len(about)))))
        flags.append(ready.flags)
        del ready  # else a large case would stay in memory while the next one is read
    learnt.check(str(corpus.root))
    rows = room.rows()
    whole, walked, without = torch.cat(flags, 1)
    middles = torch.cat(centres)
    middles = torch.where(middles.isnan(), middles[~without].mean(0), middles).to(device)
    return Slices(
        rows.image,
        rows.target,
        middles,
        rows.mapping,
        learnt,
        whole.to(device),
        walked,
        bare=without if without.any() else None,
        places=torch.stack(about) if in_parts else None,
    )


def load_masks(corpus: Corpus, entries: Iterable[Entry], *, grid: Grid, device: torch.device) -> PriorMasks:
    """Load the dense masks of `entries`, without their images.

    Slices without any structure are left out, and those of which a pixel is unknown.

    Parameters
    ----------
    corpus, entries
        The corpus, and its cases to load.
    grid
        The network's pixels, and the size of the canvas.
    device
        The device that trains.

    Raises
    ------
    InputError
        Where no mask is left.

    Examples
    --------
    >>> from pathlib import Path
    >>> from maskmixadv.device import pick_device
    >>> from maskmixadv.sampling.grid import Grid
    >>> from maskmixadv.sampling.loading import load_masks
    >>> from maskmixadv.sources.phantoms import phantom
    >>> corpus = phantom.prepare(Path("prior"), cases=6, size=64)
    >>> load_masks(corpus, corpus.entries[:2], grid=Grid(64, 2.5), device=pick_device("cpu")).target.unique()
    tensor([0, 1, 2, 3], dtype=torch.uint8)
    """
    cases = corpus.load_all([entry for entry in entries if entry.dense])
    known = ((case.dense[whole_slices(case.dense)], case.spacing) for case in cases if case.dense is not None)
    targets = [grid.labels(torch.from_numpy(dense), spacing, dense=True) for dense, spacing in known if len(dense)]
    if not targets:
        raise InputError(f"{corpus.root}: no mask knows a whole slice, one is needed")
    target = torch.cat(targets)
    target[target == IGNORE] = 0  # beyond a mask's image lies background
    target = target[(target > 0).flatten(1).any(1)]
    if not len(target):
        raise InputError(f"{corpus.root}: no mask shows a structure on a canvas of {grid.size} pixels, one is needed")
    centre = torch.stack([_middle(labels) for labels in target])
    return PriorMasks(target.to(device), centre.to(device))


class _Loaded(NamedTuple):
    """A case's slices on their canvases, and what Learnt counts of them.

    `taken` says which slices are learnt from, `bare` which of these carry no label. `image` has those alone. `unused`
    is the number of slices whose masks are not learnt from.
    """

    image: Float[Tensor, "n c s s"]
    placed: Placed
    strokes: list[Strokes]
    known: Known
    taken: Bool[Tensor, "d"]
    bare: Bool[Tensor, "d"]
    unused: int


@dataclass(frozen=True)
class _Source:
    """Where slices come from: the corpus and its `taught` masks, and how they are resampled.

    With `unlabelled`, canvases of slices without a label lie where those of their case's other slices do.
    """

    corpus: Corpus
    grid: Grid
    supervision: Supervision
    enclosure: bool
    taught: Taught
    unlabelled: bool
    corrections: Corrections
    beliefs: bool

    def kept(self, shape: SliceShape) -> Kept:
        """Return the slices that the corpus's cache keeps."""
        settings = {
            "classes": self.corpus.classes, "channels": records(self.corpus.channels), "grid": asdict(self.grid),
            "supervision": self.supervision, "enclosure": self.enclosure, "unlabelled": self.unlabelled,
            "beliefs": self.beliefs, "corrections": self.corrections.parameters, "most": Plan.of_free_memory().most,
        }  # fmt: skip
        return Kept(self.corpus.root / "cache" / "slices", settings, shape, self._fresh, self.taught)

    def ready(self, annotated: Sequence[Entry], others: Sequence[Entry], kept: Kept | None) -> Iterator[Ready]:
        """Yield the slices of the cases that are annotated, and then those of the others.

        What is `kept` is read. What is missing is made, and kept.
        """
        entries = [*annotated, *others]
        there = {entry.name for entry in entries if kept is not None and kept.has(entry)}
        lacking, without = ([each for each in some if each.name not in there] for some in (annotated, others))
        made, slices = self._made(lacking, without, kept), 0
        found = [entry for entry in entries if entry.name in there]
        read = work_ahead(kept.read, found, threads=_THREADS, size=self._ready_bytes) if kept is not None else iter(())
        for entry in entries:
            ready = next(read) if entry.name in there else next(made)
            if ready is None:  # its file is damaged
                drawn = entry in annotated
                ready = next(self._made([entry] if drawn else [], [] if drawn else [entry], kept))
                there.discard(entry.name)
            slices += 0 if entry.name in there else len(ready.target)
            yield ready
            del ready  # else a large case would stay in memory while the next one is read
        next(made, None)  # at their end walks say what they did
        if kept is not None:
            kept.tell(slices)

    def _made(self, annotated: Sequence[Entry], others: Sequence[Entry], kept: Kept | None) -> Iterator[Ready]:
        if annotated or others:
            # Where all slices are kept, nothing needs it. Threads must find it imported: two that import parts of one
            # circle at the same time may see half of a module.
            from skimage.measure import label  # noqa: F401
        if annotated:
            yield from self._on_grid(annotated, kept)
        if others:
            yield from work_ahead(partial(self._without, kept=kept), others, threads=_THREADS, size=self._size)

    def _ready(self, entry: Entry, loaded: _Loaded, kept: Kept | None) -> Ready:
        """Take from a case's slices what is learnt from, and keep it."""
        learnt, taken, bare = self._fresh(), loaded.taken, loaded.bare
        target, labelled = loaded.placed.target, taken & ~bare
        learnt.count(loaded.strokes, loaded.placed, labelled.tolist(), bare.tolist())
        learnt.compare(
            contradicted=loaded.known.contradicted,
            kept=loaded.unused,
            unenclosed=self._unenclosed(loaded.known, labelled.numpy()),
        )
        target[bare] = IGNORE
        known = torch.from_numpy(np.stack((loaded.known.whole, loaded.known.walked)))
        flags = torch.cat((known, bare[None]))[:, taken]
        ready = Ready(loaded.image, target[taken], _middles(target, labelled)[taken], flags, learnt)
        if kept is not None:
            kept.keep(entry, ready)
        return ready

    def _unenclosed(self, known: Known, labelled: Bool[np.ndarray, "d"]) -> int:
        """Count the slices with strokes in which enclosure, where it is asked for, labels nothing."""
        if not self.enclosure or self.supervision == "dense":
            return 0
        return int((labelled & ~known.whole & ~(known.labels == ENCLOSED).any((1, 2))).sum())

    def _fresh(self) -> Learnt:
        return Learnt(self.corpus.classes, self.grid.size, DRAWN[self.supervision])

    def _ready_bytes(self, entry: Entry) -> int:
        channels = entry.channels + self.beliefs * len(self.corpus.classes)
        return entry.shape[0] * slice_bytes((channels, self.grid.size, self.grid.size))

    def _on_grid(self, entries: Sequence[Entry], kept: Kept | None) -> Iterator[Ready]:
        """Yield each case's slices; their images have the beliefs as more channels where these are asked for."""
        how: Any = {"enclosure": self.enclosure, "taught": self.taught}
        walks = self.supervision == "random_walker"
        walked = load_walked(self.corpus, entries, **how) if walks else repeat(None)
        believed = (
            load_beliefs(self.corpus, entries, **how, corrections=self.corrections) if self.beliefs else repeat(None)
        )
        given = _together(walked, believed, entries)
        make = partial(self._loaded, kept=kept)
        return work_ahead(make, given, threads=_THREADS, size=lambda each: self._size(each[2]))

    def _size(self, entry: Entry) -> int:
        """Return about how many bytes a case and its beliefs take."""
        return entry.bytes + math.prod(entry.shape) * len(self.corpus.classes)

    def _without(self, entry: Entry, *, kept: Kept | None) -> Ready:
        """Return the slices of a case without annotation; where beliefs are asked for, they are 0."""
        case = self.corpus.load(entry)
        nothing, whole = np.full(case.shape, IGNORE, np.uint8), np.zeros(case.shape[0], bool)
        drawn = strokes(nothing, dense=False)
        placed = self.grid.placed(torch.from_numpy(nothing), case.spacing, drawn)
        shows = torch.from_numpy(_shows(case))
        image = self._maps(case, placed.corners, shows)
        zero = image.new_zeros(len(image), self.beliefs * len(self.corpus.classes), *image.shape[2:])
        known = Known(nothing, nothing, nothing, whole)
        loaded = _Loaded(torch.cat((image, zero), 1), placed, drawn, known, shows, shows, unused=0)
        return self._ready(entry, loaded, kept)

    def _loaded(self, given: tuple[LabelVolume | None, StoredBelief | None, Entry], *, kept: Kept | None) -> Ready:
        walked, belief, entry = given
        case = self.corpus.load(entry)
        known = self._known(case)
        drawn = strokes(known.drawn, dense=known.whole | (self.supervision == "dense"))
        placed = self.grid.placed(torch.from_numpy(known.labels if walked is None else walked), case.spacing, drawn)
        labelled = _labelled(placed.target)
        if self.unlabelled:
            placed = placed._replace(corners=_beside(placed.corners, labelled))
        bare = ~labelled & torch.from_numpy(_shows(case)) if self.unlabelled else torch.zeros_like(labelled)
        image = self._maps(case, placed.corners, labelled | bare, belief)
        image[bare[labelled | bare], len(case.image) :] = 0
        unused = 0 if case.dense is None else int((whole_slices(case.dense) & ~known.whole).sum())
        return self._ready(entry, _Loaded(image, placed, drawn, known, labelled | bare, bare, unused), kept)

    def _maps(
        self, case: Case, corners: Corners, taken: Bool[Tensor, "d"], belief: StoredBelief | None = None
    ) -> Float16[Tensor, "n c s s"]:
        """Return the images of those slices that are taken, and what is believed of them as more channels."""
        chosen = torch.nonzero(taken)[:, 0].tolist()
        channels = len(case.image) + (0 if belief is None else belief.shape[1])
        made = torch.empty(len(chosen), channels, self.grid.size, self.grid.size, dtype=torch.half)
        for first in range(0, len(chosen), _AT_ONCE):
            some = chosen[first : first + _AT_ONCE]
            maps = [torch.from_numpy(channel[some]) for channel in case.image]
            if belief is not None:
                known = torch.from_numpy(belief[some]).float() / 255
                maps += [known[:, label] for label in range(known.shape[1])]
            places = [corners[k] for k in some]
            for number, each in enumerate(maps):
                made[first : first + len(some), number] = self.grid.image(each, case.spacing, corners=places)
        return made

    def _known(self, case: Case) -> Known:
        if self.supervision != "dense":
            return known(case, self.taught, enclosure=self.enclosure)
        mask = mask_of(case, self.taught)
        if mask is None:
            raise InputError(f"{case.name}: has no dense annotation")
        return Known(mask, mask, mask, whole_slices(mask))


def _together(
    walked: Iterator[LabelVolume | None], believed: Iterator[StoredBelief | None], entries: Sequence[Entry]
) -> Iterator[tuple[LabelVolume | None, StoredBelief | None, Entry]]:
    """As `zip`, but nothing of a case stays in memory while the next one is made."""
    for entry in entries:
        yield next(walked), next(believed), entry
    for each in (walked, believed):
        next(each, None)  # at its end it says what it did


def _shows(case: Case) -> Bool[np.ndarray, "d"]:
    """Whether the image of each slice is more than one value in some channel."""
    return (case.image.min((2, 3)) < case.image.max((2, 3))).any(0)


def _labelled(target: UInt8[Tensor, "d s s"]) -> Bool[Tensor, "d"]:
    return (target < ENCLOSED).flatten(1).any(1)  # a slice of enclosed background alone says little


def _beside(corners: Corners, labelled: Bool[Tensor, "d"]) -> Corners:
    """Return the corners; those of slices without a label are the mean of the others' where there are others."""
    if labelled.all() or not labelled.any():
        return corners
    held = np.array(corners)
    held[~labelled.numpy()] = held[labelled.numpy()].mean(0).round()
    return [(top, left) for top, left in held.tolist()]


def _middles(target: UInt8[Tensor, "d s s"], labelled: Bool[Tensor, "d"]) -> Float[Tensor, "d 2"]:
    """Middle of each slice's annotation; the mean of these where a slice has none, and NaN where no slice has one."""
    middles = torch.full((len(target), 2), torch.nan)
    if labelled.any():
        middles[labelled] = torch.stack([_middle(labels) for labels in target[labelled]])
        middles[~labelled] = middles[labelled].mean(0)
    return middles


def _middle(labels: UInt8[Tensor, "s s"]) -> Float[Tensor, "2"]:
    """Middle of the structures' labels, or of the background stroke where a slice has no structure."""
    structures = (labels > 0) & (labels < ENCLOSED)
    rows, columns = torch.nonzero(structures if structures.any() else labels < ENCLOSED, as_tuple=True)
    side = labels.shape[-1]
    middle = torch.stack(((columns.min() + columns.max()) / 2, (rows.min() + rows.max()) / 2))
    return (2 * middle + 1) / side - 1
