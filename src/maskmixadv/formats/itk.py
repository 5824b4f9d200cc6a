"""NRRD and MetaImage files by SimpleITK, which the extra ``formats`` installs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import numpy as np
from jaxtyping import Float, Shaped

from maskmixadv.errors import InputError
from maskmixadv.files import cannot_write, replaced
from maskmixadv.formats import apart
from maskmixadv.formats.flat import grey
from maskmixadv.formats.reading import Declared, check_size, existing, in_one_line
from maskmixadv.formats.volume import Volume
from maskmixadv.optional import must_be_there, needed
from maskmixadv.types import Spacing

SUFFIXES: Final = (".nrrd", ".mha", ".mhd")


class Place(NamedTuple):
    """Where a file's voxels lie, as ITK says it: by axes x, y (, z), in LPS."""

    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]


def read(path: Path) -> Volume:
    """Read a volume, or one slice; colours become grey.

    Raises
    ------
    InputError
        Where SimpleITK is missing, or the file is missing, damaged, neither 2D nor 3D, or larger than is taken.
    """
    with _opened(path) as (reader, told):
        shape, place, dtype = _grid(path, told)
        samples = int(told["NumberOfComponents"])
        if samples not in (1, 3, 4):
            raise InputError(f"{path}: has {samples} channels, allowed is one; save one channel")
        pixels = np.empty((*shape, samples), dtype)
        reader.values(path, _kind(path), pixels)
    array, coloured = grey(pixels if samples > 1 else pixels[..., 0])
    return Volume(array, _spacing(place), _affine(place), place, coloured)


def peek(path: Path) -> tuple[tuple[int, int, int], Spacing]:
    """Return shape and spacing along d, h, w, from the header alone.

    Raises
    ------
    InputError
        As `read` does.
    """
    with _opened(path) as (_, told):
        shape, place, _ = _grid(path, told)
        return shape, _spacing(place)


def declared(path: Path) -> Declared:
    """Return what the header declares; raises as `peek`."""
    with _opened(path) as (_, told):
        return _declared(path, told)


def write_labels(path: Path, labels: Shaped[np.ndarray, "d h w"], place: Place) -> None:
    """Write class codes as uint8 at `place`, whole or not at all.

    Raises
    ------
    InputError
        Where the file can't be written.
    """
    itk = _itk(path)
    image = itk.GetImageFromArray(labels.astype(np.uint8) if len(place.spacing) == 3 else labels[0].astype(np.uint8))
    image.SetSpacing(place.spacing)
    image.SetOrigin(place.origin)
    image.SetDirection(place.direction)
    with replaced(path) as partial:
        try:
            itk.WriteImage(image, str(partial), useCompression=True)
        except RuntimeError as error:
            raise cannot_write(path, RuntimeError(_last(error))) from None


def _itk(path: Path) -> Any:  # noqa: ANN401
    itk = needed("SimpleITK", extra="formats", what=f"{path}: {path.suffix}")
    itk.ProcessObject_SetGlobalWarningDisplay(False)
    return itk


@contextmanager
def _opened(path: Path) -> Iterator[tuple[apart.Reader, dict[str, Any]]]:
    """Give the reader, and what it says of the file's header."""
    must_be_there("SimpleITK", extra="formats", what=f"{path}: {path.suffix}")
    existing(path)
    with apart.reader() as reader:
        yield reader, reader.header(path, _kind(path), {"itk": str(path.absolute())})


def _kind(path: Path) -> str:
    return f"{path.suffix} file"


def _declared(path: Path, told: dict[str, Any]) -> Declared:
    if told["kind"] is None:
        raise InputError(f"{path}: voxels are of type {told['type']}, allowed are numbers; save one channel")
    itemsize = np.dtype(told["kind"]).itemsize
    taken = Declared((*map(int, told["Size"]), int(told["NumberOfComponents"])), itemsize)
    return check_size(path, taken, _kind(path))


def _grid(path: Path, told: dict[str, Any]) -> tuple[tuple[int, int, int], Place, np.dtype[Any]]:
    _declared(path, told)
    size = tuple(map(int, told["Size"]))
    if len(size) not in (2, 3):
        raise InputError(f"{path}: has {len(size)} axes {size}, allowed is a 3D volume; split it first")
    w, h, d = (*size, 1)[:3]
    place = Place(*(tuple(map(float, told[key])) for key in ("Spacing", "Origin", "Direction")))
    if not np.isfinite([*place.spacing, *place.origin, *place.direction]).all() or min(place.spacing) <= 0:
        raise InputError(f"{path}: spacing {place.spacing}, origin {place.origin}; allowed are finite numbers")
    return (d, h, w), place, np.dtype(told["kind"])


def _spacing(place: Place) -> Spacing:
    w, h, d = (*place.spacing, 1.0)[:3]
    return d, h, w


def _affine(place: Place) -> Float[np.ndarray, "4 4"]:
    """Voxel (x, y, z) to world in mm, in RAS as NIfTI has it."""
    axes, affine = len(place.spacing), np.eye(4)
    affine[:axes, :axes] = np.reshape(place.direction, (axes, axes)) * place.spacing
    affine[:axes, 3] = place.origin
    affine[:2] *= -1
    return cast("Float[np.ndarray, '4 4']", affine)


def _last(error: Exception) -> str:
    """Last line of ITK's complaint, which tells what happened; those before tell where."""
    return in_one_line(RuntimeError(str(error).strip().splitlines()[-1]))
