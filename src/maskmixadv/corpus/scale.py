"""Intensities of images, scaled to [0, 1]. Nothing here imports torch."""

from typing import Final

import numpy as np
from jaxtyping import Float

from maskmixadv.corpus.padding import FLOOR, without_padding
from maskmixadv.errors import InputError, say

PERCENTILE: Final = 99.0
"""Percentile of a volume's intensities that becomes 1 unless a channel says another, as in ACDC's release."""
LARGEST: Final = float(np.finfo(np.float32).max)
"""Range of intensities at most."""
AIR: Final = -900.0
"""Hounsfield units that a CT with air in it goes below."""
BODY: Final = 0.0
"""Hounsfield units that a CT of a body goes above."""
LEVELS: Final = 256
"""Steps that an image's range has at least in numbers of 32 bits, else a line says that it has fewer."""
LIKE_CT: Final = (
    "intensities look like Hounsfield units, and each volume was scaled by its own range; if it is CT, say so: "
    '[[channel]] with kind = "CT" in classes.toml, or channels=[Channel("CT", "CT")] in Python'
)
"""A hint on images of which `like_ct` is true."""


def normalise(
    image: np.ndarray, *, where: str, percentile: float = PERCENTILE, knee: float = 0.0
) -> Float[np.ndarray, "*c d h w"]:
    """Scale a volume to [0, 1] (float32): 0 is its lowest intensity, 1 a percentile of them, where it is cut off.

    ACDC's pre-processed release is scaled in this way, up to the 99th percentile. Padding, a value far below all others
    that many voxels have, takes no part: it becomes the lowest intensity that was measured, and a line on stderr says
    so.

    Parameters
    ----------
    image
        Intensities ``d h w`` of any number type; channels ``c d h w`` are scaled alike.
    where
        Beginning of the error's text.
    percentile
        Percentile of the intensities that becomes 1, above 0 and at most 100.
    knee
        What the 99th percentile becomes at least, in [0, 1]. Where it would become less, the range bends there: so a
        few voxels that are much brighter than all others leave these their contrast, and keep some of their own.

    Raises
    ------
    InputError
        If it holds NaN or infinity, is constant, or its range is beyond numbers of 32 bits.

    Examples
    --------
    >>> normalise(np.arange(-100, 102).reshape(2, 1, 101), where="a.nii.gz")[:, 0, ::50].round(2).tolist()
    [[0.0, 0.25, 0.5], [0.51, 0.76, 1.0]]
    >>> bright = np.array([0] * 50 + [1] * 49 + [4]).reshape(1, 1, 100)
    >>> [normalise(bright, where="", percentile=100.0, knee=knee)[0, 0, 60].round(2).item() for knee in (0.0, 0.8)]
    [0.25, 0.78]
    """
    volume = measured(image, where=where)
    low, high = float(volume.min()), float(np.percentile(volume, percentile))
    if high <= low:
        high = float(volume.max())
    if high <= low:
        raise InputError(f"{where}: image is constant ({low:g}), allowed is one with contrast")
    if float(volume.max()) - low > LARGEST:  # differences would be infinite, and what is learnt from them NaN
        raise InputError(f"{where}: intensities are {low:g} to {volume.max():g}, allowed is a range of up to 3.4e38")
    volume -= low  # in place, as a CT takes a gigabyte
    volume /= high - low
    np.clip(volume, 0.0, 1.0, out=volume)
    return bent(volume, knee) if knee else volume


def bent(volume: Float[np.ndarray, "*c d h w"], knee: float) -> Float[np.ndarray, "*c d h w"]:
    """Return a volume in [0, 1] whose 99th percentile is `knee` at least: linear below it and above it, in place.

    Where it is 0, as in a volume with hardly anything in it, nothing is changed.

    Examples
    --------
    >>> volume = np.array([0.0] * 50 + [0.5] * 49 + [1.0], np.float32).reshape(1, 1, 100)
    >>> bent(volume, 0.75)[0, 0, [0, 60, 99]].tolist()
    [0.0, 0.75, 1.0]
    """
    middle = float(np.percentile(volume, PERCENTILE))
    if 0 < middle < knee:
        for part in volume:  # part by part, as NumPy interpolates in double precision
            part[...] = np.interp(part, (0.0, middle, 1.0), (0.0, knee, 1.0))
    return volume


def measured(image: np.ndarray, *, where: str) -> Float[np.ndarray, "*c d h w"]:
    """Return intensities as they were measured (float32): padding has the lowest of them, and a line says so.

    Where 32 bits tell fewer than `LEVELS` of them apart, as on a large offset, a line on stderr says so, too.

    Parameters
    ----------
    image
        Intensities of any number type, which are not changed.
    where
        Beginning of the error's text.

    Raises
    ------
    InputError
        If it holds NaN, infinity, or a number beyond those of 32 bits.

    Examples
    --------
    >>> measured(np.array([[[-1000, -500, 40, 200]]], np.int16), where="a.nii.gz").tolist()
    [[[-1000.0, -500.0, 40.0, 200.0]]]
    """
    with np.errstate(over="ignore"):  # what is told below
        volume = np.array(image, dtype=np.float32)
    if not all(np.isfinite(part).all() for part in volume):
        raise InputError(f"{where}: image holds NaN or infinity, allowed are finite numbers of 32 bits, to 3.4e38")
    _tell_rounded(image, volume, where)
    return without_padding(volume, where=where)


def _tell_rounded(image: np.ndarray, volume: Float[np.ndarray, "*c d h w"], where: str) -> None:
    """Say where numbers of 32 bits are too coarse for an image, as one of small differences on a large offset."""
    low, high = float(volume.min()), float(volume.max())
    step = float(np.spacing(np.float32(max(abs(low), abs(high)))))
    if LEVELS * step > high - low and (volume != image).any():
        low, high = float(image.min()), float(image.max())
        told = f"{where}: intensities are {low:.10g} to {high:.10g}, which numbers of 32 bits tell apart in steps of"
        say(f"{told} {step:g}; finer differences are lost, subtract {low:.10g} from the image before")


def windowed(image: Float[np.ndarray, "*c d h w"], window: tuple[float, float]) -> Float[np.ndarray, "*c d h w"]:
    """Scale a window of intensities to [0, 1] (float32); those beyond it are cut off.

    Examples
    --------
    >>> windowed(np.array([[[-1000.0, 40.0, 240.0]]]), (-160.0, 240.0)).tolist()
    [[[0.0, 0.5, 1.0]]]
    """
    low, high = window
    return np.clip((image - low) / (high - low), 0.0, 1.0).astype(np.float32)


def unscaled(image: np.ndarray, *, where: str) -> Float[np.ndarray, "*c d h w"]:
    """Return intensities that are in [0, 1] already (float32).

    Raises
    ------
    InputError
        If they are not.

    Examples
    --------
    >>> unscaled(np.array([[[0.0, 0.25, 2.0]]]), where="a_0001.nii.gz")
    Traceback (most recent call last):
    maskmixadv.errors.InputError: a_0001.nii.gz: intensities are 0 to 2, allowed for kind noNorm are 0 to 1; ...
    """
    low, high = float(image.min()), float(image.max())
    if not 0 <= low <= high <= 1:  # NaN is refused, too
        raise InputError(
            f"{where}: intensities are {low:g} to {high:g}, allowed for kind noNorm are 0 to 1; say another kind"
        )
    return np.asarray(image, dtype=np.float32)


def like_ct(image: np.ndarray) -> bool:
    """Whether intensities look like those of a CT in Hounsfield units: whole numbers from that of air on.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> like_ct(rng.integers(-1024, 1200, (2, 8, 8))), like_ct(rng.integers(0, 1200, (2, 8, 8)))
    (True, False)
    """
    ends = list[float]()
    for part in image:  # part by part, as a CT takes a gigabyte
        held = part[part >= FLOOR]  # what lies below is padding
        if (held != np.round(held)).any():
            return False
        ends += [float(held.min()), float(held.max())] if held.size else []
    return bool(ends) and min(ends) <= AIR and max(ends) >= BODY
