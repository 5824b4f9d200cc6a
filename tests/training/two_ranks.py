"""What two ranks come to, as files, by ``two_ranks.py FOLDER``."""

import dataclasses
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, final

import pytest
import torch
from torch import Tensor, nn

import tiny
from maskmixadv.methods import MaskMixAdv, MeanTeacher, Method, Phase
from maskmixadv.networks.losses import one_hot, partial_cross_entropy
from maskmixadv.tensors import Batch, Image, Logits, Task
from maskmixadv.training.distribute import ALONE, Ranks, joined
from maskmixadv.training.loop import Loop
from narrow import narrowed

STEPS = 4
SCHEDULE = dataclasses.replace(tiny.SCHEDULE, batch=4)


class Plain(nn.Module):
    """Two convolutions and a second head; each sample for itself."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Conv2d(channels, 8, 3, padding=1)
        self.heads = nn.ModuleList(nn.Conv2d(8, classes, 3, padding=1) for _ in range(2))

    def forward(self, image: Image, head: int = 0) -> Logits:
        return self.heads[head](self.body(image).relu())


@final
@dataclasses.dataclass(frozen=True)
class Weighted(Method):
    """Sums over weighted pixels alone: a term at every second step, and a player that learns from the prior."""

    @property
    def wants_prior(self) -> bool:
        return True

    def players(self, task: Task) -> dict[str, nn.Module]:
        classes = len(task.classes)
        return {"net": Plain(task.channels, classes), "other": Plain(classes, classes)}

    def phases(self, nets: Mapping[str, nn.Module], batch: Batch) -> Iterator[Phase]:
        assert batch.prior is not None
        terms = {"first": _cross_entropy(nets["net"](batch.image), batch)}
        if batch.step % 2 == 0:
            terms["second"] = _cross_entropy(nets["net"](batch.image, head=1), batch)
        yield Phase("net", terms)
        yield Phase("other", {"prior": _cross_entropy(nets["other"](one_hot(batch.prior, 4)), batch)})


def _cross_entropy(logits: Logits, batch: Batch) -> Tensor:
    return partial_cross_entropy(logits=logits, target=batch.target, weight=batch.weight)


METHODS: dict[str, Method] = {"maskmixadv": MaskMixAdv(every=2), "mean-teacher": MeanTeacher()}
"""With batch norm, dropout, critic, a term at every second step; with a teacher."""


def loop(method: Method, ranks: Ranks = ALONE, *, enclosure: bool = False) -> Loop:
    run = tiny.run(method, schedule=SCHEDULE, enclosure=enclosure)
    prior = tiny.masks() if method.wants_prior else None
    return Loop(run, tiny.slices(), prior, torch.device("cpu"), ranks)


def course(loop: Loop, steps: int = STEPS) -> dict[str, Any]:
    """Losses and the end of some steps."""
    losses = [loop.advance() for _ in range(steps)]
    return {"losses": losses, **loop.state()}


def parted(method: Method, ranks: Ranks, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What some steps come to, and what they do when all ranks go on from what the first one saved in the midst."""
    whole, half = loop(method, ranks), STEPS // 2
    course(whole, half)
    if ranks.rank == 0:
        torch.save(whole.state(), path)
    ranks.wait()
    second = loop(method, ranks)
    second.load(torch.load(path, weights_only=True))
    return course(whole, half), course(second, half)


def without_averages(ranks: Ranks) -> dict[str, Any]:
    """A planted mistake: each rank learns by itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ranks, "average", lambda _, __, terms: {name: loss.detach() for name, loss in terms.items()})
        return course(loop(Weighted(), ranks))


def one_sided(ranks: Ranks) -> list[Tensor | None]:
    """Gradients of a parameter with one on all ranks, on the first rank alone, on none."""
    parameters = [nn.Parameter(torch.zeros(2)) for _ in range(3)]
    for parameter in parameters[: 2 - ranks.rank]:
        parameter.grad = torch.full((2,), 1.0 + ranks.rank)
    ranks.average(parameters, {})
    return [parameter.grad for parameter in parameters]


def main(folder: Path) -> None:
    with narrowed(), joined("cpu") as ranks:
        found: dict[str, Any] = {
            "weighted": course(loop(Weighted(), ranks)),
            "enclosed": course(loop(Weighted(), ranks, enclosure=True)),
            "mutant": without_averages(ranks),
            "one-sided": one_sided(ranks),
            "noise": torch.rand(2, generator=loop(Weighted(), ranks).batch().rng),
            "flags": [ranks.any(flag) for flag in (False, ranks.rank == 1, True)],
        }
        for name, method in METHODS.items():
            found[name], found[f"{name}-resumed"] = parted(method, ranks, folder / f"{name}.pt")
        torch.save(found, folder / f"rank{ranks.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
