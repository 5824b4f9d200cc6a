"""The command ``predict``: files in, files and their volumes out; a bad file does not stop the others."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.progress import track

from maskmixadv.corpus.case import normalise
from maskmixadv.errors import InputError
from maskmixadv.files import write_text
from maskmixadv.formats import image_files
from maskmixadv.inference import outputs
from maskmixadv.inference.predictor import Predictor
from maskmixadv.metrics import clinical
from maskmixadv.metrics.clinical import CaseVolumes
from maskmixadv.runs.run import Run


def segment(
    root: Path,
    images: Sequence[Path],
    out: Path,
    *,
    flips: bool = False,
    largest: bool = False,
    device: str | None = None,
) -> int:
    """Segment image files into `out`, under their own names, on their own grids; their volumes into ``clinical.csv``.

    A folder with the files of one DICOM series is an image, too. Slices are cut along the axis along which those were
    cut that the run learnt from. What an earlier call wrote into `out` is replaced, and nothing else.

    Returns
    -------
    0, or 2 where a file could not be segmented; each such one has its line on stderr, the others are done.

    Raises
    ------
    InputError
        Where the run, the list of files or the output directory can't serve; nothing is segmented then.
    """
    paths = _files(images)
    outputs.apart(out, paths)
    names = [*map(image_files.labels_name, paths), "clinical.csv"]
    outputs.free(out, names)
    predictor, axis = Predictor.load(root, device), Run.open(root).corpus.get("axis", 0)
    how = {"flips": predictor.averages(flips), "largest": largest}
    with outputs.recorded(out, names):
        measured = list(_segmented(predictor, axis, paths, out, how))
        if measured:
            write_text(out / "clinical.csv", clinical.table(clinical.records(clinical.with_phases(measured))))
    print(f"{out}: {len(measured)} of {len(paths)} volumes segmented")
    return 0 if len(measured) == len(paths) else 2


def _segmented(
    predictor: Predictor, axis: int, paths: Sequence[Path], out: Path, how: dict[str, bool]
) -> Iterator[CaseVolumes]:
    """Segment each file that can be, and say what is wrong with the others."""
    for path in track(paths, description="predict", disable=not sys.stderr.isatty()):
        try:
            yield _one(predictor, axis, path, out, how)
        except InputError as error:
            told = str(error) if path.name in str(error) else f"{path}: {error}"
            print(f"maskmixadv: {told}", file=sys.stderr)
        except Exception as error:  # whatever a library made of it costs this file alone
            said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            print(f"maskmixadv: {path}: can't be segmented ({said})", file=sys.stderr)


def _one(predictor: Predictor, axis: int, path: Path, out: Path, how: dict[str, bool]) -> CaseVolumes:
    volume = image_files.read(path)
    turned = volume.along(axis)
    labels = predictor.labels(normalise(turned.array, where=str(path)), turned.spacing, **how)
    on_file = np.moveaxis(labels, 0, axis)
    image_files.write_labels(out / image_files.labels_name(path), on_file, volume, predictor.classes)
    return clinical.volumes(image_files.stem(path), labels, classes=predictor.classes, spacing=turned.spacing)


def _files(images: Sequence[Path]) -> list[Path]:
    paths: list[Path] = []
    for image in images:
        folder = image.is_dir() and not image_files.readable(image)
        inside = sorted(p for p in image.iterdir() if image_files.readable(p)) if folder else [image]
        if not inside:
            first, *others = image_files.SUFFIXES
            raise InputError(f"{image}: no {first} file in this folder, nor any of {', '.join(others)}")
        paths += inside
    if not paths:
        raise InputError("predict: no image given, at least one file or folder is needed")
    names = [image_files.labels_name(path) for path in paths]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{twice}: two images have this name, and labels are written under it; predict them apart")
    return paths
