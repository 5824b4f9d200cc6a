"""What a critic of shapes learns."""

import torch
from torch import nn

from maskmixadv.errors import InputError
from maskmixadv.methods.registry import NO_CRITIC_OPTIONS
from maskmixadv.networks.losses import adversarial, one_hot
from maskmixadv.tensors import Batch, Loss, Probs


def critic_loss(critic: nn.Module, soft: Probs, batch: Batch) -> Loss:
    """Binary cross-entropy of masks that people drew against `soft`, which carries no gradient.

    Raises
    ------
    InputError
        Where the batch has no prior masks.
    """
    if batch.prior is None:
        raise InputError(
            "the critic has a weight, but the batch has no masks of other patients: "
            f"give --prior CORPUS, or switch it off with {NO_CRITIC_OPTIONS}"
        )
    scores = critic(torch.cat((one_hot(batch.prior, soft.shape[1]), soft)))
    real, fake = scores.chunk(2)
    return 0.5 * (adversarial(real, real=True) + adversarial(fake, real=False))
