"""Predictions on disk: for each run and image, labels and where the network is in doubt."""

from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float32, UInt8

from maskmixadv.errors import InputError
from maskmixadv.files import make_directory
from maskmixadv.formats import nifti
from maskmixadv.formats.reading import read_npz, reading
from maskmixadv.formats.slicing import View
from maskmixadv.formats.volume import Volume
from maskmixadv.studio.cache import FileCache
from maskmixadv.studio.images.volumes import ByteVolume
from maskmixadv.studio.layout import PROPOSED, Layout, latest

CACHED_BYTES: Final = 2**28
PROBABILITIES: Final = "probabilities"
"""Folder of the class probabilities in a run's predictions."""


class StoredPredictions:
    """The predictions of a folder, by run and case. Arrays have the axes of the images' files."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._labels: FileCache[ByteVolume] = FileCache(_labels, lambda labels: labels.nbytes, CACHED_BYTES)
        self._doubt: FileCache[ByteVolume] = FileCache(_doubt, lambda doubt: doubt.nbytes, CACHED_BYTES)
        self._means: FileCache[dict[int, list[float]]] = FileCache(self._mean, lambda _: 1, 1 << 16)

    def latest(self) -> str | None:
        """Return the name of the latest run whose predictions are complete."""
        run = latest(self._layout.predictions)
        return None if run == PROPOSED else run

    def proposed(self) -> bool:
        """Return whether a proposal was ever accepted."""
        return any((self._layout.predictions / PROPOSED).glob("*.nii.gz"))

    def keep(self, case: str, labels: UInt8[np.ndarray, "_ _"], place: tuple[int, int], like: Volume) -> None:
        """Keep the labels of a slice that a person accepted though no run predicted them, as those of `PROPOSED`.

        Parameters
        ----------
        labels
            Class indices, on the axes of the image's file.
        place
            The axis along which the slice is cut, and its number along it.
        like
            The image.

        Raises
        ------
        InputError
            If they can't be written, or what was kept before can't be read; it stays then.
        """
        folder = self._layout.check(self._layout.predictions / PROPOSED)
        make_directory(folder)
        path = self._layout.check(folder / f"{case}.nii.gz")
        volume = self.labels(PROPOSED, case, like.array.shape)
        volume = np.zeros(like.array.shape, np.uint8) if volume is None else volume.copy()
        np.moveaxis(volume, place[0], 0)[place[1]] = labels
        nifti.write_labels(path, volume, like)

    def has(self, run: str, case: str, shape: tuple[int, ...]) -> bool:
        """Return whether there is a prediction of `case`, whose image has `shape`; only the file's header is read.

        Raises
        ------
        InputError
            As `labels`.
        """
        path = self.file(run, case, ".nii.gz")
        return path is not None and _fits(path, nifti.peek(path)[0], shape)

    def labels(self, run: str, case: str, shape: tuple[int, ...]) -> ByteVolume | None:
        """Return the labels of `case`, whose image has `shape`, or None.

        Raises
        ------
        InputError
            If the file is damaged, or its shape is another than the image's.
        """
        return self._read(self._labels, self.file(run, case, ".nii.gz"), shape)

    def doubt(self, run: str, case: str, shape: tuple[int, ...]) -> ByteVolume | None:
        """Return the doubt of the network, 0 to 255, or None; raises as `labels`."""
        return self._read(self._doubt, self.file(run, case, ".npz"), shape)

    def probabilities(
        self, run: str, case: str, view: View, index: int, shape: tuple[int, ...]
    ) -> Float32[np.ndarray, "k h w"] | None:
        """Return the class probabilities of a slice as it is seen; None where the run kept none that fit.

        Only the slice is read, so that a long volume does not make a stroke wait.

        Raises
        ------
        InputError
            If the file is damaged.
        """
        path = self.file(run, case, ".npz", PROBABILITIES)
        if path is None:
            return None
        name = f"{view.axis}-{view.stored(index, shape[view.axis])}"
        with reading(path, "probabilities", wrong="damaged", advice="; train again"), np.load(path) as arrays:
            if name not in arrays.files:
                return None
            stored = arrays[name]
        across = tuple(length for axis, length in enumerate(shape) if axis != view.axis)
        if stored.dtype != np.uint8 or stored.shape[1:] != across:
            return None
        return _placed(stored, view).astype(np.float32) / 255

    def doubts(self, run: str, case: str, axis: int, shape: tuple[int, ...]) -> list[float]:
        """Return the part of each slice along `axis` that is in doubt, in [0, 1]; empty without prediction."""
        path = self.file(run, case, ".npz")
        means = {} if path is None else self._means.get(path)
        if path is not None:
            _fits(path, tuple(map(len, means.values())), shape)
        return means.get(axis, [])

    def _read(self, kept: FileCache[ByteVolume], path: Path | None, shape: tuple[int, ...]) -> ByteVolume | None:
        if path is None:
            return None
        array = kept.get(path)
        _fits(path, array.shape, shape)
        return array

    def file(self, run: str, case: str, suffix: str = ".nii.gz", part: str = ".") -> Path | None:
        """Return the file of a prediction's labels, or of its doubt (``.npz``); None if it is missing.

        `part` is the folder in the run's predictions, by default itself.

        Raises
        ------
        InputError
            If it is a link out of the folder.
        """
        path = self._layout.predictions / run / part / f"{case}{suffix}"
        return self._layout.check(path) if path.is_file() else None

    def _mean(self, path: Path) -> dict[int, list[float]]:
        doubt = self._doubt.get(path)
        across = {axis: tuple(other for other in range(3) if other != axis) for axis in range(3)}
        return {axis: (doubt.mean(others) / 255).tolist() for axis, others in across.items()}


def probabilities_of(probs: UInt8[np.ndarray, "d k h w"], view: View) -> dict[str, UInt8[np.ndarray, "k _ _"]]:
    """Return probabilities of a volume as it is seen slice by slice, by names, on the axes of the image's file."""
    return {f"{view.axis}-{view.stored(index, len(probs))}": _unplaced(each, view) for index, each in enumerate(probs)}


def _unplaced(seen: UInt8[np.ndarray, "k h w"], view: View) -> UInt8[np.ndarray, "k _ _"]:
    return np.squeeze(view.back(seen[:, None]), 1 + view.axis)


def _placed(stored: UInt8[np.ndarray, "k _ _"], view: View) -> UInt8[np.ndarray, "k h w"]:
    return view.seen(np.expand_dims(stored, 1 + view.axis))[:, 0]


def _fits(path: Path, found: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    if found != shape:
        raise InputError(f"{path}: has shape {found}, its image has {shape}; {_advice(path)}")
    return True


def _advice(path: Path) -> str:
    """Return what to do about a file that does not fit: proposals that people accepted are in no run."""
    accepted = "put the image back on which proposals were accepted, or take the file away"
    return accepted if path.parent.name == PROPOSED else "train again"


def _labels(path: Path) -> ByteVolume:
    codes = nifti.read(path).array
    labels = codes.astype(np.uint8)
    if not np.array_equal(labels, codes):
        raise InputError(f"{path}: holds other values than codes from 0 to 255; train again")
    return labels


def _doubt(path: Path) -> ByteVolume:
    doubt = read_npz(path).get("disagreement")
    if doubt is None or doubt.ndim != 3 or doubt.dtype != np.uint8:
        found = "no disagreement" if doubt is None else f"{doubt.dtype} {doubt.shape}"
        raise InputError(f"{path}: holds {found}, allowed is a volume of uint8; train again")
    return doubt
