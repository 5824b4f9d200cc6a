"""Ranges of the augmentation; nothing here imports torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Augment:
    """Ranges from which parameters are drawn, each uniformly.

    Attributes
    ----------
    turns
        Draw one of the eight right-angle turns and flips.
    rotate
        Largest rotation in degrees, either way.
    scale
        Largest relative change of size, either way.
    shift
        Largest shift of the window's middle, as a fraction of the window's side.
    stray
        Fraction of the samples whose window lies anywhere on the canvas, to see what is far from the organ.
    intensity
        Largest relative change of gain and gamma; the offset changes by half of it.
    """

    turns: bool = True
    rotate: float = 20.0
    scale: float = 0.1
    shift: float = 0.1
    stray: float = 0.0
    intensity: float = 0.1
