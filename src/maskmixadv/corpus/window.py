"""The window of a corpus's CTs: one for all volumes, found from those that are learnt from. Nothing imports torch."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from jaxtyping import Bool, Float

from maskmixadv.corpus.case import Case, structures
from maskmixadv.corpus.channels import Channel, Window
from maskmixadv.errors import InputError

PERCENTILES: Final = (0.5, 99.5)
"""Percentiles of the structures' intensities between which a CT is shown, as nnU-Net has them."""
MOST_VOXELS: Final = 100_000
"""Voxels of one case that are looked at."""


def with_windows(channels: Sequence[Channel], cases: Iterable[Case], where: str) -> tuple[Channel, ...]:
    """Return channels of which each CT has a window.

    It lies between two percentiles of the voxels that strokes and masks label as a structure, or of all voxels
    where there are none of these.

    Parameters
    ----------
    channels
        Those of kind CT without a window get one.
    cases
        Cases that are learnt from, with CTs in Hounsfield units.
    where
        Beginning of the error's text.

    Raises
    ------
    InputError
        If all the voxels have one value.

    Examples
    --------
    >>> image = np.arange(256, dtype=np.float32).reshape(1, 1, 16, 16)
    >>> mask = (image[0] >= 100).astype(np.uint8)
    >>> with_windows([Channel("CT", "CT")], [Case("a", "a", image, dense=mask)], "mine")[0].window
    (100.775, 254.225)
    """
    wanted = [place for place, each in enumerate(channels) if each.kind == "CT" and each.window is None]
    if not wanted:
        return tuple(channels)
    inside, everywhere = ({place: list[np.ndarray]() for place in wanted} for _ in range(2))
    for case in cases:
        shown = _annotated(case)
        for place in wanted:
            image = case.image[place]
            inside[place].append(_some(image[shown]))
            # The lowest value is that of padding, too, which was set to it.
            everywhere[place].append(_some(image[image > image.min()]))
    made = list(channels)
    for place in wanted:
        window = _between(inside[place]) or _between(everywhere[place])
        if window is None:
            raise InputError(
                f"{where}: channel {channels[place].name!r} (CT) is constant, allowed is one with contrast"
            )
        made[place] = replace(channels[place], window=window)
    return tuple(made)


def _annotated(case: Case) -> Bool[np.ndarray, "d h w"]:
    """Return which voxels strokes or a mask label as a structure."""
    shown = np.zeros(case.shape, bool)
    for labels in (case.scribble, case.dense):
        if labels is not None:
            shown |= structures(labels)
    return shown


def _some(values: Float[np.ndarray, "n"]) -> Float[np.ndarray, "m"]:
    """Return at most `MOST_VOXELS` of the values, at equal steps; copied, as all others would stay in memory, too."""
    return values[:: max(1, -(-len(values) // MOST_VOXELS))].copy()


def _between(parts: Sequence[np.ndarray]) -> Window | None:
    """Return the percentiles of all values; None where there are none, or all are equal."""
    values = np.concatenate([np.zeros(0, np.float32), *parts])
    if not values.size or values.min() == values.max():
        return None
    low, high = (float(each) for each in np.percentile(values, PERCENTILES))
    return (low, high) if low < high else (float(values.min()), float(values.max()))
