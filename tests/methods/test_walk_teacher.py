"""On what the flagship's teacher and the walks agree."""

import dataclasses

import pytest
import torch
from torch import Tensor, nn

import tiny
from maskmixadv.errors import InputError
from maskmixadv.methods import WalkTeacher, walk_teacher
from maskmixadv.methods.parts.copy_paste import Targets, places
from maskmixadv.methods.parts.corrector import Corrector
from maskmixadv.methods.parts.pseudo import PseudoLabeller, with_scribbles
from maskmixadv.networks.losses import most_probable, one_hot
from maskmixadv.tensors import Batch
from maskmixadv.types import IGNORE


class Says(nn.Module):
    """A network with one opinion of every pixel."""

    def __init__(self, *probs: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(probs).log())

    def answers(self, image: Tensor) -> list[Tensor]:
        b, _, h, w = image.shape
        return [self.logits[None, :, None, None].expand(b, -1, h, w)]


def believing(*belief: float, target: int = IGNORE) -> Batch:
    """A batch of which walks say the same at every pixel."""
    batch = tiny.batch()
    maps = torch.tensor(belief)[None, :, None, None].expand(2, 4, 32, 32).clone()
    return dataclasses.replace(batch, belief=maps, target=torch.full_like(batch.target, target))


def agreed(labeller: PseudoLabeller, batch: Batch, trust: float = 1.0) -> list[float]:
    probs = labeller.combine(batch, labeller.predict(batch), trust)
    assert (probs == probs[:1, :, :1, :1]).all()
    return probs[0, :, 0, 0].tolist()


def labeller(*probs: float, background: float = 1.0) -> PseudoLabeller:
    return PseudoLabeller(Says(*probs), classes=4, background=background)


def test_both_are_heard() -> None:
    batch = believing(0.5, 0.3, 0.1, 0.1)
    assert agreed(labeller(0.1, 0.2, 0.3, 0.4), batch) == pytest.approx([0.3, 0.25, 0.2, 0.25])
    assert agreed(labeller(0.1, 0.2, 0.3, 0.4), batch, trust=3.0) == pytest.approx([0.2, 0.225, 0.25, 0.325])


def test_the_background_has_a_factor() -> None:
    even = labeller(0.25, 0.25, 0.25, 0.25, background=2.0)
    assert agreed(even, believing(0.25, 0.25, 0.25, 0.25)) == pytest.approx([0.4, 0.2, 0.2, 0.2])
    made = WalkTeacher(background=3.0).players(tiny.TASK)["teacher"]
    assert isinstance(made, PseudoLabeller)
    assert made.factors.flatten().tolist() == [3, 1, 1, 1]


def test_walks_odds_follow_the_teacher() -> None:
    """Walks say class 2 everywhere, the teacher half 1 and half 2; in the end walks leave 1 its half, too."""
    batch = believing(0.05, 0.4, 0.5, 0.05)
    assert batch.belief is not None
    batch.belief[:, 1] += torch.linspace(0, 0.05, 32)
    predicted = torch.zeros(2, 4, 32, 32)
    predicted[:, 1, :, 16:], predicted[:, 2, :, :16] = 1, 1
    follower = labeller(0.25, 0.25, 0.25, 0.25)
    assert (most_probable(batch.belief * follower.odds) == 2).all()
    for _ in range(400):
        follower.calibrate(batch, predicted, 0.05)
    assert follower.odds[0] == 1  # the background's
    assert follower.odds[1:].log().mean() == pytest.approx(0, abs=1e-4)  # structures do not shrink together
    share = (most_probable(batch.belief * follower.odds) == 1).float().mean()
    assert share == pytest.approx(0.5, abs=0.1)
    fixed = labeller(0.25, 0.25, 0.25, 0.25)
    fixed.calibrate(batch, predicted, 0.0)
    assert fixed.odds.flatten().tolist() == [1, 1, 1, 1]


def test_walks_odds_follow_masks_rather_than_the_teacher() -> None:
    batch = dataclasses.replace(believing(0.1, 0.4, 0.45, 0.05, target=1), whole=torch.tensor([True, True]))
    predicted = one_hot(torch.full((2, 32, 32), 2, dtype=torch.uint8), 4)
    follower = labeller(0.25, 0.25, 0.25, 0.25)
    for _ in range(20):
        follower.calibrate(batch, predicted, 0.05)
    assert follower.odds[1] > 1 > follower.odds[2]


def test_strokes_move_no_odds() -> None:
    """Strokes are known: that walks and teacher agree there says nothing of borders."""
    follower = labeller(0.25, 0.25, 0.25, 0.25)
    predicted = one_hot(torch.full((2, 32, 32), 2, dtype=torch.uint8), 4)
    follower.calibrate(believing(0.1, 0.4, 0.45, 0.05, target=1), predicted, 0.05)
    assert follower.odds.flatten().tolist() == pytest.approx([1, 1, 1, 1])


def test_a_class_without_a_stroke_is_not_there() -> None:
    sure = labeller(0.01, 0.01, 0.01, 0.97)
    assert agreed(sure, believing(0.6, 0.2, 0.2, 0.0))[3] == 0
    reached = believing(0.6, 0.2, 0.2, 0.0)
    assert reached.belief is not None
    reached.belief[:, 3, 5, 5] = 0.5  # a stroke of it in some corner is enough
    assert (most_probable(sure.combine(reached, sure.predict(reached), 3.0)) == 3).all()


def test_where_nothing_walks_the_teacher_is_heard_alone() -> None:
    alone = labeller(0.1, 0.2, 0.3, 0.4)
    for trust in (1.0, WalkTeacher(trust=0.0).scalars(0, 0.0)["trust"]):
        said = agreed(alone, believing(0.0, 0.0, 0.0, 0.0), trust=trust)
        assert said == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=1e-6)


def test_of_strokes_there_is_no_doubt() -> None:
    sure = labeller(0.97, 0.01, 0.01, 0.01, background=2.0)
    assert agreed(sure, believing(0.97, 0.01, 0.01, 0.01, target=2)) == [0, 0, 1, 0]
    batch = tiny.batch()
    probs = sure.combine(batch, sure.predict(batch), 1.0)
    drawn = batch.target != IGNORE
    assert torch.equal(probs.movedim(1, -1)[drawn], one_hot(batch.target, 4).movedim(1, -1)[drawn])
    torch.testing.assert_close(probs.sum(1), torch.ones(2, 32, 32))


def test_the_teacher_drops_nothing() -> None:
    teacher = WalkTeacher().players(tiny.TASK)["teacher"]
    image = tiny.batch().image
    assert torch.equal(teacher(image), teacher(image))


def test_it_needs_beliefs() -> None:
    net = WalkTeacher().players(tiny.TASK)
    with pytest.raises(InputError, match="no beliefs"):
        list(WalkTeacher().phases(net, dataclasses.replace(tiny.batch(), belief=None)))


# Dense slices: the corrector.


def lesson(studied: int = 20) -> tuple[dict[str, nn.Module], Batch]:
    """Players with a corrector, and a batch with as many dense slices beside its own."""
    batch = dataclasses.replace(tiny.batch(), progress=0.9)
    dense = dataclasses.replace(batch, target=batch.prior, whole=torch.tensor([True, True]))
    players = WalkTeacher().players(dataclasses.replace(tiny.TASK, studied=studied))
    return players, dataclasses.replace(batch, dense=dense)


def test_a_corrector_is_there_where_it_can_study() -> None:
    assert "corrector" not in WalkTeacher().players(tiny.TASK)
    assert "corrector" not in WalkTeacher(study=0).players(dataclasses.replace(tiny.TASK, studied=5))
    few, many = (lesson(studied)[0]["corrector"] for studied in (2, 90))
    assert isinstance(few, Corrector)
    assert isinstance(many, Corrector)
    assert (few.weight, many.weight) == pytest.approx((1 / 6, 0.9))


def test_the_corrector_studies_until_it_has_seen_enough() -> None:
    def steps(method: WalkTeacher, dense: int) -> list[int]:
        return [step for step in range(2000) if method.studies(step, step / 4000, dense=dense)]

    assert steps(WalkTeacher(), 90) == list(range(1200, 1200 + 297))
    assert steps(WalkTeacher(study=3), 2) == list(range(1200, 1200 + 3 * 250, 3))  # few slices: a least number
    assert steps(WalkTeacher(), 0) == steps(WalkTeacher(study=0), 72) == []


def test_the_corrector_hears_the_teacher_as_it_was() -> None:
    """A copy is taken once, in the first step from `listen` on."""
    method = WalkTeacher(listen=0.3)
    assert [step for step in range(10) if method._copies(step, step / 10)] == [3]
    assert [step for step in range(7) if method._copies(step, step / 7)] == [3]
    for steps in (30, 110, 1500):  # a later copy would have learnt from the corrector's first lessons
        for listen in (0.1, 0.25, 0.3, 0.7):
            copies = [step for step in range(steps) if WalkTeacher(listen=listen)._copies(step, step / steps)]
            assert copies == [next(step for step in range(steps) if step / steps >= listen)]
    assert [step for step in range(7) if WalkTeacher(listen=0.0)._copies(step, step / 7)] == [0]
    players, batch = lesson()
    teacher, corrector = players["teacher"], players["corrector"]
    assert isinstance(teacher, PseudoLabeller)
    assert isinstance(corrector, Corrector)
    list(method.phases(players, dataclasses.replace(batch, step=3, progress=0.3, dense=None)))
    with torch.no_grad():
        copied = corrector.elder(batch.image).softmax(1)
    with torch.no_grad():
        for parameter in teacher.net.parameters():
            parameter.add_(0.1)
    list(method.phases(players, dataclasses.replace(batch, step=4, progress=0.4, dense=None)))
    assert torch.equal(corrector.elder(batch.image).softmax(1), copied)
    assert not torch.equal(teacher(batch.image), copied)
    assert not any(module.training for net in (corrector.elder, corrector.scored) for module in net.modules())


def test_the_corrector_learns_first_and_nobody_else_with_it() -> None:
    players, batch = lesson()
    phases = WalkTeacher().phases(players, batch)
    first = next(phases)
    assert first.player == "corrector"
    sum(first.terms.values(), torch.zeros(())).backward()
    assert all(parameter.grad is None for parameter in players["net"].parameters())
    assert any(parameter.grad is not None for parameter in players["corrector"].parameters())
    assert [phase.player for phase in phases] == ["net"]


def says(corrector: Corrector, label: int) -> None:
    """It says one class everywhere, and made fewer errors than walks and teacher."""
    with torch.no_grad():
        for name, parameter in corrector.scored.named_parameters():
            parameter.zero_()
            if name.endswith("head.bias"):
                parameter[label] = 20
    corrector.errors.copy_(torch.tensor([0.2, 0.1]))


def test_the_corrector_corrects_what_is_not_known() -> None:
    players, batch = lesson()
    corrector = players["corrector"]
    assert isinstance(corrector, Corrector)
    predicted = torch.tensor([0.1, 0.1, 0.7, 0.1])[None, :, None, None].expand(2, -1, 32, 32)
    pseudo = with_scribbles(batch, torch.tensor([0.7, 0.1, 0.1, 0.1])[None, :, None, None].expand(2, -1, 32, 32))
    says(corrector, 2)
    corrected = corrector.correct(batch, predicted, pseudo, 0.5)
    free = (batch.target == IGNORE)[:, None].expand(-1, 4, -1, -1)
    most = corrector.weight * (1 + 0.5 * 0.7) / 1.5 + (1 - corrector.weight) * 0.1
    assert corrected[free].view(-1).max() == pytest.approx(most, abs=1e-3)
    assert torch.equal(corrected[~free], pseudo[~free])


def test_a_corrector_that_is_no_better_is_not_heeded() -> None:
    players, batch = lesson()
    corrector, teacher = players["corrector"], players["teacher"]
    assert isinstance(corrector, Corrector)
    assert isinstance(teacher, PseudoLabeller)
    assert batch.dense is not None
    says(corrector, 2)
    predicted = teacher.predict(batch)
    pseudo = teacher.combine(batch, predicted, 1.0)
    corrector.errors.copy_(torch.tensor([0.1, 0.2]))
    torch.testing.assert_close(corrector.correct(batch, predicted, pseudo, 0.5), pseudo)
    corrector.errors.zero_()  # no lesson yet
    torch.testing.assert_close(corrector.correct(batch, predicted, pseudo, 0.5), pseudo)
    for _ in range(3):
        corrector.update(batch.dense, teacher, keep=1.0, trust=1.0)
    target = batch.dense.target[batch.dense.target != IGNORE]
    assert corrector.errors[1] == pytest.approx((target != 2).float().mean().item() * (1 - 0.95**3), abs=1e-4)


def test_masks_that_are_never_learnt_from_are_told() -> None:
    (line,) = WalkTeacher(listen=1.0).idle(4, 96)
    assert line.startswith("listen: 1, masks of dense slices whose strokes are known are not learnt from at all; ")
    assert "--study 0" in line
    for method in (WalkTeacher(), WalkTeacher(listen=0.99), WalkTeacher(listen=1.0, study=0)):
        assert not method.idle(4, 96)


def test_masks_are_hidden_until_the_teacher_is_copied() -> None:
    """The copy must say of dense slices what it would say of others: their strokes alone are learnt from until then."""
    method = WalkTeacher(listen=0.5)
    players, batch = lesson()
    assert batch.prior is not None
    masked = dataclasses.replace(batch, target=batch.prior, whole=torch.tensor([True, True]), dense=None)
    walked = dataclasses.replace(masked, walked=torch.tensor([True, True]))

    def known_ones(batch: Batch, progress: float) -> float:
        (phase,) = method.phases(players, dataclasses.replace(batch, progress=progress, step=int(100 * progress)))
        return phase.terms["ce"].item()

    assert known_ones(walked, 0.4) == 0
    assert known_ones(masked, 0.4) > 0  # masks without strokes hide nothing
    assert known_ones(walked, 0.6) > 0
    alone = method.players(tiny.TASK)  # nobody studies
    (phase,) = method.phases(alone, dataclasses.replace(walked, progress=0.4, step=40))
    assert phase.terms["ce"].item() > 0


def test_dense_slices_are_pasted_with_their_masks() -> None:
    batch = tiny.batch()
    assert batch.prior is not None
    dense = dataclasses.replace(batch, image=batch.image + 5, target=batch.prior)
    agreed = torch.ones_like(batch.target)
    lesson = Targets(batch.target, batch.weight, agreed, torch.full(agreed.shape, 0.5), dice_weight=None)
    place = places(batch, 1.0)
    pasted, image = lesson.pasted(dense, place), walk_teacher.pasted(dataclasses.replace(batch, dense=dense), place)
    assert place.flatten(1).any(1).all()
    assert (~place).flatten(1).any(1).all()
    for mine, own, other in (
        (image[:, 0], batch.image[:, 0], dense.image[:, 0]),
        (pasted.pseudo, agreed, batch.prior),
        (pasted.ce_weight, lesson.ce_weight, torch.ones_like(lesson.ce_weight)),
        (pasted.dice_weight, torch.ones_like(lesson.ce_weight), torch.ones_like(lesson.ce_weight)),
        (pasted.target, batch.target, torch.full_like(agreed, IGNORE)),
    ):
        assert mine is not None
        assert torch.equal(mine, torch.where(place, other, own))
    assert pasted.weight[place].sum() == 0


def test_pixels_that_a_mask_does_not_know_do_not_count() -> None:
    batch = tiny.batch()
    everywhere = torch.ones_like(batch.target, dtype=torch.bool)
    lesson = Targets(batch.target, batch.weight, batch.target, batch.weight, dice_weight=None)
    pasted = lesson.pasted(batch, everywhere)
    assert pasted.dice_weight is not None
    assert torch.equal(pasted.dice_weight > 0, batch.target != IGNORE)
    assert torch.equal(pasted.ce_weight > 0, batch.target != IGNORE)


def test_nothing_is_pasted_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    mixed = list[bool]()
    monkeypatch.setattr(walk_teacher, "pasted", lambda batch, place: mixed.append(bool(place.any())) or batch.image)
    for method in (WalkTeacher(), WalkTeacher(paste=1.0)):
        players, batch = lesson()
        list(method.phases(players, batch))
    assert mixed == [True]


def test_a_share_of_the_samples_is_mixed() -> None:
    batch = tiny.batch()
    mixed = [places(batch, 0.3).flatten(1).any(1).float().mean().item() for _ in range(300)]
    assert sum(mixed) / 300 == pytest.approx(0.3, abs=0.06)


def test_dense_slices_are_rehearsed() -> None:
    players, batch = lesson()
    terms = [set(phase.terms) for phase in WalkTeacher(rehearse=0.0).phases(players, batch)][-1]
    assert set([*WalkTeacher().phases(players, batch)][-1].terms) - terms == {"dense-ce", "dense-dice"}


def head_gradients(method: WalkTeacher, *terms: str) -> list[bool]:
    """Whether each head of the network gets a gradient from the sum of some of its losses."""
    players, batch = method.players(tiny.TASK), tiny.batch()
    phase = next(phase for phase in method.phases(players, batch) if phase.player == "net")
    loss = torch.stack([phase.terms[term] for term in terms]).sum()
    (of_heads,) = torch.autograd.grad(loss, [_head(players["net"])])
    return [bool(part.any()) for part in of_heads.split(4)]


def _head(net: nn.Module) -> nn.Parameter:
    return next(weight for name, weight in net.named_parameters() if name.endswith("head.weight"))


def test_the_teacher_s_head_learns_from_what_is_known_alone() -> None:
    """If it hears what it has said itself, walks' errors come back to it, and stay."""
    assert head_gradients(WalkTeacher(), "pse-ce", "pse-dice", "ce") == [True, False]
    assert head_gradients(WalkTeacher(), "own-ce") == [False, True]
    assert head_gradients(WalkTeacher(heads="shared"), "pse-ce", "ce") == [True]


def test_the_teacher_answers_with_its_own_head() -> None:
    players, batch = WalkTeacher().players(tiny.TASK), tiny.batch()
    teacher = players["teacher"]
    assert isinstance(teacher, PseudoLabeller)
    before = teacher(batch.image)
    with torch.no_grad():
        _head(teacher.net)[:4] += 1  # the other one's
        assert torch.equal(teacher(batch.image), before)
        _head(teacher.net)[4:] *= 2
    assert not torch.equal(teacher(batch.image), before)


def test_a_head_that_nothing_teaches_is_refused() -> None:
    with pytest.raises(InputError, match="ce: 0 with heads independent"):
        WalkTeacher(ce=0.0)
    assert WalkTeacher(ce=0.0, heads="shared").ce == 0
