"""What to do with a folder that is no own folder: the command that reads it, or where its files belong."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from maskmixadv.errors import InputError, counted, listed, word
from maskmixadv.formats import dicom_header, image_files
from maskmixadv.sources.layouts import gathered

_ACDC: Final = re.compile(r"patient\d{3}_frame\d{2}")
_LOOKED: Final = 2000
"""Files that are looked at, at most: a hint need not be complete."""
_SHOWN: Final = 4
_KINDS: Final = 2
"""Kinds of annotations, each of which has a folder."""


def command(source: Path) -> str:
    """Say which command takes folder `source`, where its own files tell; else an empty text.

    Examples
    --------
    >>> command(Path())
    ''
    """
    if (source / "dataset.json").is_file() and (source / "labelsTr").is_dir():
        return "'maskmixadv prepare nnunet' takes data sets with dataset.json, imagesTr/ and labelsTr/"
    if (source / "train").is_dir() and (source / "TestSet").is_dir():
        return "'maskmixadv prepare mscmr' takes MSCMR's folders train/, val/ and TestSet/"
    return ""


def better(source: Path) -> str:
    """Say which command takes more of folder `source` than files alone tell; else an empty text.

    Examples
    --------
    >>> Path("patient001").mkdir()
    >>> Path("patient001/Info.cfg").touch()
    >>> Path("patient001/patient001_frame01.nii.gz").touch()
    >>> better(Path())
    "'maskmixadv prepare acdc' takes ACDC with its patients, phases and folds"
    """
    frames = (path.name for path in source.glob("patient*/patient*_frame*"))
    acdc = any(map(_ACDC.match, frames)) and any(source.glob("patient*/Info.cfg"))
    return "'maskmixadv prepare acdc' takes ACDC with its patients, phases and folds" if acdc else ""


def taker(source: Path) -> str:
    """Say which command makes a corpus of folder `source`, which has no ``images/``; an empty text where none does.

    Nothing is said on stderr meanwhile of what would be paired.

    Examples
    --------
    >>> taker(Path())
    ''
    >>> for name in ("1.png", "1_mask.png"):
    ...     Path(name).touch()
    >>> taker(Path())
    "'maskmixadv prepare folder . CORPUS' takes images and annotations as they lie in it"
    """
    if not source.is_dir():
        return ""
    with suppress(InputError, OSError):
        if told := command(source) or better(source):
            return told
        if gathered.kinds(source, _untold) or gathered.find(source, _untold):
            return f"'maskmixadv prepare folder {word(source)} CORPUS' takes images and annotations as they lie in it"
        if (told := on(source)).startswith("'maskmixadv prepare"):
            return told
    return ""


def _untold(_: str) -> None:
    """Take a line on what would be paired, which is for the command that pairs it."""


def on(source: Path) -> str:
    """Say what to do with folder `source`, in which there is no ``images/``; for the end of an error's text.

    Examples
    --------
    >>> for name in ("img/1.png", "img/2.png", "label/1.png"):
    ...     Path(name).parent.mkdir(exist_ok=True)
    ...     Path(name).touch()
    >>> on(Path())
    'images lie in img/ (2), label/ (1): call the folder of images images/, that of masks masks/, that of scribbles ...'
    """
    counts: dict[Path, int] = {}
    for looked, path in enumerate(_files(source)):
        if looked >= _LOOKED:
            break
        if _ACDC.match(path.name):
            return "'maskmixadv prepare acdc' takes ACDC's files patientXXX_frameYY"
        if path.suffix.lower() in ("", ".dcm", ".ima", ".dicom") and dicom_header.is_dicom(path):
            return (
                "'maskmixadv prepare dicom' takes DICOM files with segmentations (SEG); with strokes or masks in other "
                "files, put each series into a folder images/NAME/, and those into scribbles/ and masks/ as NAME.nii.gz"
            )
        if path.suffix.lower() not in image_files.BESIDE and image_files.readable(path):
            counts[path.parent] = counts.get(path.parent, 0) + 1
    if set(counts) == {source}:
        return f"put the {counted(counts[source], 'image')} in it into images/, and strokes into scribbles/"
    if not counts:
        return "put the images there"
    if len(counts) > 1 + _KINDS or any(folder.parent != source for folder in counts):
        return (
            f"images lie in {len(counts)} folders, such as {min(counts).relative_to(source)}/: put images into images/ "
            "and masks of the same names into masks/ (or masks/NAME/, one file a class)"
        )
    held = listed([f"{folder.relative_to(source)}/ ({count})" for folder, count in sorted(counts.items())], _SHOWN)
    return (
        f"images lie in {held}: call the folder of images images/, that of masks masks/, that of scribbles scribbles/"
    )


def on_bare(source: Path) -> str:
    """Say what may have been meant as annotations in folder `source`, whose ``scribbles/`` and ``masks/`` are empty.

    Examples
    --------
    >>> for name in ("images/1.png", "images/1.json"):
    ...     Path(name).parent.mkdir(exist_ok=True)
    ...     Path(name).touch()
    >>> on_bare(Path())
    'outlines, as in images/1.json, are not read: save them as pictures of class codes in masks/'
    """
    others: dict[Path, int] = {}
    outlines: list[Path] = []
    for looked, path in enumerate(_files(source)):
        if looked >= _LOOKED:
            break
        if path.suffix.lower() in (".json", ".xml") and path.name != "dataset.json":
            outlines.append(path)
        elif path.parent != source / "images" and path.name.lower().endswith((*image_files.SUFFIXES, ".gif")):
            others[path.parent] = others.get(path.parent, 0) + 1
    if others:
        held = listed([f"{folder.relative_to(source)}/ ({count})" for folder, count in sorted(others.items())], _SHOWN)
        return f"further images lie in {held}: call the folder of masks masks/, that of scribbles scribbles/"
    if outlines:
        first = min(outlines).relative_to(source)
        return f"outlines, as in {first}, are not read: save them as pictures of class codes in masks/"
    return "draw some"


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.is_symlink():
            continue
        if path.is_dir():
            yield from _files(path)
        elif path.is_file():
            yield path
