"""The beginning with another run's network: it goes on learning, on what is known by now."""

from collections.abc import Sequence
from typing import NoReturn

import torch

from maskmixadv.corpus.channels import Channel, called, same, told_scale
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.errors import InputError, apart
from maskmixadv.methods.method import Method
from maskmixadv.networks.unet import with_heads
from maskmixadv.runs.checkpoint import Weights, hashed, scored
from maskmixadv.runs.origin import StartedFrom, otherwise_seen
from maskmixadv.runs.run import Run
from maskmixadv.sampling.grid import Grid
from maskmixadv.tensors import Task


def started_from(
    first: Run, *, method: Method, classes: Sequence[str], channels: Sequence[Channel], by_place: bool = False
) -> StartedFrom:
    """Return the record of a run to begin with.

    Parameters
    ----------
    first
        The run to begin with. Its network is the one that is scored, of its last checkpoint.
    method, classes, channels
        Of the run that begins.
    by_place
        Whether classes count by their places alone, whatever they are called, as in the studio: there a class keeps its
        place and its code when it is renamed.

    Raises
    ------
    InputError
        Where `first` has no checkpoint, or other classes, channels or another network. Another number of heads does not
        matter (`maskmixadv.networks.unet.with_heads`).

    Examples
    --------
    >>> import maskmixadv as mma
    >>> corpus = mma.make_phantoms("corpus", cases=6, size=64)
    >>> run = mma.train(corpus, "run", method="pce", preset="cpu", steps=2, size=48, window=32)
    >>> started_from(run, method=run.method, classes=corpus.classes, channels=corpus.channels).step
    2
    >>> started_from(run, method=run.method, classes=("background", "liver"), channels=corpus.channels)
    Traceback (most recent call last):
    maskmixadv.errors.InputError: run: has classes background, RV, Myo, LV, and this training has background, liver; ...
    >>> named = ("background", "right", "wall", "left")
    >>> started_from(run, method=run.method, classes=named, channels=corpus.channels, by_place=True).step
    2
    """
    if len(first.task.classes) != len(classes) or (not by_place and first.task.classes != tuple(classes)):
        _refuse(first, "classes", *apart(first.task.classes, classes))
    if not same(first.learnt_from.channels, channels):
        _refuse(first, "channels", *apart(called(first.learnt_from.channels), called(channels)))
    there, here = map(told_scale, (first.learnt_from.channels, channels))
    if there != here:
        _refuse(first, "intensities up to percentile", there, here)
    state = first.stored(torch.device("cpu"))
    weights = scored(first.checkpoint, state)
    net = method.players(Task(classes=tuple(classes), channels=len(channels), biases=first.biases))["net"]
    if _shapes(with_heads(weights, net)) != _shapes(net.state_dict()):
        raise InputError(f"{first.root}: has another network than {type(method).__name__} makes; begin without it")
    return StartedFrom(root=first.root.resolve(), step=state.get("step", first.schedule.steps), hash=hashed(weights))


def otherwise(first: Run, corpus: Corpus, grid: Grid) -> list[str]:
    """Say in which ways a training shows its network other slices than that of the run to begin with did.

    It can learn from them, but what it knows of sizes, intensities and directions is of the others.

    Parameters
    ----------
    first
        The run to begin with.
    corpus, grid
        What is learnt from, and on which pixels.

    Examples
    --------
    >>> import maskmixadv as mma
    >>> corpus = mma.make_phantoms("corpus", cases=6, size=64)
    >>> run = mma.train(corpus, "run", method="pce", preset="cpu", steps=2, size=48, window=32)
    >>> otherwise(run, corpus, run.grid)
    []
    >>> otherwise(run, corpus, Grid(48, 2.0))
    ['a pixel is 2 mm, that of the run is 5.01 mm']
    """
    told = otherwise_seen(corpus, first.learnt_from)
    pairs = zip(corpus.channels, first.learnt_from.channels, strict=True)
    for channel, (here, there) in ((one.name, (_window(one), _window(other))) for one, other in pairs):
        if here != there:
            told.append(f"the window of {channel} is {here}, that of the run is {there}")
    here, there = map(_pixel, (grid, first.grid))
    if here != there:
        told.append(f"a pixel is {here}, that of the run is {there}")
    return told


def _window(channel: Channel) -> str:
    return "none" if channel.window is None else "{:.4g} to {:.4g}".format(*channel.window)


def _pixel(grid: Grid) -> str:
    return f"a {grid.size}th of a slice's longer side" if grid.mm is None else f"{grid.mm:.3g} mm"


def weights_of(start: StartedFrom, device: torch.device) -> Weights:
    """Read the weights of the network to begin with.

    Raises
    ------
    InputError
        Where the run is gone, or has another network by now.

    Examples
    --------
    >>> from pathlib import Path
    >>> weights_of(StartedFrom(root=Path("gone"), step=3, hash="9f3c"), torch.device("cpu"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: gone: not a run (no run.json); make one with 'maskmixadv train'
    """
    run = Run.open(start.root)
    weights = scored(run.checkpoint, run.stored(device))
    if hashed(weights) != start.hash:
        raise InputError(f"{start.root}: has learnt on since this run began with it; train anew")
    return weights


def _refuse(first: Run, what: str, there: str, here: str) -> NoReturn:
    raise InputError(f"{first.root}: has {what} {there}, and this training has {here}; begin without it")


def _shapes(weights: Weights) -> dict[str, torch.Size]:
    return {name: weight.shape for name, weight in weights.items()}
