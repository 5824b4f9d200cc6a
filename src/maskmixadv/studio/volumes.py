"""Images as the page shows them: 16 bits from the volume's lowest to its highest value, read once."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, Final

import nibabel as nib
import numpy as np
from jaxtyping import Shaped, UInt8, UInt16

from maskmixadv.data import formats, nifti
from maskmixadv.data.corpus import Spacing
from maskmixadv.data.nifti import Volume
from maskmixadv.errors import InputError
from maskmixadv.files import read_json, write_text
from maskmixadv.studio.cache import Cache, stamp
from maskmixadv.studio.intake import check_declared, taken
from maskmixadv.typed import as_type, made

CACHED_BYTES: Final = 2**30
TOP: Final = 65_535


@dataclass(frozen=True)
class Shown:
    """A volume for showing, with its own grid for writing on.

    Attributes
    ----------
    volume
        Its array is of 16 bits, 0 for `low`, 65,535 for `high`; axes as the file has them.
    """

    volume: Volume
    low: float
    high: float

    def pixels(self, axis: int) -> UInt16[np.ndarray, "d h w"]:
        """Slices, cut along the file's `axis`."""
        return np.moveaxis(self.volume.array, axis, 0)


@dataclass(frozen=True)
class Facts:
    """What the list of cases says of an image: shape and spacing in mm along d, h, w, range of values."""

    shape: tuple[int, int, int]
    spacing: Spacing | None
    low: float
    high: float


class Volumes:
    """Images of a folder.

    Parameters
    ----------
    index
        Where to keep what is known of the images, so that a list of them need not read them all again.
    """

    def __init__(self, index: Path) -> None:
        self._shown = Cache(show, lambda shown: shown.volume.array.nbytes, CACHED_BYTES)
        self._index = index
        self._facts: dict[str, Any] = _known(index)
        self._lock = Lock()

    def get(self, path: Path) -> Shown:
        """Read an image.

        Raises
        ------
        InputError
            Where it is damaged, not finite, constant, or larger than is taken.
        """
        return self._shown.get(path)

    def facts(self, images: Mapping[str, Path]) -> dict[str, Facts | InputError]:
        """What is known of each of `images`, by case, or what is wrong with it."""
        with self._lock:
            known = self._facts
            self._facts = {_key(path): known.get(_key(path)) or self._look(path) for path in images.values()}
            if self._facts != known:
                write_text(self._index, json.dumps(self._facts))
            return {case: _told(self._facts[_key(path)]) for case, path in images.items()}

    def _look(self, path: Path) -> dict[str, Any]:
        try:
            shown = self.get(path)
        except InputError as error:
            return {"problem": str(error)}
        d, h, w = shown.volume.array.shape
        return asdict(Facts((d, h, w), shown.volume.spacing, shown.low, shown.high))


def show(path: Path) -> Shown:
    """Read an image and scale it to 16 bits; raises as `Volumes.get`."""
    with taken():
        check_declared(path)
        volume = formats.read(path)
    low, high = float(np.min(volume.array)), float(np.max(volume.array))
    if not np.isfinite([low, high]).all():
        raise InputError(f"{path.name}: image holds NaN or infinity, allowed are finite numbers")
    if low == high:
        raise InputError(f"{path.name}: image is constant ({low:g}), allowed is one with contrast")
    pixels = np.empty(volume.array.shape, np.uint16)
    for plane, values in zip(pixels, volume.array, strict=True):  # one by one, as a volume of floats takes much memory
        plane[:] = np.rint((values.astype(np.float64) - low) * (TOP / (high - low)))
    return Shown(replace(volume, array=pixels), low, high)


def write_labels(path: Path, labels: Shaped[np.ndarray, "d h w"], like: Volume) -> None:
    """Write `labels` as NIfTI on the grid of `like`, of whatever format that was; whole or not at all.

    Raises
    ------
    InputError
        Where the file can't be written.
    """
    if not isinstance(like.header, nib.Nifti1Header):
        affine = np.eye(4) if like.affine is None else like.affine
        like = replace(like, header=nib.Nifti1Header(), affine=affine)
    nifti.write_labels(path, labels, like)


def turned(labels: UInt8[np.ndarray, "_ _ _"], axis: int) -> UInt8[np.ndarray, "_ _ _"]:
    """Labels of slices cut along a file's `axis`, with the file's axes again."""
    return np.moveaxis(labels, 0, axis)


def _key(path: Path) -> str:
    _, changed, size = stamp(path)
    return f"{path.name} {changed} {size}"


def _told(entry: dict[str, Any]) -> Facts | InputError:
    if "problem" in entry:
        return InputError(entry["problem"])
    d, h, w = entry["shape"]
    spacing = entry["spacing"]
    return Facts((d, h, w), None if spacing is None else tuple(spacing), entry["low"], entry["high"])


def _known(index: Path) -> dict[str, Any]:
    try:
        known = as_type(read_json(index), dict[str, dict[str, Any]], str(index))
    except InputError:  # it is made again
        return {}
    return {key: entry for key, raw in known.items() if (entry := _entry(raw)) is not None}


def _entry(raw: dict[str, Any]) -> dict[str, Any] | None:
    """What `_look` gives; None where it is not that, so that the image is looked at anew."""
    try:
        if "problem" in raw:
            return {"problem": as_type(raw["problem"], str, "")}
        return asdict(made(Facts, raw, ""))
    except InputError:
        return None
