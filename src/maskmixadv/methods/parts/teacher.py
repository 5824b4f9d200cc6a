"""Teachers: networks that follow another one as the moving average of its weights."""

import copy
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maskmixadv.errors import InputError
from maskmixadv.methods.parts.views import noisy
from maskmixadv.networks.average import follow, warmed_up
from maskmixadv.tensors import Batch, Image, Probs

Uncertainty = Float[Tensor, "b h w"]
"""Entropy of a pixel's class in nats, in [0, log k]."""


class Teacher(nn.Module):
    """A copy of a network that is not trained but follows it (Tarvainen and Valpola, NeurIPS 2017).

    Dropout stays on, whatever the mode: it is one of the noises that an opinion is asked under. Batch norm always
    uses its running statistics, which follow the network's as the weights do, so that an opinion of one image
    does not hang on the others beside it.

    Differs from the released code: the copy starts with the network's weights, not with random ones of its own,
    and batch norm's statistics follow, where they were the teacher's own, of each batch.

    Parameters
    ----------
    net
        The network to follow; gives logits.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = copy.deepcopy(net).requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> "Teacher":  # noqa: ARG002
        """Keep the one mode that there is."""
        super().train(False)
        for module in self.modules():
            if isinstance(module, (nn.Dropout, nn.Dropout2d)):
                module.train()
        return self

    @torch.no_grad()
    def forward(self, image: Image) -> Probs:
        """Class probabilities."""
        return self.net(image).softmax(1)

    def follow(self, net: nn.Module, *, step: int, decay: float) -> None:
        """Move to `net` after step number `step`, counted from 0; it keeps `warmed_up` of itself."""
        follow(self.net, net, decay=warmed_up(decay, step))


def opinions(teacher: Teacher, batch: Batch, image: Image, *, noise: float, passes: int) -> tuple[Probs, Uncertainty]:
    """Ask the teacher about `image` under noise, `passes` times: the first answer, and how uncertain all are.

    The uncertainty is the entropy of the answers' mean (UA-MT: Yu et al., MICCAI 2019).

    Differs from the released code: the target is the first of the answers, where it was asked for on its own.
    """
    images = noisy(image.repeat(passes, 1, 1, 1), noise, batch.rng)
    # Two passes at a time fill a GPU, and a CPU's cache holds them.
    answers = torch.cat([teacher(part) for part in images.split(2 * len(image))]).unflatten(0, (passes, len(image)))
    mean = answers.mean(0)
    return answers[0], -(mean * mean.clamp(min=1e-6).log()).sum(1)


def sigmoid_rampup(progress: float, length: float) -> float:
    """Return a weight that rises from e⁻⁵ to 1 over the first `length` of the run (Laine and Aila, ICLR 2017)."""
    done = min(progress / length, 1.0) if length else 1.0
    return math.exp(-5 * (1 - done) ** 2)


def settled(*, progress: float, ramp: float, step: int, decay: float) -> bool:
    """Whether `sigmoid_rampup` stays at 1 from here on, and `Teacher.follow` at `decay`."""
    return progress >= ramp and warmed_up(decay, step) == decay


def check_decay(decay: float) -> None:
    """Raise `InputError` where a teacher with `decay` would not follow: 1 would never move."""
    if not 0 <= decay < 1:
        raise InputError(f"decay: {decay}, allowed is 0 to below 1")


def check_passes(passes: int) -> None:
    """Raise `InputError` where there would be no uncertainty to measure."""
    if passes < 2:
        raise InputError(f"passes: {passes}, allowed is at least 2")
