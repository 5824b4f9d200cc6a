"""MaskMixAdv: complementary masks, two decoders, mixed pseudo labels, and a critic of shapes."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, final

import torch
from torch import nn

from maskmixadv.errors import InputError
from maskmixadv.methods.method import Descent, Method, Phase, check_every, check_weights, lazily, player, unmixed
from maskmixadv.methods.parts.critic import critic_loss
from maskmixadv.networks.critic import Critic
from maskmixadv.networks.losses import adversarial, dice_loss, most_probable, partial_cross_entropy, restoration
from maskmixadv.networks.unet import Features, UNet
from maskmixadv.perturb import registry as perturbations
from maskmixadv.perturb.maskmix import MaskMix
from maskmixadv.perturb.perturbation import Level, Perturbation, Views
from maskmixadv.perturb.saliency import as_tested
from maskmixadv.tensors import Batch, Image, Logits, Loss, Probs, Task


@final
@dataclass(frozen=True)
class MaskMixAdv(Method):
    """MaskMixAdv (Li, Zheng, Wu, Bioengineering 2024, 11(11):1146), as the paper draws it.

    Attributes
    ----------
    perturbation
        Name of the perturbation that makes the two views (`maskmixadv.perturb.ALL`).
    level
        Where it is laid: on the image, or on the encoder's features, at every scale. By default on features where it
        can be; maskmix and the noises leave the choice.
    ratio
        Fraction of cells that maskmix's first view shows, in (0, 1).
    patch
        Side in pixels of a cell of maskmix; on features it is rounded up to a multiple of 16, the network's stride.
    whole
        Fraction of the samples that both views of maskmix show in whole, in [0, 1], so that the network learns from
        images as they come at test time; 0 is the paper's. Other perturbations leave none whole.
    decoders
        Whether the two views have a decoder each (the paper) or share one (the released code).
    dpce
        Weight of L_DpCE, the mean of the two views' partial cross-entropy.
    rec
        Weight of L_rec, the restoration of what each view has lost. There is no restoring decoder where it is 0, or
        where the perturbation shows another sample instead of what it takes away.
    pse
        Weight of L_pse, the Dice loss against the mixed pseudo label.
    adv
        Weight of L_adv, the critic's opinion of the mixed soft map; 0 leaves the critic out. The critic needs masks of
        other patients.
    every
        Steps from one restoration and one round of the critic to the next; both then count that many times as much.
        They cost more than half of a step, and what they say changes slowly (lazy regularisation: Karras et al., CVPR
        2020). 1 is the paper's. By default 1 under SGD, which diverges with four times the weight, and 4 under other
        optimisers.

    Raises
    ------
    InputError
        Where an attribute is not allowed, or not together with the others.

    Examples
    --------
    >>> from maskmixadv.methods import MaskMixAdv, first_terms
    >>> from maskmixadv.tensors import Batch
    >>> batch = Batch.example(side=64)
    >>> list(first_terms(MaskMixAdv(), batch))
    ['net/dpce', 'net/pse', 'net/rec', 'net/adv', 'critic/critic']
    >>> list(first_terms(MaskMixAdv(perturbation="cutmix", adv=0.0), batch))
    ['net/dpce', 'net/pse']
    """

    perturbation: perturbations.PerturbationName = "maskmix"
    level: Level | None = None
    ratio: float = 0.5
    patch: int = 8
    whole: float = 0.5
    decoders: Literal["independent", "shared"] = "independent"
    dpce: float = 10.0
    rec: float = 10.0
    pse: float = 0.5
    adv: float = 0.1
    every: int | None = None

    def __post_init__(self) -> None:
        self._check_perturbation()
        check_every(self.every)
        check_weights(self, "dpce", "rec", "pse", "adv")
        if not (self.dpce or self.restores or self.pse or self.adv):
            raise InputError(f"dpce, rec, pse, adv: all 0 with {self.perturbation}, at least one must be above 0")
        if self.perturbation == "maskmix" and self.whole == 1 and self.rec:
            raise InputError(f"rec: {self.rec}, allowed is 0 where whole is 1, since nothing is hidden then")

    @property
    def views(self) -> Perturbation:
        """The perturbation that makes the two views, with those of the method's fields that it has."""
        kind = perturbations.ALL[self.perturbation]
        level = self.level or kind.levels[-1]
        given = {"level": level, "ratio": self.ratio, "patch": self.patch, "whole": self.whole}
        return kind(**{name: value for name, value in given.items() if hasattr(kind, name)})

    @property
    def restores(self) -> bool:
        """Whether there is a restoring decoder."""
        return self.rec > 0 and perturbations.ALL[self.perturbation].restores

    @property
    def wants_prior(self) -> bool:
        """Whether there is a critic, which needs masks of other patients."""
        return self.adv > 0

    def under(self, schedule: Descent) -> "MaskMixAdv":
        """Return the method with `every` decided."""
        return self if self.every is not None else replace(self, every=lazily(schedule))

    def idle(self, share: int, window: int) -> Sequence[str]:
        """Return lines on `whole` and `ratio` that come to nothing, and on mixtures where there is no other sample."""
        views = self.views
        if isinstance(views, MaskMix):
            return views.idle(share, window)
        # Those that can't restore show another sample instead of what they take away.
        return () if views.restores else unmixed(f"perturbation: {self.perturbation}", share)

    def kind(self, step: int, progress: float) -> Hashable | None:  # noqa: ARG002
        """Return whether a step has restoration and critic; None where views are worked out on the CPU."""
        return None if perturbations.ALL[self.perturbation].on_host else self._lazy_terms_at(step)

    def players(self, task: Task) -> dict[str, nn.Module]:
        """Return the segmenter and, where it has a weight, the critic."""
        decoders = 2 if self.decoders == "independent" else 1
        classes = len(task.classes)
        net = UNet(task.channels, classes, decoders=decoders, restores=self.restores, biases=task.biases)
        return {"net": net, "critic": Critic(classes)} if self.adv else {"net": net}

    def phases(self, nets: Mapping[str, nn.Module], batch: Batch) -> Iterator[Phase]:
        """Update the segmenter by labels, images, pseudo labels and the fixed critic; then update the critic."""
        net = player(nets, "net", UNet)
        views = self.views(batch, as_tested(net))
        both = views.encode(net.encode)
        logits = self._decode(net, *both)
        soft = views.merge(logits[0].softmax(1), logits[1].softmax(1))
        terms = self._terms(logits, soft, views)
        now = self._lazy_terms_at(batch.step)
        if self.restores and now and views.whole < len(batch.image):
            terms["rec"] = self._rounds * self.rec * _restoration(net, *both, batch.image, views)
        if not (self.adv and now):
            yield Phase("net", terms)
            return
        critic = nets["critic"]
        terms["adv"] = self._rounds * self.adv * adversarial(critic(soft), real=True)
        yield Phase("net", terms)
        yield Phase("critic", {"critic": critic_loss(critic, soft.detach(), batch)})

    @property
    def _rounds(self) -> int:
        return self.every or 1

    def _lazy_terms_at(self, step: int) -> bool:
        return step % self._rounds == 0

    def _decode(self, net: UNet, first: Features, second: Features) -> tuple[Logits, Logits]:
        if self.decoders == "independent":
            return net.decode(first, 0), net.decode(second, 1)
        one, other = net.decode([torch.cat(pair) for pair in zip(first, second, strict=True)]).chunk(2)
        return one, other

    def _terms(self, logits: tuple[Logits, Logits], soft: Probs, views: Views) -> dict[str, Loss]:
        terms: dict[str, Loss] = {}
        if self.dpce:
            labels = zip(logits, views.targets, views.weights, strict=True)
            each = [partial_cross_entropy(logits=z, target=target, weight=weight) for z, target, weight in labels]
            terms["dpce"] = self.dpce * torch.stack(each).mean()
        if self.pse:
            pseudo = most_probable(soft)
            labels = zip(logits, views.relabel(pseudo), strict=True)
            each = [dice_loss(probs=z.softmax(1), target=target) for z, target in labels]
            terms["pse"] = self.pse * torch.stack(each).mean()
        return terms

    def _check_perturbation(self) -> None:
        if self.perturbation not in perturbations.ALL:
            raise InputError(f"perturbation: {self.perturbation!r}, allowed are {', '.join(perturbations.ALL)}")
        kind = perturbations.ALL[self.perturbation]
        if self.level not in (None, *kind.levels):
            raise InputError(f"level: {self.level!r}, allowed with {self.perturbation} is {' or '.join(kind.levels)}")
        for name, meant in (("ratio", ()), ("patch", ()), ("whole", (0.0,))):
            value, default = getattr(self, name), getattr(MaskMixAdv, name)
            if not hasattr(kind, name) and value not in (default, *meant):
                raise InputError(f"{name}: {value}, allowed is {default}: {self.perturbation} does not use it")
        _ = self.views  # the perturbation checks its own fields


def _restoration(net: UNet, first: Features, second: Features, image: Image, views: Views) -> Loss:
    """L_rec of both views; samples that are shown in whole have nothing to restore and are left out."""
    if views.hidden is None:
        raise TypeError("views can't be restored where they do not say what they have hidden")
    lost = [torch.cat((one[views.whole :], other[views.whole :])) for one, other in zip(first, second, strict=True)]
    hidden = torch.cat([mask[views.whole :] for mask in views.hidden])
    return restoration(restored=net.restore(lost), image=image[views.whole :].repeat(2, 1, 1, 1), hidden=hidden)
