"""Surfaces of structures as STL files, in mm and in the patient's coordinates."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from maskmixadv.files import written
from maskmixadv.formats.volume import Volume
from maskmixadv.moved import cut
from maskmixadv.studio.export.folders import renewed
from maskmixadv.studio.export.masks import CaseMask

HEAD: Final = b"maskmixadv; millimetres; SPACE=LPS".ljust(80)
"""An STL file's first bytes. 3D Slicer reads from them which way the axes run: to the left, posterior, superior."""
TRIANGLE: Final = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("unused", "<u2")])
LONGEST_CLASS: Final = 40
"""Bytes of a structure's name in a file's name."""
LPS: Final = np.diag([-1.0, -1.0, 1.0])
"""From NIfTI's axes (right, anterior, superior) to those of DICOM."""


def write_meshes(out: Path, masks: Iterable[CaseMask], classes: Sequence[str], problems: list[str]) -> int:
    """Write ``NAME-CODE-STRUCTURE.stl`` for each structure of each case; returns the number of files.

    For each case that can't be written, and each one that lacks slices, a line is appended to `problems`.

    Raises
    ------
    RequestError
        If there is no structure, or no image says its spacing.
    InputError
        If a file can't be written.
    """
    with renewed(out, problems) as new:
        for mask in masks:
            volume = mask.shown.volume
            if volume.spacing is None:
                problems.append(f"{mask.case}: no mesh, as its image does not say its spacing")
                continue
            labels = mask.without_rejected(0)
            found = [code for code in range(1, len(classes)) if (labels == code).any()]
            for code in found:
                name = cut(re.sub(r"[^\w-]+", "_", classes[code]), LONGEST_CLASS)
                write_stl(new.place / f"{mask.case}-{code}-{name}.stl", *surface(labels == code, volume))
            if not found:
                problems.append(f"{mask.case}: no mesh, as it holds no structure")
            if found and not volume.geometry.placed:
                problems.append(f"{mask.case}: in mm along the image's axes, as it does not say where it lies")
            problems += filter(None, [mask.lacking()])
    return new.files


def surface(
    inside: Bool[np.ndarray, "d h w"], volume: Volume
) -> tuple[Float[np.ndarray, "n 3"], Int[np.ndarray, "m 3"]]:
    """Return the surface of the voxels that are `inside`, by marching cubes.

    Returns
    -------
    Corners in mm (left, posterior, superior), and triangles as three places in them, counterclockwise from outside.
    """
    from skimage.measure import marching_cubes

    corners, triangles, *_ = marching_cubes(np.pad(inside, 1).astype(np.float32), 0.5)
    matrix = _affine(volume)
    placed = (corners[:, ::-1] - 1) @ matrix[:3, :3].T + matrix[:3, 3]
    centred = (placed - placed.mean(0))[triangles]
    if np.einsum("ij,ij->", centred[:, 0], np.cross(centred[:, 1], centred[:, 2])) < 0:
        triangles = triangles[:, ::-1]
    return placed, triangles


def write_stl(path: Path, corners: Float[np.ndarray, "n 3"], triangles: Int[np.ndarray, "m 3"]) -> None:
    """Write a surface as a binary STL file; raises an `InputError` if it can't be written."""
    stored = np.zeros(len(triangles), TRIANGLE)
    stored["corners"] = corners[triangles]
    one, two, three = np.moveaxis(corners[triangles], 1, 0)
    normals = np.cross(two - one, three - one)
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    stored["normal"] = normals / np.where(lengths > 0, lengths, 1)
    with written(path) as file:
        file.write(HEAD + np.uint32(len(stored)).astype("<u4").tobytes() + stored.tobytes())


def _affine(volume: Volume) -> Float[np.ndarray, "4 4"]:
    """Return the matrix from voxel (x, y, z, 1) to mm (LPS); along the image's own axes if it has no place."""
    if volume.affine is None or not volume.geometry.placed:
        return np.diag([*(volume.spacing or (1.0, 1.0, 1.0))[::-1], 1.0])
    matrix = volume.affine.astype(np.float64)
    return np.block([[LPS @ matrix[:3]], [np.array([[0.0, 0.0, 0.0, 1.0]])]])
