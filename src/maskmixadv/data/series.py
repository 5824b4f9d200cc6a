"""A DICOM series as a volume, sorted by where its slices lie; pydicom comes with the extra ``dicom``."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Float

from maskmixadv.data.corpus import Spacing
from maskmixadv.data.nifti import Volume
from maskmixadv.data.reading import in_one_line
from maskmixadv.errors import InputError
from maskmixadv.optional import needed

UNEVEN: Final = 0.02
"""How much of a slice's distance the others may differ from it."""
TURNED: Final = 1e-3
"""How much a direction's cosines may differ between slices."""


class Scan(NamedTuple):
    """Files by what they are: image series by their UID, segmentations, and how many are something else."""

    series: dict[str, list[Path]]
    segmentations: list[Path]
    others: int


class Slice(NamedTuple):
    """A file's header, and how far along the slices' normal it lies."""

    path: Path
    header: Any
    place: float


def holds_dicom(folder: Path) -> bool:
    """Whether a file in `folder` begins as DICOM files do."""
    return folder.is_dir() and any(_is_dicom(path) for path in folder.iterdir() if path.is_file())


def scan(paths: Iterable[Path]) -> Scan:
    """Sort DICOM files by series; files of other kinds are passed over.

    Raises
    ------
    InputError
        Where pydicom is missing, or a file is damaged.
    """
    series: dict[str, list[Path]] = defaultdict(list)
    segmentations, others = [], 0
    for path in sorted(paths):
        if not path.is_file() or not _is_dicom(path):
            continue
        header = _header(path)
        if header.get("Modality") == "SEG":
            segmentations.append(path)
        elif "ImagePositionPatient" in header or "SharedFunctionalGroupsSequence" in header:
            series[str(header.SeriesInstanceUID)].append(path)
        else:
            others += 1
    return Scan(dict(series), segmentations, others)


def read(folder: Path) -> Volume:
    """Read the one series whose files lie in `folder`; the volume's ``header`` is its slices' headers, in its order.

    Raises
    ------
    InputError
        Where there is none or more than one, or `volume` does.
    """
    return volume(_only(folder))


def peek(folder: Path) -> tuple[tuple[int, int, int], Spacing]:
    """Return shape and spacing along d, h, w, without reading voxels.

    Raises
    ------
    InputError
        As `read` does.
    """
    slices = _ordered(_only(folder))
    return (len(slices), int(slices[0].header.Rows), int(slices[0].header.Columns)), _grid(slices)[0]


def volume(paths: Sequence[Path]) -> Volume:
    """Read a series of single slices as a volume, the lowest along their normal first.

    Intensities are after the rescaling that each slice's header asks for.

    Raises
    ------
    InputError
        Where slices are missing, double, of several grids, in colour, multi-frame, or can't be read.
    """
    slices = _ordered(paths)
    spacing, affine = _grid(slices)
    array = np.stack([_pixels(each) for each in slices])
    return Volume(array, spacing, affine, tuple(each.header for each in slices))


def pydicom(where: Path) -> Any:  # noqa: ANN401
    """Import pydicom.

    Raises
    ------
    InputError
        Where it is missing.
    """
    return needed("pydicom", extra="dicom", what=f"{where}: DICOM")


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _header(path: Path, *, pixels: bool = False) -> Any:  # noqa: ANN401
    try:
        return pydicom(path).dcmread(path, stop_before_pixels=not pixels)
    except InputError:
        raise
    except Exception as error:  # pydicom raises whatever it met
        raise InputError(f"{path}: not a readable DICOM file ({in_one_line(error)})") from None


def _only(folder: Path) -> list[Path]:
    series = scan(folder.iterdir()).series
    if len(series) != 1:
        raise InputError(f"{folder}: holds {len(series)} DICOM image series, allowed is one a folder; sort them apart")
    return next(iter(series.values()))


def _ordered(paths: Sequence[Path]) -> list[Slice]:
    """Sort slices by their place along the normal of the first one, once they are seen to have one grid."""
    headers = [(path, _header(path)) for path in paths]
    first = headers[0][1]
    for path, header in headers:
        _must_be_plain(path, header)
        for name in ("Rows", "Columns", "PixelSpacing", "ImageOrientationPatient"):
            mine, others = np.array(header[name].value, float), np.array(first[name].value, float)
            if not np.allclose(mine, others, atol=TURNED):
                here, there = f"{name} is {header[name].value}", f"{first[name].value} in {headers[0][0]}"
                raise InputError(f"{path}: {here}, but {there}; split the series")
    along_row, along_column = np.reshape(np.array(first.ImageOrientationPatient, float), (2, 3))
    normal = np.cross(along_row, along_column)
    placed = [Slice(path, header, float(normal @ _position(header))) for path, header in headers]
    return sorted(placed, key=lambda each: each.place)


def _must_be_plain(path: Path, header: Any) -> None:  # noqa: ANN401
    if int(header.get("NumberOfFrames", 1)) > 1 or "ImagePositionPatient" not in header:
        raise InputError(f"{path}: is a multi-frame file, allowed is one slice a file; convert it to classic DICOM")
    missing = [name for name in ("PixelSpacing", "ImageOrientationPatient", "Rows", "Columns") if name not in header]
    if missing:
        raise InputError(f"{path}: lacks {', '.join(missing)}, which a slice of a volume has; export it again")
    if int(header.get("SamplesPerPixel", 1)) != 1:
        raise InputError(f"{path}: has {header.SamplesPerPixel} samples a pixel, allowed is one; export it in grey")


def _position(header: Any) -> Float[np.ndarray, "3"]:  # noqa: ANN401
    return np.array(header.ImagePositionPatient, float)


def _grid(slices: Sequence[Slice]) -> tuple[Spacing, Float[np.ndarray, "4 4"]]:
    """Spacing and affine (RAS) of slices in order.

    DICOM's patient axes are LPS; its PixelSpacing is between rows, then between columns.
    """
    header = slices[0].header
    along_row, along_column = np.reshape(np.array(header.ImageOrientationPatient, float), (2, 3))
    between_rows, between_columns = (float(mm) for mm in header.PixelSpacing)
    step = _step(slices, np.cross(along_row, along_column))
    affine = np.eye(4)
    affine[:3] = np.column_stack([along_row * between_columns, along_column * between_rows, step, _position(header)])
    affine[:2] *= -1
    return (float(np.linalg.norm(step)), between_rows, between_columns), affine


def _step(slices: Sequence[Slice], normal: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """From each slice to the next, in LPS."""
    if len(slices) == 1:
        header = slices[0].header
        return normal * float(header.get("SpacingBetweenSlices") or header.get("SliceThickness") or 1.0)
    gaps = np.diff([each.place for each in slices])
    if gaps.min() <= UNEVEN * gaps.max():
        at = int(gaps.argmin())
        raise InputError(f"{slices[at].path}: lies where {slices[at + 1].path} does; sort phases or echoes apart")
    if np.ptp(gaps) > UNEVEN * gaps.max():
        at = int(gaps.argmax())
        found = f"the next slice is {gaps[at]:.4g} mm away, others {gaps.min():.4g} mm"
        raise InputError(f"{slices[at].path}: {found}; add what is missing")
    step = (_position(slices[-1].header) - _position(slices[0].header)) / (len(slices) - 1)
    for number, each in enumerate(slices):
        apart = np.linalg.norm(_position(slices[0].header) + number * step - _position(each.header))
        if apart > UNEVEN * np.linalg.norm(step):
            raise InputError(f"{each.path}: lies {apart:.3g} mm beside the line through the others; split the series")
    return step


def _pixels(each: Slice) -> np.ndarray:
    whole = _header(each.path, pixels=True)
    try:
        stored = whole.pixel_array
    except Exception as error:  # as above; mostly a compression that nothing here can undo
        raise InputError(f"{each.path}: pixels can't be read ({in_one_line(error)}); export it uncompressed") from None
    slope, intercept = float(whole.get("RescaleSlope", 1)), float(whole.get("RescaleIntercept", 0))
    return stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
