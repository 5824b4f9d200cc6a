"""Predictions on disk: for each run and image, labels and where the network is in doubt."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from threading import Lock
from typing import Final

import numpy as np
from jaxtyping import Float32, UInt8

from maskmixadv.errors import InputError
from maskmixadv.files import make_directory, read_json, write_text
from maskmixadv.formats import image_files, nifti
from maskmixadv.formats.reading import in_one_line, read_npz, reading
from maskmixadv.formats.slicing import View
from maskmixadv.formats.volume import Volume
from maskmixadv.sources import classes
from maskmixadv.sources.marks import Mark
from maskmixadv.studio import labelled
from maskmixadv.studio.cache import FileCache
from maskmixadv.studio.images.marks import Marks
from maskmixadv.studio.images.volumes import ByteVolume
from maskmixadv.studio.layout import PROPOSED, Layout, latest
from maskmixadv.typed import as_type

CACHED_BYTES: Final = 2**28
MARKS: Final = "images.json"
"""Name of the file that tells the images that a run predicted, or of which proposals were accepted, from others
(`maskmixadv.sources.marks`)."""
CODES: Final = "codes.json"
"""Name of the file with the codes of the classes that labels are of, in their order: labels are places in it."""
PROBABILITIES: Final = "probabilities"
"""Folder of the class probabilities in a run's predictions."""


class StoredPredictions:
    """The predictions of a folder, by run and case. Arrays have the axes of the images' files.

    An image that was saved with other axes since has its labels turned. On one that lies elsewhere there are none.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout, self._marks = layout, Marks(layout)
        self._predicted: FileCache[dict[str, Mark]] = FileCache(_marks, len, 1 << 16)
        self._labels: FileCache[ByteVolume] = FileCache(_labels, lambda labels: labels.nbytes, CACHED_BYTES)
        self._doubt: FileCache[ByteVolume] = FileCache(_doubt, lambda doubt: doubt.nbytes, CACHED_BYTES)
        self._means: FileCache[dict[int, list[float]]] = FileCache(self._mean, lambda _: 1, 1 << 16)
        self._alike: FileCache[bool] = FileCache(labelled.alike, lambda _: 1, 1 << 16)
        self._shapes: FileCache[tuple[int, ...]] = FileCache(_shape, lambda _: 1, 1 << 16)
        self._codes: FileCache[list[int | None]] = FileCache(_codes, len, 1 << 16)
        self._marking = Lock()

    def latest(self) -> str | None:
        """Return the name of the latest run whose predictions are complete."""
        run = self._layout.once("latest", lambda: latest(self._layout.predictions))
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
        # Before them: labels alone could be taken for those of any picture, or of other classes.
        self._keep_mark(folder / MARKS, case)
        if (codes := self.codes()) is not None:
            write_text(folder / CODES, json.dumps(codes))
        nifti.write_labels(path, volume, like)

    def _keep_mark(self, path: Path, case: str) -> None:
        """Note in the file `path` the image that a case has by now; all cases share the file."""
        with self._marking:
            known = self._predicted.get(self._layout.check(path)) if path.is_file() else {}
            if (mark := self._marks.of(case)) is not None and known.get(case) != mark:
                write_text(path, marks_of({**known, case: mark}))

    def codes(self) -> list[int | None] | None:
        """Return the codes of the folder's classes, in their order; None where ``classes.toml`` does not say them."""
        path = self._layout.root / classes.FILE
        try:
            return self._codes.get(path) if path.is_file() else None
        except InputError:  # the list of cases says what is wrong
            return None

    def check_classes(self, run: str) -> None:
        """Refuse a run whose classes have other codes by now, or another order, with an `InputError`."""
        self._check_classes(run, self._layout.runs / run)

    def _check_classes(self, run: str, path: Path) -> None:
        """Refuse labels of classes that have another order by now, as somebody changed ``classes.toml``.

        Strokes are read by their codes; labels are places among the classes, and would be those of other ones.
        """
        file, now = self._layout.predictions / run / CODES, self.codes()
        then = self._codes.get(self._layout.check(file)) if file.is_file() else None
        if then is not None and now is not None and then[1:] != now[1 : len(then)]:  # background is always first
            raise InputError(
                f"{path}: its classes had the codes {_listed(then)}, and {classes.FILE} has {_listed(now)} in this "
                f"order; give it the order back, or {'take the file away' if run == PROPOSED else 'train again'}"
            )

    def has(self, run: str, case: str, shape: tuple[int, ...]) -> bool:
        """Return whether there is a prediction of `case`, whose image has `shape`; headers alone are read.

        Raises
        ------
        InputError
            As `labels`.
        """
        path = self.file(run, case)
        if path is not None:
            labelled.must_fit(path, self._shapes.get(*self._on(case, path)), shape, _advice(path))
            self._check(run, case, path)
        return path is not None

    def labels(self, run: str, case: str, shape: tuple[int, ...]) -> ByteVolume | None:
        """Return the labels of `case`, whose image has `shape`, or None.

        Raises
        ------
        InputError
            If the file is damaged, does not fit the image, or lies elsewhere.
        """
        return self._read(self._labels, run, case, [self.file(run, case)], shape)

    def doubt(self, run: str, case: str, shape: tuple[int, ...]) -> ByteVolume | None:
        """Return the doubt of the network, 0 to 255, or None; raises as `labels`."""
        return self._read(self._doubt, run, case, [self.file(run, case, ".npz"), self.file(run, case)], shape)

    def probabilities(
        self, run: str, case: str, view: View, index: int, shape: tuple[int, ...]
    ) -> Float32[np.ndarray, "k h w"] | None:
        """Return the class probabilities of a slice as it is seen; None where the run kept none that fit.

        Only the slice is read, so that a long volume does not make a stroke wait. Those of an image that has other
        axes by now do not fit.

        Raises
        ------
        InputError
            If the file is damaged.
        """
        path = self.file(run, case, ".npz", PROBABILITIES)
        if path is None or not self._as_predicted(run, case):
            return None
        self._check_classes(run, path)
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
        path, labels = self.file(run, case, ".npz"), self.file(run, case)
        if path is None:
            return []
        means = self._means.get(*self._on(case, path, labels))
        self._check(run, case, path)
        labelled.must_fit(path, tuple(map(len, means.values())), shape, _advice(path))
        return means[axis]

    def _read(
        self, kept: FileCache[ByteVolume], run: str, case: str, files: Sequence[Path | None], shape: tuple[int, ...]
    ) -> ByteVolume | None:
        path, *others = files
        if path is None:
            return None
        array = kept.get(*self._on(case, path, *others))
        self._check(run, case, path)
        labelled.must_fit(path, array.shape, shape, _advice(path))
        return array

    def _on(self, case: str, *files: Path | None) -> tuple[Path, ...]:
        """Return those of a case's files that are there, with the image's: what is read of them changes with it."""
        return labelled.with_image(self._layout, case, *filter(None, files))

    def _as_predicted(self, run: str, case: str) -> bool:
        """Whether the image has the axes and the place that it had when `run` predicted it."""
        path = self.file(run, case)
        return not self._of_another(run, case) and (path is None or self._alike.get(*self._on(case, path)))

    def _check(self, run: str, case: str, path: Path) -> None:
        """Refuse a prediction of other classes, or of another picture of this name, whose headers tell nothing."""
        self._check_classes(run, path)
        if self._of_another(run, case):
            made = "accepted on" if run == PROPOSED else "predicted of"
            raise InputError(f"{path}: was {made} another image of this name; {_advice(path)}")

    def _of_another(self, run: str, case: str) -> bool:
        """Whether `run` predicted another image of this name; False where that is not known."""
        path = self._layout.predictions / run / MARKS
        predicted = self._predicted.get(self._layout.check(path)).get(case) if path.is_file() else None
        now = self._marks.of(case)
        return predicted is not None and now is not None and predicted.turned(now) is None

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

    def _mean(self, *paths: Path) -> dict[int, list[float]]:
        doubt = self._doubt.get(*paths)
        across = {axis: tuple(other for other in range(3) if other != axis) for axis in range(3)}
        return {axis: (doubt.mean(others) / 255).tolist() for axis, others in across.items()}


def probabilities_of(probs: UInt8[np.ndarray, "d k h w"], view: View) -> dict[str, UInt8[np.ndarray, "k _ _"]]:
    """Return probabilities of a volume as it is seen slice by slice, by names, on the axes of the image's file."""
    return {f"{view.axis}-{view.stored(index, len(probs))}": _unplaced(each, view) for index, each in enumerate(probs)}


def _unplaced(seen: UInt8[np.ndarray, "k h w"], view: View) -> UInt8[np.ndarray, "k _ _"]:
    return np.squeeze(view.back(seen[:, None]), 1 + view.axis)


def _placed(stored: UInt8[np.ndarray, "k _ _"], view: View) -> UInt8[np.ndarray, "k h w"]:
    return view.seen(np.expand_dims(stored, 1 + view.axis))[:, 0]


def marks_of(marks: Mapping[str, Mark]) -> str:
    """Return the content of the file that tells predicted images from others."""
    return json.dumps({case: asdict(mark) for case, mark in marks.items()})


def _codes(path: Path) -> list[int | None]:
    """Read the codes of classes in their order, of ``classes.toml`` or of a run's predictions."""
    if path.name == classes.FILE:
        found = classes.read(path)
        return list(found.codes or range(len(found.names)))
    return as_type(read_json(path), list[int | None], str(path))


def _listed(codes: Sequence[int | None]) -> str:
    return ", ".join(str(code) for code in codes[1:])


def _marks(path: Path) -> dict[str, Mark]:
    raw = read_json(path)
    try:
        return {case: Mark.parsed(mark) for case, mark in raw.items()}
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{path}: malformed ({in_one_line(repr(error))}); delete it, or train again") from None


def _shape(path: Path, image: Path | None = None) -> tuple[int, ...]:
    return labelled.shape_on(path, image, _advice(path))


def _advice(path: Path) -> str:
    """Return what to do about a file that does not fit: proposals that people accepted are in no run."""
    accepted = "put the image back on which proposals were accepted, or take the file away"
    return accepted if path.parent.name == PROPOSED else "train again"


def _labels(path: Path, image: Path | None = None) -> ByteVolume:
    volume = nifti.read(path)
    labels = volume.array.astype(np.uint8)
    if not np.array_equal(labels, volume.array):
        raise InputError(f"{path}: holds other values than codes from 0 to 255; train again")
    return labelled.laid(path, replace(volume, array=labels, channels=None), image, 0, _advice(path))


def _doubt(path: Path, *others: Path) -> ByteVolume:
    """Read doubt; the file says nothing of where it lies, but that of the labels does, and doubt lies there."""
    doubt = read_npz(path).get("disagreement")
    if doubt is None or doubt.ndim != 3 or doubt.dtype != np.uint8:
        found = "no disagreement" if doubt is None else f"{doubt.dtype} {doubt.shape}"
        raise InputError(f"{path}: holds {found}, allowed is a volume of uint8; train again")
    if len(others) < 2:  # labels or image are gone
        return doubt
    labels, image = others
    return labelled.laid(path, replace(image_files.grid(labels), array=doubt), image, 0, _advice(labels))
