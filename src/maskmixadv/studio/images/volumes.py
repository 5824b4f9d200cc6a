"""Images as the page shows them: 16 bits from the volume's lowest to its highest value, read once."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
from jaxtyping import UInt8, UInt16

from maskmixadv.errors import InputError
from maskmixadv.files import read_json, write_text
from maskmixadv.formats import image_files
from maskmixadv.formats.volume import Volume
from maskmixadv.studio.cache import Cache, stamp
from maskmixadv.studio.images.intake import check_declared, taken
from maskmixadv.typed import as_type, made
from maskmixadv.types import Spacing

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
        self._known: dict[str, Facts | InputError] = dict(_known(index))
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
            told = {case: self._told(path) for case, path in images.items()}
            known = {key: facts for key, facts in told.values() if isinstance(facts, Facts)}
            if known != {key: facts for key, facts in self._known.items() if isinstance(facts, Facts)}:
                self._keep(known)
            self._known = dict(told.values())
            return {case: facts for case, (_, facts) in told.items()}

    def _told(self, path: Path) -> tuple[str, Facts | InputError]:
        """What `path` is known by, and what is known of it."""
        try:
            key = _key(path)
            return key, self._known.get(key) or self._look(path)
        except InputError as error:
            return path.name, error

    def _look(self, path: Path) -> Facts | InputError:
        try:
            shown = self.get(path)
        except InputError as error:
            return error
        d, h, w = shown.volume.array.shape
        return Facts((d, h, w), shown.volume.spacing, shown.low, shown.high)

    def _keep(self, known: Mapping[str, Facts]) -> None:
        # Not what is wrong: that may be mended otherwise, as by installing what reads the format.
        with suppress(InputError):  # it would be made again
            write_text(self._index, json.dumps({key: asdict(facts) for key, facts in known.items()}))


def show(path: Path) -> Shown:
    """Read an image and scale it to 16 bits; raises as `Volumes.get`."""
    with taken():
        check_declared(path)
        volume = image_files.read(path)
    low, high = float(np.min(volume.array)), float(np.max(volume.array))
    if not np.isfinite([low, high]).all():
        raise InputError(f"{path.name}: image holds NaN or infinity, allowed are finite numbers")
    if low == high:
        raise InputError(f"{path.name}: image is constant ({low:g}), allowed is one with contrast")
    pixels = np.empty(volume.array.shape, np.uint16)
    for plane, values in zip(pixels, volume.array, strict=True):  # one by one, as a volume of floats takes much memory
        plane[:] = np.rint((values.astype(np.float64) - low) * (TOP / (high - low)))
    return Shown(replace(volume, array=pixels), low, high)


def turned(labels: UInt8[np.ndarray, "_ _ _"], axis: int) -> UInt8[np.ndarray, "_ _ _"]:
    """Labels of slices cut along a file's `axis`, with the file's axes again."""
    return np.moveaxis(labels, 0, axis)


def _key(path: Path) -> str:
    _, changed, size = stamp(path)
    return f"{path.name} {changed} {size}"


def _known(index: Path) -> dict[str, Facts]:
    try:
        known = as_type(read_json(index), dict[str, dict[str, Any]], str(index))
    except InputError:
        return {}  # it is made again
    return {key: facts for key, raw in known.items() if (facts := _facts(raw)) is not None}


def _facts(raw: dict[str, Any]) -> Facts | None:
    """What `_look` gives; None where it is not that, so that the image is looked at anew."""
    try:
        facts = made(Facts, raw, "")
    except InputError:
        return None
    whole = min(facts.shape) >= 1 and np.isfinite([facts.low, facts.high, *(facts.spacing or ())]).all()
    return facts if whole else None
