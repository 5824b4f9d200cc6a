"""Padding: a value far below all others that fills what was not measured, as round a CT's field of view."""

import math
from typing import Final

import numpy as np
from jaxtyping import Num

from maskmixadv.errors import say

FLOOR: Final = -1200.0
"""Below this no CT measures anything: air has -1000 HU, and scanners cut off at -1024, with noise beyond it at most."""
STEP: Final = 100.0
"""By how much padding lies below the next value, where that one is above the floor."""
WIDE: Final = 2.0
"""Elsewhere: how many times the range of all other values the gap to the next one is."""
SHARE: Final = 1e-3
"""Part of the voxels that padding fills at least."""
KINDS: Final = 3
"""Values of padding that an image has at most."""


def padding(volume: Num[np.ndarray, "*_ h w"]) -> float | None:
    """Return the value of a volume's padding, above which its next value lies; None if it has none.

    It is the lowest value, below 0, which many voxels have exactly and from which all others lie far apart. Images
    without negative values have no padding, so that they stay as they are.

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(0, 300, (2, 32, 32)).clip(-1000).astype(np.float32)
    >>> padding(image) is None
    True
    >>> image[:, :8] = -3024
    >>> padding(image)
    -3024.0
    """
    low = float(volume.min())
    if not low < 0:
        return None
    ranges = [_range(part[part > low]) for part in volume]  # part by part, as a CT takes a gigabyte
    others = sum(count for count, _, _ in ranges)
    if not others or volume.size - others < SHARE * volume.size:
        return None
    least, most = min(least for _, least, _ in ranges), max(most for _, _, most in ranges)
    if least == most:
        return None
    measured = low < FLOOR <= least and least - low >= STEP
    return low if measured or least - low > WIDE * (most - least) else None


def _range(values: Num[np.ndarray, "n"]) -> tuple[int, float, float]:
    """Return how many values there are, the least and the most."""
    if not values.size:
        return 0, math.inf, -math.inf
    return values.size, float(values.min()), float(values.max())


def without_padding(volume: Num[np.ndarray, "*_ h w"], *, where: str | None) -> Num[np.ndarray, "*_ h w"]:
    """Return a volume whose padding has the lowest value that was measured; a line on stderr says so.

    Parameters
    ----------
    volume
        Finite intensities, which are not changed; a volume without padding is returned itself.
    where
        Beginning of the line; None: no line.

    Examples
    --------
    >>> image = np.array([[[-32768, -32768, 10, 20, 30]]], np.float32)
    >>> without_padding(image, where="a.nii.gz").tolist()
    [[[10.0, 10.0, 10.0, 20.0, 30.0]]]
    """
    for _ in range(KINDS):
        if (value := padding(volume)) is None:
            break
        filled = volume == value
        least = volume.min(where=~filled, initial=volume.max())
        if where is not None:
            count = int(filled.sum())
            voxels, are = ("voxel", "is") if count == 1 else ("voxels", "are")
            part = f"{count} {voxels} ({filled.mean():.1%}) {are} {value:g}, far below all others"
            say(f"maskmixadv: note: {where}: {part}: taken as padding and set to {least:g}")
        volume = np.where(filled, least, volume)
    return volume
