"""Intensities of images, scaled to [0, 1]. Nothing here imports torch."""

from typing import Final

import numpy as np
from jaxtyping import Float

from maskmixadv.corpus.padding import without_padding
from maskmixadv.errors import InputError

PERCENTILE: Final = 99
"""Percentile of a volume's intensities that scaling maps to 1."""


def normalise(image: np.ndarray, *, where: str) -> Float[np.ndarray, "*c d h w"]:
    """Scale a volume to [0, 1] (float32): 0 is its lowest intensity, 1 its 99th percentile, where it is cut off.

    ACDC's pre-processed release is scaled in this way. Padding, a value far below all others that many voxels have,
    takes no part: it becomes the lowest intensity that was measured, and a line on stderr says so.

    Parameters
    ----------
    image
        Intensities ``d h w`` of any number type; channels ``c d h w`` are scaled alike.
    where
        Beginning of the error's text.

    Raises
    ------
    InputError
        If it holds NaN or infinity, or is constant.

    Examples
    --------
    >>> normalise(np.arange(-100, 102).reshape(2, 1, 101), where="a.nii.gz")[:, 0, ::50].round(2).tolist()
    [[0.0, 0.25, 0.5], [0.51, 0.76, 1.0]]
    """
    # A CT takes a gigabyte: one copy is made here, and changed in place.
    volume = np.array(image, dtype=np.float32)
    if not all(np.isfinite(part).all() for part in volume):
        raise InputError(f"{where}: image holds NaN or infinity, allowed are finite numbers")
    volume = without_padding(volume, where=where)
    low, high = float(volume.min()), float(np.percentile(volume, PERCENTILE))
    if high <= low:
        high = float(volume.max())
    if high <= low:
        raise InputError(f"{where}: image is constant ({low:g}), allowed is one with contrast")
    volume -= low
    volume /= high - low
    return np.clip(volume, 0.0, 1.0, out=volume)
