"""Files of strokes and of dense masks: their codes become class indices on the grid of their image."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

import numpy as np
from jaxtyping import Float, UInt8
from scipy import ndimage

from maskmixadv.corpus.case import recode, structures
from maskmixadv.errors import InputError, say
from maskmixadv.formats import image_files, itk
from maskmixadv.formats.flat import NoGeometry
from maskmixadv.formats.slicing import View
from maskmixadv.formats.volume import SAME, Volume, apart, in_mm, spaced_apart, tell_of_shift
from maskmixadv.sources import segments
from maskmixadv.sources.classes import FILE, Classes
from maskmixadv.sources.layouts import parts
from maskmixadv.types import IGNORE

APART: Final = 0.5
"""Voxels by which an annotation's corners may lie apart from its image's."""
THIN, WIDEST, SHARE = 8.0, 32.0, 32
"""Lines are strokes up to `THIN` pixels of width, and in large images up to a `SHARE`-th of the side or `WIDEST`."""

SAVE: Final = "save it on the image's grid"
"""What to do about labels that lie elsewhere than their image."""
Kind = Literal["scribble", "mask", "either"]
"""A file of strokes, a dense mask, or a file that is dense in its slices without unlabelled pixels."""


def read(
    path: Path, classes: Classes, kind: Kind, like: tuple[Path, Volume] | None, advice: str = SAVE
) -> UInt8[np.ndarray, "d h w"]:
    """Read a label file as class indices, ``IGNORE`` where nothing is drawn.

    Parameters
    ----------
    path
        The file, or a folder with one file a class (`maskmixadv.sources.layouts.parts`).
    classes
        Meaning of the codes in it. A segmentation of 3D Slicer names its segments, and these names count instead.
    kind
        What the file is. What Slicer left out of a segmentation is background in a mask, and nothing drawn elsewhere.
    like
        The image's file and the image, on whose grid the labels must lie, in any order of its axes; None: they are
        returned as they are.
    advice
        What to do about labels that lie elsewhere, for the error's text.

    Raises
    ------
    InputError
        If the file can't be read, a code or a segment is not declared, it is not on the image's grid, or strokes
        have 0 for nothing drawn although `classes` do not say so.

    Examples
    --------
    >>> from PIL import Image
    >>> Image.fromarray(np.diag([0, 200, 9]).astype(np.uint8)).save("strokes.png")
    >>> classes = Classes(("background", "LV"), ignore=0, codes=(9, 200))
    >>> read(Path("strokes.png"), classes, "scribble", None)[0].tolist()
    [[255, 255, 255], [255, 1, 255], [255, 255, 0]]
    """
    around = 0 if kind == "mask" else IGNORE
    if path.is_dir():

        def laid(file: Path, labels: Volume) -> UInt8[np.ndarray, "d h w"]:
            return labels.array if like is None else on_grid(file, labels, 0, *like, advice)

        return parts.read(path, classes.names, around, laid)
    found = segments.read(path, classes.names, around)
    if found is None:
        volume = image_files.read_labels(path)
        indices = classes.indices(volume.array, dense=kind == "mask", where=str(path))
    else:
        volume, indices = found
    if like is not None:
        found = replace(volume, array=indices, channels=None)
        indices = on_grid(path, found, around, *like, advice)
        _tell_of_place(path, found, *like)
    if kind == "scribble":
        _must_be_strokes(path, indices, classes)
    return indices


def with_codes(path: Path, classes: int, ignore: int | None, where: Path, image: Volume) -> UInt8[np.ndarray, "d h w"]:
    """Read a label file of a data set whose codes are fixed, on the grid of its image.

    Parameters
    ----------
    path
        The file.
    classes
        Number of classes; codes from 0 to ``classes - 1`` are theirs.
    ignore
        The code of an unlabelled pixel; None if there is none.
    where, image
        The image's file, and the image.

    Raises
    ------
    InputError
        If the file can't be read, has any other code, or is not on the image's grid.

    Examples
    --------
    >>> import nibabel as nib
    >>> for name, array in (("image", np.eye(4)), ("labels", 4 * np.eye(4))):
    ...     nib.save(nib.Nifti1Image(array[..., None], np.diag([1, 1, 8, 1])), f"{name}.nii.gz")
    >>> image = Path("image.nii.gz")
    >>> with_codes(Path("labels.nii.gz"), 4, 4, image, image_files.read(image))[0, 0].tolist()
    [255, 0, 0, 0]
    """
    volume = image_files.read_labels(path)
    indices = recode(volume.array, classes=classes, ignore=ignore, where=str(path))
    found = replace(volume, array=indices)
    laid = on_grid(path, found, IGNORE, where, image)
    _tell_of_place(path, found, where, image)
    return laid


def width(indices: UInt8[np.ndarray, "d h w"], axis: int) -> float:
    """Return the mean width, in pixels, of the structures in slices along `axis`; infinity where there are none.

    Examples
    --------
    >>> labels = np.zeros((1, 64, 64), np.uint8)
    >>> labels[0, 30:33] = 1
    >>> round(width(labels, axis=0), 1)
    3.0
    """
    shown = np.moveaxis(structures(indices), axis, 0)
    area = int(shown.sum())
    cross = ndimage.generate_binary_structure(2, 1)[None]
    inner = int(ndimage.binary_erosion(shown, cross, border_value=1).sum()) if area else 0
    return 2 * area / (area - inner) if area > inner else np.inf


def unlike_strokes(indices: UInt8[np.ndarray, "d h w"], classes: Classes) -> str:
    """Say why labels do not look like strokes: 0 seems to mean nothing drawn, and would be learnt as background.

    They do where somebody stated the code of an unlabelled pixel and the labels have such pixels, and where they may be
    a dense mask.

    Returns
    -------
    What was found, for an error's text; empty if the labels look like strokes.

    Examples
    --------
    >>> labels = np.diag(np.ones(32, np.uint8))[None]
    >>> unlike_strokes(labels, Classes(("background", "LV"), 2))
    '0, background, is 96.9% of its pixels, 2, nothing drawn, is none, and lines are about 2.0 pixels wide'
    >>> labels[0, 0, 1] = IGNORE
    >>> unlike_strokes(labels, Classes(("background", "LV"), 2, stated=True))
    ''
    """
    # The quickest first, as the studio looks at long volumes after each stroke.
    if classes.stated and (indices == IGNORE).any():
        return ""
    background = np.count_nonzero(indices == 0) / max(1, indices.size)
    if background <= 0.5:
        return ""
    axis = int(np.argmin(indices.shape))
    unlabelled = np.moveaxis(indices == IGNORE, axis, 0).mean((1, 2))
    if unlabelled.max() > 0.5:
        return ""
    wide, side, shown = width(indices, axis), max(indices.shape), bool(structures(indices).any())
    if shown and wide >= min(WIDEST, max(THIN, side / SHARE)):
        return ""
    if unlabelled.any() and not shown:
        return ""  # a healthy case
    lines = f"lines are about {wide:.1f} pixels wide" if shown else "there are no lines"
    undrawn = f"{unlabelled.mean():.1%}" if unlabelled.any() else "none"
    zero = (classes.codes or (0,))[0]
    found = f"{zero}, background, is {background:.1%} of its pixels, {classes.ignore}, nothing drawn, is {undrawn}"
    return f"{found}, and {lines}"


def _must_be_strokes(path: Path, indices: UInt8[np.ndarray, "d h w"], classes: Classes) -> None:
    """Refuse strokes with 0 for nothing drawn, which would be learnt as background; a dense mask may pass."""
    if found := unlike_strokes(indices, classes):
        zero = (classes.codes or (0,))[0]
        raise InputError(
            f"{path}: {found}; write 'ignore = {zero}' at the top of {FILE} if {zero} means nothing drawn, or move a "
            "mask of all pixels to masks/"
        )


def on_grid(
    path: Path, labels: Volume, around: int, where: Path, image: Volume, advice: str = SAVE
) -> UInt8[np.ndarray, "_ _ _"]:
    """Return labels on the grid of their image: with its axes, and pasted onto it where a file of ITK is cropped.

    Parameters
    ----------
    path
        The labels' file.
    labels
        The labels, and where they lie.
    around
        What is beyond cropped labels.
    where, image
        The image's file, and where the image lies; its voxels are not used (`maskmixadv.formats.volume.Volume.of`).
    advice
        What to do about labels that lie elsewhere, for the error's text.

    Raises
    ------
    InputError
        If the labels do not fit the image, or lie more than half a voxel away from it.

    Examples
    --------
    >>> from maskmixadv.formats.slicing import Header
    >>> image, moved = (Header((1, 2, 2), (8.0, 1.0, 1.0), np.diag([x, 1.0, 8.0, 1.0])) for x in (1.0, -1.0))
    >>> moved.affine[0, 3] = 1.0
    >>> labels = replace(Volume.of(moved), array=np.array([[[7, 8], [9, 0]]], np.uint8))
    >>> on_grid(Path("labels.nii.gz"), labels, 0, Path("a.nii.gz"), Volume.of(image)).tolist()
    [[[8, 7], [0, 9]]]
    """
    labels = _in_order(labels, image)
    indices = labels.array
    shape, wanted = indices.shape, image.array.shape
    if shape != wanted:
        corner = _corner(labels, image) if path.name.lower().endswith(itk.SUFFIXES) else None
        if corner is None:
            raise InputError(f"{path}: has shape {shape}, its image {where} has {wanted}; {advice}")
        return _pasted(path, indices, corner, around, where, wanted, advice)
    _must_be_spaced(path, labels, where, image)
    if labels.affine is None or image.affine is None or not labels.geometry.placed:
        return indices
    _must_lie_on(path, labels, where, image, advice)
    return indices


def _in_order(labels: Volume, image: Volume) -> Volume:
    """Return labels with their axes in the order and directions of their image's, where both files say where they lie.

    They stay as they are where they lie on the image by another form of a header.
    """
    view = labels.header.stored_as(image.header)
    alike = labels.array.shape == image.array.shape
    if view is None or view == View() or (alike and _other_form(labels, image, APART * _voxel(image))):
        return labels
    return labels.seen(view)


def _must_lie_on(path: Path, labels: Volume, where: Path, image: Volume, advice: str) -> None:
    assert labels.affine is not None
    assert image.affine is not None
    far, most = apart(labels.affine, image.affine, image.array.shape[::-1]), APART * _voxel(image)
    if far <= most:
        return
    if not image.geometry.placed:
        told = f"its image {where} has no sform and no qform, so their shapes alone were compared"
    elif form := _other_form(labels, image, most):
        told = f"is taken, as it lies on its image {where} by the {form}; by the forms in use it is {far:.3g} mm off"
    else:
        others = ", ".join(image.geometry.other_affines())
        raise InputError(
            f"{path}: its corners lie up to {far:.3g} mm from those of its image {where}"
            f"{f' (and not on its {others})' if others else ''}, allowed are up to {most:.3g} mm, half a voxel; "
            f"{advice}"
        )
    say(f"maskmixadv: note: {path}: {told}")


def _tell_of_place(path: Path, labels: Volume, where: Path, image: Volume) -> None:
    """Say where labels were taken that do not say where they lie, or that lie a little beside their image."""
    if image.affine is None or not image.geometry.placed:
        return
    if labels.affine is None or not labels.geometry.placed:
        told = f"does not say where it lies, so its shape alone was compared with that of its image {where}"
        say(f"maskmixadv: note: {path}: {told}")
        return
    labels = _in_order(labels, image)
    if (far := _beside(labels, image)) <= APART * _voxel(image):
        tell_of_shift(path, far, f"its image {where}", _voxel(image))


def _other_form(labels: Volume, image: Volume, most: float) -> str:
    """Name the form by which labels lie on an image whose forms differ, as other programs use another one of them."""
    for own, one in {"": labels.affine, **labels.geometry.other_affines()}.items():
        for form, other in {"": image.affine, **image.geometry.other_affines()}.items():
            if one is not None and other is not None and apart(one, other, image.array.shape[::-1]) <= most:
                return f"image's {form}" if form else f"labels' {own}"
    return ""


def _must_be_spaced(path: Path, labels: Volume, where: Path, image: Volume) -> None:
    """Refuse labels that say another spacing than their image, where nothing else says where one of both lies."""
    one, other = labels.spacing, image.spacing
    picture = isinstance(labels.geometry, NoGeometry) and one and other and not np.allclose(one, other, rtol=SAME)
    if one and other and (picture or spaced_apart(labels, image)):
        raise InputError(f"{path}: has spacing {in_mm(one)}, its image {where} has {in_mm(other)}; must be equal")


def _corner(labels: Volume, image: Volume) -> tuple[int, ...] | None:
    """Return where in the image the labels' first voxel lies, d h w; None where both grids do not fit each other."""
    if labels.affine is None or image.affine is None or not image.geometry.placed:
        return None
    if not _beside(labels, image) <= APART * _voxel(image):
        return None
    return tuple(int(each) for each in _first(labels, image)[::-1])


def _first(labels: Volume, image: Volume) -> Float[np.ndarray, "3"]:
    """Return the image's voxel x, y, z in which the labels' first one lies."""
    assert labels.affine is not None
    assert image.affine is not None
    return np.linalg.solve(image.affine, labels.affine[:, 3])[:3].round()


def _beside(labels: Volume, image: Volume) -> float:
    """Return how far the labels' corners lie from voxels of the image, in mm, at most."""
    assert labels.affine is not None
    assert image.affine is not None
    moved = image.affine.copy()
    moved[:, 3] = image.affine @ [*_first(labels, image), 1]
    return apart(labels.affine, moved, labels.array.shape[::-1])


def _pasted(
    path: Path,
    indices: UInt8[np.ndarray, "_ _ _"],
    corner: Sequence[int],
    around: int,
    where: Path,
    wanted: tuple[int, ...],
    advice: str,
) -> UInt8[np.ndarray, "_ _ _"]:
    """Return labels of a part of the image on the image's grid, with `around` beyond the part."""
    ends = [first + count for first, count in zip(corner, indices.shape, strict=True)]
    if min(corner) < 0 or any(end > side for end, side in zip(ends, wanted, strict=True)):
        raise InputError(
            f"{path}: covers voxels {tuple(corner)} to {tuple(ends)} of its image {where}, which has {wanted}; {advice}"
        )
    whole = np.full(wanted, around, np.uint8)
    whole[tuple(slice(first, end) for first, end in zip(corner, ends, strict=True))] = indices
    return whole


def _voxel(image: Volume) -> float:
    assert image.affine is not None
    return float(np.linalg.norm(image.affine[:3, :3], axis=0).min())
