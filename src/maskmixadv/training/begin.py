"""The beginning of a run: everything that it needs is checked and written down before the first step."""

import json
import platform
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import torch

from maskmixadv import provenance
from maskmixadv.corpus.alike import twins
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Entry, Split
from maskmixadv.corpus.masks import AUTO, Masks, Taught, taught
from maskmixadv.device import device_name, pick_device
from maskmixadv.errors import InputError, apart, listed, say
from maskmixadv.files import read_json
from maskmixadv.methods import registry
from maskmixadv.methods.method import Method, never_begun
from maskmixadv.networks.critic import LEAST_SIDE
from maskmixadv.runs.lineage import in_both, lineage, shared, tell_by_name
from maskmixadv.runs.origin import Facts, LearntFrom, PriorFrom, as_recorded, corpus_fields
from maskmixadv.runs.run import Run
from maskmixadv.runs.schedule import Schedule
from maskmixadv.runs.start import otherwise, started_from
from maskmixadv.sampling.grid import Grid
from maskmixadv.sources.opening import open_corpus
from maskmixadv.strokes.canvas import fitted
from maskmixadv.strokes.regrid import millimetres, resized_case
from maskmixadv.training.distribute import ALONE, Ranks
from maskmixadv.types import DRAWN, STRIDE


def begin(
    corpus_root: Path,
    out: Path,
    *,
    method: Method,
    schedule: Schedule,
    preset: str | None = None,
    fit_canvas: bool = False,
    scheme: str | None = None,
    fold: int = 1,
    prior_root: Path | None = None,
    enclosure: bool = False,
    masks: Masks = AUTO,
    unlabelled: bool = False,
    start: Path | None = None,
    by_place: bool = False,
    seed: int = 0,
    device: str | None = None,
    ranks: Ranks = ALONE,
    command: str | None = None,
    write: bool = True,
) -> Run:
    """Check everything that a run needs, and write it down as ``run.json`` in the new directory `out`.

    Where `out` holds the same run, begun and not done, it stays as it is. `maskmixadv.training.fit.fit` trains the run.

    Parameters
    ----------
    corpus_root
        Directory of the corpus to learn from, or a folder of images.
    out
        Directory of the run: new, empty, or holding the same run, begun and not done.
    method
        How to learn.
    schedule
        Resolution, length, optimiser and augmentation.
    preset
        Name of the preset that `schedule` came from, for the record.
    fit_canvas
        Whether the canvas may be finer than the schedule's, where the structures would be a few pixels on it
        (`maskmixadv.strokes.canvas.fitted`). A line says so. With a `start`, it is as that run's.
    scheme
        Name of the corpus's scheme of folds; None: its first.
    fold
        Fold whose patients are held out, counted from 1.
    prior_root
        Directory of the corpus of unpaired masks; used where `method` wants them.
    enclosure
        Whether what lies beyond the hull of a slice's background stroke is taken as background.
    masks
        Which dense masks are learnt from beside strokes.
    unlabelled
        Whether a method with a teacher learns from training slices without any annotation, too. Other methods never do.
    start
        Directory of a run whose network this one begins with; None: begin with random weights.
    by_place
        Whether its classes count by their places alone, whatever they are called (`started_from`).
    seed
        Seed of everything random.
    device
        Device that the record names, such as ``cpu`` or ``cuda:0``; None: the fastest that is there.
    ranks
        The processes that share the work; one of them begins the run.
    command
        Command line that began it, for the record; None: it is called from Python.
    write
        Whether to write the run down. If not, it is only checked, and `out` is not looked at.

    Returns
    -------
    The run, as ``run.json`` has it.

    Raises
    ------
    InputError
        Where the corpus, the fold, the prior, the start, the device or the directory can't serve; then nothing is
        written.

    Examples
    --------
    >>> from maskmixadv.methods.pce import PCE
    >>> from maskmixadv.runs.schedule import PRESETS
    >>> from maskmixadv.sources.phantoms import phantom
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> run = begin(corpus.root, Path("run"), method=PCE(), schedule=PRESETS["cpu"], preset="cpu")
    >>> run
    Run('run', pce, 1500 steps on phantom-0, fold 1, seed 0)
    >>> run.grid.size, run.learnt_from.split
    (144, Split(train=('phantom002',), val=('phantom001',), test=('phantom000',)))
    """
    corpus = open_corpus(corpus_root)
    scheme = scheme or next(iter(corpus.folds))
    split = corpus.split(scheme, fold)
    first = None if start is None else Run.open(start)
    if first is not None:
        _unseen(first, corpus, split, tell=write)
    if fit_canvas and first is not None:  # a network knows structures by their size in pixels
        schedule = replace(schedule, size=max(schedule.window, first.schedule.size))
    elif fit_canvas:
        schedule = _on_canvas(schedule, corpus, split, tell=write)
    if write:
        tell_twins(corpus, split)
    method = method.under(schedule)
    ranks.check(method, schedule.batch)
    if method.wants_prior and schedule.window < LEAST_SIDE:
        name = registry.named(method)
        raise InputError(
            f"window: {schedule.window}, allowed with {name}'s critic is {LEAST_SIDE} or more pixels; "
            f"switch it off with '{name} {registry.NO_CRITIC_OPTIONS}'"
        )
    _check_batch(schedule, ranks, unlabelled=unlabelled and method.semi_supervised)
    masks = masks.settled(corpus, corpus.of(split.train), method.supervision)
    masked = taught(corpus, corpus.of(split.train), masks, supervision=method.supervision, seed=seed)
    train = _learnt(corpus.of(split.train), method, masked)
    if not train:
        drawn = DRAWN[method.supervision]
        raise InputError(
            f"{corpus_root}: no training case of fold {fold} of {scheme!r} has a {drawn} annotation; "
            "--fold and --folds choose others, which 'check' lists"
        )
    prior, shapes = _prior(corpus, split, prior_root, method) if method.wants_prior else (None, ())
    grid = _grid(schedule.size, [*train, *shapes])
    _check_grid(grid, corpus, [*train, *(entry for entry in corpus.of([*split.val, *split.test]) if entry.dense)])
    _check_grid(grid, prior, shapes)
    run = Run(
        root=out,
        learnt_from=LearntFrom(**corpus_fields(corpus), scheme=scheme, fold=fold, **split._asdict()),
        prior_from=_prior_from(prior, shapes),
        method=method,
        schedule=schedule,
        grid=grid,
        enclosure=enclosure,
        seed=seed,
        facts=_facts(preset, pick_device(device), ranks, command),
        masks=masks,
        unlabelled=unlabelled and method.semi_supervised,
        start=None
        if first is None
        else started_from(first, method=method, classes=corpus.classes, channels=corpus.channels, by_place=by_place),
        biases=first is not None and first.biases,
    )
    if not write:
        return run
    if first is not None:
        for line in otherwise(first, corpus, grid):
            say(f"maskmixadv: note: {first.root}: its network goes on with other slices: {line}")
    if (begun := _begun(run)) is not None:
        return begun
    studied = any(entry.scribble and entry.name in masked for entry in train)
    idle = method.idle(schedule.batch // ranks.size, schedule.window)
    if not studied:  # what is said of such slices is not to the point
        idle = [line for line in idle if line.partition(":")[0] not in method.studying]
    for line in (*idle, *never_begun(method, schedule.steps, studied=studied)):
        say(f"maskmixadv: note: {run.root}: {line}")
    run.create()
    return run


def tell_unused(method: Method, *, prior: bool, unlabelled: bool, enclosure: bool) -> None:
    """Say on stderr which of these options the method makes no use of, where they are given.

    Examples
    --------
    >>> import contextlib, sys
    >>> from maskmixadv.methods.pce import PCE
    >>> with contextlib.redirect_stderr(sys.stdout):
    ...     tell_unused(PCE(), prior=False, unlabelled=True, enclosure=True)
    maskmixadv: note: --unlabelled: pce makes no use of it
    """
    for option, given, used in (
        ("prior", prior, method.wants_prior),
        ("unlabelled", unlabelled, method.semi_supervised),
        ("enclosure", enclosure, method.supervision != "dense"),
    ):
        if given and not used:
            say(f"maskmixadv: note: --{option}: {registry.named(method)} makes no use of it")


def tell_twins(corpus: Corpus, split: Split) -> None:
    """Say on stderr which cases of validation and test patients have an image that is learnt from, under another name.

    Examples
    --------
    >>> from maskmixadv.sources.phantoms import phantom
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> tell_twins(corpus, corpus.split("paper", 1))  # there are none
    """
    held = corpus.of([*split.val, *split.test])
    if found := twins(corpus, held, corpus.of(split.train)):
        say(f"maskmixadv: note: {corpus.root}: {found} have the same image, which is learnt from; scores are too good")
    if found := twins(corpus, corpus.of(split.test), corpus.of(split.val)):
        say(f"maskmixadv: note: {corpus.root}: {found} have the same image, once to validate on and once to test")


def _begun(run: Run) -> Run | None:
    """Return the run if its directory holds it, not done yet, so that the same command goes on with it; else None.

    Of an early version's run it has the networks, which have biases where those of this version have none, and the
    method as it was before it had some of its fields.
    """
    try:
        there = Run.open(run.root)
    except InputError:
        return None
    method = read_json(run.root / "run.json")["method"]
    if set(registry.METHODS[registry.named(run.method)].retired) & set(method):
        return None  # nothing does any more what it did
    run = replace(run, biases=there.biases, method=registry.as_begun(run.method, method))
    run = replace(run, learnt_from=as_recorded(run.learnt_from, there.learnt_from))
    if run.prior_from is not None and there.prior_from is not None:
        run = replace(run, prior_from=as_recorded(run.prior_from, there.prior_from))
    here, recorded = (json.loads(json.dumps(each.settings())) for each in (run, there))
    if here != recorded:
        return None
    if there.checkpoint.is_file() and there.ended(there.load(torch.device("cpu"))):
        return None
    say(f"{run.root}: begun before with the same settings; going on with it")
    return run


def _check_batch(schedule: Schedule, ranks: Ranks, *, unlabelled: bool) -> None:
    """Refuse a batch that leaves batch norm one value, or slices without annotation no place."""
    if schedule.window == STRIDE and schedule.batch < 2 * ranks.size:
        shared = "" if ranks.size == 1 else f" in {ranks.size} processes"
        raise InputError(
            f"batch: {schedule.batch}, allowed with a window of {STRIDE} pixels{shared} is {2 * ranks.size} or more: "
            "on the network's coarsest level one slice is one value, which can't be normalised"
        )
    if unlabelled and schedule.batch < 2:
        raise InputError(
            f"batch: {schedule.batch}, allowed with --unlabelled is 2 or more, half of which are without annotation"
        )


def _learnt(entries: Sequence[Entry], method: Method, masked: Taught) -> list[Entry]:
    """Return the training cases that have strokes or a mask that is learnt from; for full supervision, a mask."""
    drawn = method.supervision != "dense"
    return [entry for entry in entries if entry.name in masked or (drawn and entry.scribble)]


def _unseen(first: Run, corpus: Corpus, split: Split, *, tell: bool) -> None:
    """Refuse test patients whom the network to begin with has seen; name validation patients whom it learnt from."""
    if not (split.test or split.val):
        return
    runs = [each.learnt_from for each in lineage(first)]
    if tell:
        tell_by_name(runs)
    learnt = set[str]().union(*(shared(corpus, each, each.train) for each in runs))
    asked = set[str]().union(*(shared(corpus, each, each.val) for each in runs))
    if tested := sorted((learnt | asked) & set(split.test)):
        raise InputError(
            f"{first.root}: its network has learnt from, or was validated on, test patients of this fold: "
            f"{listed(tested)}; allowed is a run that has not seen them, as of the same fold"
        )
    if tell and (easy := sorted(learnt & set(split.val))):
        told = f"its network has learnt from validation patients: {listed(easy)}"
        say(f"maskmixadv: note: {first.root}: {told}; their scores are too good")


def _on_canvas(schedule: Schedule, corpus: Corpus, split: Split, *, tell: bool) -> Schedule:
    """Return the schedule with a finer canvas where its own would show the structures as a few pixels."""
    size, span = fitted(schedule.size, corpus, corpus.of(split.train))
    if size == schedule.size:
        return schedule
    if tell:
        told = f"structures span {span:.0f} pixels of a canvas of {schedule.size}: it has {size} instead"
        part = f"of which a step sees {schedule.window} × {schedule.window} (--size {schedule.size} keeps it)"
        say(f"{corpus.root}: {told}, {part}")
    return replace(schedule, size=size)


def _prior(corpus: Corpus, split: Split, root: Path | None, method: Method) -> tuple[Corpus, tuple[Entry, ...]]:
    """Return the prior's corpus, and its entries with dense masks of patients that the run's fold does not have."""
    if root is None:
        raise InputError(
            "the critic (adv above 0) needs masks of other patients: "
            f"give --prior CORPUS, or switch it off with '{registry.named(method)} {registry.NO_CRITIC_OPTIONS}'"
        )
    prior = open_corpus(root)
    if prior.classes != corpus.classes:
        found, allowed = apart(prior.classes, corpus.classes)
        raise InputError(f"{root}: classes {found}, allowed are {allowed}")
    own = {patient for part in split for patient in part}
    # The same images may be there under another corpus's name, and of one name there may be several releases.
    known = in_both(prior, corpus, own) | (own if prior.name == corpus.name else set())
    masks = tuple(entry for entry in prior.entries if entry.dense and entry.patient not in known)
    if not masks:
        raise InputError(f"{root}: no dense mask of a patient outside the fold's train, val and test, one is needed")
    return prior, masks


def _prior_from(prior: Corpus | None, masks: Sequence[Entry]) -> PriorFrom | None:
    return None if prior is None else PriorFrom(**corpus_fields(prior), cases=tuple(mask.name for mask in masks))


def _grid(size: int, entries: Sequence[Entry]) -> Grid:
    """Choose mm a pixel that show the median field of view, or None where a spacing is unknown."""
    return Grid(size, millimetres(size, entries))


def _check_grid(grid: Grid, corpus: Corpus | None, entries: Sequence[Entry]) -> None:
    """Refuse a case that the network's grid can't show, before it is its turn: of unknown spacing, or in another unit.

    Where a case that is learnt from has no spacing, the grid is in pixels and shows all.
    """
    for entry in entries:
        if corpus is not None:
            try:
                resized_case(entry, size=grid.size, mm=grid.mm)
            except InputError as error:
                raise InputError(f"{corpus.root}: {error}") from None


def _facts(preset: str | None, device: torch.device, ranks: Ranks, command: str | None) -> Facts:
    libraries = ("maskmixadv", "torch", "numpy", "scipy")
    return Facts(
        preset=preset,
        command=command or provenance.FROM_PYTHON,
        commit=provenance.commit(),
        device=device_name(device) if ranks.size == 1 else f"{ranks.size} × {device_name(device)}",
        versions={"python": platform.python_version(), **{name: version(name) for name in libraries}},
    )
