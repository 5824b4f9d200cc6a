"""Random walker: dense labels, or beliefs, from a slice's strokes, made once and kept.

Grady, *Random Walks for Image Segmentation*, IEEE TPAMI 2006. Where a slice has strokes of two classes or more, each
pixel gets the class whose strokes a random walk from it reaches first with the largest probability. A class without
a stroke in a slice can't be labelled there.

What stays unknown:

- a slice with strokes of one class alone, or with an image without contrast, keeps its strokes and no more: what the
  strokes are set against is not known;
- in other slices, pixels in which no class has a probability of at least ``THRESHOLD``.

Differs from the released code: there, a slice without strokes of one of the structures becomes background, and no
pixel stays unknown.

Beliefs are the probabilities themselves, 0 for every class where nothing is known. Their walks avoid edges more.
"""

import contextlib
import hashlib
import json
import os
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import get_ident
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Int, UInt8
from rich.progress import track
from skimage.segmentation import random_walker

from maskmixadv.data.corpus import IGNORE, Case, Corpus, Entry
from maskmixadv.data.enclosure import ENCLOSED, enclose
from maskmixadv.errors import InputError
from maskmixadv.files import work_ahead

BETA: Final = 100.0
"""How much a walk avoids edges of the image; the released code's."""
SHARP: Final = 1000.0
"""The same for beliefs, of which it makes better ones (docs/decisions/0010)."""
THRESHOLD: Final = 0.5
"""A pixel is labelled where one class is likelier than all the others together."""
VERSION: Final = 1
"""Of what is kept; another one where the same input gives other labels."""

Volume = UInt8[np.ndarray, "d h w"]
Belief = UInt8[np.ndarray, "d k h w"]
"""Probabilities in steps of 1/255."""


def load_walked(corpus: Corpus, entries: Sequence[Entry], *, enclosure: bool) -> Iterator[Volume]:
    """Labels of `entries`, in order: those that are kept are read, the others made on all cores, and kept.

    They lie in the corpus's directory ``cache``, or in the user's cache where that can't be written, under the hash
    of all that they depend on. One that is damaged is made anew.

    Raises
    ------
    InputError
        Where a case has no scribble, or can't be read.
    """
    return _made(corpus, entries, walk, [BETA, THRESHOLD], enclosure=enclosure)


def load_beliefs(corpus: Corpus, entries: Sequence[Entry], *, enclosure: bool) -> Iterator[Belief]:
    """Beliefs of `entries`, kept and made as in `load_walked`; raises the same."""

    def beliefs(case: Case, seeds: Volume) -> Belief:
        return believe(case, seeds, classes=len(corpus.classes))

    return _made(corpus, entries, beliefs, [SHARP, len(corpus.classes)], enclosure=enclosure)


def _made(
    corpus: Corpus,
    entries: Sequence[Entry],
    make: Callable[[Case, Volume], Any],
    parameters: list[Any],
    *,
    enclosure: bool,
) -> Iterator[Any]:
    """What `make`, which `parameters` steer, makes of each case and its seeds."""
    folders = (corpus.root / "cache", _user_cache())

    def one(entry: Entry) -> np.ndarray:
        case = corpus.load(entry)
        if case.scribble is None:
            raise InputError(f"{case.name}: has no scribble annotation")
        seeds = enclose(case.scribble) if enclosure else case.scribble
        name = f"walker-{_key(case.image, seeds, parameters)}.npz"
        kept = _kept(folders, name, seeds.shape)
        return _keep(folders, name, make(case, seeds)) if kept is None else kept

    # Most of the time goes into solving, which leaves other threads the interpreter.
    made = work_ahead(one, entries, threads=os.cpu_count() or 1)
    yield from track(made, description="random walker", total=len(entries), disable=not sys.stderr.isatty())


def walk(case: Case, seeds: Volume) -> Volume:
    """Labels of a case, slice by slice, from its strokes or enclosed strokes, which stay as they are."""
    return np.stack([walk_slice(image, drawn) for image, drawn in zip(case.image, seeds, strict=True)])


def believe(case: Case, seeds: Volume, *, classes: int) -> Belief:
    """Beliefs of a case, slice by slice, from its strokes or enclosed strokes, of which there is no doubt."""
    slices = zip(case.image, seeds, strict=True)
    return np.stack([believe_slice(image, drawn, classes=classes) for image, drawn in slices])


def believe_slice(
    image: Float[np.ndarray, "h w"], seeds: UInt8[np.ndarray, "h w"], *, classes: int
) -> UInt8[np.ndarray, "k h w"]:
    """Beliefs of one slice: 0 for all classes where nothing is known.

    Parameters
    ----------
    image
        Intensities in [0, 1].
    seeds
        Strokes; ``ENCLOSED`` is background.
    classes
        How many there are, background included.
    """
    belief = (_classed(seeds) == np.arange(classes, dtype=np.uint8)[:, None, None]) * np.uint8(255)
    box = _open(seeds)
    names, markers = _markers(seeds[box])
    if len(names) < 2 or image[box].min() == image[box].max() or not (seeds == IGNORE).any():
        return belief
    # Solved exactly: of matrices this stiff, conjugate gradients are slower, and wrong here and there.
    solved = random_walker(_scaled(image[box]), markers, beta=SHARP, mode="bf", return_full_prob=True)
    inside = np.zeros((classes, *markers.shape), np.uint8)
    inside[names] = np.round(255 * solved.clip(0, 1))
    belief[(slice(None), *box)] = np.where(markers > 0, belief[(slice(None), *box)], inside)
    return belief


def _open(seeds: UInt8[np.ndarray, "h w"]) -> tuple[slice, slice]:
    """Where walks go: the box round what is not ``ENCLOSED``, and a pixel of that."""
    rows, columns = (np.flatnonzero((seeds != ENCLOSED).any(axis)) for axis in (1, 0))
    if not len(rows):
        return slice(None), slice(None)
    return slice(max(0, rows[0] - 1), rows[-1] + 2), slice(max(0, columns[0] - 1), columns[-1] + 2)


def walk_slice(image: Float[np.ndarray, "h w"], seeds: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """Labels of one slice, ``IGNORE`` where they stay unknown; see the module's text.

    Parameters
    ----------
    image
        Intensities in [0, 1].
    seeds
        Strokes; ``ENCLOSED`` is background.
    """
    unknown = seeds == IGNORE
    classes, markers = _markers(seeds)
    if len(classes) < 2 or image.min() == image.max() or not unknown.any():
        return seeds.copy()
    probs = random_walker(_scaled(image), markers, beta=BETA, mode="bf", return_full_prob=True)
    likeliest = np.where(probs.max(0) >= THRESHOLD, classes[probs.argmax(0)], np.uint8(IGNORE))
    return np.where(unknown, likeliest, seeds)


def _markers(seeds: UInt8[np.ndarray, "h w"]) -> tuple[UInt8[np.ndarray, "k"], Int[np.ndarray, "h w"]]:
    """Classes with strokes, and the strokes numbered by them from 1, 0 where nothing is known."""
    drawn = _classed(seeds)
    known = drawn != IGNORE
    classes = np.unique(drawn[known])
    return classes, np.where(known, np.searchsorted(classes, drawn) + 1, 0)


def _classed(seeds: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """Classes of strokes; what is ``ENCLOSED`` is background."""
    return np.where(seeds == ENCLOSED, np.uint8(0), seeds)


def _scaled(image: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Bring [-0.35, 1.35] to [-1, 1], as the released code does: edges count by differences in this scale."""
    return (image.astype(np.float64) + 0.35) / 1.7 * 2 - 1


def _key(image: np.ndarray, seeds: np.ndarray, parameters: list[Any]) -> str:
    digest = hashlib.sha256(json.dumps([VERSION, *parameters, image.shape, str(image.dtype)]).encode())
    for array in (image, seeds):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _kept(folders: Sequence[Path], name: str, shape: tuple[int, ...]) -> np.ndarray | None:
    """Labels or beliefs that were kept, unless they are damaged."""
    for folder in folders:
        with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            with np.load(folder / name, allow_pickle=False) as arrays:
                labels = arrays["labels"]
            if (labels.shape[0], *labels.shape[-2:]) == shape and labels.dtype == np.uint8:
                return labels
    return None


def _keep(folders: Sequence[Path], name: str, labels: np.ndarray) -> np.ndarray:
    """Write labels or beliefs, whole or not at all, into the first folder that takes them; else they are only used."""
    for folder in folders:
        partial = folder / f"{name}.{os.getpid()}-{get_ident()}.partial"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                np.savez_compressed(file, labels=labels)
            partial.replace(folder / name)
            break
        except OSError:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
    return labels


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "maskmixadv"
