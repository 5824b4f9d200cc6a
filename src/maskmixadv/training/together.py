"""Several runs that are trained together: in one process and on one device, which a small run alone keeps waiting.

A step of a small training is about a thousand small kernels, one after another. So each run has a CUDA stream of its
own (`maskmixadv.training.going`), its steps are recorded, and those of different runs overlap. On a CPU the runs take
steps in turns, operation by operation.

Slices come from other processes (`hand_over`, `handed`), as the one that trains must never wait for its interpreter.
"""

import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import torch

from maskmixadv.runs.checkpoint import Checkpoint
from maskmixadv.runs.origin import same_corpus
from maskmixadv.runs.run import Run
from maskmixadv.sampling.slices import PriorMasks, Slices
from maskmixadv.training.data import prior_masks, training_slices
from maskmixadv.training.going import Going, Place
from maskmixadv.training.recipe import Recipe

HOST: Final = ("walked", "bare", "places")
"""What stays in the host's memory of the slices that a run learns from."""


class Ended(NamedTuple):
    """A run that is over, and why, if it is not trained.

    Examples
    --------
    >>> Ended.__annotations__.keys()
    dict_keys(['going', 'error'])
    """

    going: Going
    error: Exception | None


class Together:
    """Trains runs side by side.

    Parameters
    ----------
    device
        Where to compute.
    most
        Runs at a time.
    graph
        Whether to record steps.
    must_record
        Whether a step that can't be recorded ends its run.
    whole
        Whether checkpoints hold all that a run needs to go on; else they hold the scored network alone.

    Attributes
    ----------
    going
        The runs that are being trained.
    steps
        Steps of all runs.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from maskmixadv.methods.pce import PCE
    >>> from maskmixadv.runs.schedule import PRESETS
    >>> from maskmixadv.sources.phantoms import phantom
    >>> from maskmixadv.training.begin import begin
    >>> corpus, device = phantom.prepare(Path("corpus"), cases=6, size=64), torch.device("cpu")
    >>> schedule = replace(PRESETS["demo"], size=64, window=32, steps=2)
    >>> together = Together(device, 2, graph=False)
    >>> for seed in (0, 1):
    ...     run = begin(corpus.root, Path(f"run{seed}"), method=PCE(), schedule=schedule, seed=seed)
    ...     _ = together.begin(run, training_slices(run, corpus, device), None)
    >>> together.full
    True
    >>> while together.going:
    ...     for ended in together.go_on():
    ...         print(ended.going.run.root.name, ended.error)
    run0 None
    run1 None
    """

    def __init__(
        self, device: torch.device, most: int, *, graph: bool, must_record: bool = False, whole: bool = False
    ) -> None:
        self._device, self._graph, self._must_record, self._whole = device, graph, must_record, whole
        self._places = [Place(device) for _ in range(most)]
        self.going: list[Going] = []
        self.steps = 0

    @property
    def full(self) -> bool:
        """Whether there is no room for one more run."""
        return len(self.going) >= len(self._places)

    def begin(
        self,
        run: Run,
        slices: Slices,
        prior: PriorMasks | None,
        *,
        state: Checkpoint | None = None,
        tell: Callable[[str], None] = print,
    ) -> Going:
        """Begin one more run; the parameters are those of `Going`."""
        used = [going.place for going in self.going]
        place = next(place for place in self._places if place not in used)
        how = {"graph": self._graph, "must_record": self._must_record}
        going = Going(run, slices, prior, self._device, place, **how, state=state, tell=tell)
        self.going.append(going)
        return going

    def go_on(self) -> list[Ended]:
        """Hand a step of each run that the device would soon wait for to the device; returns the runs that are over.

        One run's failure ends no other.
        """
        ended: list[Ended] = []
        for going in tuple(self.going):
            if going.busy():
                continue
            try:
                if going.left:
                    going.advance()
                    self.steps += 1
                if not going.left:
                    going.end(whole=self._whole)
                    ended.append(Ended(going, None))
            except Exception as error:
                ended.append(Ended(going, error))
        for each in ended:
            self.going.remove(each.going)
        return ended

    def fewer(self) -> int:
        """Have no more runs at a time than are going now; returns how many these are, at least one."""
        used = [going.place for going in self.going]
        self._places = used or self._places[:1]
        return len(self._places)


def start_worker() -> None:
    """Begin a worker process: it leaves a processor to the training, which must never wait for one.

    Examples
    --------
    >>> from maskmixadv.processes import process_pool
    >>> with process_pool(1, fresh=True, begin=start_worker) as pool:
    ...     pool.submit(torch.get_num_threads).result()
    1
    """
    os.nice(5)
    torch.set_num_threads(1)


def begin_for(recipe: Recipe, root: Path, device: str) -> None:
    """Write a run down as one that another process trains on the device called `device`.

    Examples
    --------
    >>> from maskmixadv.runs.schedule import Changes
    >>> from maskmixadv.sources.phantoms import phantom
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> begin_for(Recipe(corpus.root, {"name": "pce"}, "cpu", Changes(steps=2)), Path("run"), "a GPU")
    >>> Run.open(Path("run")).facts.device
    'a GPU'
    """
    run = recipe.begin(root, device="cpu", command=recipe.command(root), write=False)
    replace(run, facts=replace(run.facts, device=device)).create()


def hand_over(run: Run, file: Path) -> None:
    """Save what `run` learns from in a file, for `handed` in another process.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from maskmixadv.methods.pce import PCE
    >>> from maskmixadv.runs.schedule import PRESETS
    >>> from maskmixadv.sources.phantoms import phantom
    >>> from maskmixadv.training.begin import begin
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> schedule = replace(PRESETS["demo"], size=64, window=32, steps=10)
    >>> hand_over(begin(corpus.root, Path("run"), method=PCE(), schedule=schedule), Path("slices.pt"))
    >>> slices, prior, told = handed(Path("slices.pt"), torch.device("cpu"))
    >>> slices.image.shape, prior, told[:30]
    (torch.Size([18, 1, 64, 64]), None, 'learnt from: 1 patient, 18 sli')
    """
    cpu = torch.device("cpu")
    found = training_slices(run, same_corpus(run.learnt_from), cpu, math.inf)
    prior = prior_masks(run, cpu)
    kept = {name: getattr(found, name) for name in ("image", "target", "centre", "whole", *HOST)}
    masks = {} if prior is None else {"masks": prior.target, "middles": prior.centre}
    told = {} if found.learnt is None else {"told": found.learnt.told()}
    torch.save({**{name: value for name, value in kept.items() if value is not None}, **masks, **told}, file)


def handed(file: Path, device: torch.device) -> tuple[Slices, PriorMasks | None, str]:
    """Read what `hand_over` saved to a device: slices, prior masks, and what is to be said.

    Examples
    --------
    >>> image, target = torch.zeros(2, 1, 4, 4).half(), torch.zeros(2, 4, 4, dtype=torch.uint8)
    >>> torch.save({"image": image, "target": target, "centre": torch.zeros(2, 2), "told": "2 slices"}, "slices.pt")
    >>> slices, prior, told = handed(Path("slices.pt"), torch.device("cpu"))
    >>> len(slices), prior, told
    (2, None, '2 slices')
    """
    kept = torch.load(file, mmap=True, weights_only=True)
    there = {name: kept[name].to(device) for name in kept if name not in (*HOST, "told")}
    prior = PriorMasks(there.pop("masks"), there.pop("middles")) if "masks" in there else None
    here = {name: kept[name].clone() for name in HOST if name in kept}
    if device.type == "cuda":  # runs use them on other streams
        torch.cuda.synchronize(device)
    return Slices(**there, **here), prior, kept.get("told", "")
