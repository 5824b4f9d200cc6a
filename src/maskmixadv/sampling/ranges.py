"""Ranges of the augmentation; this module imports no torch."""

from dataclasses import dataclass

from maskmixadv.typed import check_numbers


@dataclass(frozen=True)
class Augment:
    """Ranges of the augmentation, from which parameters are drawn uniformly.

    A field that is not allowed raises `InputError`.

    Attributes
    ----------
    turns
        Whether one of the eight right-angle turns and flips is drawn.
    rotate
        Largest rotation in degrees, either way.
    scale
        Largest relative change of size, either way.
    shift
        Largest shift of the window's middle, as a fraction of the window's side.
    stray
        Fraction of the samples whose window lies anywhere on the canvas, so that what is far from the organ is seen,
        too.
    intensity
        Largest relative change of gain and gamma; the offset changes by half of it.
    hue
        Largest turn of red, green and blue round the grey axis in degrees, either way; images in colour alone have it.
    saturation
        Largest relative change of how far colours are from grey; images in colour alone have it.

    Examples
    --------
    >>> from maskmixadv.sampling.ranges import Augment
    >>> Augment(turns=False, rotate=10.0)
    Augment(turns=False, rotate=10.0, scale=0.1, shift=0.1, stray=0.0, intensity=0.1, hue=20.0, saturation=0.3)
    """

    turns: bool = True
    rotate: float = 20.0
    scale: float = 0.1
    shift: float = 0.1
    stray: float = 0.0
    intensity: float = 0.1
    hue: float = 20.0
    saturation: float = 0.3

    def __post_init__(self) -> None:
        check_numbers(self, "rotate", "scale", "shift", "intensity", "hue", "saturation")
        check_numbers(self, "stray", fraction=True)
