"""Whose colours augmentation changes: the network's, not those that a teacher labels."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import tiny
from maskmixadv.corpus.channels import COLOURS
from maskmixadv.methods import PCE, WalkTeacher
from maskmixadv.methods.method import Method, player
from maskmixadv.methods.parts.corrector import Corrector
from maskmixadv.methods.parts.pseudo import PseudoLabeller
from maskmixadv.methods.registry import recorded
from maskmixadv.tensors import Batch
from maskmixadv.training.loop import Loop


def looped(method: Method, *, hue: float = 20.0) -> Loop:
    """A training on pictures whose green and blue are darker than their red."""
    run, slices = tiny.run(method), tiny.slices(beliefs=method.believes)
    red, beliefs = slices.image[:, :1], slices.image[:, 1:]
    schedule = replace(run.schedule, augment=replace(run.schedule.augment, hue=hue, saturation=hue / 100))
    run = replace(run, learnt_from=replace(run.learnt_from, channels=COLOURS), schedule=schedule)
    pictures = replace(slices, image=torch.cat((red, 0.7 * red, 0.4 * red, beliefs), 1))
    return Loop(run, pictures, None, torch.device("cpu"))


def proportions(image: Tensor) -> Tensor:
    """How bright each picture's channels are beside its first one."""
    means = image.mean((2, 3))
    return means / means[:, :1]


def test_the_teacher_sees_pictures_in_their_own_colours() -> None:
    batch = looped(WalkTeacher()).batch()
    assert batch.weak is not None
    assert batch.mild is batch.weak
    own, changed = proportions(batch.weak), proportions(batch.image)
    assert (own - changed).abs().max() > 0.02
    torch.testing.assert_close(batch.weak.mean(1), batch.image.mean(1), atol=0.02, rtol=0)  # tints keep the mean


def test_where_no_colour_changes_both_see_the_same() -> None:
    batch = looped(WalkTeacher(), hue=0.0).batch()
    assert batch.weak is not None
    assert torch.equal(batch.weak, batch.image)


@pytest.mark.parametrize("method", [WalkTeacher(colours="changed"), PCE()], ids=["changed", "pce"])
def test_who_does_not_ask_gets_no_second_picture(method: Method) -> None:
    batch = looped(method).batch()
    assert batch.weak is None
    assert batch.mild is batch.image


def test_images_without_colours_are_the_same_to_both() -> None:
    assert tiny.loop(WalkTeacher()).batch().weak is None


def test_pseudo_labels_are_of_the_weak_picture() -> None:
    nets, batch = WalkTeacher().players(replace(tiny.TASK, studied=5)), tiny.batch()
    other = replace(batch, weak=batch.image.flip(3))
    labeller = player(nets, "teacher", PseudoLabeller)
    assert torch.equal(labeller.predict(other), labeller.predict(replace(batch, image=batch.image.flip(3))))
    assert not torch.equal(labeller.predict(other), labeller.predict(batch))
    corrector = player(nets, "corrector", Corrector)
    corrector.errors.copy_(torch.tensor([0.2, 0.1]))

    def corrected(batch: Batch) -> Tensor:
        predicted = labeller.predict(batch)
        return corrector.correct(batch, predicted, labeller.combine(batch, predicted, 1.0), 0.5)

    assert torch.equal(corrected(other), corrected(replace(batch, image=batch.image.flip(3))))


def test_the_network_learns_on_the_changed_picture() -> None:
    method, batch = WalkTeacher(), tiny.batch()

    def term(batch: Batch) -> float:
        torch.manual_seed(0)
        return next(iter(method.phases(method.players(tiny.TASK), batch))).terms["ce"].item()

    assert term(replace(batch, weak=batch.image.flip(3))) == term(batch)


def test_runs_that_began_with_changed_colours_go_on_so() -> None:
    method = recorded({"name": "walk-teacher"})
    assert isinstance(method, WalkTeacher)
    assert method.colours == "changed"
