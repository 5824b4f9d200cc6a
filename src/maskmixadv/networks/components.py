"""Largest connected components of structures."""

from collections.abc import Sequence

import numpy as np
import scipy
import skimage
import torch
from jaxtyping import Bool, UInt8

from maskmixadv.tensors import Labels


def largest_components(labels: UInt8[np.ndarray, "d h w"], classes: int) -> UInt8[np.ndarray, "d h w"]:
    """Keep each structure's largest connected component (26 neighbours); its other voxels become background.

    Parameters
    ----------
    labels
        Class indices of a volume, ``(d, h, w)``; 0 is background.
    classes
        Number of classes k, with the background. Labels of k and above become background.

    Examples
    --------
    >>> import numpy as np
    >>> from maskmixadv.networks.components import largest_components
    >>> largest_components(np.array([[[1, 0, 1, 1, 0, 2]]], np.uint8), classes=3)
    array([[[0, 0, 1, 1, 0, 2]]], dtype=uint8)
    """
    kept = np.zeros_like(labels)
    for label, box in enumerate(scipy.ndimage.find_objects(labels, max_label=classes - 1), 1):
        if box is not None:
            kept[box][_largest(labels[box] == label)] = label
    return kept


Box = tuple[slice, slice, slice]
Boxes = Sequence[Box | None]


def boxes_of(labels: UInt8[np.ndarray, "d h w"]) -> Boxes:
    """Return the smallest box that holds a structure, for each of 1 and above; None for one that is not there.

    Parameters
    ----------
    labels
        Class indices of a volume; 0 is background.

    Examples
    --------
    >>> import numpy as np
    >>> from maskmixadv.networks.components import boxes_of
    >>> boxes_of(np.array([[[0, 2, 0, 2]]], np.uint8))
    [None, (slice(0, 1, None), slice(0, 1, None), slice(1, 4, None))]
    """
    return scipy.ndimage.find_objects(labels)


def box_round(boxes: Boxes, structures: Sequence[int]) -> Box | None:
    """Return the smallest box that holds some structures together; None where none of them is there.

    Parameters
    ----------
    boxes
        As `boxes_of` returns them.
    structures
        Classes, of 1 and above.

    Examples
    --------
    >>> import numpy as np
    >>> from maskmixadv.networks.components import box_round, boxes_of
    >>> box_round(boxes_of(np.array([[[1, 0, 1, 2, 0, 3]]], np.uint8)), [1, 2])
    (slice(0, 1, None), slice(0, 1, None), slice(0, 4, None))
    """
    there = [box for label, box in enumerate(boxes, 1) if box and label in structures]
    if not there:
        return None
    along = [slice(min(o.start for o in sides), max(o.stop for o in sides)) for sides in zip(*there, strict=True)]
    return along[0], along[1], along[2]


def one_of(labels: UInt8[np.ndarray, "d h w"], structures: Sequence[int]) -> Bool[np.ndarray, "d h w"]:
    """Return which voxels are of some structures; in a pass, however many these are.

    Parameters
    ----------
    labels
        Class indices of a volume; 0 is background.
    structures
        Classes.

    Examples
    --------
    >>> import numpy as np
    >>> from maskmixadv.networks.components import one_of
    >>> one_of(np.array([[[1, 0, 2, 3]]], np.uint8), [1, 3])
    array([[[ True, False, False,  True]]])
    """
    if len(structures) == 1:
        return labels == structures[0]
    among, one = np.isin(np.arange(256), structures), np.empty(labels.shape, bool)
    for plane, found in zip(labels, one, strict=True):  # of a whole CT, np.isin and look-ups take eight bytes a voxel
        found[:] = among[plane]
    return one


def in_one_piece(
    labels: UInt8[np.ndarray, "d h w"], structures: Sequence[int], boxes: Boxes | None = None
) -> UInt8[np.ndarray, "d h w"]:
    """Keep the largest connected component (26 neighbours) of some structures together; the rest of them is background.

    Parameters
    ----------
    labels
        Class indices of a volume; 0 is background.
    structures
        Classes that are taken as one, of 1 and above. All others stay as they are.
    boxes
        Boxes that hold the structures, as `boxes_of` finds them, where they are known: a CT is gone through once then,
        and not for each structure. None: they are looked for.

    Returns
    -------
    New labels; or `labels`, where nothing is left out.

    Examples
    --------
    >>> import numpy as np
    >>> from maskmixadv.networks.components import in_one_piece
    >>> in_one_piece(np.array([[[1, 0, 1, 2, 0, 3]]], np.uint8), [1, 2])
    array([[[0, 0, 1, 2, 0, 3]]], dtype=uint8)
    """
    box = box_round(boxes_of(labels) if boxes is None else boxes, structures)
    if box is None or not (one := one_of(labels[box], structures)).any():
        return labels
    one ^= _largest(one)  # what is left out
    if not one.any():
        return labels
    kept = labels.copy()  # only now: before, the components of a CT took gigabytes
    kept[box][one] = 0
    return kept


def _largest(one: Bool[np.ndarray, "d h w"]) -> Bool[np.ndarray, "d h w"]:
    """Return the largest component of a mask that is not empty. It is counted slice by slice: a CT takes gigabytes."""
    parts = np.asarray(skimage.measure.label(one, connectivity=3))
    number = int(parts.max()) + 1
    sizes = np.zeros(number, np.int64)
    for plane in parts:
        sizes += np.bincount(plane.ravel(), minlength=number)
    return parts == np.argmax(sizes[1:]) + 1


def largest_in_slices(labels: Labels, classes: int) -> Labels:
    """Keep each structure's largest connected component (8 neighbours) in each slice on its own.

    It is computed on the CPU; the result is on the device of `labels`.

    Parameters
    ----------
    labels
        Class indices, ``(b, h, w)``; 0 is background.
    classes
        Number of classes k, with the background.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.components import largest_in_slices
    >>> largest_in_slices(torch.tensor([[[1, 1, 0, 1]], [[1, 0, 0, 0]]], dtype=torch.uint8), classes=2)
    tensor([[[1, 1, 0, 0]],
            [[1, 0, 0, 0]]], dtype=torch.uint8)
    """
    kept = [largest_components(each[None], classes) for each in labels.cpu().numpy()]
    return torch.from_numpy(np.concatenate(kept)).to(labels.device)
