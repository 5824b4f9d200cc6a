"""ShapePU: classes that unlabelled pixels surely do not have, and labels and consistency under occlusion."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import nn

from maskmixadv.methods.method import Method, Phase, all_hidden, check_fractions, check_weights
from maskmixadv.methods.parts.ratios import mixture_ratios, negatives, trained_share
from maskmixadv.methods.parts.views import Mixture, occlusion, quarters, turned
from maskmixadv.networks.losses import disagreement, marginal, partial_cross_entropy
from maskmixadv.tensors import Batch, Indicator, Logits


@final
@dataclass(frozen=True)
class ShapePU(Method):
    """ShapePU (Zhang and Zhuang, MICCAI 2022): positive-unlabelled learning with global consistency.

    Differs from the released code: class ratios are estimated on the unlabelled pixels, where that code takes the
    labelled ones', and from the forward pass that learns. That code also turns and mirrors occluded images, which the
    paper's abstract does not name, and which is the loop's here; hidden pixels are background there, unlabelled here.

    Attributes
    ----------
    unlabelled
        Weight of the marginal likelihood of unlabelled pixels. The network that it teaches also estimates the ratios:
        with a weight of 1 and an early start, structures vanished in short runs.
    occluded
        Weight of the cross-entropy with the labels of occluded images.
    consistency
        Weight of the consistency of an occluded image's prediction with the image's.
    warmup
        Fraction of the run without the marginal likelihood, in [0, 1].
    side
        Side of the hidden square in pixels; 0 hides none.
    turned
        Whether occluded images are turned by a random number of right angles, and their predictions back.

    Raises
    ------
    InputError
        Where an attribute is not allowed.

    Examples
    --------
    >>> from maskmixadv.methods import ShapePU, first_terms
    >>> list(first_terms(ShapePU(side=8)))
    ['net/pce', 'net/occluded', 'net/consistency', 'net/unlabelled']
    """

    unlabelled: float = 0.1
    occluded: float = 1.0
    consistency: float = 0.05
    warmup: float = 0.3
    side: int = 32
    turned: bool = False

    def __post_init__(self) -> None:
        check_weights(self, "unlabelled", "occluded", "consistency", "side")
        check_fractions(self, "warmup")

    def idle(self, share: int, window: int) -> Sequence[str]:  # noqa: ARG002
        """Return a line on `side` where nothing is left to be seen."""
        return all_hidden(self.side, window)

    def begins(self) -> Mapping[str, str]:
        """Return what `warmup` puts off."""
        return {"warmup": "nothing is learnt from unlabelled pixels"} if self.unlabelled else {}

    def kind(self, step: int, progress: float) -> Hashable:  # noqa: ARG002
        """Return whether the warm-up is over."""
        return progress >= self.warmup

    def phases(self, nets: Mapping[str, nn.Module], batch: Batch) -> Iterator[Phase]:
        """Learn from labels, from the classes that unlabelled pixels can't have, and from an occluded view."""
        logits = nets["net"](batch.image)
        probs = logits.softmax(1)
        shown = occlusion(batch, self.side)
        occluded = self._answer(nets["net"], batch, shown)
        seen = Mixture(torch.ones_like(shown), shown)
        labels, weight = seen.labels(batch.target), seen.weight(batch.weight)
        terms = {
            "pce": partial_cross_entropy(logits=logits, target=batch.target, weight=batch.weight),
            "occluded": self.occluded * partial_cross_entropy(logits=occluded, target=labels, weight=weight),
            "consistency": self.consistency * disagreement(one=occluded.softmax(1), other=probs, where=shown),
        }
        if batch.progress >= self.warmup:
            share = trained_share(batch, probs.shape[1])
            ratios = mixture_ratios(probs=probs, target=batch.target, share=share)
            negative = negatives(scores=probs, target=batch.target, share=share, ratios=ratios)
            negative[:, 0].zero_()  # every pixel may be background
            terms["unlabelled"] = self.unlabelled * marginal(logits=logits, negative=negative)
        yield Phase("net", terms)

    def _answer(self, net: nn.Module, batch: Batch, shown: Indicator) -> Logits:
        """Ask the network about what is shown, turned."""
        image = batch.image * shown
        if not self.turned:
            return net(image)
        number = quarters(batch)
        return turned(net(turned(image, number)), 4 - number)
