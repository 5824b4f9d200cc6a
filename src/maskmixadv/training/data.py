"""What a run learns from, loaded: its training slices, and the masks of its prior."""

from collections.abc import Sequence

import torch

from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Entry
from maskmixadv.errors import counted, say
from maskmixadv.runs.origin import same_corpus
from maskmixadv.runs.run import Run
from maskmixadv.sampling.loading import load_masks, load_slices
from maskmixadv.sampling.slices import PriorMasks, Slices
from maskmixadv.sampling.storage import GB
from maskmixadv.strokes.enclosure import ENCLOSED


def training_slices(
    run: Run,
    corpus: Corpus,
    device: torch.device,
    memory: float | None = None,
    entries: Sequence[Entry] | None = None,
) -> Slices:
    """Load the slices that `run` learns from.

    Parameters
    ----------
    run
        The run.
    corpus
        Its corpus, as `maskmixadv.runs.origin.same_corpus` opens it.
    device
        Where to hold the slices.
    memory
        GB of memory that they may take, as in `fit`.
    entries
        The cases; None: those of the run's training patients.

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
    >>> slices = training_slices(run, corpus, torch.device("cpu"))
    >>> slices.image.shape, slices.target.shape
    (torch.Size([18, 1, 64, 64]), torch.Size([18, 64, 64]))
    """
    slices = load_slices(
        corpus,
        corpus.of(run.learnt_from.train) if entries is None else entries,
        grid=run.grid,
        supervision=run.method.supervision,
        enclosure=run.enclosure,
        device=device,
        beliefs=run.method.believes,
        corrections=run.method.corrections(),
        masks=run.masks,
        unlabelled=run.unlabelled,
        seed=run.seed,
        memory=memory,
        folder=run.root,
        in_parts=run.schedule.side < run.schedule.size,
        keep=True,
    )
    if slices.mapping is not None:
        say(f"{run.root}: {len(slices.mapping) / GB:.1f} GB of slices stream from the disk")
    return slices


def tell_learnt(run: Run, slices: Slices) -> None:
    """Say on stderr what `run` learns from, and which of its training slices it leaves out.

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
    >>> import contextlib, sys
    >>> with contextlib.redirect_stderr(sys.stdout):
    ...     tell_learnt(run, training_slices(run, corpus, torch.device("cpu")))
    run: learnt from: 1 patient, 18 slices; strokes: background 18, RV 17, Myo ..., LV 18
    """
    if slices.learnt is not None:
        for line in slices.learnt.told().splitlines():
            say(f"{run.root}: {line}")
    if run.unlabelled and (slices.bare is None or not slices.bare.any()):
        told = "every training slice has strokes or a mask that is learnt from, so it changes nothing"
        say(f"{run.root}: --unlabelled: {told}")
    drawn = run.method.supervision != "dense"
    if run.enclosure and drawn and not any((target == ENCLOSED).any() for target in slices.target):
        told = "nothing lies beyond the hull of a slice's background stroke but other strokes, so it changes nothing"
        say(f"{run.root}: --enclosure: {told}")
    elif slices.learnt is not None and (none := slices.learnt.unenclosed):
        with_strokes = counted(slices.learnt.slices - slices.learnt.dense, "slice")
        told = f"in {none:,} of {with_strokes} with strokes the background's does not go round the others'"
        say(f"{run.root}: --enclosure: {told}, so it says nothing there; 'maskmixadv check' names such slices")


def prior_masks(run: Run, device: torch.device) -> PriorMasks | None:
    """Load the unpaired masks of `run`, or None where it has no prior.

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
    >>> prior_masks(run, torch.device("cpu")) is None
    True
    """
    if run.prior_from is None:
        return None
    corpus, cases = same_corpus(run.prior_from), set(run.prior_from.cases)
    return load_masks(corpus, [e for e in corpus.entries if e.name in cases], grid=run.grid, device=device)
