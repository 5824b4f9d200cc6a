"""Training: one loop for every method."""

import contextlib
import csv
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from maskmixadv.augment import Augment
from maskmixadv.data.corpus import Corpus, Entry
from maskmixadv.run import Run, save
from maskmixadv.slices import Slices, load_masks, load_slices, order
from maskmixadv.types import Batch

PRIOR_AUGMENT = Augment(turns=True)
"""Another corpus may show hearts another way up."""


@dataclass
class Loop:
    """State of a training: all that a checkpoint holds, and what is made anew on resume."""

    run: Run
    slices: Slices
    prior: Slices | None
    device: torch.device
    step: int = 0
    seconds: float = 0.0
    nets: dict[str, nn.Module] = field(init=False)

    def __post_init__(self) -> None:
        torch.manual_seed(self.run.seed)
        self.nets = {
            name: module.to(self.device).to(memory_format=torch.channels_last)  # pyright: ignore
            for name, module in self.run.method.players(self.run.task).items()
        }
        self.optimisers = self.run.schedule.optimisers(self.nets)
        self.parameters = {
            player: [p for group in o.param_groups for p in group["params"]] for player, o in self.optimisers.items()
        }
        decay = self.run.schedule.ema
        self.average = (
            AveragedModel(self.nets["net"], multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
            if decay
            else None
        )
        classes = len(self.run.task.classes)
        self.share = torch.full((classes,), 1 / classes, device=self.device) if self.run.enclosure else None
        self.autocast = precision(self.run, self.device)

    @property
    def scored(self) -> nn.Module:
        return self.nets["net"] if self.average is None else self.average.module

    def batch(self) -> Batch:
        s = self.run.schedule
        seed = mixed(self.run.seed, self.step)
        torch.manual_seed(seed)
        rng = torch.Generator(self.device).manual_seed(seed)
        index = order(self.step, count=len(self.slices), batch=s.batch, seed=self.run.seed).to(self.device)
        draw = s.augment.draw(self.slices.centre[index], canvas=s.size, window=s.window, rng=rng)
        image, target = self.slices.take(index, draw)
        prior = None
        if self.prior is not None:
            chosen = torch.randint(len(self.prior), (s.batch,), generator=rng, device=self.device)
            pd = PRIOR_AUGMENT.draw(self.prior.centre[chosen], canvas=s.size, window=s.window, rng=rng)
            prior = pd.labels(self.prior.target[chosen])
            prior = torch.where(prior == 255, 0, prior).to(torch.uint8)
        return Batch(image.contiguous(memory_format=torch.channels_last), target, prior, self.share, index, self.step, rng)

    def advance(self) -> dict[str, Tensor]:
        lr = self.run.schedule.lr_at(self.step)
        for group in self.optimisers["net"].param_groups:
            group["lr"] = lr
        logged: dict[str, Tensor] = {}
        phases = self.run.method.phases(self.nets, self.batch())
        while True:
            with self.autocast():
                phase = next(phases, None)
            if phase is None:
                break
            player, terms = phase
            torch.stack(list(terms.values())).sum().backward(inputs=self.parameters[player])
            self.optimisers[player].step()
            self.optimisers[player].zero_grad()
            logged |= {f"{player}/{name}": loss.detach() for name, loss in terms.items()}
        if self.average is not None:
            self.average.update_parameters(self.nets["net"])
        self.step += 1
        return logged


def mixed(seed: int, step: int, rank: int = 0) -> int:
    return hash((seed, step, rank)) & 0x7FFFFFFFFFFFFFFF


def precision(run: Run, device: torch.device) -> Callable[[], contextlib.AbstractContextManager[Any]]:
    wanted = run.schedule.precision
    if wanted == "fp32":
        return contextlib.nullcontext
    return lambda: torch.autocast(device.type, dtype=torch.bfloat16)
