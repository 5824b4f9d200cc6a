"""Pseudo-labels: what random walks from the scribbles and a mean teacher say together."""

from typing import Final, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maskmixadv.errors import InputError
from maskmixadv.methods.parts.teacher import Teacher
from maskmixadv.networks.losses import most_probable, one_hot
from maskmixadv.networks.unet import UNet
from maskmixadv.tensors import Batch, Belief, Image, Probs, Scalar
from maskmixadv.types import IGNORE

MEMORY: Final = 0.99
"""Fraction of the counted pixels that is kept from one step to the next."""
LARGEST: Final = 50.0
"""Odds stay between this and its inverse."""


class PseudoLabeller(Teacher):
    """A mean teacher without dropout that combines its prediction with random walks from the scribbles.

    It predicts with the network's last head.

    Walks alone are biased: where nothing shows an edge, a border lies half way between two strokes, so that a thin
    structure between far strokes gets too much. So their probabilities are multiplied by odds. These are 1 until
    `calibrate` moves them: towards those with which walks share pixels among the structures as the teacher does, and
    as the masks do in dense slices.

    Parameters
    ----------
    net
        The network to follow.
    classes
        Number of classes k.
    background
        Factor of the background's probability before a class is chosen, above 0.

    Examples
    --------
    >>> from maskmixadv.methods.parts.pseudo import PseudoLabeller
    >>> from maskmixadv.networks.unet import UNet
    >>> from maskmixadv.tensors import Batch
    >>> labeller, batch = PseudoLabeller(UNet(1, 4), classes=4, background=2.0), Batch.example()
    >>> labeller.combine(batch, labeller.predict(batch), trust=1.0).sum(1).mean().item()
    1.0
    """

    odds: Float[Tensor, "k 1 1"]
    counts: Float[Tensor, "2 k"]
    factors: Float[Tensor, "k 1 1"]

    def __init__(self, net: nn.Module, *, classes: int, background: float) -> None:
        super().__init__(net)
        self.register_buffer("odds", torch.ones(classes, 1, 1))
        self.register_buffer("counts", torch.zeros(2, classes))
        self.register_buffer("factors", torch.tensor([background] + [1.0] * (classes - 1))[:, None, None])

    def train(self, mode: bool = True) -> "PseudoLabeller":  # noqa: ARG002
        """Stay in evaluation mode: nothing is dropped."""
        nn.Module.train(self, False)
        return self

    @torch.no_grad()
    def forward(self, image: Image) -> Probs:
        """Return the teacher's class probabilities, without gradient."""
        return last_head(self.net, image)

    def predict(self, batch: Batch) -> Probs:
        """Return the teacher's class probabilities; 0 for classes that walks do not reach, where there are walks.

        Raises
        ------
        InputError
            Where the batch has no beliefs.
        """
        return self(batch.mild) * drawn_classes(belief_of(batch))

    def combine(self, batch: Batch, predicted: Probs, trust: Scalar) -> Probs:
        """Return class probabilities of walks and teacher; pixels of strokes and masks have their class for sure.

        Parameters
        ----------
        batch
            What is segmented, with beliefs.
        predicted
            What `predict` returned for it.
        trust
            How much the teacher counts beside the walks, above 0.

        Raises
        ------
        InputError
            Where the batch has no beliefs.
        """
        return with_scribbles(batch, self.weigh(batch, predicted, trust))

    def weigh(self, batch: Batch, predicted: Probs, trust: Scalar) -> Probs:
        """Return the same without what strokes and masks say; it does not sum to 1."""
        walks = belief_of(batch) * self.odds
        walks = walks / walks.sum(1, keepdim=True).clamp(min=1e-6)
        return (walks + trust * predicted) * self.factors

    @torch.no_grad()
    def calibrate(self, batch: Batch, predicted: Probs, rate: Scalar) -> None:
        """Move the walks' odds towards those that share pixels among structures as the teacher and the masks do.

        Parameters
        ----------
        batch
            What is segmented, with beliefs.
        predicted
            What `predict` returned for it.
        rate
            Power of the ratio of the two numbers of pixels with which the odds are multiplied; 0 leaves them.
        """
        belief, classes = belief_of(batch), predicted.shape[1]
        whole = torch.zeros_like(batch.index, dtype=torch.bool) if batch.whole is None else batch.whole
        # Strokes are known for sure, and say nothing of borders; a dense slice's pixels all do.
        counted = (belief.sum(1) > 0) & ((batch.target != IGNORE) == whole[:, None, None])
        truth = torch.where(whole[:, None, None], batch.target, most_probable(predicted))
        pairs = (most_probable(belief * self.odds), truth)
        seen = [(one_hot(each, classes) * counted[:, None]).sum((0, 2, 3)) for each in pairs]
        self.counts.mul_(MEMORY).add_(torch.stack(seen), alpha=1 - MEMORY)
        # A hundredth of all pixels more in each class: a class that is hardly seen keeps its odds.
        walked, wanted = self.counts + self.counts.sum(1, keepdim=True) / 100 + 1e-6
        self.odds.mul_((wanted / walked)[:, None, None] ** rate)
        # Structures' odds keep their geometric mean: the background's part is a factor's. If both followed the teacher,
        # structures that had shrunk a little would shrink further, without end.
        self.odds[:1].fill_(1)
        self.odds[1:].div_(self.odds[1:].log().mean().exp()).clamp_(1 / LARGEST, LARGEST)


def with_scribbles(batch: Batch, weights: Probs) -> Probs:
    """Return `weights` as probabilities that sum to 1; pixels of strokes and masks have their class for sure.

    Examples
    --------
    >>> from maskmixadv.methods.parts.pseudo import with_scribbles
    >>> from maskmixadv.tensors import Batch
    >>> batch = Batch.example()
    >>> with_scribbles(batch, batch.belief).sum(1).mean()
    tensor(1.)
    """
    known = one_hot(batch.target, weights.shape[1])
    drawn = known.sum(1, keepdim=True)
    return known + (1 - drawn) * weights / weights.sum(1, keepdim=True).clamp(min=1e-12)


def last_head(net: nn.Module, image: Image) -> Probs:
    """Return the class probabilities of a U-Net's last head.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.methods.parts.pseudo import last_head
    >>> from maskmixadv.networks.unet import UNet
    >>> last_head(UNet(1, 4, heads=2), torch.rand(1, 1, 32, 32)).shape
    torch.Size([1, 4, 32, 32])
    """
    return cast("UNet", net).answers(image)[-1].softmax(1)


def belief_of(batch: Batch) -> Belief:
    """Return a batch's beliefs: what random walks from its scribbles say.

    Raises
    ------
    InputError
        Where it has none.

    Examples
    --------
    >>> from maskmixadv.methods.parts.pseudo import belief_of
    >>> from maskmixadv.tensors import Batch
    >>> belief_of(Batch.example()).shape
    torch.Size([2, 4, 32, 32])
    """
    if batch.belief is None:
        raise InputError("walk-teacher: the batch has no beliefs; load its slices with beliefs")
    return batch.belief


def drawn_classes(belief: Belief) -> Float[Tensor, "b k 1 1"]:
    """Return 1 for classes that walks reach, and 0 for others; 1 for all where there are no walks.

    A slice's strokes show each of its classes. A window far from the strokes of a class may be out of reach of its
    walks, though the slice shows the class.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.methods.parts.pseudo import drawn_classes
    >>> drawn_classes(torch.tensor([0.4, 0.6, 0.0])[None, :, None, None])[0, :, 0, 0]
    tensor([1., 1., 0.])
    """
    reached = belief.amax((2, 3), keepdim=True) > 0
    return (reached | ~reached.any(1, keepdim=True)).float()
