"""Images whose channels lie in several files: ``NAME_0000``, ``NAME_0001``, …, as nnU-Net names them."""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from maskmixadv.errors import InputError
from maskmixadv.formats import image_files
from maskmixadv.formats.volume import Volume, apart, in_mm, spaced_apart, tell_of_shift

APART: Final = 0.5
"""Voxels by which the corners of one image's channels may lie apart."""
NUMBERED: Final = re.compile(r"(.+)_(\d{4})")
"""Name of a channel's file, without its suffix: the image's name and the channel's number."""


def grouped(images: Iterable[Path], annotated: Collection[str] | None = None) -> dict[str, tuple[Path, ...]]:
    """Return the files of each image by its name: those of its channels where there are several, in order.

    Only names that end with ``_0000``, ``_0001`` and so on are taken together. A file on its own keeps its name, unless
    an annotation has it without the number.

    Parameters
    ----------
    images
        The files.
    annotated
        Names that annotations have. Files are then taken together only where an annotation has the name that they
        share: a series of pictures may be numbered, too. None: always.

    Raises
    ------
    InputError
        If a channel is missing, or has another suffix, or a file has the name that channels share.

    Examples
    --------
    >>> files = [Path("a_0000.nii.gz"), Path("a_0001.nii.gz"), Path("b_0000.nii.gz"), Path("c.nii.gz")]
    >>> {name: len(paths) for name, paths in grouped(files).items()}
    {'a': 2, 'b_0000': 1, 'c': 1}
    """
    parts: dict[str, dict[int, Path]] = {}
    found: dict[str, tuple[Path, ...]] = {}
    for path in images:
        numbered = NUMBERED.fullmatch(image_files.stem(path))
        if numbered is None:
            found[image_files.stem(path)] = (path,)
        else:
            parts.setdefault(numbered[1], {})[int(numbered[2])] = path
    for name, channels in parts.items():
        if name not in (annotated or ()) and (len(channels) == 1 or annotated is not None):
            found |= {image_files.stem(path): (path,) for path in channels.values()}
            continue
        missing = set(range(max(channels) + 1)) - set(channels)
        if missing:
            first = next(iter(channels.values()))
            raise InputError(f"{first}: channel {name}_{min(missing):04d} is missing; add it")
        ordered = tuple(channels[number] for number in range(len(channels)))
        endings = {image_files.suffix(path) for path in ordered}
        if len(endings) > 1:
            raise InputError(f"{ordered[0]}: channels end with {', '.join(sorted(endings))}, allowed is one suffix")
        if name in found:
            raise InputError(f"{ordered[0]}: {found[name][0].name} is image {name!r}, too, allowed is one; rename it")
        found[name] = ordered
    return dict(sorted(found.items()))


def read(paths: Sequence[Path]) -> Volume:
    """Read an image; that of several files has their channels, on the first file's grid.

    Notes that hold for some of its files alone begin with the channel's number, as ``channel _0001:``.

    Raises
    ------
    InputError
        If a file can't be read, or is not on the grid of the first.

    Examples
    --------
    >>> import nibabel as nib
    >>> for number in range(2):
    ...     nib.save(nib.Nifti1Image(np.zeros((5, 7, 3)), np.eye(4)), f"a_000{number}.nii.gz")
    >>> read([Path("a_0000.nii.gz"), Path("a_0001.nii.gz")]).channels.shape
    (2, 3, 7, 5)
    """
    volumes = [image_files.read(path) for path in paths]
    first, *others = volumes
    if not others:
        return first
    for path, other in zip(paths[1:], others, strict=True):
        if other.array.shape != first.array.shape:
            has = f"has shape {other.array.shape}, {paths[0]} has {first.array.shape}"
            raise InputError(f"{path}: {has}; channels have one shape")
        if first.spacing and other.spacing and spaced_apart(first, other):
            lie = f"has spacing {in_mm(other.spacing)}, {paths[0]} has {in_mm(first.spacing)}"
            raise InputError(f"{path}: {lie}; channels have one grid")
        if first.affine is None or other.affine is None or not other.geometry.placed:
            continue
        far = apart(first.affine, other.affine, first.array.shape[::-1])
        voxel = float(np.linalg.norm(first.affine[:3, :3], axis=0).min())
        if not far <= APART * voxel:
            lie = f"its corners lie up to {far:.3g} mm from those of {paths[0]}"
            raise InputError(f"{path}: {lie}; channels have one grid")
        tell_of_shift(path, far, str(paths[0]), voxel)
    for path, volume in zip(paths, volumes, strict=True):
        if volume.coloured or (volume.channels is not None and not volume.colours):
            raise InputError(f"{path}: has several channels, allowed is one in each of the files of an image")
    notes = tuple(volume.notes for volume in volumes)
    stacked = np.stack([volume.array for volume in volumes])
    return replace(first, channels=stacked, coloured=False, colours=False, notes=_together(notes), notes_by_file=notes)


def _together(notes: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the notes of an image's files, each once; one that not all files have says of which channels it is."""
    found = list[str]()
    for note in dict.fromkeys(note for each in notes for note in each):
        of = [f"_{number:04d}" for number, each in enumerate(notes) if note in each]
        channels = "" if len(of) == len(notes) else f"channel{'s' if len(of) > 1 else ''} {', '.join(of)}: "
        found.append(f"{channels}{note}")
    return tuple(found)
