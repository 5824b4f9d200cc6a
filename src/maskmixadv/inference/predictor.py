"""Prediction: a volume in its own frame in, labels in the same frame out."""

import sys
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from maskmixadv.device import pick_device
from maskmixadv.networks.components import largest_components
from maskmixadv.networks.losses import most_probable
from maskmixadv.runs.run import Run
from maskmixadv.sampling.grid import Grid, covering
from maskmixadv.types import STRIDE, Spacing

SLICES_AT_ONCE: Final = {"cpu": 2}
"""By kind of device; a core's cache holds the features of few slices (docs/decisions/0006)."""
MOST_AT_ONCE: Final = 16
"""Slices at once where the kind of device has no entry: a heart's whole volume, as a rule."""
AS_IT_IS: Final = ((0, False),)
"""The one way to look at a slice: (quarter turns, whether mirrored first)."""
TURNS: Final = tuple(product(range(4), (False, True)))
"""The eight ways that training draws from (`augment.Augment.turns`)."""


NO_TURNS: Final = (
    "maskmixadv: note: --flips is left out, as this run's training saw no slice turned or mirrored (augment.turns)"
)


@dataclass(frozen=True)
class Predictor:
    """A trained network and the grid it was trained on.

    Attributes
    ----------
    net
        Maps images ``b 1 h w`` to logits.
    grid
        The pixels that `net` knows.
    classes
        Names of the k classes, background first.
    multiple
        Sides of the network's input are multiples of it.
    turns
        Whether training saw its slices turned and mirrored; a network that did not can't segment them so.
    """

    net: nn.Module
    grid: Grid
    classes: tuple[str, ...]
    multiple: int = STRIDE
    turns: bool = False

    @classmethod
    def load(cls, root: Path, device: str | None = None) -> "Predictor":
        """Load the last checkpoint of the run in directory `root`; its network can predict, but not learn on.

        Raises
        ------
        InputError
            Where `root` is no run, has no checkpoint or a damaged one, its weights are not finite, or the device is
            not there.
        """
        run, place = Run.open(root), pick_device(device)
        net = fuse_norms(run.weights(place)).to(place).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        return cls(net, run.grid, run.task.classes, turns=run.schedule.augment.turns)

    def averages(self, flips: bool) -> bool:
        """Whether predictions are averaged where `flips` is asked for; a line on stderr where they can't be."""
        if flips and not self.turns:
            print(NO_TURNS, file=sys.stderr)
        return flips and self.turns

    @torch.inference_mode()
    def probs(
        self, image: Float[np.ndarray, "d h w"], spacing: Spacing | None, *, flips: bool = False
    ) -> Float[Tensor, "d k h w"]:
        """Class probabilities on the volume's own grid.

        Parameters
        ----------
        image
            Intensities in [0, 1] (`corpus.normalise`).
        spacing
            Millimetres along d, h, w, or None where unknown.
        flips
            Average over the eight right-angle turns and flips in plane, if training drew them (`averages`).
        """
        shape = (image.shape[1], image.shape[2])
        canvas = covering(self.grid.resized(shape, spacing), self.multiple)
        device = next(self.net.parameters()).device
        volume = self.grid.image(torch.from_numpy(image).to(device), spacing, canvas)
        training = self.net.training
        self.net.eval()
        at_once = SLICES_AT_ONCE.get(device.type, MOST_AT_ONCE)
        ways = TURNS if self.averages(flips) else AS_IT_IS
        maps = torch.cat([self._batch(part[:, None], ways) for part in volume.split(at_once)])
        self.net.train(training)
        return self.grid.restore(maps, shape, spacing)

    def labels(
        self,
        image: Float[np.ndarray, "d h w"],
        spacing: Spacing | None,
        *,
        flips: bool = False,
        largest: bool = False,
    ) -> UInt8[np.ndarray, "d h w"]:
        """Labels on the volume's own grid: the most probable class.

        With `largest`, only each structure's largest 3D component stays, and the rest becomes background.
        """
        labels = most_probable(self.probs(image, spacing, flips=flips)).cpu().numpy()
        return largest_components(labels, len(self.classes)) if largest else labels

    def _batch(self, image: Float[Tensor, "b 1 h w"], ways: tuple[tuple[int, bool], ...]) -> Float[Tensor, "b k h w"]:
        return torch.stack([self._one_way(image, *way) for way in ways]).mean(0)

    def _one_way(self, image: Float[Tensor, "b 1 h w"], quarters: int, mirrored: bool) -> Float[Tensor, "b k h w"]:
        turned = (image.flip(3) if mirrored else image).rot90(quarters, (2, 3))
        probs = self.net(turned.contiguous(memory_format=torch.channels_last)).softmax(1).rot90(-quarters, (2, 3))
        return probs.flip(3) if mirrored else probs


def fuse_norms(net: nn.Module) -> nn.Module:
    """Take each batch norm into the convolution before it, in place: the same maps in eval mode, to rounding.

    Parameters
    ----------
    net
        Its norms are fused where they follow a convolution in an ``nn.Sequential``; it is in eval mode afterwards,
        for good, as what is fused has no batch statistics.

    Returns
    -------
    `net`.
    """
    net.eval()
    for block in [part for part in net.modules() if isinstance(part, nn.Sequential)]:
        for place, (conv, norm) in enumerate(pairwise(list(block))):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                block[place], block[place + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return net
