"""The training loop: one step that serves every method, and the state that exact resuming needs."""

import copy
from collections.abc import Hashable, Iterator
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from maskmixadv.device import autocast
from maskmixadv.errors import say
from maskmixadv.methods.method import Phase
from maskmixadv.methods.parts.teacher import Teacher
from maskmixadv.networks.average import follow, followed_closely
from maskmixadv.networks.finite import not_finite
from maskmixadv.networks.losses import alike, balanced, uniform
from maskmixadv.networks.unet import with_heads
from maskmixadv.runs.checkpoint import LoopState
from maskmixadv.runs.run import Run
from maskmixadv.runs.start import Weights
from maskmixadv.sampling.augment import Augmentation, Centre, draw_augmentation
from maskmixadv.sampling.ranges import Augment
from maskmixadv.sampling.slices import PriorMasks, Rows, Slices, order
from maskmixadv.strokes.enclosure import ENCLOSED
from maskmixadv.tensors import Batch, Labels, Scalar, Weight
from maskmixadv.training.distribute import ALONE, Ranks
from maskmixadv.training.engine import (
    Engine,
    Losses,
    RecordingError,
    as_written,
    leave_recording,
    make_recordable,
    set_rate,
)
from maskmixadv.training.optimisers import optimisers
from maskmixadv.types import IGNORE

PRIOR_AUGMENT = Augment()
"""Augmentation of a prior's masks, drawn independently of the images'. It has all turns, as another corpus may show
its organs another way up."""


class Loop:
    """Networks, optimisers and the step that they have reached.

    Randomness is a function of (seed, step, rank), never of history. So a loop that is loaded from a checkpoint goes on
    as the one that saved it would have, bit for bit where the device's arithmetic is deterministic.

    Parameters
    ----------
    run
        The run to train.
    slices
        Training slices, on the device or streamed to it.
    prior
        Unpaired masks, on the device, or None where the method has no critic.
    device
        Where to compute.
    ranks
        The processes that share the work.
    engine
        How to compute; by default operation by operation.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from pathlib import Path
    >>> from maskmixadv.methods.pce import PCE
    >>> from maskmixadv.runs.schedule import PRESETS
    >>> from maskmixadv.sources.phantoms import phantom
    >>> from maskmixadv.training.begin import begin
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> schedule = replace(PRESETS["demo"], size=64, window=32, steps=10)
    >>> run = begin(corpus.root, Path("run"), method=PCE(), schedule=schedule)
    >>> from maskmixadv.training.data import training_slices
    >>> device = torch.device("cpu")
    >>> loop = Loop(run, training_slices(run, corpus, device), None, device)
    >>> losses = loop.advance()
    >>> loop.step, list(losses)
    (1, ['net/pce'])
    """

    def __init__(
        self,
        run: Run,
        slices: Slices,
        prior: PriorMasks | None,
        device: torch.device,
        ranks: Ranks = ALONE,
        engine: Engine | None = None,
    ) -> None:
        self.run, self.slices, self.prior, self.device, self.ranks = run, slices, prior, device, ranks
        self.step, self._side = 0, run.schedule.side
        self._engine = engine or Engine()
        torch.manual_seed(run.seed)
        walked = torch.zeros(len(slices), dtype=torch.bool) if slices.walked is None else slices.walked
        self._studied = torch.nonzero(walked if run.method.believes else torch.zeros_like(walked))[:, 0]
        bare = torch.zeros(len(slices), dtype=torch.bool) if slices.bare is None else slices.bare
        self._labelled, self._unlabelled = (torch.nonzero(each)[:, 0] for each in (~bare, bare))
        self._bare = bare.to(device) if len(self._unlabelled) else None
        task = replace(run.task, slices=len(slices), studied=len(self._studied))
        self.nets = {name: _placed(net, device) for name, net in run.method.players(task).items()}
        self.optimisers = optimisers(run.schedule, self.nets, run.method.scheduled)
        self.parameters = {
            player: [p for group in optimiser.param_groups for p in group["params"]]
            for player, optimiser in self.optimisers.items()
        }
        self.scored = copy.deepcopy(self.nets["net"]).requires_grad_(False) if run.schedule.ema else self.nets["net"]
        """The network that is validated and scored: the moving average where there is one."""
        self._share = _shares(len(task.classes), run.schedule.enclosed)
        self._by_group = run.enclosure and run.method.supervision == "scribble"
        self._autocast = autocast(run.schedule.precision, device)
        self._rng = torch.Generator(device)
        self._decay: float | Tensor = torch.zeros((), device=device) if self._engine.graph else 0.0
        self._scalars = self._placed_scalars()
        self._engine.begin(self.nets.values())
        self._steps = self._engine.steps(self._rng)
        self._recordable()

    def advance(self) -> Losses:
        """Take one step; returns the weighted losses of all players by ``player/term``: scalars on the device.

        After it all ranks hold the same weights.
        """
        for player in self.run.method.scheduled:
            if player in self.optimisers:
                set_rate(self.optimisers[player], self.run.schedule.lr_at(self.step))
        self._set_scalars()
        try:
            losses = self._steps(self._kind(), self._rows(), self._work)
        except RecordingError as error:
            if self._engine.strict:
                raise
            told = f"step {self.step} can't be recorded ({error})"
            say(f"{self.run.root}: {told}; all go operation by operation")
            self.take_as_written()
            if self.device.type == "cuda":
                leave_recording(torch.cuda.default_generators[self.device.index or 0])
            losses = self._steps(self._kind(), self._rows(), self._work)
        self.step += 1
        return losses

    def take_as_written(self) -> None:
        """Take all steps from now on operation by operation, also the present one, of which nothing was done."""
        self._steps = as_written
        for optimiser in self.optimisers.values():
            optimiser.zero_grad()
        leave_recording(self._rng)

    def batch(self) -> Batch:
        """Draw the batch of the present step, and seed what the step will draw.

        All ranks draw the whole batch alike, then each takes its part.
        """
        self._set_scalars()
        return self._batch(self._rows())

    def _kind(self) -> Hashable | None:
        method, at = self.run.method, (self.step, self._progress)
        kind, stage = method.kind(*at), method.stage(*at) if len(self._studied) else ()
        return None if kind is None or stage is None else (kind, stage, self._studies(self.step))

    def _set_scalars(self) -> None:
        """Set the decay of the scored average, and the method's numbers; on the device where a recorded step reads."""
        decay = followed_closely(self.run.schedule.ema, self.step)
        if isinstance(self._decay, Tensor):
            self._decay.fill_(decay)
        else:
            self._decay = decay
        for name, value in self.run.method.scalars(self.step, self._progress).items():
            place = self._scalars[name]
            if isinstance(place, Tensor):
                place.fill_(value)
            else:
                self._scalars[name] = value

    def _placed_scalars(self) -> dict[str, Scalar]:
        names = self.run.method.scalars(0, 0.0)
        return {name: torch.zeros((), device=self.device) if self._engine.graph else 0.0 for name in names}

    def _rows(self) -> Rows:
        """Seed the step, and bring its slices to the device."""
        torch.manual_seed(self._seed(*self.ranks.key))  # dropout draws from torch's own generator
        self._rng.manual_seed(self._seed())
        if self._side < self.run.schedule.size:
            key, stray = (self.run.seed, self.step), self.run.schedule.augment.stray
            return self.slices.parts(self._order(self.step), side=self._side, stray=stray, key=key)
        rows = self.slices.rows(self._order(self.step))
        self.slices.expect(self._order(self.step + 1))
        return rows

    def _work(self, rows: Rows) -> Losses:
        """Do all of a step that is arithmetic on the device."""
        logged: Losses = {}
        phases = self.run.method.phases(self.nets, self._batch(rows))
        while phase := self._next(phases):
            player, terms = phase
            torch.stack(list(terms.values())).sum().backward(inputs=self.parameters[player])
            losses = self.ranks.average(self.parameters[player], terms)
            self.optimisers[player].step()
            self.optimisers[player].zero_grad()
            logged |= {f"{player}/{name}": loss for name, loss in losses.items()}
        self.ranks.share_buffers(self.nets.values())
        if self.scored is not self.nets["net"]:
            # Batch norm's statistics are averaged with the weights that they belong to.
            follow(self.scored, self.nets["net"], decay=self._decay)
        return logged

    def _batch(self, rows: Rows) -> Batch:
        """Return the step's own slices, and those that it studies beside them, which come last in `rows`."""
        count = self.run.schedule.batch
        own, dense = (Rows(*(row[part] for row in rows)) for part in (slice(count), slice(count, None)))
        batch = self._augmented(own)
        bare = None if self._bare is None else self._bare[batch.index]
        batch = replace(batch, prior=self._masks(self.ranks.part(count)), bare=bare)
        if len(dense.number):
            batch = replace(batch, dense=self._augmented(dense))
        if self.ranks.key:
            self._rng.manual_seed(self._seed(*self.ranks.key))
        return batch

    def _augmented(self, rows: Rows) -> Batch:
        part = self.ranks.part(len(rows.number))
        channels = self.run.task.channels
        coloured = self.run.learnt_from.channels[0].kind == "RGB"
        draw = self._draw(self._ranges, rows.centre, self._side, channels, coloured)
        own = draw.part(part)
        maps, labels = own.maps(rows.image[part].float()), draw.labels(rows.target)
        slices, in_own_colours = maps[:, :channels], self.run.method.weak and coloured
        # Over the whole batch, and times the ranks: the average of their losses is then what one rank's would be.
        weight = self.ranks.size * self._weight(labels, rows.whole[:, None, None])
        return Batch(
            image=own.shaded(slices).contiguous(memory_format=torch.channels_last),
            target=labels[part].masked_fill(labels[part] == ENCLOSED, 0),
            prior=None,
            weight=weight[part],
            index=rows.number[part],
            affine=self._on_canvas(draw.affine, rows.corner)[part],
            step=self.step,
            progress=self._progress,
            rng=self._rng,
            belief=maps[:, channels:] if maps.shape[1] > channels else None,
            whole=rows.whole[part],
            walked=rows.walked[part],
            scalars=self._scalars,
            weak=replace(own, tint=None).shaded(slices).contiguous(memory_format=torch.channels_last)
            if in_own_colours
            else None,
        )

    def _weight(self, labels: Labels, whole: Bool[Tensor, "b 1 1"]) -> Weight:
        """Return how much each pixel counts: dense slices neither drown strokes nor are drowned by them."""
        if self.run.method.supervision == "dense":
            return uniform(labels)
        strokes, dense = labels.masked_fill(whole, IGNORE), labels.masked_fill(~whole, IGNORE)
        return alike(balanced(strokes, self._share) if self._by_group else uniform(strokes), uniform(dense))

    @property
    def _ranges(self) -> Augment:
        """The schedule's; parts of a canvas have strayed already, and beyond their rims the canvas goes on."""
        whole = self._side == self.run.schedule.size
        return self.run.schedule.augment if whole else replace(self.run.schedule.augment, stray=0.0)

    @property
    def _progress(self) -> float:
        return self.step / self.run.schedule.steps

    def not_finite(self) -> str | None:
        """Name the first weight that is no finite number; None where all are."""
        return not_finite({**self.nets, "scored": self.scored})

    def state(self) -> LoopState:
        """Return what a checkpoint holds of the loop."""
        return {
            "step": self.step,
            "nets": {name: net.state_dict() for name, net in self.nets.items()},
            "optimisers": {player: optimiser.state_dict() for player, optimiser in self.optimisers.items()},
            "scored": self.scored.state_dict(),
        }

    def load(self, state: LoopState) -> None:
        """Take over the state of a checkpoint."""
        self.step = state["step"]
        for name, net in self.nets.items():
            net.load_state_dict(state["nets"][name])
        for player, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][player])
        self.scored.load_state_dict(state["scored"])
        self._recordable()

    def begin_with(self, weights: Weights) -> None:
        """Take over the weights of another run's network; teachers begin with them, too."""
        followers = [net.net for net in self.nets.values() if isinstance(net, Teacher)]
        for net in (self.nets["net"], *followers, self.scored):
            net.load_state_dict(with_heads(weights, net))

    def _recordable(self) -> None:
        if self._engine.graph:
            for optimiser in self.optimisers.values():
                make_recordable(optimiser, self.device)

    def _order(self, step: int) -> Int[Tensor, "_"]:
        """Return the numbers of a step's slices; in steps that study, as many dense slices follow."""
        own, batch = self._own(step), self.run.schedule.batch
        return torch.cat((own, self._among(self._studied, step, batch))) if self._studies(step) else own

    def _own(self, step: int) -> Int[Tensor, "_"]:
        """Return the numbers of a step's own slices, half of them without annotation where there are such slices.

        The two kinds take turns, so that ranks share both alike.
        """
        batch = self.run.schedule.batch
        half = batch // 2 if len(self._unlabelled) else 0
        labelled = self._among(self._labelled, step, batch - half)
        if not half:
            return labelled
        pairs = torch.stack((labelled[:half], self._among(self._unlabelled, step, half)), 1)
        return torch.cat((pairs.flatten(), labelled[half:]))

    def _among(self, numbers: Int[Tensor, "_"], step: int, batch: int) -> Int[Tensor, "_"]:
        return numbers[order(step, count=len(numbers), batch=batch, seed=self.run.seed)]

    def _studies(self, step: int) -> bool:
        """Whether dense slices are studied in a step, beside its own slices."""
        dense = len(self._studied)
        return dense > 0 and self.run.method.studies(step, step / self.run.schedule.steps, dense=dense)

    def _next(self, phases: Iterator[Phase]) -> Phase | None:
        with self._autocast():
            return next(phases, None)

    def _seed(self, *key: int) -> int:
        """Seed of what the present step draws."""
        numbers = np.random.SeedSequence((self.run.seed, self.step, *key))
        return int(numbers.generate_state(1, np.uint64)[0]) >> 1  # NumPy 1 shifts no uint64 by an int

    def _masks(self, part: slice) -> Labels | None:
        if self.prior is None:
            return None
        chosen = torch.randint(len(self.prior), (self.run.schedule.batch,), generator=self._rng, device=self.device)
        drawn = self._draw(PRIOR_AUGMENT, self.prior.centre[chosen], self.run.schedule.size)
        return self.prior.take(chosen[part], drawn.part(part))

    def _draw(
        self, augment: Augment, centre: Centre, side: int, channels: int = 1, coloured: bool = False
    ) -> Augmentation:
        window, of = self.run.schedule.window, {"channels": channels, "coloured": coloured}
        return draw_augmentation(augment, centre, canvas=side, window=window, rng=self._rng, **of)

    def _on_canvas(self, affine: Float[Tensor, "b 2 3"], corner: Int[Tensor, "b 2"]) -> Float[Tensor, "b 2 3"]:
        """Return maps from windows to canvases, for maps to the parts of these that begin at `corner`."""
        size = self.run.schedule.size
        if self._side == size:
            return affine
        share = self._side / size
        begin = (2 * corner / size - 1 + share)[..., None]
        return torch.cat((share * affine[..., :2], share * affine[..., 2:] + begin), 2)


def _placed(net: nn.Module, device: torch.device) -> nn.Module:
    return net.to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _shares(classes: int, enclosed: float) -> dict[int, float]:
    """Return each label's share: structures have the same, and the background's strokes as much as all structures.

    If the background had the weight of one structure, borders would move outwards (docs/decisions/0003).
    """
    structures = classes - 1
    return {0: float(structures), **dict.fromkeys(range(1, classes), 1.0), ENCLOSED: enclosed * 2 * structures}
