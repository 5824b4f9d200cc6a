"""Teachers follow, memories remember where things lie."""

import dataclasses
import math

import pytest
import torch
from torch import nn

import tiny
from maskmixadv.errors import InputError
from maskmixadv.methods import UAMT, USTM, WSL4MIS, CycleMix, MeanTeacher, Method, Scribble2Label, ShapePU, ZScribbleSeg
from maskmixadv.methods.parts.teacher import Teacher, opinions, sigmoid_rampup
from maskmixadv.methods.scribble2label import LEAST_RATE, PastPredictions
from maskmixadv.methods.wsl4mis import TwoBranches
from maskmixadv.networks.average import warmed_up
from maskmixadv.networks.losses import uniform
from maskmixadv.networks.unet import Decoder, UNet
from maskmixadv.sampling.augment import draw_augmentation
from maskmixadv.sampling.ranges import Augment
from maskmixadv.tensors import Batch
from maskmixadv.types import IGNORE


class Echo(nn.Module):
    """Logits are the image, once as it is and once negated."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.cat((image, -image), 1)


def test_the_least_rate_brings_an_average_near_what_is_predicted() -> None:
    memory, batch = PastPredictions(2, 2, 32), Batch.example()
    ones = torch.ones_like(batch.image)
    memory.write(batch, torch.cat((0.3 * ones, 0.7 * ones), 1), rate=1.0)
    for _ in range(300):
        memory.write(batch, torch.cat((0 * ones, ones), 1), rate=LEAST_RATE)
    assert memory.read(batch)[:, 1].mean() > 0.89


def test_a_teacher_is_the_mean_of_students_then_their_moving_average() -> None:
    student = nn.BatchNorm2d(1)
    teacher = Teacher(student)
    values = [1.0, 3.0, 8.0]
    for step, value in enumerate(values):
        for each in (student.weight, student.running_mean):
            assert each is not None
            each.data.fill_(value)
        teacher.follow(student, keep=warmed_up(0.5, step))
    # Step 0 copies, step 1 takes the mean, step 2 keeps min(2/3, 0.5).
    expected = 0.5 * (0.5 * 1 + 0.5 * 3) + 0.5 * 8
    state = teacher.net.state_dict()
    assert state["weight"].item() == pytest.approx(expected)
    assert state["running_mean"].item() == pytest.approx(expected)


def test_a_teacher_learns_nothing_by_gradient_and_keeps_its_mode() -> None:
    teacher = Teacher(UNet(1, 4))
    assert not any(p.requires_grad for p in teacher.parameters())
    image = torch.rand(2, 1, 32, 32)
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    for mode in (True, False):
        teacher.train(mode)
        first, second = teacher(image), teacher(image)
        assert not torch.equal(first, second), "dropout is off"
        assert not first.requires_grad
        torch.testing.assert_close(first.sum(1), torch.ones(2, 32, 32))
    assert all(torch.equal(before[key], value) for key, value in teacher.state_dict().items())


def test_a_teacher_starts_where_the_student_is() -> None:
    nets = MeanTeacher().players(tiny.TASK)
    teacher = nets["teacher"]
    assert isinstance(teacher, Teacher)
    own = nets["net"].state_dict()
    assert all(torch.equal(own[key], value) for key, value in teacher.net.state_dict().items())


def test_uncertainty_is_the_entropy_of_the_mean() -> None:
    batch = dataclasses.replace(tiny.batch(), image=torch.zeros(2, 1, 32, 32))
    target, uncertainty = opinions(Teacher(Echo()), batch, batch.image, noise=0.0, passes=3)
    torch.testing.assert_close(target, torch.full((2, 2, 32, 32), 0.5))
    torch.testing.assert_close(uncertainty, torch.full((2, 32, 32), math.log(2)))
    sure = dataclasses.replace(batch, image=torch.full((2, 1, 32, 32), 9.0))
    assert opinions(Teacher(Echo()), sure, sure.image, noise=0.0, passes=2)[1].max() < 1e-3


def test_passes_are_as_many_and_differ() -> None:
    torch.manual_seed(0)
    seen: list[torch.Tensor] = []
    teacher = Teacher(Echo())
    teacher.register_forward_hook(lambda _, arguments, __: seen.append(arguments[0]))
    batch = tiny.batch()
    opinions(teacher, batch, batch.image, noise=0.1, passes=8)
    images = torch.cat(seen).unflatten(0, (8, 2))
    assert len(images.flatten(1).unique(dim=0)) == 8
    assert (images - batch.image).abs().max() <= 0.2 + 1e-6


def test_ramps() -> None:
    assert sigmoid_rampup(0.0, 0.5) == pytest.approx(math.exp(-5))
    assert sigmoid_rampup(0.25, 0.5) == pytest.approx(math.exp(-1.25))
    assert sigmoid_rampup(0.7, 0.5) == sigmoid_rampup(0.0, 0.0) == 1


@pytest.mark.parametrize("method", [MeanTeacher(), UAMT(), USTM()], ids=repr)
def test_consistency_counts_more_as_the_run_goes_on(method: Method) -> None:
    def consistency(progress: float) -> float:
        torch.manual_seed(0)
        nets = method.players(tiny.TASK)
        for net in nets.values():
            for module in net.modules():
                if isinstance(module, Decoder):
                    module.head.weight.data *= 300
        batch = dataclasses.replace(tiny.batch(), progress=progress)
        ((_, terms),) = method.phases(nets, batch)
        return terms["consistency"].item()

    assert 0 < consistency(0.0) < 0.2 * consistency(0.99)


def test_the_answer_of_two_branches_is_the_main_decoder() -> None:
    torch.manual_seed(0)
    net = TwoBranches(1, 4, 0.5).eval()
    image = torch.rand(1, 1, 32, 32)
    main, auxiliary = net.branches(image)
    assert torch.equal(net(image), main)
    assert not torch.equal(main, auxiliary)
    net.train()
    with torch.no_grad():
        dropped = [(net.dropout(maps) == 0).flatten(2).all(2).float().mean() for maps in net.encode(image)]
    assert all(0.1 < share < 0.9 for share in dropped)


STILL = Augment(turns=False, rotate=0.0, scale=0.0, shift=0.0, intensity=0.0)


def window(augment: Augment, canvas: torch.Tensor, seed: int = 0) -> Batch:
    """Batch of one window of `canvas`, n 1 s s, at half its side."""
    side = canvas.shape[-1]
    rng = torch.Generator().manual_seed(seed)
    draw = draw_augmentation(augment, torch.zeros(len(canvas), 2), canvas=side, window=side // 2, rng=rng)
    target = torch.full((len(canvas), side // 2, side // 2), IGNORE, dtype=torch.uint8)
    index = torch.arange(len(canvas))
    return Batch(draw.image(canvas), target, None, uniform(target), index, draw.affine, 0, 0.5, rng)


def test_memory_gives_back_what_it_was_told_where_it_was_told() -> None:
    canvas = torch.zeros(1, 1, 64, 64)
    canvas[:, :, 24:40, 20:36] = 1
    memory = PastPredictions(1, 2, 64)
    batch = window(STILL, canvas)
    memory.write(batch, torch.cat((1 - batch.image, batch.image), 1), 0.2)
    torch.testing.assert_close(memory.read(batch)[:, 1:], batch.image, atol=0.01, rtol=0)
    kept = memory.probs[0, 1].float() / 255
    torch.testing.assert_close(kept[16:48, 16:48], canvas[0, 0, 16:48, 16:48], atol=0.01, rtol=0)
    assert memory.probs[0, :, :16].sum() == 0, "written beyond the window"


def test_memory_finds_the_same_place_in_another_window() -> None:
    canvas = torch.nn.functional.avg_pool2d(torch.rand(2, 1, 64, 64), 9, 1, 4)
    memory = PastPredictions(2, 2, 64)
    moving = Augment(shift=0.1, intensity=0.0)
    written, asked = window(moving, canvas, 1), window(moving, canvas, 2)
    memory.write(written, torch.cat((1 - written.image, written.image), 1), 1.0)
    found = memory.read(asked)
    known = (found.sum(1, keepdim=True) - 1).abs() < 0.02
    assert known.float().mean() > 0.5
    torch.testing.assert_close(found[:, 1:][known], asked.image[known], atol=0.05, rtol=0)


def test_memory_keeps_its_places_under_autocast() -> None:
    batch = window(Augment(), torch.rand(1, 1, 64, 64))
    told = torch.cat((1 - batch.image, batch.image), 1)
    plain, cast = PastPredictions(1, 2, 64), PastPredictions(1, 2, 64)
    plain.write(batch, told, 0.2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast.write(batch, told, 0.2)
        found = cast.read(batch)
    assert torch.equal(plain.probs, cast.probs)
    assert torch.equal(found, plain.read(batch))


def test_memory_averages_after_the_first_time() -> None:
    batch = window(STILL, torch.zeros(1, 1, 32, 32))
    memory = PastPredictions(1, 2, 32)
    ones = torch.cat((torch.ones(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)), 1)
    memory.write(batch, ones, 0.2)
    memory.write(batch, ones.flip(1), 0.2)
    torch.testing.assert_close(memory.read(batch)[0, :, 8, 8], torch.tensor([0.8, 0.2]), atol=0.01, rtol=0)


def test_a_slice_twice_in_a_batch_is_remembered_twice() -> None:
    batch = window(STILL, torch.zeros(2, 1, 32, 32))
    batch = dataclasses.replace(batch, index=torch.zeros(2, dtype=torch.long))
    memory = PastPredictions(1, 2, 32)
    first = torch.cat((torch.ones(1, 1, 16, 16), torch.zeros(1, 1, 16, 16)), 1)
    memory.write(batch, torch.cat((first, first.flip(1))), 0.2)
    torch.testing.assert_close(memory.read(batch)[0, :, 8, 8], torch.tensor([0.8, 0.2]), atol=0.01, rtol=0)


def test_a_memory_of_a_data_set_is_small() -> None:
    memory = Scribble2Label().players(dataclasses.replace(tiny.TASK, slices=1512))["memory"]
    assert sum(buffer.numel() * buffer.element_size() for buffer in memory.buffers()) < 60e6


def test_pseudo_labels_are_of_sure_unlabelled_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    method = Scribble2Label(warmup=0.2)
    nets = method.players(tiny.TASK)
    seen: list[torch.Tensor] = []

    def record(*, logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        seen.append(target)
        return (logits.mean(1) * weight).sum()

    monkeypatch.setattr("maskmixadv.methods.scribble2label.partial_cross_entropy", record)
    recalled = torch.zeros(2, 4, 32, 32)
    recalled[:, 2, :16] = 0.9
    recalled[:, 3, 16:] = 0.7
    monkeypatch.setattr(PastPredictions, "read", lambda *_: recalled)
    batch = tiny.batch()
    list(method.phases(nets, batch))
    assert len(seen) == 1, "pseudo labels during the warm-up"
    list(method.phases(nets, dataclasses.replace(batch, progress=0.2)))
    pseudo, unlabelled = seen[2], batch.target == IGNORE
    assert (pseudo[:, :16][unlabelled[:, :16]] == 2).all()
    assert (pseudo[:, 16:] == IGNORE).all()
    assert (pseudo[~unlabelled] == IGNORE).all()


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (MeanTeacher, "decay", 1.0),
        (MeanTeacher, "weight", -1.0),
        (MeanTeacher, "ramp", 1.5),
        (UAMT, "passes", 1),
        (USTM, "noise", math.nan),
        (WSL4MIS, "dropout", 1.0),
        (WSL4MIS, "pse", math.inf),
        (Scribble2Label, "threshold", 1.5),
        (Scribble2Label, "rate", 0.0),
        (Scribble2Label, "rate", 0.001),  # no step of 1/255 would be reached, and averages would never move
        (Scribble2Label, "cells", 0),
        (CycleMix, "blocks", 3),
        (CycleMix, "side", -1),
        (ShapePU, "warmup", -0.1),
        (ZScribbleSeg, "spatial", -1.0),
    ],
)
def test_impossible_values_are_named(kind: type[Method], field: str, value: float) -> None:
    with pytest.raises(InputError, match=f"^{field}: .*allowed"):
        kind(**{field: value})
