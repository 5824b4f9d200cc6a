"""Types of tensors by their axes, and the two things that methods are given: a task and a batch.

Axes are ``b`` samples, ``c`` image channels, ``k`` classes, ``f`` feature channels, ``h`` rows and ``w`` columns.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from maskmixadv.errors import InputError
from maskmixadv.types import IGNORE, STRIDE

Image = Float[Tensor, "b c h w"]
"""Slices, intensities in [0, 1]."""
Maps = Float[Tensor, "b f h w"]
"""Maps of several channels: images, or one level of an encoder's features."""
Logits = Float[Tensor, "b k h w"]
"""Scores of k classes before the softmax."""
Probs = Float[Tensor, "b k h w"]
"""Class probabilities: in [0, 1], summing to 1 over k."""
Labels = UInt8[Tensor, "b h w"]
"""Class indices 0..k-1, or ``IGNORE`` where nothing is known."""
Indicator = Float[Tensor, "b 1 h w"]
"""1 at the pixels that are meant, 0 at all others."""
Weight = Float[Tensor, "b h w"]
"""How much each pixel counts in a mean over pixels: at least 0, usually summing to 1 over the batch."""
Loss = Float[Tensor, ""]
"""A scalar to minimise."""
Scalar = float | Float[Tensor, ""]
"""A number; a tensor on the device where steps are recorded, so that it can change from step to step."""

Belief = Float[Tensor, "b k h w"]
"""Class probabilities by random walks from the strokes; 0 for all classes where no walk arrives."""


@dataclass(frozen=True)
class Task:
    """What is to be segmented.

    Attributes
    ----------
    classes
        Names of the k classes, background first.
    channels
        Image channels c.
    slices
        Number of slices in the training set, for players that remember each; 0 where a network is only used.
    studied
        Number of dense slices whose strokes are known, too, for methods that compare the two (`Method.studies`).
    biases
        Whether convolutions have a bias where a batch norm follows (`maskmixadv.networks.unet.UNet`).

    Examples
    --------
    >>> from maskmixadv.tensors import Task
    >>> Task(("background", "liver")).channels
    1
    """

    classes: tuple[str, ...]
    channels: int = 1
    slices: int = 0
    studied: int = 0
    biases: bool = False

    @classmethod
    def example(cls) -> "Task":
        """Return the task of `Batch.example`: four classes, two slices."""
        return cls(("background", "RV", "Myo", "LV"), slices=2)


@dataclass(frozen=True)
class Batch:
    """What a method sees in one training step.

    Attributes
    ----------
    image
        Augmented slices, intensities in [0, 1].
    target
        What is known of each pixel: the annotation that the method's `supervision` names and, beside strokes, masks
        that are learnt from; ``IGNORE`` where nothing is known.
    prior
        Dense masks of other patients, one for each sample and not paired with it; None where the run has no prior.
    weight
        How much each pixel counts in cross-entropy: 0 where there is no label; sums to 1 over the batch.
    index
        Number of each sample's slice in the training set.
    affine
        Maps a sample's coordinates to those of its slice's canvas, both in [-1, 1].
    step
        Number of steps done before this one.
    progress
        Fraction of the run that is done, from 0 to below 1.
    rng
        Source of the step's random numbers, on the batch's device; it depends on seed, step and rank alone.
    belief
        What random walks from the strokes say, for methods that ask for it (`Method.believes`); else None. In a dense
        slice without strokes of at least two classes it is the mask itself.
    whole
        True for dense slices, of which every pixel is labelled, by a mask or by strokes; None: there is none. A window
        may show pixels beyond the slice, which are ``IGNORE`` there, too.
    walked
        True for those of them whose beliefs are walks from strokes, which are known, too; None: there is none.
    dense
        Dense slices whose strokes are known, too, for methods that ask for them (`Method.studies`); else None.
    scalars
        What `Method.scalars` returned for the step; None in a batch that no loop made.
    bare
        True for slices without any annotation, of which neither strokes, masks nor walks say anything; None: the run
        has no such slice.
    weak
        `image` in its own colours, for methods that ask for it (`Method.weak`); None where nothing changed colours.

    Examples
    --------
    >>> from maskmixadv.tensors import Batch
    >>> batch = Batch.example(samples=3)
    >>> batch.image.shape, batch.target.shape
    (torch.Size([3, 1, 32, 32]), torch.Size([3, 32, 32]))
    >>> batch.weight.sum()
    tensor(1.00)
    """

    image: Image
    target: Labels
    prior: Labels | None
    weight: Weight
    index: Int[Tensor, "b"]
    affine: Float[Tensor, "b 2 3"]
    step: int
    progress: float
    rng: torch.Generator
    belief: Belief | None = None
    whole: Bool[Tensor, "b"] | None = None
    walked: Bool[Tensor, "b"] | None = None
    dense: "Batch | None" = None
    scalars: Mapping[str, Scalar] | None = None
    bare: Bool[Tensor, "b"] | None = None
    weak: Image | None = None

    @property
    def mild(self) -> Image:
        """The images as a teacher sees them: `weak`, or `image` where there is none."""
        return self.image if self.weak is None else self.weak

    @classmethod
    def example(
        cls, samples: int = 2, side: int = 2 * STRIDE, *, step: int = 0, progress: float = 0.5, seed: int = 0
    ) -> "Batch":
        """Make up a batch with all that a method may ask for, to try out a method, a loss or a perturbation.

        Each image shows three squares, one inside the other and brighter inwards, under noise. A horizontal stroke
        lies in each of the four classes. `Task.example` is its task.

        Parameters
        ----------
        samples
            Number of samples b, at least 1.
        side
            Height and width of the images in pixels, a multiple of ``STRIDE``.
        step, progress
            As the batch's attributes.
        seed
            Of the noise and of `rng`.

        Raises
        ------
        InputError
            Where `side` is no multiple of ``STRIDE``.
        """
        if side < STRIDE or side % STRIDE:
            raise InputError(f"side: {side}, allowed is a multiple of {STRIDE}")
        dense = torch.zeros(side, side, dtype=torch.uint8)
        strokes = torch.full_like(dense, IGNORE)
        for label in range(4):
            rim = label * side // 8
            dense[rim : side - rim, rim : side - rim] = label
            strokes[rim + side // 16, rim : side - rim] = label
        rng = torch.Generator().manual_seed(seed)
        noise = torch.rand(samples, 1, side, side, generator=rng)
        masks, target = dense.expand(samples, -1, -1), strokes.repeat(samples, 1, 1)
        labelled = (target != IGNORE).float()
        classes = torch.stack([(masks == label).float() for label in range(4)], 1)
        return cls(
            image=masks[:, None] / 4 + 0.25 * noise,
            target=target,
            prior=masks.roll(side // 16, 1),
            weight=labelled / labelled.sum(),
            index=torch.arange(samples),
            affine=torch.eye(2, 3).repeat(samples, 1, 1),
            step=step,
            progress=progress,
            rng=rng,
            belief=0.6 * classes + 0.1,
            whole=torch.zeros(samples, dtype=torch.bool),
        )
