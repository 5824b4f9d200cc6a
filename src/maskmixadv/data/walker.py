"""Random walker: dense labels from a slice's strokes, made once and kept.

Grady, *Random Walks for Image Segmentation*, IEEE TPAMI 2006. Where a slice has strokes of two classes or more, each
pixel gets the class whose strokes a random walk from it reaches first with the largest probability. A class without
a stroke in a slice can't be labelled there.

What stays unknown:

- a slice with strokes of one class alone, or with an image without contrast, keeps its strokes and no more: what the
  strokes are set against is not known;
- in other slices, pixels in which no class has a probability of at least ``THRESHOLD``.

Differs from the released code: there, a slice without strokes of one of the structures becomes background, and no
pixel stays unknown.
"""

import contextlib
import hashlib
import json
import os
import sys
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import get_ident
from typing import Final

import numpy as np
from jaxtyping import Float, Int, UInt8
from rich.progress import track
from skimage.segmentation import random_walker

from maskmixadv.data.corpus import IGNORE, Case, Corpus, Entry, work_ahead
from maskmixadv.data.enclosure import ENCLOSED, enclose
from maskmixadv.errors import InputError

BETA: Final = 100.0
"""How much a walk avoids edges of the image; the released code's."""
THRESHOLD: Final = 0.5
"""A pixel is labelled where one class is likelier than all the others together."""
VERSION: Final = 1
"""Of what is kept; another one where the same input gives other labels."""

Volume = UInt8[np.ndarray, "d h w"]


def load_walked(corpus: Corpus, entries: Sequence[Entry], *, enclosure: bool) -> Iterator[Volume]:
    """Labels of `entries`, in order: those that are kept are read, the others made on all cores, and kept.

    They lie in the corpus's directory ``cache``, or in the user's cache where that can't be written, under the hash
    of all that they depend on. One that is damaged is made anew.

    Raises
    ------
    InputError
        Where a case has no scribble, or can't be read.
    """
    folders = (corpus.root / "cache", _user_cache())

    def labels(entry: Entry) -> Volume:
        case = corpus.load(entry)
        if case.scribble is None:
            raise InputError(f"{case.name}: has no scribble annotation")
        seeds = enclose(case.scribble) if enclosure else case.scribble
        name = f"walker-{_key(case.image, seeds)}.npz"
        kept = _kept(folders, name, seeds.shape)
        return _keep(folders, name, walk(case, seeds)) if kept is None else kept

    # Most of the time goes into solving, which leaves other threads the interpreter.
    made = work_ahead(labels, entries, threads=os.cpu_count() or 1)
    yield from track(made, description="random walker", total=len(entries), disable=not sys.stderr.isatty())


def walk(case: Case, seeds: Volume) -> Volume:
    """Labels of a case, slice by slice, from its strokes or enclosed strokes, which stay as they are."""
    return np.stack([walk_slice(image, drawn) for image, drawn in zip(case.image, seeds, strict=True)])


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
    drawn = np.where(seeds == ENCLOSED, np.uint8(0), seeds)
    known = drawn != IGNORE
    classes = np.unique(drawn[known])
    return classes, np.where(known, np.searchsorted(classes, drawn) + 1, 0)


def _scaled(image: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Bring [-0.35, 1.35] to [-1, 1], as the released code does: edges count by differences in this scale."""
    return (image.astype(np.float64) + 0.35) / 1.7 * 2 - 1


def _key(image: np.ndarray, seeds: np.ndarray) -> str:
    parameters = [VERSION, BETA, THRESHOLD, image.shape, str(image.dtype)]
    digest = hashlib.sha256(json.dumps(parameters).encode())
    for array in (image, seeds):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _kept(folders: Sequence[Path], name: str, shape: tuple[int, ...]) -> Volume | None:
    """Labels that were kept, unless they are damaged."""
    for folder in folders:
        with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            with np.load(folder / name, allow_pickle=False) as arrays:
                labels = arrays["labels"]
            if labels.shape == shape and labels.dtype == np.uint8:
                return labels
    return None


def _keep(folders: Sequence[Path], name: str, labels: Volume) -> Volume:
    """Write labels, whole or not at all, into the first folder that takes them; without one they are only used."""
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
