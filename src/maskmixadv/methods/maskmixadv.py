"""MaskMixAdv: complementary masks, two decoders, mixed pseudo labels, and a critic of shapes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor, nn

from maskmixadv.errors import InputError
from maskmixadv.losses import adversarial, dice_loss, one_hot, partial_cross_entropy, restoration
from maskmixadv.methods.method import Method, Phase, check_weights
from maskmixadv.nets import Critic, Features, UNet
from maskmixadv.perturb import MaskMix, Masks
from maskmixadv.types import Batch, Image, Logits, Loss, Task


@final
@dataclass(frozen=True)
class MaskMixAdv(Method):
    """MaskMixAdv (Li, Zheng, Wu, Bioengineering 2024, 11(11):1146), as the paper draws it.

    Attributes
    ----------
    level
        Where masks are laid: on the image, or on the encoder's features, at every scale.
    ratio
        Fraction of cells that the first view sees, in (0, 1).
    patch
        Side in pixels of a mask's cell; on features rounded up to a multiple of 16, the coarsest scale's.
    whole
        Fraction of the samples that both views see whole, in [0, 1], so that the network learns on images as they
        come at test time; 0 is the paper's.
    decoders
        Whether the two views have a decoder each (the paper) or share one (the released code).
    dpce
        Weight of L_DpCE, the mean of the two views' partial cross-entropy.
    rec
        Weight of L_rec, the restoration of each view's hidden pixels; 0 leaves the restoring decoder out.
    pse
        Weight of L_pse, the Dice loss against the mixed pseudo label.
    adv
        Weight of L_adv, the critic's opinion of the mixed soft map; 0 leaves the critic out.
    every
        Steps from one restoration and one round of the critic to the next; both then count as many times as much.
        They cost more than half of a step, and what they say changes slowly (lazy regularisation: Karras et al.,
        CVPR 2020); 1 is the paper's.
    """

    level: Literal["image", "feature"] = "feature"
    ratio: float = 0.5
    patch: int = 8
    whole: float = 0.5
    decoders: Literal["independent", "shared"] = "independent"
    dpce: float = 10.0
    rec: float = 10.0
    pse: float = 0.5
    adv: float = 0.1
    every: int = 4

    def __post_init__(self) -> None:
        MaskMix(ratio=self.ratio, patch=self.patch, whole=self.whole)
        if self.every < 1:
            raise InputError(f"every: {self.every}, allowed is at least 1 step")
        check_weights(self, "dpce", "rec", "pse", "adv", some=True)
        if self.whole == 1 and self.rec:
            raise InputError(f"rec: {self.rec}, allowed is 0 where whole is 1, as nothing is hidden then")

    @property
    def wants_prior(self) -> bool:
        """The critic needs masks of other patients."""
        return self.adv > 0

    def players(self, task: Task) -> dict[str, nn.Module]:
        """The siamese network and, where it has a weight, the critic."""
        decoders = 2 if self.decoders == "independent" else 1
        classes = len(task.classes)
        net = UNet(task.channels, classes, decoders=decoders, restores=self.rec > 0)
        return {"net": net, "critic": Critic(classes)} if self.adv else {"net": net}

    def phases(self, nets: Mapping[str, nn.Module], batch: Batch) -> Iterator[Phase]:
        """Update the segmenter against labels, images, pseudo labels and a fixed critic; then the critic."""
        net = nets["net"]
        if not isinstance(net, UNet):
            raise TypeError(f"net is a {type(net).__name__}, must be a UNet")
        masks = self._masks(net, batch)
        both = self._views(net, batch.image, masks)
        logits = self._decode(net, both)
        soft = masks.merge(logits[0].softmax(1), logits[1].softmax(1))
        terms = self._terms(logits, soft, batch)
        now = batch.step % self.every == 0
        if self.rec and now and masks.whole < len(batch.image):
            terms["rec"] = self.every * self.rec * _restoration(net, both, batch.image, masks)
        if not (self.adv and now):
            yield Phase("net", terms)
            return
        critic = nets["critic"]
        terms["adv"] = self.every * self.adv * adversarial(critic(soft), real=True)
        yield Phase("net", terms)
        yield Phase("critic", {"critic": _critic_loss(critic, soft.detach(), batch)})

    def _masks(self, net: UNet, batch: Batch) -> Masks:
        # On features, cells are whole at every scale: their side is a multiple of the coarsest one's.
        patch = self.patch if self.level == "image" else -(-self.patch // net.stride) * net.stride
        return MaskMix(ratio=self.ratio, patch=patch, whole=self.whole).draw(batch)

    def _views(self, net: UNet, image: Image, masks: Masks) -> Features:
        """Both views' features, first view first, as one batch of 2 b."""
        if self.level == "image":
            return net.encode(torch.cat(masks.split(image)))
        return [torch.cat(masks.split(maps)) for maps in net.encode(image)]

    def _decode(self, net: UNet, both: Features) -> tuple[Logits, Logits]:
        if self.decoders == "shared":
            first, second = net.decode(both).chunk(2)
            return first, second
        first, second = zip(*(maps.chunk(2) for maps in both), strict=True)
        return net.decode(list(first), 0), net.decode(list(second), 1)

    def _terms(self, logits: tuple[Logits, Logits], soft: Tensor, batch: Batch) -> dict[str, Loss]:
        terms: dict[str, Loss] = {}
        if self.dpce:
            each = [partial_cross_entropy(logits=z, target=batch.target, weight=batch.weight) for z in logits]
            terms["dpce"] = self.dpce * torch.stack(each).mean()
        if self.pse:
            pseudo = soft.detach().max(1).indices.to(torch.uint8)  # argmax takes seven times as long on a CPU
            each = [dice_loss(probs=z.softmax(1), target=pseudo) for z in logits]
            terms["pse"] = self.pse * torch.stack(each).mean()
        return terms


def _restoration(net: UNet, both: Features, image: Image, masks: Masks) -> Loss:
    """L_rec of both views; samples that are seen whole have nothing to restore and are left out."""
    masked = [torch.cat([view[masks.whole :] for view in maps.chunk(2)]) for maps in both]
    hidden = 1 - torch.cat([mask[masks.whole :] for mask in (masks.first, masks.second)])
    return restoration(restored=net.restore(masked), image=image[masks.whole :].repeat(2, 1, 1, 1), hidden=hidden)


def _critic_loss(critic: nn.Module, soft: Tensor, batch: Batch) -> Loss:
    if batch.prior is None:
        raise InputError("the adversary has a weight but the run has no prior masks; give --prior or --adv 0")
    scores = critic(torch.cat((one_hot(batch.prior, soft.shape[1]), soft)))
    real, fake = scores.chunk(2)
    return 0.5 * (adversarial(real, real=True) + adversarial(fake, real=False))
