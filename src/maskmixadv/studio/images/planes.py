"""One slice of a volume, as it is seen."""

import numpy as np

from maskmixadv.formats.slicing import View
from maskmixadv.studio.refusals import MissingError


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
