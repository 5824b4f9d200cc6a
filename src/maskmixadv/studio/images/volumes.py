"""Images as the page shows them: scaled to 16 bits from the volume's lowest value to its highest."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, Final

import numpy as np
from jaxtyping import UInt8

from maskmixadv.errors import InputError
from maskmixadv.files import read_json, write_text
from maskmixadv.formats import image_files
from maskmixadv.formats.volume import Volume
from maskmixadv.studio.cache import FileCache, stamp
from maskmixadv.studio.images.intake import check_declared, taken
from maskmixadv.typed import as_type, made
from maskmixadv.types import Spacing

ByteVolume = UInt8[np.ndarray, "_ _ _"]
"""Class indices or doubt, on the axes of the image's file."""
CACHED_BYTES: Final = 2**30
TOP: Final = 65_535
"""The value that the highest one is scaled to."""


@dataclass(frozen=True)
class ShownImage:
    """An image for the page, with the grid on which its labels are written.

    Attributes
    ----------
    volume
        The image, scaled to 16 bits, on the axes of the file.
    low, high
        The lowest and highest value, which are scaled to 0 and 65,535.
    """

    volume: Volume
    low: float
    high: float


@dataclass(frozen=True)
class Facts:
    """Facts of an image for the list of cases: shape and spacing (mm) along d, h, w, and the range of its values."""

    shape: tuple[int, int, int]
    spacing: Spacing | None
    low: float
    high: float


class ShownImages:
    """The images of a folder.

    Parameters
    ----------
    index
        File that keeps the facts of the images, so that a list of them need not read them again.
    """

    def __init__(self, index: Path) -> None:
        self._shown = FileCache(show, lambda shown: shown.volume.array.nbytes, CACHED_BYTES)
        self._index = index
        self._known: dict[str, Facts | InputError] = dict(_known(index))
        self._lock = Lock()

    def get(self, path: Path) -> ShownImage:
        """Read an image.

        Raises
        ------
        InputError
            If it is damaged, not finite, constant, or too large.
        """
        return self._shown.get(path)

    def facts(self, images: Mapping[str, Path]) -> dict[str, Facts | InputError]:
        """Return the facts of each of `images` by case, or the error that says what is wrong with it."""
        with self._lock:
            told = {case: self._told(path) for case, path in images.items()}
            known = {key: facts for key, facts in told.values() if isinstance(facts, Facts)}
            if known != {key: facts for key, facts in self._known.items() if isinstance(facts, Facts)}:
                self._keep(known)
            self._known = dict(told.values())
            return {case: facts for case, (_, facts) in told.items()}

    def _told(self, path: Path) -> tuple[str, Facts | InputError]:
        """Return the key of `path` in the index, and its facts or what is wrong with it."""
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
        # Errors are not kept: installing a library that reads the format may mend them, for example.
        with suppress(InputError):  # the index is made again
            write_text(self._index, json.dumps({key: asdict(facts) for key, facts in known.items()}))


def show(path: Path) -> ShownImage:
    """Read an image and scale it to 16 bits; raises as `ShownImages.get`."""
    with taken():
        check_declared(path)
        volume = image_files.read(path)
    low, high = float(np.min(volume.array)), float(np.max(volume.array))
    if not np.isfinite([low, high]).all():
        raise InputError(f"{path.name}: image holds NaN or infinity, allowed are finite numbers")
    if low == high:
        raise InputError(f"{path.name}: image is constant ({low:g}), allowed is one with contrast")
    pixels = np.empty(volume.array.shape, np.uint16)
    for plane, values in zip(pixels, volume.array, strict=True):  # one by one, to save memory
        plane[:] = np.rint((values.astype(np.float64) - low) * (TOP / (high - low)))
    return ShownImage(replace(volume, array=pixels), low, high)


def _key(path: Path) -> str:
    _, changed, size = stamp(path)
    return f"{path.name} {changed} {size}"


def _known(index: Path) -> dict[str, Facts]:
    try:
        known = as_type(read_json(index), dict[str, dict[str, Any]], str(index))
    except InputError:
        return {}  # the index is made again
    return {key: facts for key, raw in known.items() if (facts := _facts(raw)) is not None}


def _facts(raw: dict[str, Any]) -> Facts | None:
    """Read the facts of an image; None if they are malformed, so that the image is read again."""
    try:
        facts = made(Facts, raw, "")
    except InputError:
        return None
    whole = min(facts.shape) >= 1 and np.isfinite([facts.low, facts.high, *(facts.spacing or ())]).all()
    return facts if whole else None
