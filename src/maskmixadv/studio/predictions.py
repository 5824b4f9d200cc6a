"""What runs made of the folder's images: labels, and where the network is in doubt."""

from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8

from maskmixadv.data import nifti
from maskmixadv.data.reading import read_npz
from maskmixadv.errors import InputError
from maskmixadv.studio.cache import Cache
from maskmixadv.studio.layout import Layout, latest

CACHED_BYTES: Final = 2**28

Labels = UInt8[np.ndarray, "_ _ _"]


class Predictions:
    """Predictions by run and case; arrays have the images' axes."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._labels: Cache[Labels] = Cache(_labels, lambda labels: labels.nbytes, CACHED_BYTES)
        self._doubt: Cache[Labels] = Cache(_doubt, lambda doubt: doubt.nbytes, CACHED_BYTES)
        self._means: Cache[dict[int, list[float]]] = Cache(self._mean, lambda _: 1, 1 << 16)

    def latest(self) -> str | None:
        """Name of the latest run whose predictions are complete."""
        return latest(self._layout.predictions)

    def has(self, run: str, case: str) -> bool:
        """Whether there is a prediction."""
        return self._file(run, case, ".nii.gz") is not None

    def labels(self, run: str, case: str) -> Labels | None:
        """Labels of `case`, or None.

        Raises
        ------
        InputError
            Where the file is damaged.
        """
        path = self._file(run, case, ".nii.gz")
        return None if path is None else self._labels.get(path)

    def doubt(self, run: str, case: str) -> Labels | None:
        """How much the network is in doubt, 0 to 255; as `labels`."""
        path = self._file(run, case, ".npz")
        return None if path is None else self._doubt.get(path)

    def doubts(self, run: str, case: str, axis: int) -> list[float]:
        """Part of each slice along `axis` that is in doubt, in [0, 1]; empty where nothing is known."""
        path = self._file(run, case, ".npz")
        return [] if path is None else self._means.get(path)[axis]

    def _file(self, run: str, case: str, suffix: str) -> Path | None:
        path = self._layout.predictions / run / f"{case}{suffix}"
        return self._layout.check(path) if path.is_file() else None

    def _mean(self, path: Path) -> dict[int, list[float]]:
        doubt = self._doubt.get(path)
        across = {axis: tuple(other for other in range(3) if other != axis) for axis in range(3)}
        return {axis: (doubt.mean(others) / 255).tolist() for axis, others in across.items()}


def _labels(path: Path) -> Labels:
    return nifti.read(path).array.astype(np.uint8)


def _doubt(path: Path) -> Labels:
    doubt = read_npz(path).get("disagreement")
    if doubt is None or doubt.ndim != 3 or doubt.dtype != np.uint8:
        found = "no disagreement" if doubt is None else f"{doubt.dtype} {doubt.shape}"
        raise InputError(f"{path}: holds {found}, allowed is a volume of uint8; train again")
    return doubt
