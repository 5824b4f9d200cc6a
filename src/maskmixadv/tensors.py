"""Tensors by name and shape, and what a task and a batch are."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

Image = Float[Tensor, "b c h w"]
"""Slices, intensities in [0, 1]."""
Logits = Float[Tensor, "b k h w"]
"""Scores of k classes before the softmax."""
Probs = Float[Tensor, "b k h w"]
"""Class probabilities: in [0, 1], summing to 1 over k."""
Labels = UInt8[Tensor, "b h w"]
"""Class indices 0..k-1, or ``IGNORE`` where nothing is known."""
Loss = Float[Tensor, ""]
"""A scalar to minimise."""

Belief = Float[Tensor, "b k h w"]
"""What random walks from the strokes say of each class: probabilities, or 0 for all where they say nothing."""


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
        Slices in the training set, for players that remember each; 0 where a network is only to be used.
    """

    classes: tuple[str, ...]
    channels: int = 1
    slices: int = 0


@dataclass(frozen=True)
class Batch:
    """What a method sees of one training step.

    Attributes
    ----------
    image
        Augmented slices.
    target
        The annotation that the method's ``supervision`` names, ``IGNORE`` where nothing was drawn.
    prior
        Unpaired dense masks of other patients, one a sample, or None where the run has no prior.
    weight
        What each pixel counts in cross-entropy: 0 where there is no label, 1 in all over the batch.
    index
        Number of each slice in the training set.
    affine
        Where each sample lies in its slice: its coordinates to the slice's canvas', both in [-1, 1].
    step
        Steps done before this one.
    progress
        Fraction of the run that is done, from 0 to below 1.
    rng
        Source of the step's random numbers, on the batch's device; a function of (seed, step, rank).
    belief
        What random walks from the strokes say, for methods that want it (`Method.believes`), else None.
    """

    image: Image
    target: Labels
    prior: Labels | None
    weight: Float[Tensor, "b h w"]
    index: Int[Tensor, "b"]
    affine: Float[Tensor, "b 2 3"]
    step: int
    progress: float
    rng: torch.Generator
    belief: Belief | None = None
