"""Which cases a trained network is asked about, before anything is decided by what it draws there."""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from maskmixadv.corpus.entry import Entry
from maskmixadv.errors import counted, say
from maskmixadv.runs.odds import looked_at
from maskmixadv.runs.run import Run

MOST: Final = 60
"""Cases, at most."""
PIXELS: Final = 50_000_000
"""Pixels of the network's grid that they have together, at most."""
LONG: Final = 5_000_000
"""Pixels of the network's grid above which a line says what is predicted: 240 slices of 144 × 144, half a minute."""
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
    pixels, most = np.array([_pixels(run, entry) for entry in entries]), MOST
    while most > LEAST and pixels[looked_at(len(entries), most)].sum() > PIXELS:
        most -= 1
    return [entries[k] for k in looked_at(len(entries), most)]


def tell_asked(run: Run, entries: Sequence[Entry], *, of: str, finds: str) -> None:
    """Say on stderr how much is predicted after the last step, where it takes long: no step is taken meanwhile.

    Parameters
    ----------
    run
        The run.
    entries
        The cases that are predicted.
    of
        Whose cases they are: ``training`` or ``validation``.
    finds
        What is found by them.

    Examples
    --------
    >>> import maskmixadv as mma
    >>> corpus = mma.make_phantoms("corpus", cases=6, size=64)
    >>> run = mma.train(corpus, "run", method="pce", preset="cpu", steps=2, size=48, window=32)
    >>> tell_asked(run, corpus.entries, of="training", finds="the odds of classes")  # small ones take a second
    """
    if sum(_pixels(run, entry) for entry in entries) > LONG:
        slices = counted(sum(entry.shape[0] for entry in entries), "slice")
        told = f"{counted(len(entries), f'{of} case')}, {slices}"
        say(
            f"{run.root}: all steps are taken; {told}, {'is' if len(entries) == 1 else 'are'} predicted to find {finds}"
        )


def _pixels(run: Run, entry: Entry) -> int:
    """Return the pixels of the network's grid that a case has."""
    return entry.shape[0] * math.prod(run.grid.resized(entry.shape[1:], entry.spacing))
