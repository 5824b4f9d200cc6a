"""Seals: a run's decisions belong to one network, and the files that hold them say to which.

A file's seal is the SHA-256 of what it says and of the network's weights. So a file that was edited, or copied from
another run, does not fit, nor one that stays where the network has learnt on. Files of early versions have no seal;
beside a checkpoint of a later version they are refused.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from maskmixadv.errors import InputError, word
from maskmixadv.files import read_json
from maskmixadv.typed import as_type

ODDS: Final = "odds.json"
"""File of a run's directory with the odds of classes (`maskmixadv.runs.odds`)."""
PIECES: Final = "pieces.json"
"""That with the structures in one piece (`maskmixadv.runs.pieces`); it is written last, and names the other's seal."""
_SEAL: Final = "seal"


def sealed(table: Mapping[str, Any], network: str) -> dict[str, Any]:
    """Return `table` with the seal of `network`, the hash of its weights; without one where that is empty.

    Examples
    --------
    >>> sorted(sealed({"used": True}, "9f3c")), sealed({"used": True}, "")
    (['seal', 'used'], {'used': True})
    """
    return {**table, **({_SEAL: _seal(table, network)} if network else {})}


def unsealed(path: Path, network: str) -> dict[str, Any]:
    """Read what file `path` says, without its seal.

    Parameters
    ----------
    path
        The file, in a run's directory.
    network
        Hash of the weights of the run's network; empty: the seal is not looked at.

    Raises
    ------
    InputError
        Where the file can't be read, or has the seal of another network or of another content.

    Examples
    --------
    >>> _ = Path("odds.json").write_text(json.dumps(sealed({"used": True}, "9f3c")))
    >>> unsealed(Path("odds.json"), "9f3c")
    {'used': True}
    >>> unsealed(Path("odds.json"), "51d0")
    Traceback (most recent call last):
    maskmixadv.errors.InputError: odds.json: belongs to another network than last.pt, or was edited; put back ...
    """
    table = as_type(read_json(path), dict[str, Any], str(path))
    told = table.pop(_SEAL, None)
    if network and told is not None and told != _seal(table, network):
        raise wrong(path, "belongs to another network than last.pt, or was edited")
    return table


def seal_of(path: Path) -> str:
    """Return the seal that file `path` has; empty where there is none.

    Examples
    --------
    >>> seal_of(Path("odds.json"))
    ''
    """
    return str(_table(path).get(_SEAL, ""))


def without_seal(root: Path, *, early: bool) -> list[str]:
    """Return the names of those files of decisions in directory `root` that have no seal.

    Parameters
    ----------
    root
        A run's directory.
    early
        Whether its checkpoint is of an early version, whose runs had no seals.

    Raises
    ------
    InputError
        Where there is such a file beside the checkpoint of a later version.

    Examples
    --------
    >>> _ = Path("pieces.json").write_text(json.dumps({"found": []}))
    >>> without_seal(Path("."), early=True)
    ['pieces.json']
    """
    names = [name for name in (ODDS, PIECES) if (root / name).is_file() and not seal_of(root / name)]
    if names and not early:
        raise wrong(root / names[0], "has no seal, as this run's own has: it was edited, or is an early version's")
    return names


def check_odds(root: Path) -> None:
    """Check that the odds in directory `root` are those that its structures in one piece were decided with.

    Raises
    ------
    InputError
        Where ``odds.json`` was deleted, added or replaced since.

    Examples
    --------
    >>> _ = Path("pieces.json").write_text(json.dumps({"found": [], "odds": "77ab", "seal": "9f3c"}))
    >>> check_odds(Path("."))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: odds.json: is missing, though the run has decided on odds of classes; put back ...
    """
    path, pieces = root / ODDS, _table(root / PIECES)
    there = seal_of(path)
    if not pieces or not (_SEAL in pieces or there):  # stopped in between, or of an early version
        return
    if _SEAL in pieces and pieces.get("odds") == there and path.is_file() == bool(there):
        return
    if not path.is_file():
        raise wrong(path, "is missing, though the run has decided on odds of classes")
    raise wrong(path, f"is not the one that {PIECES} was decided with")


def wrong(path: Path, what: str) -> InputError:
    """Return the error that says `what` is wrong with a file of decisions, and what to do.

    Examples
    --------
    >>> print(wrong(Path("run/odds.json"), "was edited"))
    run/odds.json: was edited; put back the run's own files, or delete ...'maskmixadv train --resume run' decides anew
    """
    again = f"'maskmixadv train --resume {word(path.parent)}' decides anew"
    return InputError(f"{path}: {what}; put back the run's own files, or delete {ODDS} and {PIECES}: {again}")


def _table(path: Path) -> dict[str, Any]:
    return as_type(read_json(path), dict[str, Any], str(path)) if path.is_file() else {}


def _seal(table: Mapping[str, Any], network: str) -> str:
    return hashlib.sha256(json.dumps([network, table], sort_keys=True).encode()).hexdigest()
