"""Odds of classes, by which a run's network draws borders where people draw them.

Strokes do not say where a border lies. So a network that learnt from strokes may draw all structures too large, or one
at the cost of another. Masks of a few patients that it did not learn from show by how much. Its probabilities are then
multiplied by one number a class, and divided by their sum. A run finds these numbers when its training ends
(`maskmixadv.training.odds`), and keeps them beside its network.

A border that is drawn a little too far out makes a thin structure too large by more than a thick one. So a structure's
number may be multiplied by a power of its size in a case, too: of its share of all structures that the network draws
there, compared with its usual share. What one heart's thin wall needs is not taken from another one's thick wall.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from maskmixadv.errors import InputError, apart, counted, listed
from maskmixadv.files import write_text
from maskmixadv.runs.seal import ODDS, PIECES, check_odds, seal_of, sealed, unsealed
from maskmixadv.typed import made

FILE: Final = ODDS
"""Name of the file in a run's directory."""
LOOKED_AT: Final = 64
"""Slices of a case, at most, by which the sizes of structures are judged; spread evenly over all."""
LEAST: Final = 0.02
"""What is added to each share, so that a structure of which little is drawn is no infinite exception."""
RANGE: Final = 2.0
"""A structure counts as at most so many times as large or small as usual: nobody was asked about others."""
LARGEST: Final = 1e12
"""Factors lie between this and its inverse, far beyond what a training finds: others would leave single precision."""
MOST_POWER: Final = 10.0
TOLD: Final = 8
"""Classes whose odds a line tells, at most."""


@dataclass(frozen=True)
class Odds:
    """What a network's probabilities are multiplied by, and what that was decided by.

    Attributes
    ----------
    classes
        Names of the k classes, background first; none where nothing was decided.
    factors
        One number a class, above 0, with which validation patients' masks are met better. The geometric mean of the
        structures' is 1.
    power
        Of a structure's size in a case, compared with the usual one, by which its number is multiplied there; 0 or
        more.
    usual
        The structures' usual sizes: `sizes` of the cases that were asked, their geometric mean.
    used
        Whether predictions are multiplied by them.
    patients, cases
        Number of validation patients with masks, and of their cases.
    before, after
        Mean Dice of these cases without and with odds, in [0, 1]; each with odds by the masks of other patients.
    error
        Standard error of the mean difference over patients.

    Examples
    --------
    >>> odds = Odds(("background", "LV"), (2.0, 1.0), used=True, patients=8, cases=16, before=0.88, after=0.9)
    >>> print(odds)
    background 2, LV 1
    >>> odds.write(Path("."))
    >>> Odds.of_run(Path("."), ("background", "LV")) == odds
    True
    >>> print(Odds())
    neutral
    """

    classes: tuple[str, ...] = ()
    factors: tuple[float, ...] = ()
    power: float = 0.0
    usual: tuple[float, ...] = ()
    used: bool = False
    patients: int = 0
    cases: int = 0
    before: float = 0.0
    after: float = 0.0
    error: float = 0.0

    @classmethod
    def of_run(cls, root: Path, classes: tuple[str, ...], network: str = "") -> "Odds":
        """Read what the run in directory `root` with `classes` has kept; neutral ones where it has decided nothing.

        With the hash of the weights of the run's `network`, the file's seal is looked at (`maskmixadv.runs.seal`).

        Raises
        ------
        InputError
            Where the file is malformed, of other classes, or a number is out of its range; or where it is of another
            network, was edited, or lacks though the run has decided on odds.
        """
        path = root / FILE
        if network:
            check_odds(root)
        if not path.is_file() or (network and seal_of(path) and not (root / PIECES).is_file()):
            return cls()  # nothing is decided before all is
        odds = made(cls, unsealed(path, network), str(path))
        if odds.classes != classes:
            found, own = apart(odds.classes, classes)
            raise InputError(f"{path}: classes {found}, allowed are those of the run: {own}")
        if len(odds.factors) != len(classes):
            raise InputError(
                f"{path}: factors: {counted(len(odds.factors), 'number')}, allowed is one a class: {len(classes)}"
            )
        for factor in odds.factors:
            if not 1 / LARGEST <= factor <= LARGEST:
                raise InputError(f"{path}: factors: {factor}, allowed are numbers from {1 / LARGEST:g} to {LARGEST:g}")
        if not 0 <= odds.power <= MOST_POWER:
            raise InputError(f"{path}: power: {odds.power}, allowed is 0 to {MOST_POWER:g}")
        wanted = len(classes) - 1 if odds.power else len(odds.usual)
        if len(odds.usual) != wanted or not all(math.isfinite(size) and size > 0 for size in odds.usual):
            raise InputError(f"{path}: usual: {list(odds.usual)}, allowed is one number above 0 a structure: {wanted}")
        return odds

    def write(self, root: Path, network: str = "") -> None:
        """Keep them in the run's directory `root`, sealed with the hash of the weights of its `network`."""
        write_text(root / FILE, json.dumps(sealed(asdict(self), network), indent=1))

    @property
    def by_size(self) -> bool:
        """Whether they differ from case to case."""
        return self.used and self.power > 0

    def of_case(self, drawn: Int[np.ndarray, "k"] | None = None) -> tuple[float, ...] | None:
        """Return what a case's probabilities are multiplied by, one number a class; None: they stay.

        Parameters
        ----------
        drawn
            How many voxels of each class the network draws in the case, or in `looked_at` of its slices; needed where
            odds go `by_size`.

        Examples
        --------
        >>> odds = Odds(("background", "wall", "cavity"), (1.5, 0.5, 2.0), power=1.0, usual=(0.52, 0.52), used=True)
        >>> odds.of_case(np.array([900, 50, 50]))
        (1.5, 0.5, 2.0)
        >>> [round(factor, 2) for factor in odds.of_case(np.array([900, 76, 24]))]
        [1.5, 0.75, 1.0]
        """
        if not self.used:
            return None
        if not self.by_size:
            return self.factors
        if drawn is None:
            raise ValueError("odds go by the sizes of structures, and what is drawn was not counted")
        ratio = np.exp(larger(sizes(drawn[None]), self.usual))[0] ** self.power
        return (
            self.factors[0],
            *(factor * more for factor, more in zip(self.factors[1:], ratio.tolist(), strict=True)),
        )

    def __str__(self) -> str:
        """Name them in one line: all of a few classes, and of many those that are furthest from 1."""
        if not self.used:
            return "neutral"
        pairs = list(zip(self.classes, self.factors, strict=True))
        if len(pairs) > TOLD:
            pairs.sort(key=lambda pair: -abs(math.log(pair[1])))
        told = listed([f"{name} {factor:.2g}" for name, factor in pairs], TOLD)
        told += " nearer 1" if len(pairs) > TOLD else ""
        return f"{told}, times a structure's relative size to the power {self.power:.2g}" if self.power else told


def looked_at(count: int, most: int = LOOKED_AT) -> Int[np.ndarray, "s"]:
    """Return the numbers of at most so many of `count` things, such as a case's slices, spread evenly over all.

    Examples
    --------
    >>> looked_at(4).tolist(), len(looked_at(1000))
    ([0, 1, 2, 3], 64)
    """
    return np.linspace(0, count - 1, min(most, count)).round().astype(int)


def sizes(drawn: Int[np.ndarray, "n k"]) -> Float[np.ndarray, "n s"]:
    """Return the size of each structure in each case: its share of all structures, and `LEAST`.

    Parameters
    ----------
    drawn
        Voxels of each class; a row is a case.

    Returns
    -------
    One number for each structure; NaN in cases in which nothing is drawn.

    Examples
    --------
    >>> sizes(np.array([[900, 75, 25]])).round(2)
    array([[0.77, 0.27]])
    """
    structures = drawn[:, 1:].astype(float)
    together = structures.sum(1, keepdims=True)
    return np.divide(structures, together, where=together > 0, out=np.full_like(structures, np.nan)) + LEAST


def larger(
    found: Float[np.ndarray, "n s"], usual: Sequence[float] | Float[np.ndarray, "s"]
) -> Float[np.ndarray, "n s"]:
    """Return by how much structures are larger than usual: logarithms, within those of `RANGE`; 0 where NaN is found.

    Examples
    --------
    >>> larger(np.array([[0.3, 0.72]]), [0.2, 0.82]).round(2)
    array([[ 0.41, -0.13]])
    """
    ratio = np.log(found / np.asarray(usual))
    return np.nan_to_num(ratio).clip(-math.log(RANGE), math.log(RANGE))
