"""Images as the page shows them: each channel scaled to 16 bits from its lowest value to its highest."""

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Lock, Thread
from time import monotonic
from typing import Any, Final

import numpy as np
from jaxtyping import Shaped, UInt8, UInt16

from maskmixadv.corpus.channels import COLOURS, ONE
from maskmixadv.corpus.padding import without_padding
from maskmixadv.errors import InputError
from maskmixadv.files import read_json, write_text
from maskmixadv.formats import image_files, nifti, several
from maskmixadv.formats.slicing import View
from maskmixadv.formats.volume import Volume
from maskmixadv.studio.cache import FileCache, Stamp, stamp
from maskmixadv.studio.images import grouping
from maskmixadv.studio.images.grouping import Named
from maskmixadv.studio.images.intake import check_declared, taken
from maskmixadv.studio.memory import MemoryLackError
from maskmixadv.typed import as_type, made
from maskmixadv.types import Spacing

ByteVolume = UInt8[np.ndarray, "_ _ _"]
"""Class indices or doubt, on the axes of the image's file."""
CACHED_BYTES: Final = 2**30
LARGE: Final = 2**24
"""Voxels from which on a slice is shown before all of its image is read."""
AGAIN: Final = 30.0
"""Seconds until an image is read again that memory lacked for."""
TOP: Final = 65_535
"""The value that the highest one is scaled to."""


@dataclass(frozen=True)
class ShownChannel:
    """A channel that the page shows: one, or red, green and blue together.

    Attributes
    ----------
    name
        Such as ``channel 0``.
    low, high
        The lowest and highest value, which are scaled to 0 and 65,535. Padding takes no part, and is scaled to 0.
    padded
        Whether there is padding (`maskmixadv.corpus.padding`).
    """

    name: str
    low: float
    high: float
    padded: bool


@dataclass(frozen=True)
class ShownImage:
    """An image for the page, with the grid on which its labels are written.

    Attributes
    ----------
    volume
        The first of the stored channels, on the axes of the file; of colours it is red.
    stored
        The shown channels, scaled to 16 bits. Colours are one, with red, green and blue on the last axis.
    channels
        What each of them is.
    coloured
        Whether the image is a picture in colour.
    """

    volume: Volume
    stored: UInt16[np.ndarray, "c d h w *rgb"]
    channels: tuple[ShownChannel, ...]
    coloured: bool

    def pixels(self, view: View, channel: int = 0) -> UInt16[np.ndarray, "d h w *rgb"]:
        """Return the slices of a channel as they are seen."""
        stored = self.stored[channel]
        return np.moveaxis(view.seen(np.moveaxis(stored, -1, 0)), 0, -1) if self.coloured else view.seen(stored)


@dataclass(frozen=True)
class Facts:
    """Facts of an image for the list of cases: shape and spacing (mm) along d, h, w, and its channels.

    `notes` say what reading the file tells (`maskmixadv.formats.volume.Volume`).
    """

    shape: tuple[int, int, int]
    spacing: Spacing | None
    channels: tuple[ShownChannel, ...]
    coloured: bool
    notes: tuple[str, ...]


class ShownImages:
    """The images of a folder.

    Parameters
    ----------
    index
        File that keeps the facts of the images, so that a list of them need not read them again.
    """

    def __init__(self, index: Path) -> None:
        self._shown = FileCache(show, lambda shown: shown.stored.nbytes, CACHED_BYTES)
        self._index = index
        self._known: dict[str, Facts | InputError] = dict(_known(index))
        self._looked: dict[str, float] = {}
        self._lock = Lock()
        self._begun: set[Stamp] = set()
        self._named: Named | None = None

    def get(self, paths: Sequence[Path]) -> ShownImage:
        """Read an image of a file, or of several with a channel each.

        Raises
        ------
        InputError
            If it is damaged, not finite, constant, or too large, or its channels are not on one grid.
        """
        return self._shown.get(*paths)

    def keep(self, path: Path, shown: ShownImage) -> None:
        """Keep the image that was read of `path` under another name."""
        self._shown.put(shown, path)

    def first(self, paths: Sequence[Path], facts: Facts, index: int) -> UInt16[np.ndarray, "h w"] | None:
        """Return the slice ``stored[0, index]`` of a large image that is not in memory, before all of it is read.

        The rest is then read in the background. None where that is not possible or not worth it: the caller waits for
        the whole image.

        Raises
        ------
        InputError
            If the file can't be read.
        """
        (path, *others), (channel, *more) = paths, facts.channels
        alone = not others and not more and not facts.coloured
        packed = path.name.lower().endswith(nifti.SUFFIXES)
        if not alone or not packed or math.prod(facts.shape) < LARGE or self._shown.holds(path):
            return None
        with self._lock:
            if (key := stamp(path)) in self._begun:
                return None
            self._begun = {*(each for each in self._begun if each[0] != path), key}
        try:
            plane = nifti.read_slice(path, index)
        finally:  # not beside it, as there may be no core to spare
            Thread(target=self._read_on, args=(path,), daemon=True).start()
        if plane is None:
            return None
        values = np.maximum(plane, channel.low) if channel.padded else plane  # padding lies below all that was measured
        return _scaled(values[None], channel.low, channel.high)[0]

    def _read_on(self, path: Path) -> None:
        with suppress(InputError):  # whoever asks for more of it is told
            self.get([path])
        with self._lock:
            self._begun = {each for each in self._begun if each[0] != path}

    def facts(self, images: Mapping[str, Sequence[Path]]) -> dict[str, Facts | InputError]:
        """Return the facts of each of `images` by case, or the error that says what is wrong with it."""
        with self._lock:
            self._look_anew(images)
            told = {case: self._told(paths) for case, paths in images.items()}
            known = {key: facts for key, facts in told.values() if isinstance(facts, Facts)}
            if known != {key: facts for key, facts in self._known.items() if isinstance(facts, Facts)}:
                self._keep(known)
            self._known = dict(told.values())
            return {case: facts for case, (_, facts) in told.items()}

    def _look_anew(self, images: Mapping[str, Sequence[Path]]) -> None:
        """Forget what was wrong with images, and channels, if a ``dataset.json`` has changed: it names a fourth axis.

        The index may know channels that one named before the studio was started.
        """
        if (named := grouping.named_by(images.values())) == self._named:
            return
        self._named = named
        known = {key: found for key, found in self._known.items() if isinstance(found, Facts)}
        for paths in images.values():
            with suppress(InputError):  # it is gone
                found = known.get(key := _key(paths))
                if found is not None and not _still(paths, found):
                    del known[key]
                    self._shown.drop(*paths)
        self._known = dict[str, Facts | InputError](known)

    def _told(self, paths: Sequence[Path]) -> tuple[str, Facts | InputError]:
        """Return the key of an image in the index, and its facts or what is wrong with it."""
        try:
            key = _key(paths)
            known = self._known.get(key)
            if known is None or (isinstance(known, MemoryLackError) and self._may_fit(key, paths)):
                known = self._look(paths)
                self._looked[key] = monotonic()
            return key, known
        except InputError as error:
            return paths[0].name, error

    def _may_fit(self, key: str, paths: Sequence[Path]) -> bool:
        """Whether memory may be there by now for an image that it lacked for: somebody has read it, or time passed."""
        return self._shown.holds(*paths) or monotonic() >= self._looked.get(key, 0.0) + AGAIN

    def _look(self, paths: Sequence[Path]) -> Facts | InputError:
        try:
            shown = self.get(paths)
        except InputError as error:
            return error
        d, h, w = shown.volume.array.shape
        return Facts((d, h, w), shown.volume.spacing, shown.channels, shown.coloured, shown.volume.notes)

    def _keep(self, known: Mapping[str, Facts]) -> None:
        # Errors are not kept: installing a library that reads the format may mend them, for example.
        with suppress(InputError):  # the index is made again
            write_text(self._index, json.dumps({key: asdict(facts) for key, facts in known.items()}))


def _still(paths: Sequence[Path], found: Facts) -> bool:
    """Whether an image's header is still taken as one of channels; only one of several channels is looked at."""
    if len(paths) > 1 or (len(found.channels) == 1 and not found.notes):  # a note tells of channels that are the same
        return True
    try:
        image_files.channels(paths[0])
    except InputError:
        return False
    return True


def show(*paths: Path) -> ShownImage:
    """Read an image and scale its channels to 16 bits; raises as `ShownImages.get`."""
    with taken():
        for path in paths:
            check_declared(path)
        volume = several.read(paths)
    if volume.coloured and volume.channels is not None and len(volume.channels) == len(COLOURS):
        found = [_colours(np.moveaxis(volume.channels, 0, -1), paths[0])]
    else:
        parts = _greys(volume)
        files = paths if len(paths) > 1 else paths * len(parts)
        names = _names(paths, len(parts))
        found = [_grey(*each) for each in zip(parts, names, files, strict=True)]
    one, *others = (pixels for pixels, _ in found)
    stored, channels = np.stack([one, *others]) if others else one[None], tuple(channel for _, channel in found)
    coloured = stored.ndim > volume.array.ndim + 1
    first = stored[0, ..., 0] if coloured else stored[0]
    return ShownImage(replace(volume, array=first, channels=None), stored, channels, coloured)


def _greys(volume: Volume) -> list[Shaped[np.ndarray, "d h w"]]:
    """Return the channels of an image that is no picture in colour; one where red, green and blue are the same."""
    channels = volume.channels
    if channels is None or all(np.array_equal(channels[0], each) for each in channels[1:]):
        return [volume.array]
    return list(channels)


def _names(paths: Sequence[Path], count: int) -> list[str]:
    """Return names of an image's channels: their numbers, which their files' names have where they are several."""
    if count == 1:
        return [ONE[0].name]
    if len(paths) == 1:
        return [f"channel {place}" for place in range(count)]
    found = [several.NUMBERED.fullmatch(image_files.stem(path)) for path in paths]
    return [f"channel {int(each[2])}" if each else f"channel {place}" for place, each in enumerate(found)]


def _grey(
    values: Shaped[np.ndarray, "d h w"], name: str, path: Path
) -> tuple[UInt16[np.ndarray, "d h w"], ShownChannel]:
    """Scale a channel from its lowest value to its highest, without padding."""
    low, high = _range(values, path)
    measured = without_padding(values, where=None)
    padded = measured is not values
    low = float(measured.min()) if padded else low
    return _scaled(measured, low, high), ShownChannel(name, low, high, padded)


def _colours(values: Shaped[np.ndarray, "d h w 3"], path: Path) -> tuple[UInt16[np.ndarray, "d h w 3"], ShownChannel]:
    """Scale red, green and blue alike, so that black stays black; 8 bits keep their whole range, as pictures do."""
    low, high = _range(values, path)
    low, high = (0.0, 255.0) if values.dtype == np.uint8 else (min(low, 0.0), high)
    return _scaled(values, low, high), ShownChannel("colours", low, high, padded=False)


def _range(values: np.ndarray, path: Path) -> tuple[float, float]:
    low, high = float(np.min(values)), float(np.max(values))
    if not np.isfinite([low, high]).all():
        raise InputError(f"{path.name}: image holds NaN or infinity, allowed are finite numbers")
    if low == high:
        raise InputError(f"{path.name}: image is constant ({low:g}), allowed is one with contrast")
    return low, high


def _scaled(values: Shaped[np.ndarray, "d h w *rgb"], low: float, high: float) -> UInt16[np.ndarray, "d h w *rgb"]:
    pixels, scaled = np.empty(values.shape, np.uint16), np.empty(values.shape[1:])
    for plane, each in zip(pixels, values, strict=True):  # one by one, to save memory
        np.subtract(each, low, out=scaled, dtype=np.float64)
        scaled *= TOP / (high - low)
        plane[:] = np.rint(scaled, out=scaled)
    return pixels


def _key(paths: Sequence[Path]) -> str:
    return ", ".join(" ".join([path.name, *map(str, stamp(path)[1:])]) for path in paths)


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
    values = [value for each in facts.channels for value in (each.low, each.high)]
    whole = min(facts.shape) >= 1 and facts.channels and np.isfinite([*values, *(facts.spacing or ())]).all()
    return facts if whole else None
