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


def in_one_piece(labels: UInt8[np.ndarray, "d h w"], structures: Sequence[int]) -> UInt8[np.ndarray, "d h w"]:
    """Keep the largest connected component (26 neighbours) of some structures together; the rest of them is background.

    Parameters
    ----------
    labels
        Class indices of a volume; 0 is background.
    structures
        Classes that are taken as one, of 1 and above. All others stay as they are.

    Examples
    --------
    >>> import numpy as np
    >>> from maskmixadv.networks.components import in_one_piece
    >>> in_one_piece(np.array([[[1, 0, 1, 2, 0, 3]]], np.uint8), [1, 2])
    array([[[0, 0, 1, 2, 0, 3]]], dtype=uint8)
    """
    boxes = [box for label, box in enumerate(scipy.ndimage.find_objects(labels), 1) if box and label in structures]
    if not boxes:
        return labels
    box = tuple(slice(min(o.start for o in along), max(o.stop for o in along)) for along in zip(*boxes, strict=True))
    one = np.zeros(labels[box].shape, bool)
    for label in structures:  # np.isin takes eight bytes a voxel
        one |= labels[box] == label
    one ^= _largest(one)  # what is left out
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
