"""Masks and strokes with one file a class, in a folder of their case's name: ``masks/case1/liver.nii.gz``."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from maskmixadv.errors import InputError, counted, listed, nearest
from maskmixadv.formats import image_files, series
from maskmixadv.formats.volume import Volume
from maskmixadv.sources.classes import BACKGROUND, whole
from maskmixadv.spelling import folded


def are_in(folder: Path) -> bool:
    """Whether `folder` holds label files of classes: images, and no slices of DICOM.

    Examples
    --------
    >>> Path("liver.nii.gz").touch()
    >>> are_in(Path()), are_in(Path("liver.nii.gz"))
    (True, False)
    """
    if not folder.is_dir() or series.holds_dicom(folder):
        return False
    return any(not path.is_dir() and image_files.readable(path) for path in folder.iterdir())


def by_class(folder: Path) -> dict[str, Path]:
    """Return the files in `folder` by their classes' names, in one spelling (`maskmixadv.spelling.folded`).

    Raises
    ------
    InputError
        If two files are of one class, or one is of an unknown format.

    Examples
    --------
    >>> for name in ("Left lung.nii.gz", "heart.nii.gz"):
    ...     Path(name).touch()
    >>> list(by_class(Path()))
    ['left_lung', 'heart']
    """
    found: dict[str, Path] = {}
    for name, path in image_files.named(folder).items():
        if (other := found.setdefault(folded(name), path)) != path:
            raise InputError(f"{path}: {other.name} is of this class, too, allowed is one file a class; rename it")
    return found


def names(folders: Iterable[Path]) -> list[str]:
    """Return the classes that files in `folders` name, background first.

    Examples
    --------
    >>> Path("liver.nii.gz").touch()
    >>> names([Path()])
    ['background', 'liver']
    """
    found: dict[str, str] = {}
    for folder in folders:
        for key, path in by_class(folder).items():
            found.setdefault(key, image_files.stem(path))
    return [found.pop(BACKGROUND, BACKGROUND), *(found[key] for key in sorted(found))]


def unused(folders: Iterable[Path], classes: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the names of files that are of no class, and by folder which classes have no file.

    Examples
    --------
    >>> Path("case1").mkdir()
    >>> Path("case1/liver.nii.gz").touch()
    >>> unused([Path("case1")], ["background", "spleen"])
    (['liver'], ['case1 (spleen)'])
    """
    known = {folded(name): name for name in classes}
    strange, missing = dict[str, None](), list[str]()
    for folder in folders:
        inside = by_class(folder)
        strange |= dict.fromkeys(image_files.stem(path) for key, path in inside.items() if key not in known)
        lacking = [name for key, name in known.items() if key not in inside and name != classes[0]]
        missing += [f"{folder.name} ({listed(lacking)})"] if lacking else []
    return sorted(strange), missing


def read(
    folder: Path, classes: Sequence[str], around: int, laid: Callable[[Path, Volume], UInt8[np.ndarray, "d h w"]]
) -> UInt8[np.ndarray, "d h w"]:
    """Read the files of a case's classes as class indices.

    A file's pixels are its class where they are not 0. Files that are of no class are left out (`unused`).

    Parameters
    ----------
    folder
        Where they lie.
    classes
        Names of the classes, which are those of the files, in any spelling (`maskmixadv.spelling.folded`).
    around
        Label of pixels that are of no class.
    laid
        Returns a file's labels on the image's grid.

    Raises
    ------
    InputError
        If no file is of a class, a file has several codes besides 0, or classes overlap.

    Examples
    --------
    >>> from PIL import Image
    >>> Image.fromarray(np.eye(3, dtype=np.uint8) * 255).save("liver.png")
    >>> read(Path(), ["background", "spleen", "liver"], 0, lambda path, volume: volume.array)[0].tolist()
    [[2, 0, 0], [0, 2, 0], [0, 0, 2]]
    """
    places = {folded(name): place for place, name in enumerate(classes)}
    found, taken = None, np.zeros(0, bool)
    owners: dict[int, str] = {}
    for key, path in by_class(folder).items():
        if key not in places:
            continue
        volume = image_files.read_labels(path)
        stored = whole(volume.array)
        codes = [code for code in np.unique(stored).tolist() if code]
        if len(codes) > 1 or (codes and not (codes[0] > 0 and codes[0] % 1 == 0)):
            shown = ", ".join(f"{code:.9g}" for code in codes[:5])
            raise InputError(f"{path}: labels {shown}, allowed in a file of one class are 0 and one whole number above")
        inside = laid(path, replace(volume, array=(stored != 0).astype(np.uint8), channels=None)) == 1
        if found is None:
            found, taken = np.full(inside.shape, around, np.uint8), np.zeros(inside.shape, bool)
        if inside.shape != found.shape:
            raise InputError(f"{path}: has shape {inside.shape}, others in its folder have {found.shape}")
        both = inside & taken
        if both.any():
            other = owners[int(found[both][0])]
            told = f"overlaps {other} in {counted(int(both.sum()), 'voxel')}, allowed is one class a voxel"
            raise InputError(f"{path}: {told}; take one out of the other")
        found[inside], taken[inside], owners[places[key]] = places[key], True, path.name
    if found is None:
        there = next(iter(by_class(folder)), "")
        raise InputError(f"{folder}: no file in it is of a class, allowed are {nearest(there, classes)}; rename them")
    return found
