"""Where too much is predicted: in slices that lack a structure, and beyond its border in slices that have it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import UInt8

from maskmixadv.metrics.clinical import Agreement
from maskmixadv.metrics.masks import tallies
from maskmixadv.types import IGNORE, Spacing


class Excess(NamedTuple):
    """What is predicted of one class in one case where it truly is not.

    Attributes
    ----------
    empty_slices
        Number of slices that lack the class in the truth.
    stray_slices
        Number of these in which it is predicted.
    stray_ml
        Volume that is predicted in them, in ml.
    beyond_ml
        Volume that is predicted beyond the class's border in slices that have it, in ml.

    Examples
    --------
    >>> Excess(empty_slices=3, stray_slices=1, stray_ml=2.0, beyond_ml=5.5).stray_slices
    1
    """

    empty_slices: int
    stray_slices: int
    stray_ml: float
    beyond_ml: float


@dataclass(frozen=True)
class Volumes:
    """Volumes of one class over some cases. Shares are of the class's true volume, NaN if it is 0.

    Attributes
    ----------
    cases
        Number of cases.
    dice
        Mean Dice over the cases with the class in prediction or truth; NaN if there are none.
    ratio
        Predicted over true volume, each summed over the cases.
    empty_slices, stray_slices
        Number of slices that lack the class in the truth, and of those in which it is predicted.
    stray, beyond
        Share that is predicted in slices that lack the class, and beyond its border in slices that have it.

    Examples
    --------
    >>> Volumes(20, 0.73, ratio=1.5, empty_slices=60, stray_slices=31, stray=0.19, beyond=0.44).ratio
    1.5
    """

    cases: int
    dice: float
    ratio: float
    empty_slices: int
    stray_slices: int
    stray: float
    beyond: float


ALL: Final = "all"
"""Stands in a phase's place for all cases."""
ByPhase = Mapping[str, Mapping[str, Volumes]]
"""Volumes by phase and class."""


def excess(
    truth: UInt8[np.ndarray, "d h w"], predicted: UInt8[np.ndarray, "d h w"], *, classes: int, spacing: Spacing
) -> tuple[Excess, ...]:
    """Measure where too much is predicted, of every class but the background.

    Parameters
    ----------
    truth, predicted
        Class indices; voxels whose truth is ``IGNORE`` count on neither side.
    classes
        Number of classes, with the background.
    spacing
        Millimetres between voxels along d, h, w.

    Examples
    --------
    >>> truth, predicted = np.zeros((3, 1, 10), np.uint8), np.zeros((3, 1, 10), np.uint8)
    >>> truth[0, 0, :4], predicted[:2, 0, :5] = 1, 1
    >>> excess(truth, predicted, classes=2, spacing=(10.0, 10.0, 10.0))
    (Excess(empty_slices=2, stray_slices=1, stray_ml=5.0, beyond_ml=1.0),)
    """
    seen, size = (truth != IGNORE).any(axis=(1, 2)), math.prod(spacing) / 1000
    true, drawn, both = tallies(truth, predicted, classes)
    wrong, held = drawn - both, true > 0
    return tuple(
        Excess(
            empty_slices=int((seen & ~has).sum()),
            stray_slices=int((~has & (count > 0)).sum()),
            stray_ml=float(count[~has].sum() * size),
            beyond_ml=float(count[has].sum() * size),
        )
        for has, count in zip(held.T[1:], wrong.T[1:], strict=True)
    )


def shown(volumes: ByPhase) -> Sequence[tuple[str, str, Volumes]]:
    """List class, phase and volumes as tables show them: class by class, and all cases where a case's phase is unknown.

    Examples
    --------
    >>> from dataclasses import replace
    >>> of = Volumes(20, 0.73, ratio=1.5, empty_slices=60, stray_slices=31, stray=0.19, beyond=0.44)
    >>> [row[:2] for row in shown({"ED": {"RV": of, "LV": of}, "ES": {"RV": of, "LV": of}, "all": {"RV": of}})]
    [('RV', 'ED'), ('RV', 'ES'), ('LV', 'ED'), ('LV', 'ES')]
    >>> [row[:2] for row in shown({"ED": {"RV": of}, "all": {"RV": replace(of, cases=21)}})]
    [('RV', 'ED'), ('RV', 'all')]
    """
    every = volumes.get(ALL, {})
    phases = [phase for phase in volumes if phase != ALL]
    phased = {name: sum(volumes[phase][name].cases for phase in phases if name in volumes[phase]) for name in every}
    if any(of.cases > phased[name] for name, of in every.items()):
        phases.append(ALL)
    names = dict.fromkeys(name for phase in phases for name in volumes[phase])
    return [(name, phase, volumes[phase][name]) for name in names for phase in phases if name in volumes[phase]]


def told(volumes: ByPhase, ejection: Mapping[str, Agreement]) -> str:
    """Return a table for a terminal.

    Parameters
    ----------
    volumes
        By phase and class.
    ejection
        Agreement of (ED − ES) / ED in %, by class.

    Examples
    --------
    >>> of = Volumes(20, 0.73, ratio=1.5, empty_slices=60, stray_slices=31, stray=0.19, beyond=0.44)
    >>> print(told({"ES": {"RV": of}}, {"RV": Agreement(20, 60.0, -9.7, -27.0, 7.0, 0.9)}))
    class        phase    n   Dice  volume   stray slices  stray  beyond
    RV           ES      20  0.730    1.50       31 of 60   0.19    0.44
    volume: predicted over true; stray: in slices that lack the class; beyond: past its border in the others
    error of (ED - ES) / ED in points, bias and 95 % limits: RV -9.7 (-27.0 to +7.0)
    """
    lines = [f"{'class':12} {'phase':5}{'n':>5}{'Dice':>7}{'volume':>8}{'stray slices':>15}{'stray':>7}{'beyond':>8}"]
    for name, phase, of in shown(volumes):
        strays = f"{of.stray_slices} of {of.empty_slices}"
        lines.append(
            f"{name:12} {phase:5}{of.cases:>5}{of.dice:>7.3f}{of.ratio:>8.2f}"
            f"{strays:>15}{of.stray:>7.2f}{of.beyond:>8.2f}"
        )
    lines.append(
        "volume: predicted over true; stray: in slices that lack the class; beyond: past its border in the others"
    )
    errors = [f"{name} {of.bias:+.1f}{_limits(of)}" for name, of in ejection.items()]
    if errors:
        lines.append(f"error of (ED - ES) / ED in points, bias and 95 % limits: {'; '.join(errors)}")
    return "\n".join(lines)


def _limits(of: Agreement) -> str:
    """Tell limits of agreement; one patient alone has none."""
    return "" if math.isnan(of.low) else f" ({of.low:+.1f} to {of.high:+.1f})"
