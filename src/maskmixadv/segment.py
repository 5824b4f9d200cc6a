"""The command ``predict``: files in, files and their volumes out; a bad file does not stop the others."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.progress import track

from maskmixadv import clinical
from maskmixadv.data import formats
from maskmixadv.data.corpus import normalise
from maskmixadv.errors import InputError
from maskmixadv.files import make_directory, write_text
from maskmixadv.predict import Predictor
from maskmixadv.run import Run


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
    cut that the run learnt from.

    Returns
    -------
    0, or 2 where a file could not be segmented; each such one has its line on stderr, the others are done.

    Raises
    ------
    InputError
        Where the run, the list of files or the output directory can't serve; nothing is segmented then.
    """
    paths = _files(images)
    predictor, axis = Predictor.load(root, device), Run.open(root).corpus.get("axis", 0)
    make_directory(out)
    failed, measured = 0, []
    for path in track(paths, description="predict", disable=not sys.stderr.isatty()):
        try:
            volume = formats.read(path)
            turned = volume.along(axis)
            image = normalise(turned.array, where=str(path))
            labels = predictor.labels(image, turned.spacing, flips=flips, largest=largest)
            on_file = np.moveaxis(labels, 0, axis)
            formats.write_labels(out / formats.labels_name(path), on_file, volume, predictor.classes)
            classes, spacing = predictor.classes, turned.spacing
            measured.append(clinical.volumes(formats.stem(path), labels, classes=classes, spacing=spacing))
        except InputError as error:
            failed += 1
            print(f"maskmixadv: {error}", file=sys.stderr)
    if measured:
        write_text(out / "clinical.csv", clinical.table(clinical.records(clinical.with_phases(measured))))
    print(f"{out}: {len(paths) - failed} of {len(paths)} volumes segmented")
    return 2 if failed else 0


def _files(images: Sequence[Path]) -> list[Path]:
    paths: list[Path] = []
    for image in images:
        folder = image.is_dir() and not formats.readable(image)
        inside = sorted(p for p in image.iterdir() if formats.readable(p)) if folder else [image]
        if not inside:
            raise InputError(f"{image}: no .nii.gz file in this folder, nor any of {', '.join(formats.SUFFIXES[1:])}")
        paths += inside
    if not paths:
        raise InputError("predict: no image given, at least one file or folder is needed")
    names = [formats.labels_name(path) for path in paths]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"{twice}: two images have this name, and labels are written under it; predict them apart")
    return paths
