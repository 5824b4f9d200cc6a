"""NRRD and MetaImage files by SimpleITK, which the extra ``formats`` installs."""

from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import numpy as np
from jaxtyping import Float, Shaped

from maskmixadv.data.corpus import Spacing
from maskmixadv.data.flat import grey
from maskmixadv.data.nifti import Volume, in_one_line
from maskmixadv.errors import InputError
from maskmixadv.files import cannot_write, replaced
from maskmixadv.optional import needed

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
        Where SimpleITK is missing, or the file is missing, damaged, or neither 2D nor 3D.
    """
    itk, reader = _opened(path)
    shape, place = _grid(path, reader)
    if reader.GetNumberOfComponents() not in (1, 3, 4):
        raise InputError(f"{path}: has {reader.GetNumberOfComponents()} channels, allowed is one; save one channel")
    try:
        pixels = itk.GetArrayFromImage(reader.Execute())
    except RuntimeError as error:
        raise _unreadable(path, error) from None
    array, coloured = grey(pixels.reshape(*shape, -1) if reader.GetNumberOfComponents() > 1 else pixels.reshape(shape))
    return Volume(array, _spacing(place), _affine(place), place, coloured)


def peek(path: Path) -> tuple[tuple[int, int, int], Spacing]:
    """Return shape and spacing along d, h, w, from the header alone.

    Raises
    ------
    InputError
        As `read` does.
    """
    shape, place = _grid(path, _opened(path)[1])
    return shape, _spacing(place)


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


def _opened(path: Path) -> tuple[Any, Any]:
    itk = _itk(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    reader = itk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise _unreadable(path, error) from None
    return itk, reader


def _grid(path: Path, reader: Any) -> tuple[tuple[int, int, int], Place]:  # noqa: ANN401
    size = tuple(reader.GetSize())
    if len(size) not in (2, 3):
        raise InputError(f"{path}: has {len(size)} axes {size}, allowed is a 3D volume; split it first")
    w, h, d = (*size, 1)[:3]
    return (d, h, w), Place(*(tuple(of()) for of in (reader.GetSpacing, reader.GetOrigin, reader.GetDirection)))


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


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: not a readable {path.suffix} file ({_last(error)})")


def _last(error: Exception) -> str:
    """Last line of ITK's complaint, which tells what happened; those before tell where."""
    return in_one_line(RuntimeError(str(error).strip().splitlines()[-1]))
