"""Teachers: networks that follow another one as the moving average of its weights."""

import copy
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maskmixadv.errors import InputError
from maskmixadv.methods.parts.views import noisy
from maskmixadv.networks.average import follow, warmed_up
from maskmixadv.tensors import Batch, Image, Probs, Scalar

Uncertainty = Float[Tensor, "b h w"]
"""Entropy of a pixel's class in nats, in [0, log k]."""


class Teacher(nn.Module):
    """A copy of a network that is not trained but follows it (Tarvainen and Valpola, NeurIPS 2017).

    Dropout stays on in every mode, as one of the noises under which the teacher is asked. Batch norm always uses its
    running statistics, which follow the network's as the weights do, so that the prediction of an image does not depend
    on the others in the batch.

    Differs from the released code: the copy begins with the network's weights, not with random ones of its own; and
    batch norm's statistics follow the network's, where there they were the teacher's own, of each batch.

    Parameters
    ----------
    net
        The network to follow; gives logits.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from maskmixadv.methods.parts.teacher import Teacher
    >>> net = nn.Conv2d(1, 2, 1)
    >>> teacher = Teacher(net)
    >>> teacher(torch.rand(1, 1, 4, 4)).sum(1).mean().item()
    1.0
    >>> teacher.follow(net, keep=0.99)
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = copy.deepcopy(net).requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> "Teacher":  # noqa: ARG002
        """Keep the mode: evaluation, but for dropout, which stays on."""
        super().train(False)
        for module in self.modules():
            if isinstance(module, (nn.Dropout, nn.Dropout2d)):
                module.train()
        return self

    @torch.no_grad()
    def forward(self, image: Image) -> Probs:
        """Return class probabilities, without gradient."""
        return self.net(image).softmax(1)

    def follow(self, net: nn.Module, *, keep: Scalar) -> None:
        """Move towards `net` after a step, keeping the fraction `keep` of itself (`pace`)."""
        follow(self.net, net, decay=keep)


def opinions(teacher: Teacher, batch: Batch, image: Image, *, noise: float, passes: int) -> tuple[Probs, Uncertainty]:
    """Ask the teacher about `image` under noise, `passes` times.

    Differs from the released code of UA-MT (Yu et al., MICCAI 2019): the target is the first of the answers, where
    there it is asked for on its own.

    Parameters
    ----------
    teacher
        The teacher.
    batch
        Gives the random numbers.
    image
        Images, ``(b, c, h, w)``.
    noise
        Standard deviation of the noise, in intensities; cut off at twice that.
    passes
        Number of answers, at least 2.

    Returns
    -------
    tuple[Probs, Uncertainty]
        The first answer, and the entropy of the answers' mean in nats.

    Examples
    --------
    >>> from maskmixadv.methods.parts.teacher import Teacher, opinions
    >>> from maskmixadv.networks.unet import UNet
    >>> from maskmixadv.tensors import Batch
    >>> batch = Batch.example()
    >>> answer, uncertainty = opinions(Teacher(UNet(1, 4)), batch, batch.image, noise=0.1, passes=2)
    >>> answer.shape, uncertainty.shape
    (torch.Size([2, 4, 32, 32]), torch.Size([2, 32, 32]))
    """
    images = noisy(image.repeat(passes, 1, 1, 1), noise, batch.rng)
    # Two passes at a time keep a GPU busy and fit into a CPU's cache.
    answers = torch.cat([teacher(part) for part in images.split(2 * len(image))]).unflatten(0, (passes, len(image)))
    mean = answers.mean(0)
    return answers[0], -(mean * mean.clamp(min=1e-6).log()).sum(1)


def certain_pixels(uncertainty: Uncertainty, *, rise: Scalar, classes: int) -> Float[Tensor, "b h w"]:
    """Return 1 where the teacher is certain enough: below a limit that rises from ¾ of log k to log k (UA-MT).

    Parameters
    ----------
    uncertainty
        Entropy of each pixel's class in nats.
    rise
        How far the limit has risen, in [0, 1].
    classes
        Number of classes k.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.methods.parts.teacher import certain_pixels
    >>> certain_pixels(torch.tensor([[[0.1, 1.2]]]), rise=0.0, classes=4)  # the limit is 1.04
    tensor([[[1., 0.]]])
    """
    return (uncertainty < (0.75 + 0.25 * rise) * math.log(classes)).float()


def sigmoid_rampup(progress: float, length: float) -> float:
    """Return a weight that rises from e⁻⁵ to 1 over the first part of a run (Laine and Aila, ICLR 2017).

    Parameters
    ----------
    progress
        Fraction of the run that is done, in [0, 1].
    length
        Fraction of the run over which the weight rises, in [0, 1]; with 0 it is 1 at once.

    Examples
    --------
    >>> from maskmixadv.methods.parts.teacher import sigmoid_rampup
    >>> [sigmoid_rampup(progress, 0.5) for progress in (0.0, 0.25, 0.5, 1.0)]
    [0.007, 0.287, 1.000, 1.000]
    """
    done = min(progress / length, 1.0) if length else 1.0
    return math.exp(-5 * (1 - done) ** 2)


def pace(step: int, progress: float, *, ramp: float, decay: float) -> dict[str, float]:
    """Return ``rise``, how far a teacher's weight has risen, and ``keep``, the fraction of itself that it keeps.

    Parameters
    ----------
    step
        Number of the step, counted from 0.
    progress
        Fraction of the run that is done.
    ramp
        Fraction of the run over which the weight rises (`sigmoid_rampup`).
    decay
        The fraction that the teacher keeps in the end (`maskmixadv.networks.average.warmed_up`).

    Examples
    --------
    >>> from maskmixadv.methods.parts.teacher import pace
    >>> pace(step=9, progress=0.5, ramp=0.3, decay=0.99)
    {'rise': 1.0, 'keep': 0.9}
    """
    return {"rise": sigmoid_rampup(progress, ramp), "keep": warmed_up(decay, step)}


def check_decay(decay: float) -> None:
    """Check that a teacher with `decay` follows: in [0, 1), since with 1 it would never move.

    Raises
    ------
    InputError
        Where it does not.

    Examples
    --------
    >>> from maskmixadv.methods.parts.teacher import check_decay
    >>> check_decay(1.0)
    Traceback (most recent call last):
    ...
    maskmixadv.errors.InputError: decay: 1.0, allowed is 0 to below 1
    """
    if not 0 <= decay < 1:
        raise InputError(f"decay: {decay}, allowed is 0 to below 1")


def check_passes(passes: int) -> None:
    """Check that `passes` answers have an uncertainty that can be measured: at least 2.

    Raises
    ------
    InputError
        Where there are fewer.

    Examples
    --------
    >>> from maskmixadv.methods.parts.teacher import check_passes
    >>> check_passes(1)
    Traceback (most recent call last):
    ...
    maskmixadv.errors.InputError: passes: 1, allowed is at least 2
    """
    if passes < 2:
        raise InputError(f"passes: {passes}, allowed is at least 2")
