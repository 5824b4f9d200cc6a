"""Segmentations of 3D Slicer (``.seg.nrrd``): segments with names, in one layer or several, cropped to their extent."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Shaped, UInt8

from maskmixadv.errors import InputError, counted, listed, nearest, say
from maskmixadv.formats import itk
from maskmixadv.formats.reading import in_one_line
from maskmixadv.formats.volume import Volume
from maskmixadv.spelling import folded

SUFFIX: Final = ".nrrd"
_FIELD: Final = re.compile(r"Segment(\d+)_(Name|LabelValue|Layer)")


class Segment(NamedTuple):
    """A segment: voxels of a layer that have its value.

    Examples
    --------
    >>> Segment("tumour", value=1, layer=0).name
    'tumour'
    """

    name: str
    value: int
    layer: int


def named(path: Path, told: Mapping[str, str]) -> list[Segment]:
    """Return the segments that the fields of a header name, in their order.

    Raises
    ------
    InputError
        If a number is none; `path` is the file, for the error's text.

    Examples
    --------
    >>> told = {"Segment0_Name": "tumour", "Segment0_LabelValue": "3", "Segment0_Layer": "1", "Segment0_Color": "1 0 0"}
    >>> named(Path("a.seg.nrrd"), told)
    [Segment(name='tumour', value=3, layer=1)]
    """
    found: dict[int, dict[str, str]] = {}
    for key, text in told.items():
        if match := _FIELD.fullmatch(key):
            found.setdefault(int(match[1]), {})[match[2]] = text.strip()
    made = []
    for number, fields in sorted(found.items()):
        if "Name" not in fields:
            continue
        value, layer = fields.get("LabelValue", str(number + 1)), fields.get("Layer", "0")
        if not (value.isdecimal() and layer.isdecimal()):
            raise InputError(
                f"{path}: segment {fields['Name']!r:.60} has value {value:.20} in layer {layer:.20}, allowed are whole "
                "numbers"
            )
        made.append(Segment(fields["Name"], int(value), int(layer)))
    return made


def must_name_none(paths: Iterable[Path], declared: Path) -> None:
    """Refuse to guess classes by codes where a file names its segments, as these names are the classes'.

    Parameters
    ----------
    paths
        Label files of any format. Those that can't be read are passed over.
    declared
        The file that should say the classes.

    Raises
    ------
    InputError
        If a file names segments.

    Examples
    --------
    >>> import SimpleITK
    >>> image = SimpleITK.GetImageFromArray(np.eye(3, dtype=np.uint8)[None])
    >>> image.SetMetaData("Segment0_Name", "Tumour")
    >>> SimpleITK.WriteImage(image, "a.seg.nrrd")
    >>> must_name_none([Path("a.seg.nrrd")], Path("classes.toml"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: classes.toml: missing, and a.seg.nrrd names its segments (Tumour); write a ...
    """
    for path in paths:
        found = list[Segment]()
        if path.name.lower().endswith(SUFFIX):
            with suppress(InputError):
                found = named(path, itk.fields(path)[0])
        if found:
            names = listed([in_one_line(each.name) for each in found])
            said = f"missing, and {path} names its segments ({names})"
            raise InputError(f"{declared}: {said}; write a [[class]] with a name for each, background first")


def read(path: Path, classes: Sequence[str], around: int) -> tuple[Volume, UInt8[np.ndarray, "d h w"]] | None:
    """Read a segmentation of 3D Slicer: where it lies, and its class indices. None if the file is not one.

    Parameters
    ----------
    path
        A label file of any format.
    classes
        Names of the classes, which are those of the segments, in any spelling (`maskmixadv.spelling.folded`).
    around
        Label of voxels that are in no segment.

    Raises
    ------
    InputError
        If the file can't be read, a segment is no class, a value or layer belongs to no segment, a segment has value
        0, segments overlap, or there are layers without names.

    Examples
    --------
    >>> import SimpleITK
    >>> image = SimpleITK.GetImageFromArray(np.eye(3, dtype=np.uint8)[None])
    >>> image.SetMetaData("Segment0_Name", "Tumour")
    >>> SimpleITK.WriteImage(image, "a.seg.nrrd")
    >>> _, labels = read(Path("a.seg.nrrd"), ["background", "organ", "tumour"], around=0)
    >>> labels[0].tolist()
    [[2, 0, 0], [0, 2, 0], [0, 0, 2]]
    """
    if not path.name.lower().endswith(SUFFIX):
        return None
    told, count = itk.fields(path)
    found = named(path, told)
    if not found and count == 1:
        return None
    volume, layers = itk.read_layers(path)
    if not found:
        if all(np.array_equal(layers[..., 0], layers[..., layer]) for layer in range(1, count)):
            return None  # a grey picture stored as colours
        raise InputError(
            f"{path}: has {count} layers without names of segments, allowed is one layer of class codes, or segments "
            "that are named as 3D Slicer does; save one layer"
        )
    return volume, _labelled(path, layers, found, classes, around)


def _labelled(
    path: Path, layers: Shaped[np.ndarray, "d h w l"], found: Sequence[Segment], classes: Sequence[str], around: int
) -> UInt8[np.ndarray, "d h w"]:
    places = {folded(name): place for place, name in enumerate(classes)}
    labels = np.full(layers.shape[:3], around, np.uint8)
    owner = np.full(layers.shape[:3], -1, np.int32)
    for number, segment in enumerate(found):
        if folded(segment.name) not in places:
            allowed = nearest(segment.name, classes)
            raise InputError(f"{path}: segment {segment.name!r:.60} is no class, allowed are {allowed}; rename it")
        if segment.layer >= (count := layers.shape[3]):
            raise InputError(
                f"{path}: segment {segment.name!r:.60} is in layer {segment.layer}, allowed are 0 to {count - 1}"
            )
        if not segment.value and places[folded(segment.name)]:
            raise InputError(
                f"{path}: segment {segment.name!r:.60} has value 0, which is background; allowed is above 0"
            )
        inside = layers[..., segment.layer] == segment.value
        if (both := inside & (owner >= 0) & (labels != places[folded(segment.name)])).any():
            other = found[owner[both][0]].name
            raise InputError(
                f"{path}: segments {other!r:.60} and {segment.name!r:.60} overlap in "
                f"{counted(int(both.sum()), 'voxel')}, allowed is one class a voxel; take one out of the other"
            )
        labels[inside], owner[inside] = places[folded(segment.name)], number
    if several := [name for name, count in Counter(folded(each.name) for each in found).items() if count > 1]:
        say(f"{path}: segments whose names are one, or differ in spelling alone, are one class: {listed(several)}")
    for layer in range(layers.shape[3]):
        values = {0, *(segment.value for segment in found if segment.layer == layer)}
        stray = np.setdiff1d(np.unique(layers[..., layer]), list(values))
        if stray.size:
            raise InputError(
                f"{path}: value {stray[0]:.9g} in layer {layer} belongs to no segment, allowed are "
                f"{listed(sorted(values))}"
            )
    return labels
