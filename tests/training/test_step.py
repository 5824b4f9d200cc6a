"""A step leaves the device no gaps: nothing in it waits for an answer, and what is recorded once can be replayed."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import tiny
from maskmixadv.errors import InputError
from maskmixadv.methods import PCE, MaskMixAdv, Method, Phase
from maskmixadv.sampling.slices import Rows
from maskmixadv.training.engine import Engine, Losses, Work
from maskmixadv.training.loop import Loop
from quick import quick
from variants import ONE_OF_EACH, VARIANTS
from watch import Watch
from weights import equal, weights


class Watched:
    """Steps as written, each one watched."""

    def __init__(self) -> None:
        self.waits: list[str] = []

    def __call__(self, kind: Hashable, rows: Rows, work: Work) -> Losses:
        with Watch() as watch:
            losses = work(rows)
        if kind is not None:  # the others say that they wait
            self.waits += watch.waits
        return losses


class Recorded:
    """Steps of a kind as a recording would repeat them: with the numbers that were Python's at the first one."""

    def __init__(self, loop: Loop) -> None:
        self.loop, self.first = loop, {}

    def __call__(self, kind: Hashable, rows: Rows, work: Work) -> Losses:
        step = self.loop.step
        self.loop.step = step if kind is None else self.first.setdefault(kind, step)
        losses = work(rows)
        self.loop.step = step
        return losses


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_no_step_waits_for_the_device(name: str) -> None:
    loop = tiny.loop(VARIANTS[name], enclosure=True)
    loop._steps = watched = Watched()
    for _ in range(2):
        loop.advance()
    assert not watched.waits


def test_waits_are_seen() -> None:
    maps = torch.rand(3)
    with Watch() as watch:
        float(maps.sum())
        maps[maps > 0.5]
        torch.tensor([1.0, 2.0])
        maps.nonzero()
    assert len(watch.waits) == 4


@pytest.mark.parametrize(
    "name",
    quick(VARIANTS, "walk-teacher", "maskmixadv", "scribble2label-warm"),
)
def test_a_recorded_step_can_be_replayed(name: str) -> None:
    assert_replays(VARIANTS[name])


def assert_replays(method: Method) -> None:
    schedule = dataclasses.replace(tiny.SCHEDULE, steps=5, batch=2)
    written, replayed = (tiny.loop(method, schedule=schedule) for _ in range(2))
    replayed._steps = Recorded(replayed)
    for _ in range(schedule.steps):
        assert equal(written.advance(), replayed.advance())
    assert equal(weights(written.nets), weights(replayed.nets))
    assert equal(weights({"scored": written.scored}), weights({"scored": replayed.scored}))


def test_a_kind_that_hides_a_number_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def rising(_: PCE, nets: dict[str, nn.Module], batch: Any) -> Iterator[Phase]:
        yield Phase("net", {"pce": batch.progress * nets["net"](batch.image).square().mean()})

    monkeypatch.setattr(PCE, "phases", rising)
    with pytest.raises(AssertionError):
        assert_replays(PCE())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "backend"),
    [
        ("pce", "aot_eager"),
        ("maskmixadv", "aot_eager"),
        ("pce", "inductor"),
        ("maskmixadv", "inductor"),
        ("mean-teacher", "inductor"),
    ],
)  # inductor takes minutes and a C++ compiler; two decoders and a critic take a minute by any compiler
def test_compiled_steps_agree(name: str, backend: str) -> None:
    """Losses of compiled steps are those of the steps as written, to rounding."""
    # In a process of its own, as the compiler does not look through the checks of types under test.
    script = f"""
import torch, tiny
from torch import nn
from maskmixadv import methods
from maskmixadv.training.engine import compile_parts
written, compiled = (tiny.loop(methods.ALL["{name}"]()) for _ in range(2))
for loop in (written, compiled):
    for module in nn.ModuleList(loop.nets.values()).modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # a compiler draws other random numbers
keys = compiled.nets["net"].state_dict().keys()
compile_parts(compiled.nets.values(), backend="{backend}")
for close in (1e-3, 1e-2, 1e-2):  # an update makes more of what rounding differs in
    one, other = written.advance(), compiled.advance()
    for term in one:
        torch.testing.assert_close(one[term], other[term], rtol=close, atol=close / 10)
assert compiled.nets["net"].state_dict().keys() == keys
assert compiled.nets["net"].encoder._compiled_call_impl is not None
"""
    folder = str(Path(tiny.__file__).parent)
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, env=paths)
    assert done.returncode == 0, done.stderr[-2000:]


def test_only_a_cuda_device_records() -> None:
    with pytest.raises(InputError, match="graph: recording steps needs a CUDA device"):
        Engine(graph=True).check(torch.device("cpu"))


def test_lazy_terms_cost_nothing_in_between() -> None:
    """Restoration and critic are not computed where they have no weight, or not at this step."""
    calls = {"restorer": 0, "critic": 0}

    loop = tiny.loop(MaskMixAdv(every=4))
    for name, part in (("restorer", loop.nets["net"].get_submodule("restorer")), ("critic", loop.nets["critic"])):
        part.register_forward_hook(lambda *_, name=name: calls.__setitem__(name, calls[name] + 1))
    for _ in range(4):
        loop.advance()
    assert calls == {"restorer": 1, "critic": 2}
    assert "critic" not in tiny.loop(MaskMixAdv(adv=0.0)).nets
    assert tiny.loop(MaskMixAdv(rec=0.0)).nets["net"].restorer is None


def test_the_deterministic_engine_asks_torch_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[bool, bool]] = []
    monkeypatch.setattr(
        torch, "use_deterministic_algorithms", lambda mode, *, warn_only: asked.append((mode, warn_only))
    )
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    Engine(deterministic=True).begin([])
    assert asked == [(True, True)]
    assert not torch.backends.cudnn.benchmark
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
