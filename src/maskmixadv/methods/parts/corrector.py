"""A network that learns from densely labelled slices how pseudo-labels are to be corrected."""

from copy import deepcopy
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maskmixadv.methods.parts.pseudo import PseudoLabeller, belief_of, drawn_classes, last_head, with_scribbles
from maskmixadv.methods.pce_dice import labelled_terms
from maskmixadv.networks.average import follow
from maskmixadv.networks.losses import most_probable
from maskmixadv.networks.unet import UNet
from maskmixadv.tensors import Batch, Image, Loss, Maps, Probs, Scalar, Task
from maskmixadv.types import IGNORE

FEW: Final = 10
"""Number of dense slices from which on a corrector counts more than walks and teacher."""
RECENT: Final = 0.95
"""Fraction of the counted errors that is kept from one batch of dense slices to the next."""


class Corrector(nn.Module):
    """Predicts masks from an image, what walks from its strokes say, and what a teacher says.

    It learns on dense slices whose strokes are known, too. There it sees what walks and teacher get wrong. So it can
    correct the pseudo-labels of slices of which strokes alone are known. The teacher of which it sees predictions is a
    copy that no longer changes: the teacher itself learns from what the corrector says, and each would drive the other
    on.

    Parameters
    ----------
    task
        What is segmented, and how many dense slices are studied.
    heads
        Number of heads of the teacher.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from maskmixadv.methods.parts.corrector import Corrector
    >>> from maskmixadv.tensors import Batch, Task
    >>> corrector, batch = Corrector(replace(Task.example(), studied=10)), Batch.example()
    >>> corrector.weight, list(corrector.losses(batch))
    (0.5, ['ce', 'dice'])
    """

    errors: Float[Tensor, "2"]

    def __init__(self, task: Task, *, heads: int = 1) -> None:
        super().__init__()
        classes = len(task.classes)
        self.net = UNet(task.channels + 2 * classes, classes, biases=task.biases)
        self.elder = UNet(task.channels, classes, heads=heads, biases=task.biases).requires_grad_(False)
        """A copy of the teacher that no longer changes."""
        self.scored = deepcopy(self.net).requires_grad_(False)
        """The moving average of `net`, which corrects labels."""
        self.register_buffer("errors", torch.zeros(2))
        self.weight = task.studied / (task.studied + FEW)
        """How much it counts beside walks and teacher, from 0 to below 1."""
        self.train()

    def train(self, mode: bool = True) -> "Corrector":
        """Set the mode of the network that learns; the others stay in evaluation mode."""
        super().train(mode)
        self.elder.eval()
        self.scored.eval()
        return self

    def copy(self, teacher: PseudoLabeller) -> None:
        """Copy the teacher as it is now."""
        self.elder.load_state_dict(teacher.net.state_dict())

    def losses(self, dense: Batch) -> dict[str, Loss]:
        """Return its losses on dense slices."""
        return labelled_terms(self.net(self._inputs(dense, dense.image)), dense, ce=1.0, dice=1.0)

    @torch.no_grad()
    def update(self, dense: Batch, labeller: PseudoLabeller, *, keep: Scalar, trust: Scalar) -> None:
        """Move the average after a step on dense slices, and compare its errors with those of walks and teacher.

        Parameters
        ----------
        dense
            The slices of the step.
        labeller
            Gives the pseudo-labels of walks and teacher.
        keep
            Fraction of itself that the average keeps.
        trust
            How much the teacher counts beside the walks.
        """
        follow(self.scored, self.net, decay=keep)
        belief, inputs = belief_of(dense), self._inputs(dense, dense.mild)
        predicted = inputs[:, -belief.shape[1] :]
        pseudo = labeller.weigh(dense, predicted, trust)
        own = self.scored(inputs).softmax(1) * drawn_classes(belief)
        labelled = dense.target != IGNORE
        wrong = [
            ((most_probable(each) != dense.target) & labelled).sum() / labelled.sum().clamp(min=1)
            for each in (pseudo, own)
        ]
        self.errors.mul_(RECENT).add_(torch.stack(wrong), alpha=1 - RECENT)

    @torch.no_grad()
    def correct(self, batch: Batch, predicted: Probs, pseudo: Probs, trust: Scalar) -> Probs:
        """Return `pseudo` as it is corrected; as it is where the corrector's own errors are not fewer.

        Parameters
        ----------
        batch
            What is segmented, with beliefs.
        predicted
            What `PseudoLabeller.predict` returned for it.
        pseudo
            What `PseudoLabeller.combine` returned for it.
        trust
            How much the teacher counts beside the corrector.
        """
        own = self.scored(self._inputs(batch, batch.mild)).softmax(1) * drawn_classes(belief_of(batch))
        weight = self.weight * (self.errors[1] < self.errors[0])
        corrected = (own + trust * predicted) / (1 + trust)
        return with_scribbles(batch, weight * corrected + (1 - weight) * pseudo)

    def _inputs(self, batch: Batch, image: Image) -> Maps:
        belief = belief_of(batch)
        predicted = last_head(self.elder, image) * drawn_classes(belief)
        return torch.cat((image, belief, predicted), 1)
