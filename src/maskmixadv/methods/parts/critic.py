"""The loss of a critic of shapes."""

import torch
from torch import nn

from maskmixadv.errors import InputError
from maskmixadv.methods.registry import NO_CRITIC_OPTIONS
from maskmixadv.networks.losses import adversarial, one_hot
from maskmixadv.tensors import Batch, Loss, Probs


def critic_loss(critic: nn.Module, soft: Probs, batch: Batch) -> Loss:
    """Return the binary cross-entropy of a critic that is to tell masks that people drew from the network's soft maps.

    Parameters
    ----------
    critic
        Maps ``(b, k, h, w)`` to patch scores.
    soft
        The network's class probabilities, without gradient.
    batch
        Gives the masks that people drew.

    Raises
    ------
    InputError
        Where the batch has no masks of other patients.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.methods.parts.critic import critic_loss
    >>> from maskmixadv.networks.critic import Critic
    >>> from maskmixadv.tensors import Batch
    >>> soft = torch.full((2, 4, 64, 64), 0.25)
    >>> critic_loss(Critic(classes=4), soft, Batch.example(side=64)).item()  # undecided at first: log 2
    0.7
    """
    if batch.prior is None:
        raise InputError(
            "the critic has a weight, but the batch has no masks of other patients: "
            f"give --prior CORPUS, or switch it off with {NO_CRITIC_OPTIONS}"
        )
    scores = critic(torch.cat((one_hot(batch.prior, soft.shape[1]), soft)))
    real, fake = scores.chunk(2)
    return 0.5 * (adversarial(real, real=True) + adversarial(fake, real=False))
