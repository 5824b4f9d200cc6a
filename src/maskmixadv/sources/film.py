"""Files and series that hold several volumes or pictures: phases of a moving organ, echoes, an ultrasound cine."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Shaped

from maskmixadv.errors import InputError
from maskmixadv.files import check_name, no_file, together
from maskmixadv.formats import dicom_header, dicom_pictures, itk, nifti, series
from maskmixadv.formats.reading import SPLIT
from maskmixadv.formats.volume import Volume
from maskmixadv.sources import stills
from maskmixadv.spelling import as_file

ALLOWED: Final = "allowed are NIfTI, NRRD, MetaImage, multi-frame DICOM, and folders of DICOM slices"

PATIENT: Final = r"^(.+)_v[0-9]+$"
"""Regular expression whose first group is what the names of a film's volumes share."""
ALONE: Final = "holds one volume, allowed are several; there is nothing to split"
MANY: Final = 2
NUMBERED: Final = re.compile(r"(\S+|\S+ \d+ \([^)]*\)) -?[0-9.]+")
"""What tells a volume apart, where it is a number under a name."""
SUFFIX: Final = ".nii.gz"
PICTURE: Final = ".dcm"
SEGMENTATION: Final = ".seg.nrrd"
"""Suffix of files whose components are layers of one segmentation."""


class Film(NamedTuple):
    """Volumes of one grid.

    Attributes
    ----------
    frames
        Each volume's voxels.
    like
        The first volume, with where all of them lie.
    told
        What tells them apart, in the words of the file, such as ``TriggerTime 0 to TriggerTime 957``; may be empty.
    name
        Name of the file or folder, without suffix.
    labels
        What tells each volume apart, such as ``TriggerTime 33``; empty if the file does not say.

    Examples
    --------
    >>> from maskmixadv.formats.flat import NoGeometry
    >>> frames = np.zeros((30, 3, 7, 5))
    >>> len(Film(frames, Volume(frames[0], None, None, NoGeometry()), "", "cine").frames)
    30
    """

    frames: Shaped[np.ndarray, "v d h w"]
    like: Volume
    told: str
    name: str
    labels: tuple[str, ...] = ()


def split(source: Path, folder: Path) -> tuple[list[str], list[str]]:
    """Save each volume of a film as NIfTI, or each picture of a DICOM film without a place as DICOM.

    Stacks of slices of one DICOM series, as short and long axes, follow one another: their volumes are numbered on.

    Parameters
    ----------
    source
        As in `read`, or a DICOM file of several pictures, such as an ultrasound cine.
    folder
        Where to write; made if missing.

    Returns
    -------
    The names of the files, and what tells them apart, in the words of the file: nothing, one text for all of them, or
    one for each where the first and the last do not say what is between.

    Raises
    ------
    InputError
        As `read` and `write`.

    Examples
    --------
    >>> import nibabel as nib
    >>> nib.save(nib.Nifti1Image(np.zeros((5, 7, 3, 30), np.int16), np.eye(4)), "cine.nii.gz")
    >>> split(Path("cine.nii.gz"), Path("images"))[0][-1]
    'cine_v30.nii.gz'
    """
    picture = source.is_file() and dicom_pictures.is_picture(source)
    _must_be_free(folder, _name(source), PICTURE if picture else SUFFIX)  # a film can take minutes to read
    if picture:
        pictures = list(stills.stills(source))
        save = [partial(each.save_as, enforce_file_format=True) for each in pictures]
        return _written(_called(source), PICTURE, save, folder), []
    films = _read(source)
    labels = [label for each in films for label in each.labels]
    if len(labels) < MANY or (len(films) == 1 and _in_order(labels)):
        labels = [each.told for each in films if each.told]
    save = [each for film in films for each in _savers(film)]
    if len(save) < MANY:
        raise InputError(f"{source}: {ALONE}")
    return _written(films[0].name, SUFFIX, save, folder), labels


def read(source: Path) -> Film:
    """Read all volumes of a file, or of the DICOM slices in a folder and its folders.

    Parameters
    ----------
    source
        A NIfTI, NRRD or MetaImage file with a fourth axis or several components, an enhanced multi-frame DICOM file, or
        a folder of DICOM slices.

    Raises
    ------
    InputError
        If it holds one volume alone or several stacks, is of another format or damaged, or if nothing tells slices at
        one place apart.

    Examples
    --------
    >>> import nibabel as nib
    >>> nib.save(nib.Nifti1Image(np.zeros((5, 7, 3, 30), np.int16), np.eye(4)), "cine.nii.gz")
    >>> film = read(Path("cine.nii.gz"))
    >>> film.frames.shape, film.name
    ((30, 3, 7, 5), 'cine')
    """
    found, *others = _read(source)
    if others:
        raise InputError(f"{source}: holds {1 + len(others)} stacks of slices, allowed is one; {SPLIT} saves them")
    if found.like.channels is None:
        raise InputError(f"{source}: {ALONE}")
    return found


def write(film: Film, folder: Path) -> list[str]:
    """Write each volume as a NIfTI file, all or none; returns the names of the files.

    Parameters
    ----------
    film
        The volumes.
    folder
        Where to write; made if missing.

    Raises
    ------
    InputError
        If a file of such a name is there, or they can't be written.

    Examples
    --------
    >>> from maskmixadv.formats.flat import NoGeometry
    >>> frames = np.zeros((2, 3, 7, 5), np.int16)
    >>> write(Film(frames, Volume(frames[0], None, None, NoGeometry()), "", "cine"), Path("images"))
    ['cine_v01.nii.gz', 'cine_v02.nii.gz']
    """
    return _written(film.name, SUFFIX, _savers(film), folder)


def _savers(film: Film) -> list[Callable[[Path], object]]:
    """Return what writes each volume of a film into a file."""
    return [partial(nifti.write_image, array=frame, like=film.like) for frame in film.frames]


def _written(film: str, suffix: str, save: Sequence[Callable[[Path], object]], folder: Path) -> list[str]:
    """Have each volume write its file, all or none; returns their names."""
    digits = max(2, len(str(len(save))))
    names = [check_name(f"{film}_v{at:0{digits}}{suffix}", "SRC") for at in range(1, len(save) + 1)]
    there = next((folder / name for name in names if (folder / name).exists()), None)
    if there is not None:
        raise InputError(f"{there}: exists, allowed is a name that is free; move it, or give another folder")
    with together(folder, new=True) as place:
        for name, write_to in zip(names, save, strict=True):
            write_to(place / name)
    return names


def _must_be_free(folder: Path, film: str, suffix: str) -> None:
    """Refuse a folder with a file that is called as a volume of the film, whatever number of them it has."""
    named = re.compile(rf"{re.escape(as_file(film))}_v[0-9]+{re.escape(suffix)}")
    there = sorted(folder.iterdir()) if folder.is_dir() else []
    if taken := next((path for path in there if named.fullmatch(as_file(path.name))), None):
        raise InputError(f"{taken}: exists, allowed is a name that is free; move it, or give another folder")


def _name(source: Path) -> str:
    """Return the name of a film, without the suffix of its format."""
    suffix = _volumes_suffix(source)
    return source.name[: -len(suffix)] if suffix else _called(source)


def _volumes_suffix(source: Path) -> str:
    low = "" if source.is_dir() else source.name.lower()
    if low.endswith(SEGMENTATION):
        return ""
    return next((each for each in (*nifti.SUFFIXES, *itk.SUFFIXES) if low.endswith(each)), "")


def _called(source: Path) -> str:
    """Return the name of a DICOM file or folder, whose suffix counts only if it is one of DICOM."""
    path = source.resolve()
    return path.stem if source.is_file() and path.suffix.lower() in series.CALLED else path.name


def _read(source: Path) -> list[Film]:
    """Read the film of each stack; one volume is a film, too."""
    if source.exists() and not (source.is_file() or source.is_dir()):
        raise InputError(f"{source}: {no_file(source)}")
    name = _name(source)
    if suffix := _volumes_suffix(source):
        volume, told = (nifti if suffix in nifti.SUFFIXES else itk).read_volumes(source)
        return [Film(_frames(volume), volume, told, name)]
    if not source.is_dir() and not (source.is_file() and dicom_header.is_dicom(source)):
        raise InputError(f"{source}: no such file or folder, or of another format; {ALLOWED}")
    return [
        Film(_frames(volume), volume, f"{labels[0]} to {labels[-1]}" if labels else "", name, tuple(labels))
        for volume, labels in series.volumes(_slices(source))
    ]


def _frames(volume: Volume) -> Shaped[np.ndarray, "v d h w"]:
    return volume.array[None] if volume.channels is None else volume.channels


def _in_order(labels: Sequence[str]) -> bool:
    """Whether labels differ in a number alone, so that the first and the last say what is between."""
    found = [NUMBERED.fullmatch(each) for each in labels]
    return len({each and each[1] for each in found}) == 1 and None not in found


def _slices(source: Path) -> list[Path]:
    """Return the files of slices in a folder and its folders; lines say what else is there."""
    if source.is_file():
        return [source]
    found = series.scan(path for path in sorted(source.rglob("*")) if path.is_file())
    if not found.series:
        said = series.found_instead(found)
        raise InputError(f"{source}: holds no DICOM image series{f' ({said})' if said else ''}; {ALLOWED}")
    series.tell(found, source)
    return [path for paths in found.series.values() for path in paths]
