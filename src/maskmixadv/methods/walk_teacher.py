"""The default method: learn from pseudo-labels of random walks from the scribbles and a mean teacher together.

Dense slices correct them, where there are any.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Final, Literal, final

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from maskmixadv.device import beside
from maskmixadv.errors import InputError
from maskmixadv.methods.method import (
    Descent,
    Method,
    Phase,
    check_every,
    check_fractions,
    check_weights,
    lazily,
    player,
)
from maskmixadv.methods.parts.copy_paste import Targets, pasted, places
from maskmixadv.methods.parts.corrector import Corrector
from maskmixadv.methods.parts.critic import critic_loss
from maskmixadv.methods.parts.pseudo import PseudoLabeller
from maskmixadv.methods.parts.teacher import check_decay, pace
from maskmixadv.methods.pce_dice import labelled_terms
from maskmixadv.networks.average import followed_closely
from maskmixadv.networks.critic import Critic
from maskmixadv.networks.losses import adversarial, dice_loss, most_probable, partial_cross_entropy
from maskmixadv.networks.unet import UNet
from maskmixadv.strokes.corrections import Corrections
from maskmixadv.tensors import Batch, Logits, Loss, Probs, Scalar, Task, Weight
from maskmixadv.types import IGNORE

LESSONS: Final = 250
"""Batches of dense slices that are studied at least."""
PATIENCE: Final = 3.3
"""Batches for each dense slice after which they are studied no more: networks would know them by heart."""
LEAST: Final = 1e-3
"""Least trust in the teacher: where walks say nothing, it alone decides."""
SETTLED: Final = 0.99
"""Fraction of itself that the corrector's average keeps in a step, in the end."""
UNHEARD: Final = "masks of dense slices whose strokes are known"
"""What is not learnt from until `listen` is over."""


@final
@dataclass(frozen=True)
class WalkTeacher(Method):
    """Learn from pseudo-labels of random walks and a mean teacher together: this project's own method.

    Where slices are drawn densely, too, a second network, the corrector, learns from them what strokes can't say: where
    people draw a border. From the image and the walks it predicts the mask, and so corrects the pseudo-labels of all
    other slices.

    In slices without annotation the teacher alone says what is where. They count the more the longer it has learnt.

    Attributes
    ----------
    ce
        Weight of the cross-entropy over the known pixels, at least 0.
    pse
        Weight of the losses against the pseudo-labels, at least 0.
    trust
        How much the teacher counts beside the walks, at the end of `ramp`, at least 0.
    ramp
        Fraction of the run over which that rises from nearly 0, in [0, 1].
    decay
        Fraction of itself that the teacher keeps in a step, in [0, 1).
    background
        Factor of the background's probability before the pseudo-label is chosen, above 0. Above 1 it draws outer
        borders in, where people drew the background's stroke far from an organ.
    certainty
        Power of a pseudo-label's probability with which its pixel counts in the cross-entropy against it, at least 0.
        So pseudo-labels count less near borders of which walks and teacher are not sure; with 0 all pixels count alike.
    calibration
        How far the walks' odds follow the teacher over a run, at least 0 (`PseudoLabeller.calibrate`): the sum of its
        rates over all steps, however many these are. By default odds stay at 1: what helps one corpus harms another.
    appearance
        Power of what a pixel's intensity or colour says, by the strokes of its slice, with which walks are multiplied,
        at least 0 (`maskmixadv.strokes.appearance`).
    evened
        Whether structures share what walks give them by odds that make up for the sizes of strokes
        (`maskmixadv.strokes.evened`).
    study
        Steps from one batch of dense slices to the next, at least 0. 0: there is no corrector. After 250 batches, or
        3.3 for each dense slice where that is more, the corrector stays as it is.
    listen
        Fraction of the run after which the teacher is copied and the corrector begins to learn, in [0, 1]. Until then
        masks of dense slices whose strokes are known are not learnt from, so that the copy says of these slices what
        it would say of others.
    heed
        Fraction of the run after which the corrector corrects pseudo-labels, in [0, 1].
    voice
        How much the teacher counts beside the corrector, times `trust`, at least 0.
    paste
        Fraction of samples with a part of a dense slice in place of their own, in [0, 1], while dense slices are
        studied. So borders as people draw them stand beside those of pseudo-labels in one image (bidirectional
        copy-paste: Bai et al., CVPR 2023).
    rehearse
        Weight of the network's own losses over the dense slices that the corrector studies, at least 0.
    heads
        Whether the teacher answers with a head of its own, the network's second, which learns from what is known alone
        (*independent*), or with the one that learns from pseudo-labels, too (*shared*). If it learns from what it
        has predicted itself, walks' errors come back to it, and stay. What is predicted is the mean of both heads.
    colours
        Which colours the teacher sees: those of the images (*own*), or those that augmentation gives the network
        (*changed*). So pseudo-labels of weakly augmented images teach on strongly augmented ones (FixMatch: Sohn et
        al., NeurIPS 2020). Images without colours are the same to both.
    adv
        Weight of a critic's opinion of the network's soft map, as in MaskMixAdv, at least 0. The critic needs masks of
        other patients; by default there is none.
    every
        Steps from one round of the critic to the next; it then counts that many times as much. By default 1 under SGD,
        4 under other optimisers, as in MaskMixAdv.

    Raises
    ------
    InputError
        Where an attribute is not allowed.

    Examples
    --------
    >>> from maskmixadv.methods import WalkTeacher, first_terms
    >>> list(first_terms(WalkTeacher(trust=2.0)))
    ['net/ce', 'net/pse-ce', 'net/pse-dice', 'net/own-ce']
    """

    believes: ClassVar[bool] = True
    semi_supervised: ClassVar[bool] = True
    scheduled: ClassVar[tuple[str, ...]] = ("net", "corrector")
    studying: ClassVar[tuple[str, ...]] = ("study", "listen", "heed", "voice", "paste", "rehearse")

    ce: float = 1.0
    pse: float = 1.0
    trust: float = 1.0
    ramp: float = 0.3
    decay: float = 0.99
    background: float = 1.0
    certainty: float = 2.0
    calibration: float = 0.0
    appearance: float = 0.5
    evened: bool = True
    study: int = 1
    listen: float = 0.3
    heed: float = 0.5
    voice: float = 0.5
    paste: float = 0.0
    rehearse: float = 1.0
    heads: Literal["independent", "shared"] = "independent"
    colours: Literal["own", "changed"] = "own"
    adv: float = 0.0
    every: int | None = None

    def __post_init__(self) -> None:
        check_weights(self, "ce", "pse", some=True)
        check_weights(self, "trust", "background", "certainty", "calibration", "appearance", "voice", "rehearse", "adv")
        if not self.background:
            raise InputError("background: 0, allowed is a number above 0")
        if self.study < 0:
            raise InputError(f"study: {self.study}, allowed is at least 0 steps")
        check_every(self.every)
        if self.heads == "independent" and not self.ce:
            raise InputError(
                "ce: 0 with heads independent, allowed is a number above 0: by it the teacher's head learns"
            )
        check_fractions(self, "ramp", "listen", "heed", "paste")
        check_decay(self.decay)

    @property
    def weak(self) -> bool:
        """Whether the teacher sees images in their own colours."""
        return self.colours == "own"

    @property
    def wants_prior(self) -> bool:
        """Whether there is a critic, which needs masks of other patients."""
        return self.adv > 0

    def corrections(self) -> Corrections:
        """Return what is done with walks, as `appearance` and `evened` say."""
        return Corrections(self.appearance, self.evened)

    def studies(self, step: int, progress: float, *, dense: int) -> bool:
        """Whether there is a batch of dense slices: from `listen` on, until they have been seen often enough."""
        if not (self.study and dense) or progress < self.listen or step % self.study:
            return False
        return int(self._lessons(step, progress)) < max(LESSONS, PATIENCE * dense)

    def under(self, schedule: Descent) -> "WalkTeacher":
        """Return the method with `every` decided."""
        return self if self.every is not None else replace(self, every=lazily(schedule))

    def idle(self, share: int, window: int) -> Sequence[str]:  # noqa: ARG002
        """Return a line on `listen` where no step comes after it."""
        if self.listen < 1 or not self.study:
            return ()
        told = f"{UNHEARD} are not learnt from at all"
        return (f"listen: 1, {told}; with less than 1, or --study 0, they are",)

    def begins(self) -> Mapping[str, str]:
        """Return what `listen` and `heed` put off."""
        if not self.study or self.listen == 1:  # of which `idle` tells
            return {}
        return {"listen": f"{UNHEARD} are not learnt from at all", "heed": "dense slices correct no pseudo-label"}

    def kind(self, step: int, progress: float) -> Hashable | None:  # noqa: ARG002
        """Return whether the critic has its round."""
        return self._criticised(step)

    def stage(self, step: int, progress: float) -> Hashable | None:
        """Return whether masks are learnt from and labels corrected; None where the teacher is copied."""
        return None if self._copies(step, progress) else (progress >= self.listen, progress >= self.heed)

    def scalars(self, step: int, progress: float) -> dict[str, float]:
        """Return how much the teacher counts, how far it and the odds move, and how far the corrector does.

        ``rise`` is how much slices without annotation count, of which the teacher alone says something.
        """
        paced = pace(step, progress, ramp=self.ramp, decay=self.decay)
        return {
            **paced,
            "trust": max(self.trust * paced["rise"], LEAST),
            # The part of the run that a step is: progress over the number of steps that are done.
            "rate": self.calibration * paced["rise"] * progress / max(step, 1),
            "settle": followed_closely(SETTLED, int(self._lessons(step, progress))),
        }

    def players(self, task: Task) -> dict[str, nn.Module]:
        """Return the network and its teacher; the critic where it has a weight, the corrector where it can study."""
        classes = len(task.classes)
        heads = self._heads
        net = UNet(task.channels, classes, heads=heads, biases=task.biases)
        players: dict[str, nn.Module] = {
            "net": net,
            "teacher": PseudoLabeller(net, classes=classes, background=self.background),
        }
        if self.adv:
            players["critic"] = Critic(classes)
        if self.study and task.studied:
            players["corrector"] = Corrector(task, heads=heads)
        return players

    def phases(self, nets: Mapping[str, nn.Module], batch: Batch) -> Iterator[Phase]:
        """Learn from what is known and from pseudo-labels; then the teacher follows, and the critic learns."""
        labeller, now = player(nets, "teacher", PseudoLabeller), self.now(batch)
        corrector = player(nets, "corrector", Corrector) if "corrector" in nets else None
        if corrector and self._copies(batch.step, batch.progress):
            corrector.copy(labeller)
        if corrector and batch.dense is not None:
            yield Phase("corrector", corrector.losses(batch.dense))
            corrector.update(batch.dense, labeller, keep=now["settle"], trust=now["trust"])
        if corrector and batch.walked is not None and batch.progress < self.listen:
            # What the copy says of dense slices must be what it would say of others, or the corrector learns nothing.
            hidden = batch.walked[:, None, None]
            batch = replace(batch, target=batch.target.masked_fill(hidden, IGNORE), whole=None)
        teacher = beside(batch.image.device, partial(labeller.predict, batch))
        place = places(batch, self.paste) if batch.dense is not None and self.paste else None
        heads = player(nets, "net", UNet).answers(batch.image if place is None else pasted(batch, place))
        predicted = teacher()
        pseudo = labeller.combine(batch, predicted, now["trust"])
        if corrector and batch.progress >= self.heed:
            corrected = corrector.correct(batch, predicted, pseudo, self.voice * now["trust"])
            # It was never taught slices without walks.
            bare = batch.bare
            pseudo = corrected if bare is None else torch.where(bare[:, None, None, None], pseudo, corrected)
        targets = self._targets(batch, pseudo, now["rise"])
        if batch.dense is not None and place is not None:
            targets = targets.pasted(batch.dense, place)
        probs = heads[0].softmax(1)
        terms = self._terms(heads, probs, targets)
        if batch.dense is not None and self.rehearse:
            again = labelled_terms(nets["net"](batch.dense.image), batch.dense, ce=self.rehearse, dice=self.rehearse)
            terms |= {f"dense-{name}": term for name, term in again.items()}
        criticised = self._criticised(batch.step)
        if criticised:
            terms["adv"] = (self.every or 1) * self.adv * adversarial(nets["critic"](probs), real=True)
        yield Phase("net", terms)
        if self.calibration:
            labeller.calibrate(batch, predicted, now["rate"])
        labeller.follow(nets["net"], keep=now["keep"])
        if criticised:
            yield Phase("critic", {"critic": critic_loss(nets["critic"], probs.detach(), batch)})

    def _targets(self, batch: Batch, pseudo: Probs, rise: Scalar) -> Targets:
        """Return what is learnt of a batch: its strokes and masks, and the likeliest classes of `pseudo`."""
        certainty, weight = pseudo.amax(1) ** self.certainty, _unannotated_weight(batch, rise)
        return Targets(
            target=batch.target,
            weight=batch.weight,
            pseudo=most_probable(pseudo),
            ce_weight=certainty if weight is None else certainty * weight,
            dice_weight=weight,
        )

    def _terms(self, heads: list[Logits], probs: Probs, targets: Targets) -> dict[str, Loss]:
        """Return the losses of the network's heads; `probs` are the first one's."""
        unlike = F.cross_entropy(heads[0], targets.pseudo.long(), reduction="none")
        terms = {
            "ce": self.ce * partial_cross_entropy(logits=heads[0], target=targets.target, weight=targets.weight),
            "pse-ce": self.pse * (targets.ce_weight * unlike).mean(),
            "pse-dice": self.pse * dice_loss(probs=probs, target=targets.pseudo, weight=targets.dice_weight),
        }
        if self._heads > 1:
            own = partial_cross_entropy(logits=heads[-1], target=targets.target, weight=targets.weight)
            terms["own-ce"] = self.ce * own
        return terms

    @property
    def _heads(self) -> int:
        return 2 if self.heads == "independent" else 1

    def _criticised(self, step: int) -> bool:
        return self.adv > 0 and step % (self.every or 1) == 0

    def _copies(self, step: int, progress: float) -> bool:
        """Whether a step is the first one from `listen` on."""
        if progress < self.listen or not step:
            return progress >= self.listen
        # The quotient that the step before had: a product of fractions may be less than it by rounding.
        return (step - 1) / round(step / progress) < self.listen

    def _lessons(self, step: int, progress: float) -> float:
        """Number of batches of dense slices that the corrector had before a step."""
        return max(step - step * self.listen / progress, 0.0) / max(self.study, 1) if progress else 0.0


def _unannotated_weight(batch: Batch, rise: Scalar) -> Weight | None:
    """How much each pixel's pseudo-label counts: `rise` in slices without annotation, else 1; None: all 1."""
    if batch.bare is None:
        return None
    return (1 - (1 - rise) * batch.bare.float())[:, None, None].expand(batch.target.shape)
