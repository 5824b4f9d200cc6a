"""What a user is told of how a picture's pixels are stored."""

import math
from typing import Final, NamedTuple

SQUARE: Final = 0.02
"""By which part a pixel's sides may differ that is taken as square."""


class Stored(NamedTuple):
    """What a file's header says of its pixels: codes of a palette, opacity beside the pixels, colours, and times.

    By `tall` a pixel is taller than wide, where no spacing is said; `more` are lines on other fields.

    Examples
    --------
    >>> Stored(palette=True, opacity=False, colours=True).notes
    ('colours of a palette are looked up',)
    """

    palette: bool
    opacity: bool
    colours: bool
    times: bool = False
    hollow: str = ""
    unsaid: bool = False
    tall: float = 1.0
    beyond: str = ""
    more: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user may want to know of it."""
        told = {
            "colours of a palette are looked up": self.palette,
            "opacity (alpha) is left out": self.opacity and not self.unsaid,
            "a fourth sample, of which the file does not say what it is, is left out": self.unsaid,
            "times (axis T) are taken as slices": self.times,
            f"{self.hollow}, and are taken as 0": bool(self.hollow),
            self.beyond: bool(self.beyond),
            f"its resolution says that pixels are {self.tall:.3g} times as tall as wide; they are taken as square": (
                not math.isclose(self.tall, 1.0, rel_tol=SQUARE)
            ),
        }
        return (*(note for note, is_so in told.items() if is_so), *self.more)
