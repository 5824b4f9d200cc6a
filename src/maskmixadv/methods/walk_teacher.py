"""The default method: learn from labels on which random walks from the strokes and a mean teacher agree.

Dense slices correct them, where there are any.
"""

import copy
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Final, Literal, cast, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
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
from maskmixadv.methods.parts.critic import critic_loss
from maskmixadv.methods.parts.teacher import Teacher, check_decay, pace
from maskmixadv.methods.pce_dice import labelled_terms
from maskmixadv.networks.average import follow, followed_closely
from maskmixadv.networks.critic import Critic
from maskmixadv.networks.losses import adversarial, dice_loss, most_probable, one_hot, partial_cross_entropy
from maskmixadv.networks.unet import UNet
from maskmixadv.strokes.corrections import Corrections
from maskmixadv.tensors import Batch, Belief, Image, Labels, Loss, Maps, Probs, Scalar, Task, Weight
from maskmixadv.types import IGNORE

FEW: Final = 10
"""Number of dense slices from which on a corrector counts more than walks and teacher."""
LESSONS: Final = 250
"""Batches of dense slices that are studied at least."""
PATIENCE: Final = 3.3
"""Batches for each dense slice after which they are studied no more: networks would know them by heart."""
LEAST: Final = 1e-3
"""Least trust in the teacher: where walks say nothing, it alone decides."""
MEMORY: Final = 0.99
"""Fraction of the counted pixels that is kept from one step to the next."""
SETTLED: Final = 0.99
"""Fraction of itself that the corrector's average keeps in a lesson, in the end."""
RECENT: Final = 0.95
"""Fraction of the counted errors that is kept from one lesson to the next."""
LARGEST: Final = 50.0
"""Odds stay between this and its inverse."""


class Advisor(Teacher):
    """A mean teacher without dropout that combines its prediction with random walks from the strokes.

    It answers with the network's last head.

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
    >>> from maskmixadv.methods.walk_teacher import Advisor
    >>> from maskmixadv.networks.unet import UNet
    >>> from maskmixadv.tensors import Batch
    >>> advisor, batch = Advisor(UNet(1, 4), classes=4, background=2.0), Batch.example()
    >>> advisor.advise(batch, advisor.heard(batch), trust=1.0).sum(1).mean().item()
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

    def train(self, mode: bool = True) -> "Advisor":  # noqa: ARG002
        """Stay in evaluation mode: nothing is dropped."""
        nn.Module.train(self, False)
        return self

    def heard(self, batch: Batch) -> Probs:
        """Return the teacher's class probabilities; 0 for classes that walks do not reach, where there are walks."""
        return self(batch.image) * _drawn(_belief(batch))

    @torch.no_grad()
    def forward(self, image: Image) -> Probs:
        """Return class probabilities, without gradient."""
        return _last_head(self.net, image)

    @torch.no_grad()
    def calibrate(self, batch: Batch, heard: Probs, rate: Scalar) -> None:
        """Move the walks' odds towards those that share pixels among structures as the teacher and the masks do.

        Parameters
        ----------
        batch
            What is segmented, with beliefs.
        heard
            What `heard` returned for it.
        rate
            Power of the ratio of the two numbers of pixels with which the odds are multiplied; 0 leaves them.
        """
        belief, classes = _belief(batch), heard.shape[1]
        whole = torch.zeros_like(batch.index, dtype=torch.bool) if batch.whole is None else batch.whole
        # Strokes are known for sure, and say nothing of borders; a dense slice's pixels all do.
        counted = (belief.sum(1) > 0) & ((batch.target != IGNORE) == whole[:, None, None])
        truth = torch.where(whole[:, None, None], batch.target, most_probable(heard))
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

    def advise(self, batch: Batch, heard: Probs, trust: Scalar) -> Probs:
        """Return class probabilities; pixels of strokes and masks have their class for sure.

        Parameters
        ----------
        batch
            What is segmented, with beliefs.
        heard
            What `heard` returned for it.
        trust
            How much the teacher counts beside the walks, above 0.

        Raises
        ------
        InputError
            Where the batch has no beliefs.
        """
        return known(batch, self.voices(batch, heard, trust))

    def voices(self, batch: Batch, heard: Probs, trust: Scalar) -> Probs:
        """Return the same without what strokes and masks say; it does not sum to 1."""
        walks = _belief(batch) * self.odds
        walks = walks / walks.sum(1, keepdim=True).clamp(min=1e-6)
        return (walks + trust * heard) * self.factors


def known(batch: Batch, voices: Probs) -> Probs:
    """Return `voices` as probabilities that sum to 1; pixels of strokes and masks have their class for sure.

    Examples
    --------
    >>> from maskmixadv.methods.walk_teacher import known
    >>> from maskmixadv.tensors import Batch
    >>> batch = Batch.example()
    >>> known(batch, batch.belief).sum(1).mean()
    tensor(1.)
    """
    strokes = one_hot(batch.target, voices.shape[1])
    drawn = strokes.sum(1, keepdim=True)
    return strokes + (1 - drawn) * voices / voices.sum(1, keepdim=True).clamp(min=1e-12)


def _last_head(net: nn.Module, image: Image) -> Probs:
    return cast("UNet", net).answers(image)[-1].softmax(1)


def _belief(batch: Batch) -> Belief:
    if batch.belief is None:
        raise InputError("walk-teacher: the batch has no beliefs; load its slices with beliefs")
    return batch.belief


class Corrector(nn.Module):
    """Predicts masks from an image, what walks from its strokes say, and what a teacher says.

    It learns on dense slices whose strokes are known, too. There it sees what walks and teacher get wrong. So it can
    correct the labels of slices of which strokes alone are known. The teacher that it hears is a copy that no longer
    changes: the teacher itself learns from what the corrector says, and each would drive the other on.

    Parameters
    ----------
    task
        What is segmented, and how many dense slices are studied.
    heads
        Number of heads of the teacher.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from maskmixadv.methods.walk_teacher import Corrector
    >>> from maskmixadv.tensors import Batch, Task
    >>> corrector, batch = Corrector(replace(Task.example(), studied=10)), Batch.example()
    >>> corrector.weight, list(corrector.lesson(batch))
    (0.5, ['ce', 'dice'])
    """

    errors: Float[Tensor, "2"]

    def __init__(self, task: Task, *, heads: int = 1) -> None:
        super().__init__()
        classes = len(task.classes)
        self.net = UNet(task.channels + 2 * classes, classes, biases=task.biases)
        self.elder = UNet(task.channels, classes, heads=heads, biases=task.biases).requires_grad_(False)
        """A copy of the teacher that no longer changes."""
        self.scored = copy.deepcopy(self.net).requires_grad_(False)
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

    def listen(self, teacher: Advisor) -> None:
        """Copy the teacher as it is now."""
        self.elder.load_state_dict(teacher.net.state_dict())

    def lesson(self, dense: Batch) -> dict[str, Loss]:
        """Return its losses on dense slices."""
        return labelled_terms(self.net(self._seen(dense)), dense, ce=1.0, dice=1.0)

    @torch.no_grad()
    def learnt(self, dense: Batch, advisor: Advisor, *, keep: Scalar, trust: Scalar) -> None:
        """Move the average after a lesson, and compare its errors with those of walks and teacher.

        Parameters
        ----------
        dense
            The slices of the lesson.
        advisor
            Says what walks and teacher agree on.
        keep
            Fraction of itself that the average keeps.
        trust
            How much the teacher counts beside the walks.
        """
        follow(self.scored, self.net, decay=keep)
        seen = self._seen(dense)
        heard = seen[:, -_belief(dense).shape[1] :]
        said = (advisor.voices(dense, heard, trust), self.scored(seen).softmax(1) * _drawn(_belief(dense)))
        labelled = dense.target != IGNORE
        wrong = [
            ((most_probable(each) != dense.target) & labelled).sum() / labelled.sum().clamp(min=1) for each in said
        ]
        self.errors.mul_(RECENT).add_(torch.stack(wrong), alpha=1 - RECENT)

    @torch.no_grad()
    def corrected(self, batch: Batch, heard: Probs, advice: Probs, trust: Scalar) -> Probs:
        """Return `advice` as it is corrected; as it is where the corrector's own errors are not fewer.

        Parameters
        ----------
        batch
            What is segmented, with beliefs.
        heard
            What `Advisor.heard` returned for it.
        advice
            What `Advisor.advise` returned for it.
        trust
            How much the teacher counts beside the corrector.
        """
        said = self.scored(self._seen(batch)).softmax(1) * _drawn(_belief(batch))
        weight = self.weight * (self.errors[1] < self.errors[0])
        return known(batch, weight * (said + trust * heard) / (1 + trust) + (1 - weight) * advice)

    def _seen(self, batch: Batch) -> Maps:
        belief = _belief(batch)
        heard = _last_head(self.elder, batch.image) * _drawn(belief)
        return torch.cat((batch.image, belief, heard), 1)


def _drawn(belief: Belief) -> Float[Tensor, "b k 1 1"]:
    """1 for classes that walks reach, since strokes show each class of a slice; 1 for all where there are no walks.

    A window far from the strokes of a class may be out of reach of its walks, though the slice shows the class.
    """
    reached = belief.amax((2, 3), keepdim=True) > 0
    return (reached | ~reached.any(1, keepdim=True)).float()


def _each(samples: Bool[Tensor, "b"]) -> Bool[Tensor, "b 1 1 1"]:
    return samples[:, None, None, None]


def pasted(batch: Batch, place: Bool[Tensor, "b h w"]) -> Image:
    """Return the images of a batch with its dense slices in place of its own where `place` is true.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from maskmixadv.methods.walk_teacher import pasted
    >>> from maskmixadv.tensors import Batch
    >>> batch = replace(Batch.example(), dense=Batch.example())
    >>> bool((pasted(batch, torch.ones(2, 32, 32, dtype=torch.bool)) == batch.dense.image).all())
    True
    """
    if batch.dense is None:
        raise InputError("walk-teacher: the batch has no dense slices to paste")
    mixed = torch.where(place[:, None], batch.dense.image, batch.image)
    return mixed.contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True)
class Lesson:
    """What the network learns of a step's images: what is known of them, and the labels that are agreed on.

    Attributes
    ----------
    target
        What is known, ``(b, h, w)``, ``IGNORE`` elsewhere.
    weight
        How much each known pixel counts, ``(b, h, w)``.
    agreed
        The likeliest class, ``(b, h, w)``.
    sure, counts
        How much each pixel counts in cross-entropy and Dice against it, ``(b, h, w)``; None: all count alike.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.methods.walk_teacher import Lesson
    >>> from maskmixadv.tensors import Batch
    >>> batch, sure = Batch.example(), torch.ones(2, 32, 32)
    >>> lesson = Lesson(batch.target, batch.weight, batch.target, sure, counts=None)
    >>> bool((lesson.pasted(batch, torch.zeros(2, 32, 32, dtype=torch.bool)).target == batch.target).all())
    True
    """

    target: Labels
    weight: Weight
    agreed: Labels
    sure: Weight
    counts: Weight | None

    def pasted(self, dense: Batch, place: Bool[Tensor, "b h w"]) -> "Lesson":
        """Return it with dense slices in place of its own where `place` is true.

        There the masks are what is agreed on. They are no strokes: `target` and `weight` know nothing of them.
        """
        labelled = (dense.target != IGNORE).float()
        return Lesson(
            target=self.target.masked_fill(place, IGNORE),
            weight=self.weight.masked_fill(place, 0),
            agreed=torch.where(place, dense.target.masked_fill(dense.target == IGNORE, 0), self.agreed),
            sure=torch.where(place, labelled, self.sure),
            counts=torch.where(place, labelled, torch.ones_like(labelled) if self.counts is None else self.counts),
        )


def places(batch: Batch, share: float) -> Bool[Tensor, "b h w"]:
    """Draw where one slice is put into another: within a rectangle, in every second sample beyond it.

    Parameters
    ----------
    batch
        Gives the shape and the random numbers.
    share
        Fraction of the samples that are mixed, in [0, 1].

    Examples
    --------
    >>> from maskmixadv.methods.walk_teacher import places
    >>> from maskmixadv.tensors import Batch
    >>> places(Batch.example(), 0.0).any().item(), places(Batch.example(), 1.0).any().item()
    (False, True)
    """
    b, _, h, w = batch.image.shape
    device = batch.image.device
    drawn = torch.rand(b, 5, 1, generator=batch.rng, device=device)
    size, middle = 0.3 + 0.5 * drawn[:, 0:2], 0.15 + 0.7 * drawn[:, 2:4]
    near = [
        (torch.arange(side, device=device) / side - middle[:, axis]).abs() < size[:, axis] / 2
        for axis, side in enumerate((h, w))
    ]
    beyond = (torch.arange(b, device=device) % 2 == 1)[:, None, None]
    return ((near[0][:, :, None] & near[1][:, None, :]) ^ beyond) & (drawn[:, 4:] < share)


def _counts(batch: Batch, rise: Scalar) -> Weight | None:
    """How much each pixel counts against its agreed label: `rise` in slices without annotation, else 1; None: all 1."""
    if batch.bare is None:
        return None
    return (1 - (1 - rise) * batch.bare.float())[:, None, None].expand(batch.target.shape)


@final
@dataclass(frozen=True)
class WalkTeacher(Method):
    """Learn from labels on which random walks and a mean teacher agree: this project's own method.

    Where slices are drawn densely, too, a second network, the corrector, learns from them what strokes can't say: where
    people draw a border. From the image and the walks it predicts the mask, and so corrects the labels of all other
    slices.

    In slices without annotation the teacher alone says what is where. They count the more the longer it has learnt.

    Attributes
    ----------
    ce
        Weight of the cross-entropy over the known pixels, at least 0.
    pse
        Weight of the losses against the agreed labels, at least 0.
    trust
        How much the teacher counts beside the walks, at the end of `ramp`, at least 0.
    ramp
        Fraction of the run over which that rises from nearly 0, in [0, 1].
    decay
        Fraction of itself that the teacher keeps in a step, in [0, 1).
    background
        Factor of the background's probability before the agreed label is chosen, above 0. Above 1 it draws outer
        borders in, where people drew the background's stroke far from an organ.
    certainty
        Power of an agreed label's probability with which its pixel counts in the cross-entropy against it, at least 0.
        So labels count less near borders of which walks and teacher are not sure; with 0 all pixels count alike.
    calibration
        How far the walks' odds follow the teacher over a run, at least 0 (`Advisor.calibrate`): the sum of its rates
        over all steps, however many these are. By default odds stay at 1: what helps one corpus harms another.
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
        Fraction of the run after which the corrector corrects labels, in [0, 1].
    voice
        How much the teacher counts beside the corrector, times `trust`, at least 0.
    paste
        Fraction of samples with a part of a dense slice in place of their own, in [0, 1], while dense slices are
        studied. So borders as people draw them stand beside agreed ones in one image (bidirectional copy-paste:
        Bai et al., CVPR 2023).
    rehearse
        Weight of the network's own losses over the dense slices that the corrector studies, at least 0.
    heads
        Whether the teacher answers with a head of its own, the network's second, which learns from what is known alone
        (*independent*), or with the one that learns from agreed labels, too (*shared*). If it hears what it has said
        itself, walks' errors come back to it, and stay. What is predicted is the mean of both heads.
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
            "teacher": Advisor(net, classes=classes, background=self.background),
        }
        if self.adv:
            players["critic"] = Critic(classes)
        if self.study and task.studied:
            players["corrector"] = Corrector(task, heads=heads)
        return players

    def phases(self, nets: Mapping[str, nn.Module], batch: Batch) -> Iterator[Phase]:
        """Learn from what is known and from agreed labels; then the teacher follows, and the critic learns."""
        teacher, now = player(nets, "teacher", Advisor), self.now(batch)
        corrector = player(nets, "corrector", Corrector) if "corrector" in nets else None
        if corrector and self._copies(batch.step, batch.progress):
            corrector.listen(teacher)
        if corrector and batch.dense is not None:
            yield Phase("corrector", corrector.lesson(batch.dense))
            corrector.learnt(batch.dense, teacher, keep=now["settle"], trust=now["trust"])
        if corrector and batch.walked is not None and batch.progress < self.listen:
            # What the copy says of dense slices must be what it would say of others, or the corrector learns nothing.
            hidden = batch.walked[:, None, None]
            batch = replace(batch, target=batch.target.masked_fill(hidden, IGNORE), whole=None)
        asked = beside(batch.image.device, partial(teacher.heard, batch))
        place = places(batch, self.paste) if batch.dense is not None and self.paste else None
        answers = player(nets, "net", UNet).answers(batch.image if place is None else pasted(batch, place))
        logits = answers[0]
        heard = asked()
        advice = teacher.advise(batch, heard, now["trust"])
        if corrector and batch.progress >= self.heed:
            corrected = corrector.corrected(batch, heard, advice, self.voice * now["trust"])
            # It was never taught slices without walks.
            advice = corrected if batch.bare is None else torch.where(_each(batch.bare), advice, corrected)
        sure, counts = advice.amax(1) ** self.certainty, _counts(batch, now["rise"])
        lesson = Lesson(
            target=batch.target,
            weight=batch.weight,
            agreed=most_probable(advice),
            sure=sure if counts is None else sure * counts,
            counts=counts,
        )
        if batch.dense is not None and place is not None:
            lesson = lesson.pasted(batch.dense, place)
        soft, unlike = logits.softmax(1), F.cross_entropy(logits, lesson.agreed.long(), reduction="none")
        terms = {
            "ce": self.ce * partial_cross_entropy(logits=logits, target=lesson.target, weight=lesson.weight),
            "pse-ce": self.pse * (lesson.sure * unlike).mean(),
            "pse-dice": self.pse * dice_loss(probs=soft, target=lesson.agreed, weight=lesson.counts),
        }
        if self._heads > 1:
            terms["own-ce"] = self.ce * partial_cross_entropy(
                logits=answers[-1], target=lesson.target, weight=lesson.weight
            )
        if batch.dense is not None and self.rehearse:
            again = labelled_terms(nets["net"](batch.dense.image), batch.dense, ce=self.rehearse, dice=self.rehearse)
            terms |= {f"dense-{name}": term for name, term in again.items()}
        criticised = self._criticised(batch.step)
        if criticised:
            terms["adv"] = (self.every or 1) * self.adv * adversarial(nets["critic"](soft), real=True)
        yield Phase("net", terms)
        if self.calibration:
            teacher.calibrate(batch, heard, now["rate"])
        teacher.follow(nets["net"], keep=now["keep"])
        if criticised:
            yield Phase("critic", {"critic": critic_loss(nets["critic"], soft.detach(), batch)})

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
        """Number of lessons that the corrector had before a step."""
        return max(step - step * self.listen / progress, 0.0) / max(self.study, 1) if progress else 0.0
