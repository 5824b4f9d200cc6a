"""Connected components of structures."""

import numpy as np
import skimage
import torch
from jaxtyping import UInt8

from maskmixadv.tensors import Labels


def largest_components(labels: UInt8[np.ndarray, "d h w"], classes: int) -> UInt8[np.ndarray, "d h w"]:
    """Keep each structure's largest component (26 neighbours); what else it had becomes background."""
    kept = np.zeros_like(labels)
    for label in range(1, classes):
        parts = np.asarray(skimage.measure.label(labels == label, connectivity=3))
        sizes = np.bincount(parts.ravel())
        if len(sizes) > 1:
            sizes[0] = 0
            kept[parts == sizes.argmax()] = label
    return kept


def largest_in_slices(labels: Labels, classes: int) -> Labels:
    """Keep each structure's largest component (8 neighbours) in each slice on its own; on the CPU and back."""
    kept = [largest_components(each[None], classes) for each in labels.cpu().numpy()]
    return torch.from_numpy(np.concatenate(kept)).to(labels.device)
