"""ZScribbleSeg: labels on mixed and occluded images, ratios of classes, and a spatial and a shape prior."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from maskmixadv.methods.method import Method, Phase, all_hidden, check_fractions, check_weights, unmixed
from maskmixadv.methods.parts.ratios import mixture_ratios, negatives, trained_share
from maskmixadv.methods.parts.views import check_blocks, mixed_again
from maskmixadv.networks.components import largest_in_slices
from maskmixadv.networks.losses import disagreement, marginal, most_probable, partial_cross_entropy, uniform
from maskmixadv.tensors import Batch, Image, Probs
from maskmixadv.types import IGNORE


@final
@dataclass(frozen=True)
class ZScribbleSeg(Method):
    """ZScribbleSeg (Zhang and Zhuang, 2023, arXiv 2301.04882).

    Differs from the paper: images are mixed and turned as `CycleMix` does here. Differs from the released code: class
    ratios are estimated on the unlabelled pixels, where that code takes the labelled ones'; and the spatial energy is
    computed at half of the resolution.

    Attributes
    ----------
    mixed
        Weight of the cross-entropy with the labels of mixed images.
    consistency
        Weight of the consistency of a mixed image's prediction with the mixture of the images' predictions.
    spatial
        Weight of the marginal likelihood of unlabelled pixels, ranked by spatial energy; see `ShapePU`.
    shape
        Weight of the cross-entropy of unlabelled pixels with each structure's largest component.
    warmup
        Fraction of the run without the spatial term, in [0, 1].
    blocks
        Number of blocks along a side, which mixing moves: 1, 2, 4, 8 or 16, so that every window can be cut into them.
    side
        Side of the hidden square in pixels; 0 hides none.

    Raises
    ------
    InputError
        Where an attribute is not allowed.

    Examples
    --------
    >>> from maskmixadv.methods import ZScribbleSeg, first_terms
    >>> list(first_terms(ZScribbleSeg(side=8)))
    ['net/pce', 'net/mixed', 'net/consistency', 'net/shape', 'net/spatial']
    """

    mixed: float = 1.0
    consistency: float = 0.05
    spatial: float = 0.1
    shape: float = 0.1
    warmup: float = 0.3
    blocks: int = 8
    side: int = 32

    def __post_init__(self) -> None:
        check_weights(self, "mixed", "consistency", "spatial", "shape", "side")
        check_fractions(self, "warmup")
        check_blocks(self.blocks)

    def idle(self, share: int, window: int) -> Sequence[str]:
        """Return lines on `blocks` where a sample has no other to be mixed with, and on `side` where all is hidden."""
        return (*unmixed(f"blocks: {self.blocks}", share), *all_hidden(self.side, window))

    def begins(self) -> Mapping[str, str]:
        """Return what `warmup` puts off."""
        return {"warmup": "there is no spatial term"} if self.spatial else {}

    def kind(self, step: int, progress: float) -> None:
        """Return None: largest components are found on the CPU, so that no step can be replayed."""

    def phases(self, nets: Mapping[str, nn.Module], batch: Batch) -> Iterator[Phase]:
        """Learn from images, from their mixtures, and from where classes can't be."""
        logits = nets["net"](batch.image)
        probs = logits.softmax(1)
        mix, again = mixed_again(nets["net"], batch, probs, blocks=self.blocks, side=self.side)
        labels, weight = mix.labels(batch.target), mix.weight(batch.weight)
        largest = largest_in_slices(most_probable(probs), probs.shape[1])
        whole = largest.masked_fill(batch.target != IGNORE, IGNORE)
        consistency = disagreement(one=again.softmax(1), other=mix.maps(probs), where=mix.shown)
        terms = {
            "pce": partial_cross_entropy(logits=logits, target=batch.target, weight=batch.weight),
            "mixed": self.mixed * partial_cross_entropy(logits=again, target=labels, weight=weight),
            "consistency": self.consistency * consistency,
            "shape": self.shape * partial_cross_entropy(logits=logits, target=whole, weight=uniform(whole)),
        }
        if batch.progress >= self.warmup:
            share = trained_share(batch, probs.shape[1])
            ratios = mixture_ratios(probs=probs, target=batch.target, share=share)
            energy = spatial_energy(probs=probs, image=batch.image)
            negative = negatives(scores=energy, target=batch.target, share=share, ratios=ratios)
            terms["spatial"] = self.spatial * marginal(logits=logits, negative=negative)
        yield Phase("net", terms)


@torch.no_grad()
def spatial_energy(
    *, probs: Probs, image: Image, radius: int = 4, near: float = 3.0, alike: float = 0.1
) -> Float[Tensor, "b k h w"]:
    """Return how probable a class is at a pixel and at the pixels that are near it and look alike.

    ``p_k(i) Σ_j κ_ij p_k(j)`` with ``κ_ij = exp(-½ (|i - j|² / near² + (x_i - x_j)² / alike²))``; j are the other
    pixels of a square about i. The sum is computed at half of the resolution.

    Parameters
    ----------
    probs
        Class probabilities p, ``(b, k, h, w)``, h and w even.
    image
        Intensities x in [0, 1], ``(b, c, h, w)``.
    radius
        Half the side of the square, in pixels of half the resolution.
    near
        Distance over which nearness falls off, in pixels of half the resolution.
    alike
        Difference of intensity over which likeness falls off.

    Returns
    -------
    Float[Tensor, "b k h w"]
        At least 0.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.methods.zscribbleseg import spatial_energy
    >>> energy = spatial_energy(probs=torch.full((1, 2, 16, 16), 0.5), image=torch.zeros(1, 1, 16, 16))
    >>> bool(energy[0, 0, 8, 8] > energy[0, 0, 0, 0])  # pixels at the rim have fewer neighbours
    True
    """
    half, grey = F.avg_pool2d(probs, 2), F.avg_pool2d(image, 2)
    total = torch.zeros_like(half)
    around = F.pad(torch.cat((half, grey), 1), (radius,) * 4)
    (h, w), k = half.shape[2:], half.shape[1]
    steps = range(-radius, radius + 1)
    for row, column in ((row, column) for row in steps for column in steps if row or column):
        there = around[:, :, radius + row : radius + row + h, radius + column : radius + column + w]
        apart = (there[:, k:] - grey).square().sum(1, keepdim=True) / alike**2
        total += torch.exp(-0.5 * (apart + (row**2 + column**2) / near**2)) * there[:, :k]
    return probs * F.interpolate(total, scale_factor=2, mode="bilinear")
