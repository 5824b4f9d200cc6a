"""NRRD and MetaImage files by SimpleITK, which the extra ``formats`` installs."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
from jaxtyping import Float, Shaped, UInt8

from maskmixadv.errors import InputError
from maskmixadv.files import cannot_write, lower_case, replaced
from maskmixadv.formats import apart
from maskmixadv.formats.details import itk_fields, metaimage, nrrd_bzip2, nrrd_space, slicer
from maskmixadv.formats.details.metaimage import MOST_TEXT
from maskmixadv.formats.flat import colours, grey, uncoloured
from maskmixadv.formats.reading import SPLIT, Declared, check_size, existing, in_one_line, reading
from maskmixadv.formats.slicing import Header
from maskmixadv.formats.volume import MOST_CHANNELS, Geometry, Volume, check_spacing, several_told, tilt
from maskmixadv.optional import must_be_there, needed
from maskmixadv.types import Spacing

SUFFIXES: Final = (".seg.nrrd", ".nrrd", ".nhdr", ".mha", ".mhd")
LABELS_AS: Final[Mapping[str, str]] = {".mhd": ".mha", ".nhdr": ".nrrd"}
"""The voxels of such files are in a second file."""

NRRD: Final = (".nrrd", ".nhdr")
UNITS: Final[Mapping[str, float]] = {
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres"), 1.0),
    **dict.fromkeys(("um", "\xb5m", "\u03bcm", "\xc2\xb5m", "micron", "microns", "micrometer", "micrometers"), 0.001),
    **dict.fromkeys(("nm", "nanometer", "nanometers"), 1e-6),
    **dict.fromkeys(("cm", "centimeter", "centimeters"), 10.0),
    **dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1000.0),
}
"""Millimetres of a unit of length, by the words of headers."""
LENGTHS: Final = ("space units", "units", "distanceunits")
"""Fields of NRRD and of MetaImage that name the unit of length."""
SPACED: Final = ("space directions", "spacings", "elementspacing", "elementsize")
"""Fields of NRRD and of MetaImage that say the spacing."""
SPACES: Final = frozenset(
    f"{space}{time}"
    for space in (
        "ras",
        "las",
        "lps",
        *(f"{x}-{y}-superior" for x, y in (("right", "anterior"), ("left", "anterior"), ("left", "posterior"))),
    )
    for time in ("", "t", "-time")
)
"""NRRD's spaces that are the patient's."""
TURNED: Final = ("transformmatrix", "rotation", "orientation")
"""Fields of MetaImage that hold the axes' directions."""
_ELSEWHERE: Final = ("elementdatafile", "data file", "datafile")
"""Fields of MetaImage and of NRRD that name the file of the voxels, where that is another one."""
_COLOURS: Final = ("hsv-color", "xyz-color")
"""NRRD's kinds of colours that are not red, green and blue, in lower case."""
_NOTES: Final = re.compile(r"(multivolume\.|axis \d+ index type|dwmri_).*:=")
"""Notes of 3D Slicer on the frames of a sequence, in lower case."""


@dataclass(frozen=True)
class ItkGeometry(Geometry):
    """Where a file's voxels lie, as ITK says it: for each of its axes x, y and, in a volume, z.

    Attributes
    ----------
    spacing
        Millimetres between voxels.
    origin
        Place of the first voxel in mm (LPS).
    direction
        The axes' direction cosines (LPS), a square matrix row by row.
    spaced, lies
        Whether the file says its spacing, and where it lies in the patient. ITK takes 1 mm and its own axes for what is
        not said.
    space
        The line of an NRRD header that says a space that is not the patient's, for labels; None: there is none.
    unit
        The unit of the file's own lengths, a word of `UNITS`, for labels: ITK passes over it, and they lie on their
        image for programs that heed it and for others where both have one unit.

    Examples
    --------
    >>> place = ItkGeometry((0.7, 0.9, 5.0), (12.0, -30.0, 7.5), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    >>> place.write_labels(Path("a.mha"), np.ones((3, 7, 5), np.uint8))
    >>> read(Path("a.mha")).geometry == place
    True
    """

    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]
    spaced: bool = True
    lies: bool = True
    space: str | None = None
    unit: str = "mm"

    @property
    def placed(self) -> bool:
        """Whether the file says where it lies in the patient."""
        return self.lies

    def write_labels(self, path: Path, labels: UInt8[np.ndarray, "d h w"], classes: Sequence[str] = ()) -> None:
        """Write a packed NRRD or MetaImage file, as its name says; NRRD has segments that 3D Slicer knows by name."""
        itk = _itk(path)
        image = itk.GetImageFromArray(labels if len(self.spacing) == 3 else labels[0])
        spacing, origin = (tuple(mm / UNITS[self.unit] for mm in each) for each in (self.spacing, self.origin))
        image.SetSpacing(spacing)
        image.SetOrigin(origin)
        image.SetDirection(self.direction)
        for name, value in (slicer.fields(labels, classes) if path.suffix.lower() in NRRD else {}).items():
            image.SetMetaData(name, value)
        with replaced(path) as partial, lower_case(partial) as low:
            try:
                itk.WriteImage(image, str(low), useCompression=True)
            except RuntimeError as error:
                raise cannot_write(path, RuntimeError(_last(error))) from None
            written = content = low.read_bytes()
            if path.suffix.lower() not in NRRD:
                content = metaimage.with_unit(content, self.unit)
            else:
                if not self.lies:  # ITK says the patient's space, and other programs turn it
                    grid = nrrd_space.Grid(self.space, spacing if self.spaced else None, origin)
                    content = nrrd_space.put(content, grid)
                if self.unit != "mm":
                    content = nrrd_space.with_lines(content, [self._units()])
            if content != written:
                low.write_bytes(content)

    def _units(self) -> str:
        """Return the line of an NRRD header that says the unit of each axis."""
        name = "space units" if self.lies or self.space else "units"
        return f"{name}: " + " ".join([f'"{self.unit}"'] * len(self.spacing))


def fields(path: Path) -> tuple[dict[str, str], int]:
    """Return what the header says of segments, by its own names, and the number of channels or layers.

    Raises
    ------
    InputError
        If the header is damaged, or the file is missing.

    Examples
    --------
    >>> import SimpleITK
    >>> image = SimpleITK.GetImageFromArray(np.eye(4, dtype=np.uint8)[None])
    >>> image.SetMetaData("Segment0_Name", "tumour")
    >>> SimpleITK.WriteImage(image, "a.seg.nrrd")
    >>> fields(Path("a.seg.nrrd"))
    ({'Segment0_Name': 'tumour'}, 1)
    """
    with _opened(path) as (_, told):
        _declared(path, told)
        return told["segments"], int(told["NumberOfComponents"])


def read_layers(path: Path) -> tuple[Volume, Shaped[np.ndarray, "d h w l"]]:
    """Read the layers of a segmentation; the volume is the first of them.

    Raises
    ------
    InputError
        If SimpleITK is missing, or the file is missing, damaged, neither 2D nor 3D, or larger than is taken.

    Examples
    --------
    >>> import SimpleITK
    >>> SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((3, 7, 5, 2), np.uint8), isVector=True), "a.nrrd")
    >>> read_layers(Path("a.nrrd"))[1].shape
    (3, 7, 5, 2)
    """
    with _opened(path) as (reader, told):
        shape, place, dtype = _grid(path, told)
        if _volumes(told) > 1:
            raise InputError(f"{path}: has 4 axes, allowed is a 3D volume; split it first")
        pixels = np.empty((*shape, int(told["NumberOfComponents"])), dtype)
        _values(path, reader, told, pixels)
    return Volume(pixels[..., 0], _spacing(place), _affine(place), place), pixels


def read(path: Path) -> Volume:
    """Read a volume, or one slice, as ``d h w``; colours become grey.

    Three components of uint8 are red, green and blue, and a fourth is opacity. Other components, and a short fourth
    axis, are channels unless the header says that they are times.

    Raises
    ------
    InputError
        If SimpleITK is missing, or the file is missing, damaged, neither 2D nor 3D, larger than is taken, or has
        components or a fourth axis that are or could be times.

    Examples
    --------
    >>> import SimpleITK
    >>> SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((3, 7, 5), np.int16)), "a.nrrd")
    >>> read(Path("a.nrrd")).array.shape
    (3, 7, 5)
    """
    with _opened(path) as (reader, told):
        (shape, place, dtype), count = _grid(path, told), _channels(path, told)
        pixels = _pixels(path, reader, told, np.empty((_volumes(told), *shape, int(told["NumberOfComponents"])), dtype))
    of = (_spacing(place), _affine(place), place)
    if count > 1:
        several = np.moveaxis(pixels, -1, 0)
        return Volume(several[0], *of, channels=several, notes=(several_told(count),))
    (array, coloured), several = grey(pixels), colours(pixels)
    notes = ("opacity (alpha) is left out",) if told["NumberOfComponents"] == 4 else ()
    return Volume(array, *of, coloured, several, several is not None, notes)


def read_volumes(path: Path) -> tuple[Volume, str]:
    """Read all volumes of a file as channels, also where they are times, and say what the header has of times.

    Raises
    ------
    InputError
        As `read`, but not for components or a fourth axis that are times.

    Examples
    --------
    >>> import SimpleITK
    >>> film = SimpleITK.JoinSeries([SimpleITK.GetImageFromArray(np.zeros((3, 7, 5), np.int16))] * 30)
    >>> SimpleITK.WriteImage(film, "cine.mha")
    >>> volume, told = read_volumes(Path("cine.mha"))
    >>> volume.channels.shape
    (30, 3, 7, 5)
    """
    with _opened(path) as (reader, told):
        (shape, place, dtype), samples, volumes = _grid(path, told), int(told["NumberOfComponents"]), _volumes(told)
        if samples > 1 and volumes > 1:
            raise InputError(f"{path}: has {samples} components and {volumes} volumes, allowed are several of one")
        pixels = _pixels(path, reader, told, np.empty((volumes, *shape, samples), dtype))
    fields = _fields(path)
    note = next((name for name in fields if _NOTES.match(name)), _times(fields))
    of = (_spacing(place), _affine(place), place)
    if pixels.ndim == len(shape):
        return Volume(pixels, *of), note
    several = np.moveaxis(pixels, -1, 0)
    return Volume(several[0], *of, channels=several), note


def read_labels(path: Path) -> Volume:
    """Read class codes ``d h w``.

    Raises
    ------
    InputError
        If `read` would, or if the file holds colours.

    Examples
    --------
    >>> import SimpleITK
    >>> SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.eye(4, dtype=np.uint8)), "a.mha")
    >>> read_labels(Path("a.mha")).array[0, 0].tolist()
    [1, 0, 0, 0]
    """
    labels = uncoloured(path, read(path))
    if labels.channels is not None and not labels.colours:
        raise InputError(
            f"{path}: labels have {len(labels.channels)} channels, allowed is one of class codes; split it"
        )
    return labels


def channels(path: Path) -> int:
    """Return the number of channels, of which red, green and blue are one; raises as `peek`.

    Examples
    --------
    >>> import SimpleITK
    >>> SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((3, 7, 5, 2)), isVector=True), "two.nrrd")
    >>> channels(Path("two.nrrd"))
    2
    """
    with _opened(path) as (_, told):
        _grid(path, told)
        return _channels(path, told)


def peek(path: Path) -> tuple[tuple[int, int, int], Spacing | None]:
    """Return shape and spacing (mm) along d, h, w, from the header alone; None for a spacing that is not said.

    Raises
    ------
    InputError
        If the header is damaged, or the file is missing.

    Examples
    --------
    >>> import SimpleITK
    >>> SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((3, 7, 5))), "a.nrrd")
    >>> peek(Path("a.nrrd"))
    ((3, 7, 5), (1.0, 1.0, 1.0))
    """
    with _opened(path) as (_, told):
        shape, place, _ = _grid(path, told)
        return shape, _spacing(place)


def header(path: Path) -> Header:
    """Return shape, spacing and affine; raises as `peek`.

    Examples
    --------
    >>> import SimpleITK
    >>> SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((3, 7, 5))), "a.nrrd")
    >>> header(Path("a.nrrd")).across(0)
    'inferior-superior'
    """
    with _opened(path) as (_, told):
        shape, place, _ = _grid(path, told)
        return Header(shape, _spacing(place), _affine(place) if place.lies else None)


def declared(path: Path) -> Declared:
    """Return what the header declares; the last number of its shape counts channels.

    Raises
    ------
    InputError
        If the header is damaged, or the file is missing, or larger than is taken.

    Examples
    --------
    >>> import SimpleITK
    >>> SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.zeros((3, 7, 5), np.int16)), "a.nrrd")
    >>> declared(Path("a.nrrd"))
    Declared(shape=(5, 7, 3, 1), itemsize=2)
    """
    with _opened(path) as (_, told):
        return _declared(path, told)


def beside(path: Path) -> list[Path]:
    r"""Return the files that hold the voxels where a header lies apart from them; none if there are none.

    Examples
    --------
    >>> Path("a.raw").touch()
    >>> Path("a.mhd").write_text("ObjectType = Image\nElementDataFile = a.raw\n")
    43
    >>> beside(Path("a.mhd"))
    [PosixPath('a.raw')]
    """
    fields = _fields(path)
    name = next((fields[key] for key in _ELSEWHERE if key in fields), "")
    return [file for file in metaimage.files(path, name) if file.is_file()]


def _itk(path: Path) -> Any:  # noqa: ANN401
    itk = needed("SimpleITK", extra="formats", what=f"{path}: {path.suffix}")
    itk.ProcessObject_SetGlobalWarningDisplay(False)
    return itk


@contextmanager
def _opened(path: Path) -> Iterator[tuple[apart.Reader, dict[str, Any]]]:
    """Give the reading process, and the file's header."""
    must_be_there("SimpleITK", extra="formats", what=f"{path}: {path.suffix}")
    existing(path)
    if path.suffix.lower() in NRRD:
        nrrd_space.check(path, _fields(path))
    with apart.reader() as reader:
        yield reader, reader.header(path, _kind(path), {"itk": str(path.absolute())})


def _values(path: Path, reader: apart.Reader, told: dict[str, Any], pixels: Shaped[np.ndarray, "..."]) -> None:
    """Read the voxels of the file that was opened last into `pixels`."""
    fields = _fields(path)
    if path.suffix.lower() not in NRRD:
        metaimage.check_voxels(path, fields, told["Size"], pixels.nbytes, _kind(path))
        itk_fields.tell_of_more_in_metaimage(path, fields, pixels.nbytes)
    else:
        itk_fields.tell_of_numbers(path, fields)
        itk_fields.tell_of_more(path, fields, pixels.nbytes, _kind(path))
    if path.suffix.lower() in NRRD and fields.get("encoding", "").lower() in itk_fields.BZIP2:
        with nrrd_bzip2.unpacked(path, fields, pixels.nbytes, _kind(path)) as plain:
            reader.header(path, _kind(path), {"itk": str(plain)})
            reader.values(path, _kind(path), pixels)
        return
    reader.values(path, _kind(path), pixels)


def _kind(path: Path) -> str:
    return f"{path.suffix} file"


def _pixels(
    path: Path,
    reader: apart.Reader,
    told: dict[str, Any],
    pixels: Shaped[np.ndarray, "v d h w c"],
) -> Shaped[np.ndarray, "d h w *c"]:
    """Fill `pixels` with a file's, and return them as they are to be scaled; the last axis is missing where it is 1."""
    _values(path, reader, told, pixels)
    found = np.moveaxis(pixels[..., 0], 0, -1) if len(pixels) > 1 else pixels[0]
    found = found if found.shape[-1] > 1 else found[..., 0]
    slope, offset = _scaling(path)
    return found if (slope, offset) == (1.0, 0.0) else found * slope + offset


def _declared(path: Path, told: dict[str, Any]) -> Declared:
    if told["kind"] is None:
        raise InputError(f"{path}: voxels are of type {told['type']}, allowed are numbers; save one channel")
    itemsize = np.dtype(told["kind"]).itemsize
    taken = Declared((*map(int, told["Size"]), int(told["NumberOfComponents"])), itemsize)
    return check_size(path, taken, _kind(path))


def _grid(path: Path, told: dict[str, Any]) -> tuple[tuple[int, int, int], ItkGeometry, np.dtype[Any]]:
    _declared(path, told)
    if path.suffix.lower() not in NRRD:
        itk_fields.check_metaimage(path, _lines(path))
    size = tuple(map(int, told["Size"]))
    if len(size) not in (2, 3, 4):
        raise InputError(f"{path}: has {len(size)} axes {size}, allowed is a 3D volume; split it first")
    w, h, d = (*size, 1)[:3]
    unit = _unit(path)
    spacing, origin, direction = (tuple(map(float, told[key])) for key in ("Spacing", "Origin", "Direction"))
    if len(size) == 4:  # space is what the first three axes are
        spacing, origin = spacing[:3], origin[:3]
        direction = tuple(np.reshape(direction, (4, 4))[:3, :3].ravel().tolist())
    if not np.isfinite([*spacing, *origin, *direction]).all() or min(spacing) <= 0:
        raise InputError(f"{path}: spacing {spacing}, origin {origin}; allowed are finite numbers, spacing above 0")
    said = _fields(path)
    kinds = said.get("kinds", "").lower().split()
    if len(kinds) == len(size) < 4 and not {"time", "list"}.isdisjoint(kinds):
        raise InputError(f"{path}: kinds: {' '.join(kinds)}: allowed are axes of space; save each frame as a file")
    spaced = any(name in said for name in SPACED) and _spacings_known(path, said.get("spacings", ""), min(len(size), 3))
    lies = said.get("space", "").lower() in SPACES if path.suffix.lower() in NRRD else spaced
    sizes, origin = (tuple(each * UNITS[unit] for each in lengths) for lengths in (spacing, origin))
    space = nrrd_space.of(said, len(sizes)) if path.suffix.lower() in NRRD and not lies else None
    place = ItkGeometry(sizes, origin, direction, spaced, lies, space, unit)
    check_spacing(path, place.spacing, "spacing")
    if angle := tilt(_affine(place)):
        raise InputError(f"{path}: axes are {angle:.1f}° from right angles (tilt), allowed is none; resample it")
    return (d, h, w), place, np.dtype(told["kind"])


def _spacings_known(path: Path, said: str, axes: int) -> bool:
    """Whether NRRD's field ``spacings`` says one for each axis of space: NaN is unknown, and ITK takes 1 for it."""
    words = said.lower().split()
    known = sum(word != "nan" for word in words)
    if 0 < known < min(axes, len(words)):
        raise InputError(
            f"{path}: spacings: {said[:40]}, allowed is a number (mm) for each axis; write those that lack"
        )
    return not words or known > 0


def _volumes(told: dict[str, Any]) -> int:
    """Return the length of a fourth axis."""
    return int(told["Size"][3]) if len(told["Size"]) == 4 else 1


def _channels(path: Path, told: dict[str, Any]) -> int:
    """Return the number of channels if the header does not say that they are times; colours are one."""
    samples, volumes = int(told["NumberOfComponents"]), _volumes(told)
    apiece = f"save each as a file, as {SPLIT} does"
    if samples * volumes > 1 and (note := next((name for name in _fields(path) if _NOTES.match(name)), None)):
        said = f"{note[:40]}: has {samples * volumes} frames of a sequence, allowed are channels"
        raise InputError(f"{path}: {said}; {apiece}")
    kinds = _fields(path).get("kinds", "")
    if odd := next((kind for kind in _COLOURS if kind in kinds.lower().split()), None):
        raise InputError(f"{path}: kinds: {odd}: allowed are colours as red, green and blue (RGB-color); convert it")
    if samples in (3, 4) and volumes == 1 and told["kind"] == "uint8":
        return 1
    count, what = (samples, "components") if volumes == 1 else (volumes, "volumes (fourth axis)")
    if count > 1:
        if times := _times(_fields(path)):
            said = f"{times}: has {count} {what} that are times; allowed are channels"
            raise InputError(f"{path}: {said}; {apiece}")
        if count > MOST_CHANNELS or (samples > 1 and volumes > 1):
            raise InputError(
                f"{path}: has {count} {what}, allowed are up to {MOST_CHANNELS} channels, as more could be times; "
                f"{apiece}, as NAME_0000, NAME_0001 if they are channels"
            )
    return count


def _times(fields: Mapping[str, str]) -> str:
    """Return the field of NRRD by which an axis is time; empty if there is none."""
    kinds, space = fields.get("kinds", ""), fields.get("space", "")
    if "time" in kinds.lower():
        return f"kinds: {kinds[:40]}"
    return f"space: {space[:40]}" if space.lower().endswith(nrrd_space.TIMES) else ""


def _fields(path: Path) -> dict[str, str]:
    """Return the fields of a header's text, of which ITK passes over some; names are in lower case."""
    found = dict[str, str]()
    for name, value in _lines(path):
        found.setdefault(name.lower(), value)
    return found


def _lines(path: Path) -> list[tuple[str, str]]:
    """Return names and values of the fields of a header's text; those of notes of programs end with ``:=``."""
    with reading(path, _kind(path)), path.open("rb") as stream:
        text = stream.read(MOST_TEXT).decode("latin-1")
    found = list[tuple[str, str]]()
    for line in text.splitlines():
        name, separator, value = _parted(line, ":" if path.suffix.lower() in NRRD else "=:")
        if separator:  # NRRD writes notes of programs with :=
            note = ":=" if value.startswith("=") else ""
            found.append((name.strip() + note, value.removeprefix("=").strip()))
        if not line.strip() or name.strip() == "ElementDataFile":
            break
    return found


def _parted(line: str, separators: str) -> tuple[str, str, str]:
    """Part a line at the first of `separators`; MetaImage's library takes a colon for an equals sign."""
    first = min((line.find(each) for each in separators if each in line), default=-1)
    return line.partition(line[first]) if first >= 0 else (line, "", "")


def _unit(path: Path) -> str:
    """Return the unit of length, by its first name in `UNITS`; refuse other fields of a grid that ITK passes over."""
    fields = _fields(path)
    named = {word: name for name in LENGTHS for word in _words(fields.get(name, ""))}
    if len({UNITS.get(word) for word in named}) > 1 or any(word not in UNITS for word in named):
        word = next((word for word in named if word not in UNITS), ", ".join(named))
        raise InputError(f"{path}: {named.get(word, 'units')} {word[:40]!r}, allowed are one of mm, um, nm, cm and m")
    lies = fields.get("anatomicalorientation", "???").upper()
    if lies not in ("RAI", "???", "?", "") and not any(name in fields for name in TURNED):
        raise InputError(f"{path}: AnatomicalOrientation {lies[:20]} without TransformMatrix; save it again with one")
    mm = UNITS[next(iter(named), "mm")]
    return next(word for word, each in UNITS.items() if each == mm)


def _words(value: str) -> list[str]:
    """Return the units in a field's value, each with or without quotes; those that are not said are left out."""
    words = value.replace('"', " ").lower().split()
    return [word for word in words if word.strip("?") and word not in ("none", "n/a", "unknown")]


def _scaling(path: Path) -> tuple[float, float]:
    """Return MetaImage's slope and offset of intensities, which ITK passes over."""
    fields = _fields(path)
    names = ("elementtointensityfunctionslope", "elementtointensityfunctionoffset")
    with reading(path, _kind(path)):
        slope, offset = (float(fields.get(name, usual)) for name, usual in zip(names, (1.0, 0.0), strict=True))
    if not np.isfinite([slope, offset]).all() or slope == 0:
        raise InputError(f"{path}: ElementToIntensityFunctionSlope {slope:g}, allowed are finite numbers other than 0")
    return slope, offset


def _spacing(place: ItkGeometry) -> Spacing | None:
    w, h, d = (*place.spacing, 1.0)[:3]
    return (d, h, w) if place.spaced else None


def _affine(place: ItkGeometry) -> Float[np.ndarray, "4 4"]:
    """Voxel (x, y, z) to world in mm, in RAS as NIfTI has it."""
    axes, affine = len(place.spacing), np.eye(4)
    affine[:axes, :axes] = np.reshape(place.direction, (axes, axes)) * place.spacing
    affine[:axes, 3] = place.origin
    affine[:2] *= -1
    return cast("Float[np.ndarray, '4 4']", affine)


def _last(error: Exception) -> str:
    """Return the last line of ITK's message, which says what happened; those before say where."""
    return in_one_line(RuntimeError(str(error).strip().splitlines()[-1]))
