"""One slice of a volume, as it is seen."""

import numpy as np
from jaxtyping import UInt8

from maskmixadv.formats.slicing import View
from maskmixadv.studio.refusals import MissingError, RequestError


def plane(volume: np.ndarray, view: View, index: int) -> np.ndarray:
    """Return a slice as it is seen; what is written into it is written into `volume`.

    Raises
    ------
    MissingError
        If there is no such slice.
    """
    return at(view.seen(volume), index)


def at(slices: np.ndarray, index: int) -> np.ndarray:
    """Return the slice with a number; raises as `plane`."""
    if not 0 <= index < len(slices):
        raise MissingError(f"no slice {index}, allowed are 0 to {len(slices) - 1}")
    return slices[index]


def labels_of(
    body: bytes, volume: np.ndarray, view: View, index: int, what: str = "labels"
) -> UInt8[np.ndarray, "h w"]:
    """Return the labels of a slice of `volume` out of a request's body, which has them row by row; raises as `plane`.

    Raises
    ------
    RequestError
        If their number is not that of the slice's pixels; the text begins with `what`.
    """
    h, w = plane(volume, view, index).shape
    if len(body) != h * w:
        raise RequestError(f"{what}: {len(body)} bytes, allowed are {h} × {w}")
    return np.frombuffer(body, np.uint8).reshape(h, w)
