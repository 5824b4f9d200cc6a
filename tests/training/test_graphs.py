"""Recorded steps come to what steps as written do: on a CUDA device, and on a CPU by stand-ins for torch's graphs."""

import copy
import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import pytest
import torch
from torch import Tensor, nn

import tape
import tiny
from maskmixadv.methods import PCE, MaskMixAdv, MeanTeacher, Method, WalkTeacher
from maskmixadv.methods.method import Phase
from maskmixadv.networks.optimiser import Optimiser
from maskmixadv.sampling.slices import Slices
from maskmixadv.tensors import Batch
from maskmixadv.training.engine import WARM, Engine, Graphs, Losses, RecordingError, as_written
from maskmixadv.training.loop import Loop
from quick import quick
from weights import equal, weights

SCHEDULE = dataclasses.replace(tiny.SCHEDULE, steps=2 * WARM + 4, batch=2)
EVERY_OTHER = MaskMixAdv(adv=0.0, every=2)
"""Its steps are of two kinds, in turns."""
NO_CUDA = "recorded steps need a CUDA device, and torch sees none here"


@pytest.fixture(
    params=["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_CUDA))]
)
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    """A CUDA device whose arithmetic repeats itself; or a CPU that plays one."""
    if request.param == "cpu":
        tape.on_a_cpu(monkeypatch)
        yield torch.device("cpu")
        return
    benchmark = torch.backends.cudnn.benchmark
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield torch.device("cuda")
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = benchmark


def loop(method: Method, device: torch.device, *, graph: bool = True, strict: bool = True) -> Loop:
    made = tiny.slices(beliefs=method.believes)
    slices = Slices(made.image.to(device), made.target.to(device), made.centre.to(device))
    run = tiny.run(method, schedule=SCHEDULE)
    engine = Engine(graph=graph, deterministic=device.type == "cuda", strict=strict)
    return Loop(run, slices, None, device, engine=engine)


def written(method: Method, device: torch.device) -> Loop:
    """A loop of the same arithmetic, whose steps are not recorded."""
    made = loop(method, device)
    made._steps = as_written
    return made


def advance(loop: Loop, steps: int) -> list[Losses]:
    return [loop.advance() for _ in range(steps)]


def as_one(nets: dict[str, Tensor]) -> Tensor:
    return torch.cat([each.double().flatten() for each in nets.values()])


def assert_same(one: Loop, other: Loop, losses: tuple[list[Losses], list[Losses]], start: dict[str, Tensor]) -> None:
    """Bit for bit on a CPU; on a GPU, whose kernels differ by their memory, to rounding."""
    if one.device.type == "cpu":
        assert all(equal(*pair) for pair in zip(*losses, strict=True))
        assert equal(weights(one.nets), weights(other.nets))
        assert equal(weights({"scored": one.scored}), weights({"scored": other.scored}))
        return
    for pair in zip(*losses, strict=True):
        torch.testing.assert_close(*pair, rtol=1e-3, atol=1e-4)
    mine, yours, before = (as_one(each) for each in (weights(one.nets), weights(other.nets), start))
    assert (mine - yours).norm() < 0.02 * (yours - before).norm()


def assert_recorded_as_written(method: Method, device: torch.device) -> Loop:
    recorded, plain = loop(method, device), written(method, device)
    start = weights(plain.nets)
    losses = advance(recorded, SCHEDULE.steps), advance(plain, SCHEDULE.steps)
    assert_same(recorded, plain, losses, start)
    return recorded


def graphs(loop: Loop) -> Graphs:
    assert isinstance(loop._steps, Graphs)
    return loop._steps


@pytest.mark.parametrize("method", [PCE(), EVERY_OTHER, MeanTeacher()], ids=lambda method: type(method).__name__)
def test_recorded_steps_are_those_written(device: torch.device, method: Method) -> None:
    """Losses and weights, under a rate and a method's scalars that are others at each step."""
    loop = assert_recorded_as_written(method, device)
    assert len({SCHEDULE.lr_at(step) for step in range(SCHEDULE.steps)}) > SCHEDULE.steps - 2
    kinds = Counter(method.kind(step, step / SCHEDULE.steps) for step in range(SCHEDULE.steps))
    assert len(kinds) == (2 if method is EVERY_OTHER else 1)
    assert all(count > WARM + 1 for count in kinds.values()), "each kind is replayed"
    own = {(kind, (), False) for kind in kinds}  # no step studies dense slices
    assert graphs(loop)._recorded.keys() == own, "each kind has a recording of its own"


def test_the_default_method_is_recorded_while_its_teacher_rises(device: torch.device) -> None:
    recorded = assert_recorded_as_written(WalkTeacher(calibration=5.0), device)
    assert len(graphs(recorded)._recorded) == 1


def test_recorded_steps_are_plain_ones_to_rounding(device: torch.device) -> None:
    """Also as somebody trains who does not record: rates are Python's numbers, and another form of AdamW steps.

    A difference in the seventh digit is one in the third after ten steps, whatever made it (decision 20).
    """
    recorded, plain = loop(PCE(), device), loop(PCE(), device, graph=False)
    start = weights(plain.nets)
    for one, other in zip(advance(recorded, SCHEDULE.steps), advance(plain, SCHEDULE.steps), strict=True):
        torch.testing.assert_close(one, other, rtol=3e-3, atol=1e-4)
    mine, yours, before = (as_one(each) for each in (weights(recorded.nets), weights(plain.nets), start))
    assert (mine - yours).norm() < 0.02 * (yours - before).norm()


def test_a_resumed_loop_records_anew(device: torch.device) -> None:
    whole, first, second = (loop(PCE(), device) for _ in range(3))
    start = weights(whole.nets)
    losses = advance(whole, SCHEDULE.steps)
    head = advance(first, WARM + 2)
    second.load(copy.deepcopy(first.state()))
    tail = advance(second, SCHEDULE.steps - WARM - 2)
    assert_same(second, whole, (head + tail, losses), start)
    assert graphs(second)._recorded, "the rest is long enough to be recorded"


def test_losses_that_were_returned_stay(device: torch.device) -> None:
    """A replay writes where the one before it wrote."""
    recorded = loop(PCE(), device)
    advance(recorded, WARM)
    losses = advance(recorded, 3)
    kept = [{name: float(loss) for name, loss in each.items()} for each in losses]
    advance(recorded, 1)
    assert [{name: float(loss) for name, loss in each.items()} for each in losses] == kept
    assert len({each["net/pce"] for each in kept}) == 3


def test_steps_of_no_kind_are_never_recorded(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PCE, "kind", lambda *_: None)
    assert not graphs(assert_recorded_as_written(PCE(), device))._recorded


def waits(patch: pytest.MonkeyPatch) -> None:
    """A method that asks the device for a number, for which a recording fails."""
    phases = PCE.phases

    def asks(self: PCE, nets: Mapping[str, nn.Module], batch: Batch) -> Iterator[Phase]:
        for phase in phases(self, nets, batch):
            assert batch.image.sum().item() >= 0
            yield phase

    patch.setattr(PCE, "phases", asks)


def test_a_step_that_cannot_be_recorded_goes_on_as_written(
    device: torch.device, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = written(PCE(), device)
    losses = advance(expected, SCHEDULE.steps)
    waits(monkeypatch)
    found = loop(PCE(), device, strict=False)
    start = weights(found.nets)
    assert_same(found, expected, (advance(found, SCHEDULE.steps), losses), start)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{found.run.root}: step {WARM} can't be recorded (")
    assert line.endswith("; all go operation by operation")


def test_a_strict_engine_ends_there(monkeypatch: pytest.MonkeyPatch) -> None:
    tape.on_a_cpu(monkeypatch)
    waits(monkeypatch)
    strict = loop(PCE(), torch.device("cpu"))
    advance(strict, WARM)
    with pytest.raises(RecordingError):
        strict.advance()


# Planted mistakes: the stand-ins see them as a CUDA device would.


def frozen_rate(patch: pytest.MonkeyPatch) -> None:
    def bare(optimiser: Optimiser, rate: float) -> None:
        for group in optimiser.param_groups:
            group["lr"] = torch.tensor(rate)

    patch.setattr("maskmixadv.training.loop.set_rate", bare)


def one_kind(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MaskMixAdv, "kind", lambda *_: 0)


def frozen_scalars(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MeanTeacher, "now", lambda self, batch: self.scalars(batch.step, batch.progress))


def unregistered(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tape.Tape, "register_generator_state", lambda *_: None)


@pytest.mark.parametrize(
    "plant",
    quick(
        [frozen_rate, frozen_scalars, one_kind, unregistered],
        "frozen_rate",
        "unregistered",
        name=lambda plant: plant.__name__,
    ),
    ids=lambda plant: plant.__name__,
)
def test_a_planted_mistake_is_caught(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    tape.on_a_cpu(monkeypatch)
    plant(monkeypatch)
    method = MeanTeacher() if plant is frozen_scalars else EVERY_OTHER
    with pytest.raises((AssertionError, RuntimeError)):
        assert_recorded_as_written(method, torch.device("cpu"))
