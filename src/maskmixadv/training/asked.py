"""Which cases a trained network is asked about, before anything is decided by what it draws there."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from maskmixadv.corpus.entry import Entry
from maskmixadv.runs.odds import looked_at
from maskmixadv.runs.run import Run

MOST: Final = 60
"""Cases, at most."""
PIXELS: Final = 50_000_000
"""Pixels of the network's grid that they have together, at most."""
LEAST: Final = 3
"""Cases, at least, whatever their size: fewer decide nothing."""


def asked(run: Run, entries: Sequence[Entry]) -> list[Entry]:
    """Return as many of `entries` as the network of `run` is asked about, spread over all of them.

    Examples
    --------
    >>> import maskmixadv as mma
    >>> corpus = mma.make_phantoms("corpus", cases=6, size=64)
    >>> run = mma.train(corpus, "run", method="pce", preset="cpu", steps=2, size=48, window=32)
    >>> len(corpus.entries), len(asked(run, corpus.entries))
    (6, 6)
    """
    some = [entries[k] for k in looked_at(len(entries), MOST)]
    pixels = np.cumsum([entry.shape[0] * math.prod(run.grid.resized(entry.shape[1:], entry.spacing)) for entry in some])
    return some[: max(LEAST, int(np.searchsorted(pixels, PIXELS, side="right")))]
