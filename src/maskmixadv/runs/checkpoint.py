"""Checkpoints: files of tensors and numbers, read without executing code and written whole or not at all."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NotRequired, TypedDict, cast

import torch
from torch import Tensor

from maskmixadv.errors import InputError, UnwritableError
from maskmixadv.files import written
from maskmixadv.formats.reading import check_checkpoint, reading
from maskmixadv.moved import reason_of, remedy

ANEW: Final = "; train again"
Weights = Mapping[str, Tensor]
"""State dictionary of a network."""


class LoopState(TypedDict):
    """State of a training's networks and optimisers after a step.

    Attributes
    ----------
    step
        Steps done.
    nets
        State dictionary of each player's network, by the player's name.
    optimisers
        State dictionary of each optimiser, by the player's name.
    scored
        State dictionary of the network that is validated and scored.

    Examples
    --------
    >>> LoopState(step=3, nets={}, optimisers={}, scored={})["step"]
    3
    """

    step: int
    nets: dict[str, dict[str, Any]]
    optimisers: dict[str, dict[str, Any]]
    scored: dict[str, Any]


class LogState(TypedDict):
    """State of a run's log after a step.

    Attributes
    ----------
    seconds
        Time spent in training and validation, over all resumptions.
    pending
        Losses since the last row of ``log.csv``, by ``player/term``.

    Examples
    --------
    >>> LogState(seconds=12.5, pending={})["seconds"]
    12.5
    """

    seconds: float
    pending: dict[str, list[Tensor]]


class Checkpoint(LoopState):
    """All that ``last.pt`` holds: what a training needs to go on as if it had never stopped.

    Attributes
    ----------
    log
        State of the log.
    settles
        Whether the run decides on classes' odds and on pieces once its steps are done. Runs of earlier versions don't
        say so.
    steers
        What steers predictions, as the network learnt it (`maskmixadv.runs.run.Run.steers`). Runs of
        earlier versions lack it.

    Examples
    --------
    >>> log = LogState(seconds=12.5, pending={})
    >>> list(Checkpoint(step=3, nets={}, optimisers={}, scored={}, log=log))
    ['step', 'nets', 'optimisers', 'scored', 'log']
    """

    log: LogState
    settles: NotRequired[bool]
    steers: NotRequired[dict[str, Any]]


def save(path: Path, content: Mapping[str, object]) -> None:
    """Write a checkpoint whole or not at all; an earlier one stays until then.

    Parameters
    ----------
    path
        File to write.
    content
        A `Checkpoint`.

    Raises
    ------
    UnwritableError
        Where it can't be written, as where there is no space.

    Examples
    --------
    >>> from pathlib import Path
    >>> save(Path("last.pt"), {"step": 3})
    >>> stored(Path("last.pt"), torch.device("cpu"))
    {'step': 3}
    """
    try:
        with written(path) as file:
            torch.save(dict(content), file)
    except (InputError, RuntimeError) as error:
        # Of a full disk torch says something about positions in its file, in place of what the system said.
        said = error.__context__ if isinstance(error.__context__, OSError) else None
        reason = str(error).split("\n", 1)[0] if said is None else reason_of(said)
        number = None if said is None else said.errno
        told = f"can't be saved ({reason}); {remedy(number, ', then ')}resume with --resume"
        raise UnwritableError(f"{path}: {told}", number) from None


def stored(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint, without executing code, whatever part of a training's state it holds.

    Raises
    ------
    InputError
        Where there is none, or it is damaged.

    Examples
    --------
    >>> from pathlib import Path
    >>> stored(Path("last.pt"), torch.device("cpu"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: last.pt: no checkpoint yet; resume with 'maskmixadv train --resume'
    """
    if not path.is_file():
        raise InputError(f"{path}: no checkpoint yet; resume with 'maskmixadv train --resume'")
    check_checkpoint(path)
    with reading(path, "checkpoint", wrong="damaged", advice=ANEW):
        # The file is mapped, so that a tensor that claims more bytes than the file holds is refused.
        state = torch.load(path, map_location=device, weights_only=True, mmap=True)
    if not isinstance(state, dict):
        raise InputError(f"{path}: damaged (it holds something else){ANEW}")
    if type(step := state.get("step", 0)) is not int or step < 0:
        raise InputError(f"{path}: damaged (its step is no whole number){ANEW}")
    return state


def scored(path: Path, state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights of the network that is scored, out of the state in file `path`.

    Raises
    ------
    InputError
        Where it has none.

    Examples
    --------
    >>> from pathlib import Path
    >>> scored(Path("last.pt"), {"step": 3})
    Traceback (most recent call last):
    maskmixadv.errors.InputError: last.pt: damaged (it lacks scored); train again
    """
    weights = state.get("scored")
    if not isinstance(weights, dict):
        raise InputError(f"{path}: damaged (it lacks scored){ANEW}")
    return weights


def hashed(weights: Weights) -> str:
    """Return the SHA-256 of a network's weights, in hexadecimal.

    Examples
    --------
    >>> hashed({"bias": torch.zeros(2)})[:8], hashed({"bias": torch.ones(2)})[:8]
    ('6f58b405', '87612c16')
    """
    digest = hashlib.sha256()
    for name, weight in weights.items():
        digest.update(name.encode())
        digest.update(weight.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def complete(path: Path, state: dict[str, Any]) -> Checkpoint:
    """Return the state out of file `path` as a checkpoint that a training can go on from.

    Raises
    ------
    InputError
        Where a part of it is missing.

    Examples
    --------
    >>> from pathlib import Path
    >>> complete(Path("last.pt"), {"step": 3, "nets": {}, "optimisers": {}})
    Traceback (most recent call last):
    maskmixadv.errors.InputError: last.pt: damaged (it lacks scored); train again
    """
    lacking = [key for key in _STATE if not isinstance(state.get(key), dict)] + ["step"] * ("step" not in state)
    if lacking:
        raise InputError(f"{path}: damaged (it lacks {', '.join(lacking)}){ANEW}")
    return cast("Checkpoint", state)


_STATE: Final = ("nets", "optimisers", "scored")
