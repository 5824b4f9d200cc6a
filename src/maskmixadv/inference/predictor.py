"""Prediction: a volume on its own grid in, labels on the same grid out."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, product
from pathlib import Path
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, UInt8
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from maskmixadv.corpus.arrays import SpacingLike, as_affine, as_channels, as_spacing
from maskmixadv.corpus.channels import ONE, Channel, named, ranged
from maskmixadv.device import pick_device
from maskmixadv.errors import InputError, listed, say
from maskmixadv.formats.slicing import Header, Slicing, View
from maskmixadv.inference.tiles import blended
from maskmixadv.networks.components import largest_components
from maskmixadv.networks.losses import most_probable
from maskmixadv.runs.checkpoint import hashed
from maskmixadv.runs.odds import Odds, looked_at
from maskmixadv.runs.pieces import Pieces
from maskmixadv.runs.run import Run
from maskmixadv.sampling.grid import Grid, covering
from maskmixadv.types import STRIDE, PathLike, Spacing

SLICES_AT_ONCE: Final = {"cpu": 2}
"""Slices that go through the network at once, by kind of device; a core's cache holds the features of few slices
(docs/decisions/0006)."""
MOST_AT_ONCE: Final = 16
"""Slices at once on other devices: as a rule a heart's whole volume."""
PIXELS_AT_ONCE: Final = 2**22
"""Pixels that go through the network at once at most."""
WHOLE: Final = 2**20
"""Pixels up to which a slice goes through the network whole; larger ones go in tiles."""
KEPT: Final = 2**26
"""Probabilities of a volume that are kept in memory at most."""
AS_IT_IS: Final = ((0, False),)
"""The slice as it is, as (quarter turns, whether it is mirrored first)."""
TURNS: Final = tuple(product(range(4), (False, True)))
"""The eight ways to turn and mirror a slice that training draws from (`maskmixadv.sampling.ranges.Augment.turns`)."""

NO_TURNS: Final = (
    "maskmixadv: note: --flips is left out, as this run's training saw no slice turned or mirrored (augment.turns)"
)


@dataclass(frozen=True)
class Predictor:
    """A trained network, and what it takes to segment volumes with it.

    `segment` and `probabilities` take arrays as they were measured. `labels` and `probs` take volumes that are scaled
    and turned already, as a corpus has them. Slices go through the network a few at a time, and those of more than a
    million pixels on its grid in tiles that overlap.

    Attributes
    ----------
    net
        Maps images ``b c h w`` to logits.
    grid
        The pixels that `net` knows.
    classes
        Names of the k classes, background first.
    multiple
        Sides of the network's input are multiples of it.
    turns
        Whether training saw its slices turned and mirrored. If not, the network can't segment turned slices.
    slicing
        How those were seen that were learnt from; a file is cut and turned by the same rule, as its own header says.
    channels
        Of the images, which say how intensities are scaled.
    pieces
        Which structures are in one piece, so that only the largest one is kept.
    odds
        What probabilities are multiplied by, so that borders lie where people draw them.
    network
        SHA-256 of the weights as the run's checkpoint has them; empty where it is of none.

    Examples
    --------
    >>> import maskmixadv as mma
    >>> corpus = mma.make_phantoms("corpus", cases=6, size=64)
    >>> run = mma.train(corpus, "run", method="pce", preset="cpu", steps=2, size=48, window=32)
    >>> predictor = Predictor.load(run)
    >>> print(predictor)
    predictor of background, RV, Myo, LV
      network: UNet, 1.81 M weights, on cpu
      slices:  along axis 0, resampled to pixels of 5.01 mm
      turns:   off
      largest piece alone of: none
      odds of classes: neutral
    >>> image = np.random.default_rng(0).normal(300.0, 40.0, (6, 70, 60))   # raw intensities
    >>> predictor.segment(image, spacing=(8, 1.5, 1.5)).shape
    (6, 70, 60)
    >>> predictor.probabilities(image, spacing=(8, 1.5, 1.5)).shape
    (4, 6, 70, 60)
    """

    net: nn.Module
    grid: Grid
    classes: tuple[str, ...]
    multiple: int = STRIDE
    turns: bool = False
    slicing: Slicing = Slicing()  # noqa: RUF009
    channels: tuple[Channel, ...] = ONE
    pieces: Pieces = Pieces()  # noqa: RUF009
    odds: Odds = Odds()  # noqa: RUF009
    network: str = ""

    @classmethod
    def load(
        cls, root: PathLike, device: str | None = None, *, odds: bool = True, deciding: bool = False
    ) -> "Predictor":
        """Load the last checkpoint of the run in directory `root`; its network can predict, but not learn on.

        Parameters
        ----------
        root
            The run's directory.
        device
            Where to predict, such as ``cuda:0``; None: the fastest device that is there.
        odds
            Whether classes have the odds that the run has found; else probabilities are the network's own.
        deciding
            Whether it is asked for to find the odds and the structures in one piece; else a line on stderr says where
            the run was stopped before it had found them.

        Raises
        ------
        InputError
            Where `root` is no run, has no checkpoint or a damaged one, its weights are not finite, the device is not
            there, or the run's files belong to another network or were edited.
        """
        run, place = Run.open(Path(root)), pick_device(device)
        weights = run.weights(place, deciding=deciding)
        network = hashed(weights.state_dict())
        net = fuse_norms(weights).to(place).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        turns, learnt = run.schedule.augment.turns, run.learnt_from
        decided = {
            "pieces": Pieces.of_run(run.root, run.task.classes, network),
            "odds": Odds.of_run(run.root, run.task.classes, network) if odds else Odds(),
            "network": network,
        }
        how = {"turns": turns, "slicing": learnt.slicing, "channels": learnt.channels, **decided}
        return cls(net, run.grid, run.task.classes, **how)

    def __repr__(self) -> str:
        """Say in one line what it is, without the network's layers."""
        return f"Predictor({type(self.net).__name__}, classes={self.classes}, grid={self.grid}, device={self._device})"

    def __str__(self) -> str:
        """Summarise it in a few lines."""
        weights = sum(each.numel() for each in self.net.parameters()) / 1e6
        grid = self.grid
        pixels = f"{grid.size} pixels on their longer side" if grid.mm is None else f"pixels of {grid.mm:.3g} mm"
        return (
            f"predictor of {listed(self.classes)}\n"
            f"  network: {type(self.net).__name__}, {weights:.2f} M weights, on {self._device}\n"
            f"  slices:  along axis {self.axis}, resampled to {pixels}\n"
            f"  turns:   {'on' if self.turns else 'off'}\n"
            f"  largest piece alone of: {self.alone(None)}\n"
            f"  odds of classes: {self.odds}"
        )

    @property
    def axis(self) -> int:
        """Along which axis of an array its slices are cut, 0 to 2."""
        return self.slicing.axis

    def alone(self, largest: bool | None) -> str:
        """Name the structures of which only the largest piece is kept, in one line; `largest` as for `segment`."""
        return str(self.pieces) if largest is None else listed(self.classes[1:]) if largest else "none"

    def told(self, *, flips: bool, largest: bool | None) -> str:
        """Say in one line what options amount to; `flips` and `largest` as for `segment`."""
        ways = "on" if flips and self.turns else "off"
        return f"flips {ways}, largest piece alone of {self.alone(largest)}, odds {self.odds}"

    @property
    def _device(self) -> torch.device:
        return next(self.net.parameters()).device

    def segment(
        self,
        image: np.ndarray,
        spacing: SpacingLike | None = None,
        *,
        affine: np.ndarray | None = None,
        flips: bool = False,
        largest: bool | None = None,
    ) -> UInt8[np.ndarray, "_ _ _"]:
        """Segment a volume as it was measured: what the command ``predict`` does with a file.

        Parameters
        ----------
        image
            Raw intensities in any unit, of three axes, in the order that the run's images had: slices, rows, columns
            where `axis` is 0. They are scaled to [0, 1] here, each channel as its kind says
            (`maskmixadv.corpus.channels.ranged`). Where the run's images have several channels, these come first.
        spacing
            Millimetres between voxels along the three axes of `image`. None where unknown, which serves runs whose
            corpus had none either.
        affine
            Matrix from voxel (x, y, z, 1), the axes of `image` from the last to the first, to the patient in mm (RAS),
            as nibabel has it. The image is then cut and turned as ``predict`` does with a file. None: it lies as the
            run's images did.
        flips
            Average over the eight right-angle turns and flips in plane, if training drew them (`averages`).
        largest
            Whether each structure's largest connected piece is kept only, and the rest becomes background. None: of
            those structures that the run found in one piece (`pieces`).

        Returns
        -------
        Class indices of `image`'s shape, uint8, the most probable class of each voxel, without the pieces that are left
        out: 0 is the background, k is ``classes[k]``.

        Raises
        ------
        InputError
            Where the image has not three axes, or not the run's channels, holds NaN or infinity, is constant or holds
            no real numbers; where the spacing is not three numbers above 0, or is missing though the network needs it;
            where the affine is no 4 × 4 matrix of three directions, or its voxels have another spacing.
        """
        volume, known, view = self._seen(image, spacing, affine)
        return view.back(self.labels(volume, known, flips=flips, largest=largest))

    def probabilities(
        self,
        image: np.ndarray,
        spacing: SpacingLike | None = None,
        *,
        affine: np.ndarray | None = None,
        flips: bool = False,
    ) -> Float32[np.ndarray, "k _ _ _"]:
        """Class probabilities of a volume as it was measured.

        Its most probable classes are what `segment` returns with ``largest=False``.

        Parameters
        ----------
        image, spacing, affine, flips
            As for `segment`.

        Returns
        -------
        Probabilities in [0, 1], float32: the first axis has the k classes, over which they sum to 1; the others are
        `image`'s.

        Raises
        ------
        InputError
            As `segment` does.
        """
        volume, known, view = self._seen(image, spacing, affine)
        probs = self.probs(volume, known, flips=flips).float().cpu().numpy()
        return view.back(np.moveaxis(probs, 1, 0))

    def _seen(
        self, image: np.ndarray, spacing: SpacingLike | None, affine: np.ndarray | None
    ) -> tuple[Float[np.ndarray, "c d h w"], Spacing | None, View]:
        """Return an image as the network takes it, with intensities in [0, 1]; its spacing; and how it is seen."""
        given = as_channels(image, "image")
        if len(given) != len(self.channels):
            raise InputError(
                f"image: number of channels is {len(given)}, allowed is {len(self.channels)} ({named(self.channels)})"
            )
        known = None if spacing is None else as_spacing(spacing, "image")
        header = Header(given.shape[1:], known, None if affine is None else as_affine(affine, "image", known))
        view = View.along(self.axis) if header.affine is None else self.slicing.of(header)
        volume = ranged(view.seen(given), self.channels, "image")
        d, h, w = view.order
        return volume, None if known is None else (known[d], known[h], known[w]), view

    def averages(self, flips: bool) -> bool:
        """Return whether to average where `flips` is asked for; where it can't be done, a line on stderr says so."""
        if flips and not self.turns:
            say(NO_TURNS)
        return flips and self.turns

    @torch.inference_mode()
    def probs(
        self, image: Float[np.ndarray, "c d h w"], spacing: Spacing | None, *, flips: bool = False
    ) -> Float[Tensor, "d k h w"]:
        """Class probabilities on the volume's own grid.

        Parameters
        ----------
        image
            Intensities in [0, 1] (`maskmixadv.corpus.channels.scaled`).
        spacing
            Millimetres along d, h, w, or None where unknown.
        flips
            Average over the eight right-angle turns and flips in plane, if training drew them (`averages`).
        """
        return torch.cat(list(self.parts(image, spacing, flips=flips)))

    def labels(
        self,
        image: Float[np.ndarray, "c d h w"],
        spacing: Spacing | None,
        *,
        flips: bool = False,
        largest: bool | None = None,
    ) -> UInt8[np.ndarray, "d h w"]:
        """Labels on the volume's own grid: the most probable class.

        Parameters
        ----------
        image, spacing, flips
            As for `probs`.
        largest
            As for `segment`.
        """
        parts = [most_probable(part).cpu().numpy() for part in self.parts(image, spacing, flips=flips)]
        return self.kept(np.concatenate(parts), largest)

    def kept(self, labels: UInt8[np.ndarray, "d h w"], largest: bool | None = None) -> UInt8[np.ndarray, "d h w"]:
        """Return labels without the pieces that are left out; `largest` as for `segment`."""
        if largest is None:
            return self.pieces.keep(labels, self.classes)
        return largest_components(labels, len(self.classes)) if largest else labels

    @torch.inference_mode()
    def parts(
        self, image: Float[np.ndarray, "c d h w"], spacing: Spacing | None, *, flips: bool = False
    ) -> Iterator[Float[Tensor, "b k h w"]]:
        """Yield what `probs` returns, a few slices at a time: that of a whole CT would take gigabytes."""
        own = partial(self._own, spacing=spacing, ways=TURNS if self.averages(flips) else AS_IT_IS)
        if not self.odds.by_size:
            yield from (multiplied(each, self.odds.of_case()) for each in own(image))
            return
        d, h, w = image.shape[1:]
        looked = looked_at(d)
        # What is drawn must be known before the first part is given: a heart is kept, a whole CT is gone through again.
        kept = list(own(image)) if len(looked) == d and len(self.classes) * d * h * w <= KEPT else None
        drawn = sum(_drawn(each) for each in kept or own(image[:, looked]))
        factors = self.odds.of_case(np.asarray(drawn))
        yield from (multiplied(each, factors) for each in kept or own(image))

    @torch.inference_mode()
    def _own(
        self, image: Float[np.ndarray, "c d h w"], *, spacing: Spacing | None, ways: tuple[tuple[int, bool], ...]
    ) -> Iterator[Float[Tensor, "b k h w"]]:
        """Yield the network's own probabilities, a few slices at a time."""
        shape, canvas = (image.shape[2], image.shape[3]), self._canvas(image, spacing)
        pixels, device = math.prod(canvas), self._device
        at_once = max(1, min(SLICES_AT_ONCE.get(device.type, MOST_AT_ONCE), PIXELS_AT_ONCE // pixels))
        batch = partial(self._batch, ways=ways)
        training = self.net.training
        self.net.eval()
        for first in range(0, image.shape[1], at_once):
            slices = torch.from_numpy(image[:, first : first + at_once]).to(device)
            volume = torch.stack([self.grid.image(each, spacing, canvas) for each in slices], 1)
            maps = blended(volume, batch) if self.in_tiles(image, spacing) else batch(volume)
            yield self.grid.restore(maps, shape, spacing)
        self.net.train(training)

    def in_tiles(self, image: Float[np.ndarray, "c d h w"], spacing: Spacing | None) -> bool:
        """Return whether an image's slices are too large to go through the network whole."""
        return math.prod(self._canvas(image, spacing)) > WHOLE

    def _canvas(self, image: Float[np.ndarray, "c d h w"], spacing: Spacing | None) -> tuple[int, int]:
        return covering(self.grid.resized((image.shape[2], image.shape[3]), spacing), self.multiple)

    def _batch(self, image: Float[Tensor, "b c h w"], ways: tuple[tuple[int, bool], ...]) -> Float[Tensor, "b k h w"]:
        return torch.stack([self._one_way(image, *way) for way in ways]).mean(0)

    def _one_way(self, image: Float[Tensor, "b c h w"], quarters: int, mirrored: bool) -> Float[Tensor, "b k h w"]:
        turned = (image.flip(3) if mirrored else image).rot90(quarters, (2, 3))
        probs = self.net(turned.contiguous(memory_format=torch.channels_last)).softmax(1).rot90(-quarters, (2, 3))
        return probs.flip(3) if mirrored else probs


def _drawn(probs: Float[Tensor, "b k h w"]) -> Int[np.ndarray, "k"]:
    """Count the voxels of each class."""
    return torch.bincount(most_probable(probs).flatten(), minlength=probs.shape[1]).cpu().numpy()


def multiplied(probs: Float[Tensor, "b k h w"], odds: Sequence[float] | None) -> Float[Tensor, "b k h w"]:
    """Return class probabilities, multiplied by the classes' odds, and divided by their sum.

    Parameters
    ----------
    probs
        Class probabilities.
    odds
        One number a class, above 0; None: probabilities stay.

    Examples
    --------
    >>> multiplied(torch.tensor([0.75, 0.25]).reshape(1, 2, 1, 1), (1.0, 3.0)).flatten().tolist()
    [0.5, 0.5]
    """
    if odds is None:
        return probs
    weighted = probs * torch.tensor(odds, dtype=probs.dtype, device=probs.device)[:, None, None]
    return weighted / weighted.sum(1, keepdim=True)


def fuse_norms(net: nn.Module) -> nn.Module:
    """Fuse each batch norm with the convolution before it, in place; predictions stay the same, to rounding.

    Parameters
    ----------
    net
        Its batch norms are fused where they follow a convolution in an ``nn.Sequential``. It is in eval mode
        afterwards, and can't be trained any more.

    Returns
    -------
    `net`.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU())
    >>> fuse_norms(net)
    Sequential(
      (0): Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1))
      (1): Identity()
      (2): ReLU()
    )
    """
    net.eval()
    for block in [part for part in net.modules() if isinstance(part, nn.Sequential)]:
        for place, (conv, norm) in enumerate(pairwise(list(block))):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                block[place], block[place + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return net
