"""What turns random walks into beliefs."""

from dataclasses import dataclass
from typing import Any, Final

from maskmixadv.strokes import appearance, evened


@dataclass(frozen=True)
class Corrections:
    """What is done with walks to make beliefs of them.

    Attributes
    ----------
    looks
        Power of the probability by what a pixel looks like (`maskmixadv.strokes.appearance`) with which walks are
        multiplied, at least 0.
    evened
        Whether structures share their probability by odds that make up for the sizes of strokes, after that
        (`maskmixadv.strokes.evened`).

    Examples
    --------
    >>> Corrections().parameters, Corrections(looks=0.5).parameters[:2]
    ([], ['looks', 0.5])
    """

    looks: float = 0.0
    evened: bool = False

    @property
    def parameters(self) -> list[Any]:
        """All that beliefs depend on by them; kept ones are told apart by this."""
        return [
            *(["looks", self.looks, appearance.SETTINGS] if self.looks else []),
            *(["evened among structures", evened.SETTINGS] if self.evened else []),
        ]


PLAIN: Final = Corrections()
"""Walks as they are."""
