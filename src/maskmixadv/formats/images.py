"""Any image file in, labels on its own grid out; which format it is, its name says.

NRRD and MetaImage need SimpleITK (the extra ``formats``), which is imported when such a file comes.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8

from maskmixadv.errors import InputError
from maskmixadv.formats import flat, itk, nifti, seg, series
from maskmixadv.formats.reading import Declared
from maskmixadv.formats.volume import Volume
from maskmixadv.types import Spacing

SUFFIXES: Final = (*nifti.SUFFIXES, *itk.SUFFIXES, *flat.SUFFIXES)
_WRITTEN_AS: Final = {**dict.fromkeys(flat.JPEG, ".png"), ".mhd": ".mha"}
BESIDE: Final = (".raw", ".zraw", ".txt", ".csv", ".json", ".md", ".toml", ".db", ".ini")
"""What may lie in a folder of images and is none."""


def suffix(path: Path) -> str:
    """Return the suffix that says a file's format, in lower case.

    Raises
    ------
    InputError
        Where it is none that can be read.
    """
    if path.is_dir():
        return ""  # a DICOM series
    for known in SUFFIXES:
        if path.name.lower().endswith(known):
            return known
    raise InputError(f"{path}: not a known image format, allowed are {', '.join(SUFFIXES)}; convert it")


def readable(path: Path) -> bool:
    """Whether it is a file whose name says a format that can be read, or a folder of DICOM; not where hidden."""
    if path.name.startswith("."):
        return False
    return series.holds_dicom(path) if path.is_dir() else path.name.lower().endswith(SUFFIXES)


def stem(path: Path) -> str:
    """File name without the suffix that says its format."""
    return path.name[: len(path.name) - len(suffix(path))]


def read(path: Path) -> Volume:
    """Read an image as a volume ``d h w``: a file, or a folder with the files of one DICOM series.

    A 2D image has one slice, a colour one is turned to grey.

    Raises
    ------
    InputError
        Where the file is missing, damaged, of an unknown format, or neither 2D nor 3D.
    """
    kind = suffix(path)
    if not kind:
        return series.read(path)
    if kind in nifti.SUFFIXES:
        return nifti.read(path)
    return itk.read(path) if kind in itk.SUFFIXES else flat.read(path)


def read_labels(path: Path) -> Volume:
    """Read class codes as a volume ``d h w``.

    Raises
    ------
    InputError
        Where `read` does, or the file holds colours instead of codes.
    """
    if suffix(path) in flat.SUFFIXES:
        return flat.read_labels(path)
    volume = read(path)
    if volume.coloured:
        raise InputError(f"{path}: labels are colours, allowed are class codes 0, 1, … in one channel; convert it")
    return volume


def peek(path: Path) -> tuple[tuple[int, int, int], Spacing | None] | None:
    """Return shape and spacing along d, h, w, without reading voxels; None for formats that have no spacing.

    Raises
    ------
    InputError
        Where `read` does.
    """
    kind = suffix(path)
    if not kind:
        return series.peek(path)
    if kind in nifti.SUFFIXES:
        return nifti.peek(path)
    return itk.peek(path) if kind in itk.SUFFIXES else None


def declared(path: Path) -> Declared:
    """Return what a file declares that it holds, without reading voxels.

    Raises
    ------
    InputError
        Where `read` does; a folder of DICOM is none of one file.
    """
    kind = suffix(path)
    if kind in nifti.SUFFIXES:
        return nifti.declared(path)
    return itk.declared(path) if kind in itk.SUFFIXES else flat.declared(path)


def labels_name(path: Path) -> str:
    """Name of the file of labels for image `path`: the same, but for formats that can't hold them in one file."""
    if path.is_dir():
        return f"{path.resolve().name}.dcm"
    return stem(path) + _WRITTEN_AS.get(suffix(path), path.name[len(stem(path)) :])


def write_labels(path: Path, labels: UInt8[np.ndarray, "d h w"], like: Volume, classes: Sequence[str] = ()) -> None:
    """Write `labels` as uint8 on the grid of `like`, which was read from a file of the same format.

    Those of a DICOM series are a DICOM segmentation, whose segments `classes` name.

    Raises
    ------
    InputError
        Where the file can't be written.
    """
    if path.name.endswith(".dcm"):
        seg.write(path, labels, like, classes)
    elif (kind := suffix(path)) in nifti.SUFFIXES:
        nifti.write_labels(path, labels, like)
    elif kind in itk.SUFFIXES:
        itk.write_labels(path, labels, like.header)
    else:
        flat.write_labels(path, labels)


def named(folder: Path) -> dict[str, Path]:
    """Image files in `folder` by their names without suffix, in order.

    Raises
    ------
    InputError
        Where two files have one name, or one is of an unknown format.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() in BESIDE:
            continue
        if path.is_dir() and not series.holds_dicom(path):
            raise InputError(f"{path}: is a folder without DICOM files, allowed are images and folders of one series")
        if (name := stem(path)) in found:
            raise InputError(f"{path}: {found[name].name} has this name too; names without suffix must be unique")
        found[name] = path
    return found
