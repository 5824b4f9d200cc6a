"""One scan, stored in whatever order of its axes, by SimpleITK."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK
from pydicom.dataset import FileDataset

import own
import tiny
from dicoms import write_series

WAYS = ("LPS", "RAS", "LAS", "RPS", "PSR", "IAL")
"""How files store it; LPS and RAS are right-handed, the others left-handed."""
THICK, EVEN = (1.5, 1.25, 8.0), (1.5, 1.5, 1.5)
"""Millimetres along the patient's axes."""
R20 = np.array([[np.cos(0.35), -np.sin(0.35), 0], [np.sin(0.35), np.cos(0.35), 0], [0, 0, 1]]) @ np.array(
    [[1, 0, 0], [0, np.cos(0.2), -np.sin(0.2)], [0, np.sin(0.2), np.cos(0.2)]]
)
"""A patient who lies oblique."""


def scan(array: np.ndarray, spacing: tuple[float, ...] = THICK, rotation: np.ndarray | None = None) -> Any:
    """An axial volume ``d h w`` whose axes run to left, posterior and superior, or are rotated by a matrix."""
    image = SimpleITK.GetImageFromArray(array)
    image.SetSpacing(spacing)
    rotation = np.eye(3) if rotation is None else rotation
    image.SetDirection(rotation.ravel().tolist())
    image.SetOrigin((rotation @ (10.0, -20.0, 30.0)).tolist())
    return image


def stored(image: Any, codes: str) -> Any:
    """The same with its axes in the order and directions `codes`; each voxel stays where it is in the patient."""
    return SimpleITK.DICOMOrient(image, codes)


def write(path: Path, image: Any) -> None:
    """Write an image, as DICOM where the path has no suffix; a series' slices lie as its files say, in no order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix:
        SimpleITK.WriteImage(image, str(path))
        return
    directions = np.reshape(image.GetDirection(), (3, 3))
    step = directions[:, 2] * image.GetSpacing()[2]

    def placed(number: int, one: FileDataset) -> None:
        one.PixelSpacing = list(image.GetSpacing()[1::-1])
        one.SliceThickness = image.GetSpacing()[2]
        one.ImagePositionPatient = (np.array(image.GetOrigin()) + number * step).tolist()

    write_series(path, SimpleITK.GetArrayFromImage(image), directions=directions[:, :2].T.tolist(), change=placed)


def folder(
    source: Path, ways: Mapping[str, str], *, suffix: str = ".nii.gz", spacing: tuple[float, ...] = THICK,
    seed: int = 0, rotation: np.ndarray | None = None, strokes: Mapping[str, str] | None = None,
) -> Path:  # fmt: skip
    """Write the same scan under several names, each stored along `ways`; strokes as their image, or along `strokes`."""
    image, scribble, _ = tiny.volume(seed)
    for name, codes in ways.items():
        way = (strokes or {}).get(name, codes)
        drawn, pixels = own.coded(scribble), (1000 * image).astype(np.int16)
        write(source / "images" / f"{name}{suffix}", stored(scan(pixels, spacing, rotation), codes))
        write(source / "scribbles" / f"{name}.nii.gz", stored(scan(drawn, spacing, rotation), way))
    source.mkdir(parents=True, exist_ok=True)
    (source / "classes.toml").write_text(own.CLASSES)
    return source
