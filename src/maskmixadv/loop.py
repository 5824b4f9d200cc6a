"""The training loop's state: one step for every method, and all that resuming exactly needs."""

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from maskmixadv.augment import Augment
from maskmixadv.data.enclosure import ENCLOSED
from maskmixadv.distribute import ALONE, Ranks
from maskmixadv.losses import balanced, uniform
from maskmixadv.run import Run, cpu_features
from maskmixadv.slices import Masks, Slices, order
from maskmixadv.types import Batch, Labels

PRIOR_AUGMENT = Augment()
"""Drawn independently of the images'; all turns, as another corpus may show its hearts another way up."""

Autocast = Callable[[], contextlib.AbstractContextManager[Any]]


class Loop:
    """Networks, optimisers and the step that they have reached.

    Randomness is a function of (seed, step, rank), never of history: a loop loaded from a checkpoint goes on as the
    one that saved it would have, bit for bit where the device's arithmetic is deterministic.

    Parameters
    ----------
    run
        What is to be done.
    slices
        Training slices, on the device.
    prior
        Unpaired masks, on the device, or None.
    device
        Where to compute.
    ranks
        The processes that share the work.
    """

    def __init__(
        self, run: Run, slices: Slices, prior: Masks | None, device: torch.device, ranks: Ranks = ALONE
    ) -> None:
        self.run, self.slices, self.prior, self.device, self.ranks = run, slices, prior, device, ranks
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
        """Take one step; returns each player's weighted losses by ``player/term``, on the device.

        After it all ranks hold the same.
        """
        for group in self.optimisers["net"].param_groups:
            group["lr"] = self.run.schedule.lr_at(self.step)
        logged: dict[str, Tensor] = {}
        phases = self.run.method.phases(self.nets, self.batch())
        while phase := self._next(phases):
            player, terms = phase
            torch.stack(list(terms.values())).sum().backward(inputs=self.parameters[player])
            losses = self.ranks.average(self.parameters[player], terms)
            self.optimisers[player].step()
            self.optimisers[player].zero_grad()
            logged |= {f"{player}/{name}": loss for name, loss in losses.items()}
        self.ranks.share_buffers(self.nets.values())
        if self._average is not None:
            self._average.update_parameters(self.nets["net"])
        self.step += 1
        return logged

    def batch(self) -> Batch:
        """Draw the batch of the present step, and seed what the step will draw.

        All ranks draw the whole batch alike, then each takes its part.
        """
        schedule, part = self.run.schedule, self.ranks.part(self.run.schedule.batch)
        torch.manual_seed(self._seed(*self.ranks.key))  # dropout draws from torch's own generator
        rng = torch.Generator(self.device).manual_seed(self._seed())
        index = order(self.step, count=len(self.slices), batch=schedule.batch, seed=self.run.seed).to(self.device)
        draw = schedule.augment.draw(self.slices.centre[index], canvas=schedule.size, window=schedule.window, rng=rng)
        image, labels = self.slices.images(index[part], draw.part(part)), self.slices.labels(index, draw)
        prior = self._masks(rng, part)
        if self.ranks.key:
            rng.manual_seed(self._seed(*self.ranks.key))
        # Over the whole batch, and times the ranks: the average of their losses is then what one rank's would be.
        weight = self.ranks.size * (balanced(labels, self._share) if self._by_group else uniform(labels))
        return Batch(
            image=image.contiguous(memory_format=torch.channels_last),
            target=labels[part].masked_fill(labels[part] == ENCLOSED, 0),
            prior=prior,
            weight=weight[part],
            index=index[part],
            affine=draw.affine[part],
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

    def _next(self, phases: Any) -> Any:  # noqa: ANN401
        with self._autocast():
            return next(phases, None)

    def _seed(self, *key: int) -> int:
        """Seed of what the present step draws."""
        numbers = np.random.SeedSequence((self.run.seed, self.step, *key))
        return int(numbers.generate_state(1, np.uint64)[0] >> 1)

    def _masks(self, rng: torch.Generator, part: slice) -> Labels | None:
        if self.prior is None:
            return None
        schedule = self.run.schedule
        chosen = torch.randint(len(self.prior), (schedule.batch,), generator=rng, device=self.device)
        draw = PRIOR_AUGMENT.draw(self.prior.centre[chosen], canvas=schedule.size, window=schedule.window, rng=rng)
        return self.prior.take(chosen[part], draw.part(part))


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
