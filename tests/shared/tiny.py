"""Small things that tests share: a run in memory, a batch, a corpus of blobs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskmixadv.corpus.case import Case
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Split
from maskmixadv.methods.method import Method
from maskmixadv.networks.losses import one_hot, uniform
from maskmixadv.runs.origin import Facts, LearntFrom
from maskmixadv.runs.run import Run
from maskmixadv.runs.schedule import Schedule
from maskmixadv.sampling.grid import Grid
from maskmixadv.sampling.ranges import Augment
from maskmixadv.sampling.slices import PriorMasks, Slices
from maskmixadv.tensors import Batch, Task
from maskmixadv.training.loop import Loop
from maskmixadv.types import IGNORE

CLASSES = ("background", "RV", "Myo", "LV")
SCHEDULE = Schedule(
    size=48, window=32, batch=3, steps=6, optimiser="adamw", lr=1e-3, decay="one-cycle", ema=0.9, precision="fp32",
    validate_every=3, augment=Augment(),
)  # fmt: skip

LEARNT_FROM = LearntFrom(
    root=Path("corpus"), name="tiny", hash="0", classes=CLASSES, train=("p0",), val=("p1",), test=("p2",)
)
FACTS = Facts(preset=None, command="x", commit=None, device="cpu", versions={})


def volume(seed: int = 0, *, d: int = 3, h: int = 40, w: int = 48) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Image, scribble and dense mask of three nested squares."""
    rng = np.random.default_rng(seed)
    dense = np.zeros((d, h, w), np.uint8)
    for label, (low, high) in enumerate(((8, 32), (12, 28), (16, 24)), start=1):
        dense[:, low:high, low:high] = label
    image = (dense / 4 + rng.uniform(0, 0.1, dense.shape)).astype(np.float32)
    scribble = np.full_like(dense, IGNORE)
    scribble[:, 5, 5:36] = scribble[:, 35, 5:36] = scribble[:, 5:36, 5] = scribble[:, 5:36, 35] = 0
    for label, (low, high) in enumerate(((9, 30), (13, 26), (18, 21)), start=1):
        scribble[:, low, low:high] = scribble[:, high, low:high] = scribble[:, low:high, low] = label
    return image, scribble, dense


def case(name: str, seed: int = 0, **changes: Any) -> Case:
    """Of `volume`, with `changes`; an image ``(d, h, w)`` becomes its one channel."""
    image, scribble, dense = volume(seed)
    fields = {"patient": name.split("_")[0], "image": image, "scribble": scribble, "dense": dense}
    fields = {**fields, "spacing": (8.0, 1.5, 1.5), **changes}
    return Case(name=name, **{**fields, "image": channels(fields["image"])})


def channels(image: np.ndarray) -> np.ndarray:
    """Return an image ``(c, d, h, w)``, also where it comes as ``(d, h, w)``."""
    return image if image.ndim == 4 else image[None]


def corpus(root: Path, cases: Sequence[Case] | None = None, *, name: str = "tiny") -> Corpus:
    """Write six patients: four to train, one to validate, one to test."""
    cases = cases or [case(f"p{number}", number) for number in range(6)]
    patients = [each.patient for each in cases]
    folds = {"paper": [Split(tuple(patients[:-2]), (patients[-2],), (patients[-1],))]}
    return Corpus.write(root, cases, name=name, classes=CLASSES, folds=folds)


def run(method: Method, *, seed: int = 0, enclosure: bool = False, schedule: Schedule = SCHEDULE) -> Run:
    return Run(
        root=Path("run"),
        learnt_from=LEARNT_FROM,
        prior_from=None,
        method=method.under(schedule),
        schedule=schedule,
        grid=Grid(schedule.size),
        enclosure=enclosure,
        seed=seed,
        facts=FACTS,
    )


def slices(count: int = 5, *, labelled: bool = True, beliefs: bool = False) -> Slices:
    image, scribble, dense = (torch.from_numpy(array) for array in volume(d=count, h=48, w=48))
    target = scribble if labelled else torch.full_like(scribble, IGNORE)
    maps = [image[:, None], *([0.7 * one_hot(dense, len(CLASSES)) + 0.075] if beliefs else [])]
    return Slices(torch.cat(maps, 1).half(), target, torch.zeros(count, 2))


def masks(count: int = 4) -> PriorMasks:
    return PriorMasks(torch.from_numpy(volume(d=count, h=48, w=48)[2]), torch.zeros(count, 2))


def loop(method: Method, **options: Any) -> Loop:
    prior = masks() if method.wants_prior else None
    return Loop(run(method, **options), slices(beliefs=method.believes), prior, torch.device("cpu"))


TASK = Task(CLASSES, slices=5)
"""Of `slices`."""


def batch(*, b: int = 2, size: int = 32, seed: int = 0, labelled: bool = True) -> Batch:
    """A batch with random labels, a third of them unknown."""
    rng = torch.Generator().manual_seed(seed)
    image = torch.rand(b, 1, size, size, generator=rng)
    target = torch.randint(4, (b, size, size), generator=rng).to(torch.uint8)
    target[torch.rand(b, size, size, generator=rng) < 1 / 3] = IGNORE
    target = target if labelled else torch.full_like(target, IGNORE)
    prior = torch.randint(4, (b, size, size), generator=rng).to(torch.uint8)
    affine = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]).expand(b, 2, 3)
    belief = torch.rand(b, 4, size, size, generator=torch.Generator().manual_seed(seed)).softmax(1)
    return Batch(image, target, prior, uniform(target), torch.arange(b), affine, 0, 0.0, rng, belief)
