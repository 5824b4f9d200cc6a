"""Scribble2Label: pseudo labels where the average of a slice's past predictions is sure."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, final

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from maskmixadv.errors import InputError
from maskmixadv.methods.method import Method, Phase, check_fractions, check_weights, player
from maskmixadv.networks.losses import partial_cross_entropy, uniform
from maskmixadv.networks.unet import UNet
from maskmixadv.tensors import Batch, Probs, Task
from maskmixadv.types import IGNORE

LEAST_RATE: Final = 0.02
"""Averages are kept in steps of 1/255. With smaller rates they would stop far from what is predicted, or never move."""
Affine = Float[Tensor, "b 2 3"]
"""Maps coordinates of one frame to those of another, both in [-1, 1], as `Batch.affine`."""


class PastPredictions(nn.Module):
    """The moving average of past predictions of each slice, on a coarse grid over the slice's canvas.

    It takes one byte a class and cell: 1,500 slices of 4 classes on 96 × 96 cells are 55 MB.

    Parameters
    ----------
    slices
        Number of slices n in the training set.
    classes
        Number of classes k.
    cells
        Number of cells along a side.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.methods.scribble2label import PastPredictions
    >>> from maskmixadv.tensors import Batch
    >>> memory, batch = PastPredictions(slices=2, classes=4, cells=32), Batch.example()
    >>> memory.write(batch, torch.full((2, 4, 32, 32), 0.25), rate=0.2)
    >>> memory.read(batch).mean().item()
    0.25
    """

    probs: UInt8[Tensor, "n k cells cells"]

    def __init__(self, slices: int, classes: int, cells: int) -> None:
        super().__init__()
        self.register_buffer("probs", torch.zeros(slices, classes, cells, cells, dtype=torch.uint8))

    def read(self, batch: Batch) -> Probs:
        """Return the averages in the windows of `batch`; 0 where nothing was predicted yet, and beyond the canvas."""
        with torch.autocast(batch.image.device.type, enabled=False):  # coordinates need full precision
            known = self.probs[batch.index].float() / 255
            grid = F.affine_grid(batch.affine, [*known.shape[:2], *batch.image.shape[2:]], align_corners=False)
            return F.grid_sample(known, grid, align_corners=False)

    def write(self, batch: Batch, probs: Probs, rate: float) -> None:
        """Move the cells that the windows of `batch` cover towards `probs`.

        Parameters
        ----------
        batch
            Says which slices and windows were predicted.
        probs
            The predictions.
        rate
            Fraction of the way that a cell is moved, in (0, 1]; the first prediction of a cell is taken as it is.
        """
        with torch.autocast(batch.image.device.type, enabled=False):
            grid = F.affine_grid(_inverse(batch.affine), [*probs.shape[:2], *self.probs.shape[2:]], align_corners=False)
            seen = F.grid_sample(probs, grid, padding_mode="border", align_corners=False) * 255
        covered = (grid.abs() <= 1).all(3)[:, None]
        # One by one, as a batch that spans two epochs may hold a slice twice.
        for index, new, inside in zip(batch.index.split(1), seen.split(1), covered.split(1), strict=True):
            old = self.probs[index].float()
            first = old.sum(1, keepdim=True) == 0
            moved = torch.where(first, new, old + rate * (new - old))
            self.probs[index] = torch.where(inside, moved, old).round().to(torch.uint8)


@final
@dataclass(frozen=True)
class Scribble2Label(Method):
    """Scribble2Label (Lee and Jeong, MICCAI 2020): self-ensembled pseudo labels beside the strokes.

    Differs from the released code: a slice's average is moved when a step sees the slice, with the network's prediction
    of its augmented window; there all slices were predicted anew every 100 steps. The first prediction counts in whole,
    not by `rate`, as short runs see a slice a few times only. The network predicts in eval mode.

    Attributes
    ----------
    weight
        Weight of the cross-entropy with the pseudo labels.
    threshold
        Average probability that a class must exceed for a pseudo label, in [0, 1].
    rate
        How much a new prediction counts in the average, in [0.02, 1], as averages are kept in steps of 1/255.
    warmup
        Fraction of the run without pseudo labels, in [0, 1].
    cells
        Number of cells along a side of the grid that the averages are kept on.

    Raises
    ------
    InputError
        Where an attribute is not allowed.

    Examples
    --------
    >>> from maskmixadv.methods import Scribble2Label, first_terms
    >>> from maskmixadv.tensors import Batch
    >>> for progress in (0.0, 0.5):
    ...     print(list(first_terms(Scribble2Label(warmup=0.1), Batch.example(progress=progress))))
    ['net/pce']
    ['net/pce', 'net/pseudo']
    """

    remembers: ClassVar[bool] = True

    weight: float = 0.5
    threshold: float = 0.8
    rate: float = 0.2
    warmup: float = 0.1
    cells: int = 96

    def __post_init__(self) -> None:
        check_weights(self, "weight")
        check_fractions(self, "threshold", "rate", "warmup")
        if self.rate < LEAST_RATE:
            raise InputError(f"rate: {self.rate}, allowed is a fraction of at least {LEAST_RATE}")
        if self.cells < 1:
            raise InputError(f"cells: {self.cells}, allowed is at least 1")

    def idle(self, share: int, window: int) -> Sequence[str]:  # noqa: ARG002
        """Return a line on `threshold` where no average is above it."""
        if self.threshold < 1 or not self.weight:
            return ()
        return ("threshold: 1, no average probability is above it, so that there are no pseudo labels",)

    def begins(self) -> Mapping[str, str]:
        """Return what `warmup` puts off."""
        return {"warmup": "there are no pseudo labels"} if self.weight else {}

    def kind(self, step: int, progress: float) -> Hashable:  # noqa: ARG002
        """Return whether the warm-up is over."""
        return progress >= self.warmup

    def players(self, task: Task) -> dict[str, nn.Module]:
        """Return the network, and the memory of its predictions."""
        classes = len(task.classes)
        net = UNet(task.channels, classes, biases=task.biases)
        return {"net": net, "memory": PastPredictions(task.slices, classes, self.cells)}

    def phases(self, nets: Mapping[str, nn.Module], batch: Batch) -> Iterator[Phase]:
        """Learn from labels and, after the warm-up, from pseudo labels; then remember what the network predicts."""
        memory = player(nets, "memory", PastPredictions)
        logits = nets["net"](batch.image)
        terms = {"pce": partial_cross_entropy(logits=logits, target=batch.target, weight=batch.weight)}
        if batch.progress >= self.warmup:
            sureness, sure = memory.read(batch).max(1)
            # Between cells that are all 1, rounding may give a little more than 1.
            unknown = (sureness.clamp(max=1) <= self.threshold) | (batch.target != IGNORE)
            pseudo = sure.to(torch.uint8).masked_fill(unknown, IGNORE)
            loss = partial_cross_entropy(logits=logits, target=pseudo, weight=uniform(pseudo))
            terms["pseudo"] = self.weight * loss
        yield Phase("net", terms)
        memory.write(batch, _at_rest(nets["net"], batch), self.rate)


@torch.no_grad()
def _at_rest(net: nn.Module, batch: Batch) -> Probs:
    """Class probabilities by the network in eval mode, as at test time."""
    training = net.training
    net.eval()
    probs = net(batch.image).softmax(1)
    net.train(training)
    return probs


def _inverse(affine: Affine) -> Affine:
    # inv_ex, as torch.linalg.inv would make a GPU wait.
    linear: Float[Tensor, "b 2 2"] = torch.linalg.inv_ex(affine[:, :, :2]).inverse
    return torch.cat((linear, -(linear @ affine[:, :, 2:])), 2)
