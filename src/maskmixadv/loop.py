"""The training loop's state: one step for every method, and all that resuming exactly needs."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from maskmixadv.augment import Augment
from maskmixadv.data.enclosure import ENCLOSED
from maskmixadv.losses import balanced, uniform
from maskmixadv.run import Run, cpu_features
from maskmixadv.slices import Masks, Slices, order
from maskmixadv.types import Batch, Labels

PRIOR_AUGMENT = Augment()
"""Drawn independently of the images'; all turns, as another corpus may show its hearts another way up."""

Autocast = Callable[[], contextlib.AbstractContextManager[Any]]


class Loop:
    """Networks, optimisers and the step that they have reached.

    Randomness is a function of (seed, step), never of history: a loop loaded from a checkpoint goes on as the
    one that saved it would have, bit for bit where the device's arithmetic is deterministic.

    Parameters
    ----------
    run
        What is to be done.
    slices
        Training slices, on the device or streamed to it.
    prior
        Unpaired masks, on the device, or None.
    device
        Where to compute.
    """

    def __init__(self, run: Run, slices: Slices, prior: Masks | None, device: torch.device) -> None:
        self.run, self.slices, self.prior, self.device = run, slices, prior, device
        self.step = 0
        torch.manual_seed(run.seed)
        task = replace(run.task, slices=len(slices))
        self.nets = {name: _placed(net, device) for name, net in run.method.players(task).items()}
        self.optimisers = run.schedule.optimisers(self.nets)
        self.parameters = {
            player: [p for group in optimiser.param_groups for p in group["params"]]
            for player, optimiser in self.optimisers.items()
        }
        self._average = _average(self.nets["net"], run.schedule.ema)
        self._share = _shares(len(task.classes), run.schedule.enclosed)
        self._by_group = run.enclosure and run.method.supervision == "scribble"
        self._autocast = autocast(run.schedule.precision, device)

    @property
    def scored(self) -> nn.Module:
        """The network that is validated and scored: the moving average where there is one."""
        return self.nets["net"] if self._average is None else self._average.module

    def advance(self) -> dict[str, Tensor]:
        """Take one step; returns each player's weighted losses by ``player/term``, on the device."""
        for group in self.optimisers["net"].param_groups:
            group["lr"] = self.run.schedule.lr_at(self.step)
        logged: dict[str, Tensor] = {}
        phases = self.run.method.phases(self.nets, self.batch())
        while phase := self._next(phases):
            player, terms = phase
            torch.stack(list(terms.values())).sum().backward(inputs=self.parameters[player])
            self.optimisers[player].step()
            self.optimisers[player].zero_grad()
            logged |= {f"{player}/{name}": loss.detach() for name, loss in terms.items()}
        if self._average is not None:
            self._average.update_parameters(self.nets["net"])
        self.step += 1
        return logged

    def batch(self) -> Batch:
        """Draw the batch of the present step, and seed what the step will draw."""
        schedule, seed = self.run.schedule, _seed(self.run.seed, self.step)
        torch.manual_seed(seed)  # dropout draws from torch's own generator
        rng = torch.Generator(self.device).manual_seed(seed)
        chosen = self._order(self.step)
        index = chosen.to(self.device)
        draw = schedule.augment.draw(self.slices.centre[index], canvas=schedule.size, window=schedule.window, rng=rng)
        image, labels = self.slices.take(chosen, draw)
        self.slices.expect(self._order(self.step + 1))
        return Batch(
            image=image.contiguous(memory_format=torch.channels_last),
            target=labels.masked_fill(labels == ENCLOSED, 0),
            prior=self._masks(rng),
            weight=balanced(labels, self._share) if self._by_group else uniform(labels),
            index=index,
            affine=draw.affine,
            step=self.step,
            progress=self.step / schedule.steps,
            rng=rng,
        )

    def state(self) -> dict[str, Any]:
        """All that a checkpoint holds: tensors, numbers, strings."""
        return {
            "step": self.step,
            "nets": {name: net.state_dict() for name, net in self.nets.items()},
            "optimisers": {player: optimiser.state_dict() for player, optimiser in self.optimisers.items()},
            "average": None if self._average is None else self._average.state_dict(),
            "scored": self.scored.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take over a checkpoint."""
        self.step = state["step"]
        for name, net in self.nets.items():
            net.load_state_dict(state["nets"][name])
        for player, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][player])
        if self._average is not None:
            self._average.load_state_dict(state["average"])

    def _order(self, step: int) -> Int[Tensor, "b"]:
        return order(step, count=len(self.slices), batch=self.run.schedule.batch, seed=self.run.seed)

    def _next(self, phases: Any) -> Any:  # noqa: ANN401
        with self._autocast():
            return next(phases, None)

    def _masks(self, rng: torch.Generator) -> Labels | None:
        if self.prior is None:
            return None
        schedule = self.run.schedule
        chosen = torch.randint(len(self.prior), (schedule.batch,), generator=rng, device=self.device)
        draw = PRIOR_AUGMENT.draw(self.prior.centre[chosen], canvas=schedule.size, window=schedule.window, rng=rng)
        return self.prior.take(chosen, draw)


def autocast(precision: str, device: torch.device) -> Autocast:
    """Return what a step's forward passes run in: bfloat16 where wanted and the device computes in it."""
    if precision == "bf16" or (precision == "auto" and _has_bf16(device)):
        return lambda: torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    features = cpu_features()
    return bool(features.get("avx512_bf16") or features.get("amx_bf16"))


def _placed(net: nn.Module, device: torch.device) -> nn.Module:
    return net.to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _average(net: nn.Module, decay: float) -> AveragedModel | None:
    if not decay:
        return None
    # Batch norm's statistics are averaged with the weights that they belong to.
    return AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


def _shares(classes: int, enclosed: float) -> dict[int, float]:
    """Shares of the labels' groups: structures alike, the background's strokes as much as all structures together.

    As much as one structure is too little: borders then move outwards (docs/decisions/0003).
    """
    structures = classes - 1
    return {0: float(structures), **dict.fromkeys(range(1, classes), 1.0), ENCLOSED: enclosed * 2 * structures}


def _seed(seed: int, step: int) -> int:
    return int(np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0] >> 1)
