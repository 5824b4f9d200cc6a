"""The beginning with another run's network: it goes on learning, on what is known by now."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maskmixadv.corpus.channels import Channel, named, same, told_scale
from maskmixadv.errors import InputError
from maskmixadv.methods.method import Method
from maskmixadv.networks.unet import fitted
from maskmixadv.runs.checkpoint import ANEW, stored
from maskmixadv.runs.origin import StartedFrom
from maskmixadv.runs.run import Run
from maskmixadv.tensors import Task

Weights = Mapping[str, Tensor]
"""State dictionary of a network."""


def started_from(root: Path, *, method: Method, classes: Sequence[str], channels: Sequence[Channel]) -> StartedFrom:
    """Return the record of a run to begin with.

    Parameters
    ----------
    root
        Directory of that run. Its network is the one that is scored, of its last checkpoint.
    method, classes, channels
        Of the run that begins.

    Raises
    ------
    InputError
        Where `root` is no run with a checkpoint, or has other classes, channels or another network. Another number of
        heads does not matter (`maskmixadv.networks.unet.fitted`).

    Examples
    --------
    >>> import maskmixadv as mma
    >>> corpus = mma.make_phantoms("corpus", cases=6, size=64)
    >>> run = mma.train(corpus, "run", method="pce", preset="cpu", steps=2, size=48, window=32)
    >>> started_from(run.root, method=run.method, classes=corpus.classes, channels=corpus.channels).step
    2
    >>> started_from(run.root, method=run.method, classes=("background", "liver"), channels=corpus.channels)
    Traceback (most recent call last):
    maskmixadv.errors.InputError: run: has classes background, RV, Myo, LV, and this training has background, liver; ...
    """
    other = Run.open(root)
    _check(root, "classes", *(", ".join(each) for each in (other.task.classes, classes)))
    if not same(other.learnt_from.channels, channels):
        _check(root, "channels", named(other.learnt_from.channels), named(channels))
    _check(root, "intensities up to percentile", *map(told_scale, (other.learnt_from.channels, channels)))
    state = stored(other.checkpoint, torch.device("cpu"))
    weights = _weights(other.checkpoint, state)
    net = method.players(Task(classes=tuple(classes), channels=len(channels), biases=other.biases))["net"]
    if _shapes(fitted(weights, net)) != _shapes(net.state_dict()):
        raise InputError(f"{root}: has another network than {type(method).__name__} makes; begin without it")
    return StartedFrom(root=root.resolve(), step=state.get("step", other.schedule.steps), hash=_hash(weights))


def weights_of(start: StartedFrom, device: torch.device) -> Weights:
    """Read the weights of the network to begin with.

    Raises
    ------
    InputError
        Where the run is gone, or has another network by now.

    Examples
    --------
    >>> weights_of(StartedFrom(root=Path("gone"), step=3, hash="9f3c"), torch.device("cpu"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: gone: not a run (no run.json); make one with 'maskmixadv train'
    """
    checkpoint = Run.open(start.root).checkpoint
    weights = _weights(checkpoint, stored(checkpoint, device))
    if _hash(weights) != start.hash:
        raise InputError(f"{start.root}: has learnt on since this run began with it; train anew")
    return weights


def _weights(path: Path, state: Mapping[str, Any]) -> Weights:
    weights = state.get("scored")
    if not isinstance(weights, dict):
        raise InputError(f"{path}: damaged (it lacks scored){ANEW}")
    return weights


def _check(root: Path, what: str, there: str, here: str) -> None:
    if there != here:
        raise InputError(f"{root}: has {what} {there}, and this training has {here}; begin without it")


def _shapes(weights: Weights) -> dict[str, torch.Size]:
    return {name: weight.shape for name, weight in weights.items()}


def _hash(weights: Weights) -> str:
    digest = hashlib.sha256()
    for name, weight in weights.items():
        digest.update(name.encode())
        digest.update(weight.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
