"""What turns random walks into beliefs."""

from dataclasses import dataclass
from typing import Any, Final

from maskmixadv.strokes import appearance, evened


@dataclass(frozen=True)
class Corrections:
    """What walks are multiplied by to become beliefs.

    Attributes
    ----------
    looks
        Power of the probability by what a pixel looks like (`maskmixadv.strokes.appearance`), at least 0.
    evened
        Whether by odds that make up for the sizes of strokes, too (`maskmixadv.strokes.evened`).

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
            *(["evened", evened.SETTINGS] if self.evened else []),
        ]


PLAIN: Final = Corrections()
"""Walks as they are."""
