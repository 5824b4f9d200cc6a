"""Largest connected components of structures."""

import numpy as np
import scipy
import skimage
import torch
from jaxtyping import UInt8

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
    # In the box of each structure, and counted slice by slice: a CT's components take gigabytes.
    for label, box in enumerate(scipy.ndimage.find_objects(labels, max_label=classes - 1), 1):
        if box is not None:
            parts = np.asarray(skimage.measure.label(labels[box] == label, connectivity=3))
            number = int(parts.max()) + 1
            sizes = np.zeros(number, np.int64)
            for plane in parts:
                sizes += np.bincount(plane.ravel(), minlength=number)
            kept[box][parts == np.argmax(sizes[1:]) + 1] = label
    return kept


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
