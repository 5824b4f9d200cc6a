"""Any image file in, labels on its own grid out; which format it is, its name says.

NRRD and MetaImage need SimpleITK (the extra ``formats``), which is imported when such a file comes.
"""

from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Shaped

from maskmixadv.data import flat, itk, nifti
from maskmixadv.data.corpus import Spacing
from maskmixadv.data.nifti import Volume
from maskmixadv.errors import InputError

SUFFIXES: Final = (*nifti.SUFFIXES, *itk.SUFFIXES, *flat.SUFFIXES)
_WRITTEN_AS: Final = {**dict.fromkeys(flat.JPEG, ".png"), ".mhd": ".mha"}
_BESIDE: Final = (".raw", ".zraw", ".txt", ".csv", ".json", ".md", ".toml", ".db", ".ini")
"""What may lie in a folder of images and is none."""


def suffix(path: Path) -> str:
    """Return the suffix that says a file's format, in lower case.

    Raises
    ------
    InputError
        Where it is none that can be read.
    """
    for known in SUFFIXES:
        if path.name.lower().endswith(known):
            return known
    raise InputError(f"{path}: not a known image format, allowed are {', '.join(SUFFIXES)}; convert it")


def readable(path: Path) -> bool:
    """Whether a file's name says a format that can be read; hidden files are none."""
    return path.name.lower().endswith(SUFFIXES) and not path.name.startswith(".")


def stem(path: Path) -> str:
    """File name without the suffix that says its format."""
    return path.name[: -len(suffix(path))]


def read(path: Path) -> Volume:
    """Read an image as a volume ``d h w``; a 2D one has one slice, a colour one is turned to grey.

    Raises
    ------
    InputError
        Where the file is missing, damaged, of an unknown format, or neither 2D nor 3D.
    """
    kind = suffix(path)
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
    if kind in nifti.SUFFIXES:
        return nifti.peek(path)
    return itk.peek(path) if kind in itk.SUFFIXES else None


def labels_name(path: Path) -> str:
    """Name of the file of labels for image `path`: the same, but for formats that can't hold them in one file."""
    return stem(path) + _WRITTEN_AS.get(suffix(path), path.name[len(stem(path)) :])


def write_labels(path: Path, labels: Shaped[np.ndarray, "d h w"], like: Volume) -> None:
    """Write `labels` as uint8 on the grid of `like`, which was read from a file of the same format.

    Raises
    ------
    InputError
        Where the file can't be written.
    """
    kind = suffix(path)
    if kind in nifti.SUFFIXES:
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
        if path.name.startswith(".") or path.suffix.lower() in _BESIDE:
            continue
        if path.is_dir():
            raise InputError(f"{path}: is a folder, allowed are image files; DICOM goes by 'maskmixadv prepare dicom'")
        if (name := stem(path)) in found:
            raise InputError(f"{path}: {found[name].name} has this name too; names without suffix must be unique")
        found[name] = path
    return found
