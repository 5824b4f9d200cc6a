"""Slices of a DICOM series on one grid: sorted by place, and refused where they are no volume."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Float

from maskmixadv.errors import InputError, say
from maskmixadv.formats import dicom_dimensions, dicom_frames, dicom_pixels
from maskmixadv.formats.dicom_frames import SourceSlice
from maskmixadv.formats.dicom_header import number, numbers, text
from maskmixadv.formats.reading import SPLIT
from maskmixadv.formats.volume import check_spacing
from maskmixadv.types import Spacing

UNEVEN: Final = 0.02
"""By which part of the largest distance between slices the distances may differ."""
TURNED: Final = 1e-3
"""How much a direction's cosines may differ between slices."""
SKEW: Final = 1e-2
"""How much the lengths of the two directions, and the cosine between them, may differ from 1 and 0."""
SHEAR: Final = 1e-2
"""From which tangent on slices are said to be sheared against one another."""
EQUAL: Final = ("Modality", "Units", "RescaleType", "PhotometricInterpretation", "FrameOfReferenceUID", "PatientID")
"""Texts that are equal in all slices of a volume."""
SCALED: Final = ("RescaleSlope", "ModalityLUTSequence")
"""What all slices of a volume say, or none: pixels of the others would be stored numbers beside measured values."""
MOSAIC: Final = "MOSAIC"
"""ImageType of Siemens' files in which all slices of a volume lie side by side."""
COUNTED: Final = "NumberOfSlices"
"""How many slices a volume has, as PET says it; of slices that lack at an end, nothing else tells."""
PARTS: Final = "InConcatenationTotalNumber"
"""How many files hold the frames of a volume together."""
STACK: Final = "StackID"
THICKNESS: Final = ("SpacingBetweenSlices", "SliceThickness")
GRID: Final = {"PixelSpacing": 2, "ImageOrientationPatient": 6, "Rows": 1, "Columns": 1}
"""Attributes that are equal in all slices of a volume, with their number of values."""


@dataclass(frozen=True)
class Slice(SourceSlice):
    """A slice of a series at its place.

    Attributes
    ----------
    place
        How far it lies along the slices' normal, in mm.
    position
        Where its first pixel lies, in mm (LPS).

    Examples
    --------
    >>> from pydicom import Dataset
    >>> Slice(Path("1.dcm"), Dataset(), Path("1.dcm"), 0, 12.5, np.array([0.0, 0.0, 12.5])).place
    12.5
    """

    place: float
    position: Float[np.ndarray, "3"]


class SlicePlane(NamedTuple):
    """The grid of a slice, as its header says it.

    Attributes
    ----------
    shape
        Rows and columns.
    between
        Millimetres between rows, and between columns.
    along_row, along_column
        Unit vectors (LPS) along a row and along a column.

    Examples
    --------
    >>> plane = SlicePlane((256, 216), np.array([1.4, 1.4]), np.array([1.0, 0, 0]), np.array([0, 1.0, 0]))
    >>> np.cross(plane.along_row, plane.along_column)  # the slices' normal
    array([0., 0., 1.])
    """

    shape: tuple[int, int]
    between: Float[np.ndarray, "2"]
    along_row: Float[np.ndarray, "3"]
    along_column: Float[np.ndarray, "3"]


def ordered(paths: Sequence[Path]) -> tuple[list[Slice], SlicePlane]:
    """Sort slices by their place along the normal of the first one, once they are seen to have one grid.

    Parameters
    ----------
    paths
        Files of a series, in any order; each frame of a multi-frame file is a slice.

    Raises
    ------
    InputError
        If a header can't be read, or slices are in colour or differ in grid, contrast or patient.

    Examples
    --------
    >>> ordered([Path("missing.dcm")])
    Traceback (most recent call last):
    maskmixadv.errors.InputError: missing.dcm: ...
    """
    sources = [each for path in paths for each in dicom_frames.slices(path)]
    _must_have_one_grid(sources)
    dicom_dimensions.must_be_one(sources)
    return _placed(sources)


def stacked(paths: Sequence[Path]) -> list[tuple[list[list[Slice]], SlicePlane]]:
    """Sort slices as `ordered`, those at one place together, whatever tells them apart.

    Slices of one series may be of several grids, as short and long axes, or of several ``StackID`` at places of their
    own: each is a stack.

    Parameters
    ----------
    paths
        As in `ordered`.

    Returns
    -------
    The slices of each stack at their places, and its grid; the first acquired stack first.

    Raises
    ------
    InputError
        As `ordered`, but not where contrasts differ.

    Examples
    --------
    >>> stacked([Path("missing.dcm")])
    Traceback (most recent call last):
    maskmixadv.errors.InputError: missing.dcm: ...
    """
    sources = [each for path in paths for each in dicom_frames.slices(path)]
    found = list[tuple[list[list[Slice]], SlicePlane]]()
    for stack in _stacks(sources):
        _must_have_one_grid(stack)
        slices, plane = _placed(stack)
        found.append((_together(slices, np.diff([each.place for each in slices])), plane))
    return found


def _stacks(sources: Sequence[SourceSlice]) -> list[list[SourceSlice]]:
    """Part the slices of one series by their grids, and by what their header calls a stack."""
    if len({text(each.path, each.header, "SeriesInstanceUID") for each in sources}) > 1:
        return [list(sources)]  # then a folder holds what should not lie together
    grids = list[tuple[list[Float[np.ndarray, "_"]], list[SourceSlice]]]()
    for each in sources:
        _must_be_plain(each.path, each.header)
        mine = [numbers(each.path, each.header, name, count) for name, count in GRID.items()]
        same = (stack for grid, stack in grids if all(map(partial(np.allclose, atol=TURNED), mine, grid)))
        if (stack := next(same, None)) is None:
            grids.append((mine, [each]))
        else:
            stack.append(each)
    first = grids[0][1][0]
    if len(grids) > 1 and (patient := _differing([each for _, stack in grids for each in stack], "PatientID")):
        raise InputError(f"{patient.path}: PatientID differs from that of {first.path}; split the series")
    found = [stack for _, grid in grids for stack in _by_stack(grid)]
    return sorted(found, key=lambda stack: min(_acquired(each) for each in stack))


def _differing(sources: Sequence[SourceSlice], name: str) -> SourceSlice | None:
    said = text(sources[0].path, sources[0].header, name)
    return next((each for each in sources if text(each.path, each.header, name) != said), None)


def _by_stack(sources: Sequence[SourceSlice]) -> list[list[SourceSlice]]:
    """Part slices of one grid by StackID, unless two stacks have a place in common."""
    parts: dict[str, list[SourceSlice]] = {}
    for each in sources:
        parts.setdefault(text(each.path, each.header, STACK), []).append(each)
    held = [{_position(each) for each in part} for part in parts.values()]
    apart = sum(map(len, held)) == len(set().union(*held))
    return list(parts.values()) if apart else [list(sources)]


def _acquired(one: SourceSlice) -> tuple[float, float]:
    """Return what stacks are sorted by: the number of the stack, then that of the image."""
    stack, image = (text(one.path, one.header, name) for name in (STACK, "InstanceNumber"))
    return (
        float(stack) if stack.isdecimal() else 0.0,
        float(one.frame) or (float(image) if image.isdecimal() else 0.0),
    )


def _position(one: SourceSlice) -> tuple[float, ...]:
    """Return where a slice lies, in mm (LPS), to a hundredth."""
    return tuple(numbers(one.path, one.header, "ImagePositionPatient", 3).round(2).tolist())


def _must_have_one_grid(sources: Sequence[SourceSlice]) -> None:
    first, others = sources[0], dict[str, Float[np.ndarray, "_"]]()
    for each in sources:
        _must_be_plain(each.path, each.header)
        others = others or {name: numbers(first.path, first.header, name, count) for name, count in GRID.items()}
        for name, count in GRID.items():
            mine = numbers(each.path, each.header, name, count)
            if not np.allclose(mine, others[name], atol=TURNED):
                here, there = f"{name} is {mine.tolist()}", f"{others[name].tolist()} in {first.path}"
                raise InputError(f"{each.path}: {here}, but {there}; split the series{_as_command(each, first)}")
        for name in EQUAL:
            if (mine := text(each.path, each.header, name)) != (other := text(first.path, first.header, name)):
                raise InputError(f"{each.path}: {name} is {mine!r}, but {other!r} in {first.path}; split the series")
        for name in SCALED:
            if (name in each.header) != (name in first.header):
                one, other = (each, first) if name in each.header else (first, each)
                raise InputError(f"{other.path}: lacks {name}, which {one.path} has; split the series")


def _as_command(one: SourceSlice, other: SourceSlice) -> str:
    """Name the command where it parts two grids, which it does of one series."""
    uids = {text(each.path, each.header, "SeriesInstanceUID") for each in (one, other)}
    return f", as {SPLIT} does" if len(uids) == 1 else ""


def _placed(sources: Sequence[SourceSlice]) -> tuple[list[Slice], SlicePlane]:
    """Return slices by their place along the normal of the first one."""
    first = sources[0]
    plane = _plane(first.path, first.header)
    normal = np.cross(plane.along_row, plane.along_column)
    positions = [numbers(each.path, each.header, "ImagePositionPatient", 3) for each in sources]
    placed = [
        Slice(each.path, each.header, each.file, each.frame, float(normal @ at), at)
        for each, at in zip(sources, positions, strict=True)
    ]
    return sorted(placed, key=lambda each: each.place), plane


def places(paths: Sequence[Path]) -> list[tuple[float, ...]]:
    """Return where the slices of files lie, in mm (LPS), to a hundredth; raises as `ordered` for a header.

    Examples
    --------
    >>> places([])
    []
    """
    return [_position(each) for path in paths for each in dicom_frames.slices(path)]


def _must_be_plain(path: Path, header: Any) -> None:  # noqa: ANN401
    missing = [name for name in (*GRID, "ImagePositionPatient") if name not in header]
    if missing:
        detector = "ImagerPixelSpacing" in header and "PixelSpacing" in missing
        why = "; its ImagerPixelSpacing holds at the detector, not in the patient" if detector else ""
        raise InputError(f"{path}: lacks {', '.join(missing)}, which a slice of a volume has{why}; export it again")
    if MOSAIC in text(path, header, "ImageType"):
        raise InputError(
            f"{path}: ImageType is {MOSAIC}, slices side by side, allowed is one a file; convert it to NIfTI"
        )
    dicom_pixels.must_be_grey(path, header)


def _plane(path: Path, header: Any) -> SlicePlane:  # noqa: ANN401
    (rows,), (columns,) = (numbers(path, header, name, 1) for name in ("Rows", "Columns"))
    between = numbers(path, header, "PixelSpacing", 2)
    along = numbers(path, header, "ImageOrientationPatient", 6).reshape(2, 3)
    if between.min() <= 0 or rows < 1 or columns < 1:
        raise InputError(f"{path}: {rows:g} × {columns:g} pixels, {between.tolist()} mm apart; allowed is above 0")
    if not np.allclose(along @ along.T, np.eye(2), atol=SKEW):
        raise InputError(f"{path}: ImageOrientationPatient is {along.ravel().tolist()}, allowed are two unit vectors")
    must_agree(path, header, between)
    return SlicePlane((int(rows), int(columns)), between, along[0], along[1])


def must_agree(path: Path, header: Any, between: Float[np.ndarray, "2"], name: str = "PixelSpacing") -> None:  # noqa: ANN401
    """Check that pixels are as much taller than wide by their spacing as by PixelAspectRatio, where a header has both.

    Parameters
    ----------
    path
        The header's file, for the error's text.
    header
        A pydicom dataset.
    between
        Millimetres between rows, and between columns.
    name
        What says so.

    Raises
    ------
    InputError
        If not.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> header = Dataset()
    >>> header.PixelAspectRatio = [4, 3]
    >>> must_agree(Path("a.dcm"), header, np.array([0.4, 0.3]))
    >>> must_agree(Path("a.dcm"), header, np.array([0.4, 0.4]))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: a.dcm: PixelAspectRatio is 4 to 3, PixelSpacing [0.4, 0.4]; only one can be right, ...
    """
    if text(path, header, "PixelAspectRatio"):
        tall, wide = numbers(path, header, "PixelAspectRatio", 2)
        if not np.isclose(tall * between[1], wide * between[0], rtol=UNEVEN):
            said = f"PixelAspectRatio is {tall:g} to {wide:g}, {name} {between.tolist()}"
            raise InputError(f"{path}: {said}; only one can be right, mend its header")


def grid(slices: Sequence[Slice], plane: SlicePlane) -> tuple[Spacing, Float[np.ndarray, "4 4"]]:
    """Return spacing (mm, along d, h, w) and affine (RAS) of slices in order.

    DICOM's patient axes are LPS; its PixelSpacing is between rows, then between columns.

    Parameters
    ----------
    slices, plane
        As `ordered` returns them.

    Raises
    ------
    InputError
        If slices are missing, double, or beside the line through the others.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> places = [np.array([0.0, 0.0, z]) for z in (0.0, 5.0)]
    >>> slices = [Slice(Path("a"), Dataset(), Path("a"), 0, at[2], at) for at in places]
    >>> plane = SlicePlane((256, 216), np.array([1.4, 1.5]), np.array([1.0, 0, 0]), np.array([0, 1.0, 0]))
    >>> grid(slices, plane)[0]
    (5.0, 1.4, 1.5)
    """
    between_rows, between_columns = map(float, plane.between)
    normal = np.cross(plane.along_row, plane.along_column)
    step = _step(slices, normal)
    between_slices = float(np.linalg.norm(step)) if _shear(step, normal) < SHEAR else float(normal @ step)
    across = (between_slices,) if len(slices) > 1 else ()  # a localizer is as thick as what it shows
    check_spacing(slices[0].path, (*across, between_rows, between_columns), "its spacing")
    columns = [plane.along_row * between_columns, plane.along_column * between_rows, step, slices[0].position]
    affine = np.eye(4)
    affine[:3] = np.column_stack(columns)
    affine[:2] *= -1
    return (between_slices, between_rows, between_columns), affine


def _shear(step: Float[np.ndarray, "3"], normal: Float[np.ndarray, "3"]) -> float:
    """Return how far a slice is shifted sideways against the one below, in units of their distance."""
    along = float(normal @ step)
    return float(np.linalg.norm(step - along * normal)) / abs(along)


def tell_of_gaps(where: Path, slices: Sequence[Slice], plane: SlicePlane) -> None:
    """Say where positions and headers disagree on how slices follow one another.

    Parameters
    ----------
    where
        The slices' folder or file, for what is said.
    slices, plane
        As `ordered` returns them.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> slice_ = Dataset()
    >>> slice_.SliceThickness = 5
    >>> plane = SlicePlane((256, 216), np.array([1.4, 1.5]), np.array([1.0, 0, 0]), np.array([0, 1.0, 0]))
    >>> tell_of_gaps(Path("s"), [Slice(Path("a"), slice_, Path("a"), 0, 0.0, np.zeros(3))], plane)  # nothing to tell
    """
    first, normal = slices[0], np.cross(plane.along_row, plane.along_column)
    said = text(first.path, first.header, COUNTED)
    if said and (told := number(first.path, first.header, COUNTED, 0.0)) > 0 and told != len(slices):
        say(f"{where}: {COUNTED} is {told:g}, and {len(slices)} are there; look whether some lack")
    parts = len({each.file for each in slices})
    if (told := number(first.path, first.header, PARTS, 0.0)) > parts:
        say(f"{where}: is {parts} of {told:g} parts of a volume ({PARTS}), and the others are not there; add them")
    if len(slices) == 1:
        if not any(text(first.path, first.header, name) for name in THICKNESS):
            say(f"{where}: one slice without SliceThickness; 1 mm is taken, so volumes may be wrong")
        return
    step = _step(slices, normal)
    if (shear := _shear(step, normal)) >= SHEAR:
        said = f"slices are sheared by {np.degrees(np.arctan(shear)):.1f}° (GantryDetectorTilt)"
        say(f"{where}: {said}; volumes are right, distances across slices are not")
    gap = float(normal @ step)
    if text(first.path, first.header, THICKNESS[0]):
        told = abs(number(first.path, first.header, THICKNESS[0], gap))
        if not np.isclose(told, gap, rtol=UNEVEN):
            said = f"SpacingBetweenSlices is {told:.4g} mm, positions lie {gap:.4g} mm apart"
            say(f"{where}: {said}; positions count")


def _step(slices: Sequence[Slice], normal: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """Return the vector from each slice to the next, in mm (LPS)."""
    if len(slices) == 1:
        return normal * (thickness(slices[0].path, slices[0].header) or 1.0)
    gaps = np.diff([each.place for each in slices])
    if gaps.min() <= UNEVEN * gaps.max():
        one, other = slices[at := int(gaps.argmin())], slices[at + 1]
        uid, also = (text(each.path, each.header, "SOPInstanceUID") for each in (one, other))
        if uid and uid == also and one.frame == other.frame:
            raise InputError(f"{one.path}: has the place and SOPInstanceUID of {other.path}; take one of the two away")
        raise InputError(dicom_dimensions.double(one, other, _together(slices, gaps)))
    if np.ptp(gaps) > UNEVEN * gaps.max():
        at = int(gaps.argmax())
        found = f"the next slice is {gaps[at]:.4g} mm away, others {gaps.min():.4g} mm"
        raise InputError(f"{slices[at].path}: {found}; add what is missing")
    step = (slices[-1].position - slices[0].position) / (len(slices) - 1)
    for place, each in enumerate(slices):
        apart = np.linalg.norm(slices[0].position + place * step - each.position)
        if apart > UNEVEN * np.linalg.norm(step):
            raise InputError(f"{each.path}: lies {apart:.3g} mm beside the line through the others; split the series")
    return step


def thickness(path: Path, header: Any) -> float | None:  # noqa: ANN401
    """Return the thickness of a single slice in mm; None if its header does not say. Raises as `ordered`.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> slice_ = Dataset()
    >>> slice_.SliceThickness = 5
    >>> thickness(Path("a.dcm"), slice_)
    5.0
    """
    for name in THICKNESS:
        if text(path, header, name) and (found := number(path, header, name, 1.0)) > 0:
            return found
    return None


def _together(slices: Sequence[Slice], gaps: Float[np.ndarray, "_"]) -> list[list[Slice]]:
    """Return slices in order, those at one place together."""
    found = [[slices[0]]]
    for one, gap in zip(slices[1:], gaps, strict=True):
        if gap > UNEVEN * gaps.max():
            found.append([])
        found[-1].append(one)
    return found
