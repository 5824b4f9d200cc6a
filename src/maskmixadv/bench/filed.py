"""What is filed of a finished run beside its scores: ``bench.json``, which says what the run was and what it cost."""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from maskmixadv.errors import InputError
from maskmixadv.files import read_json, read_text
from maskmixadv.tabular import MOST
from maskmixadv.typed import made
from maskmixadv.types import Part

RECORD: Final = "bench.json"
"""Name of the file. It is written last, so that a folder that has it is complete."""
SPACINGS: Final = ("grids", "nominal")
"""What a run records of its corpora's spacings and patients, which is no part of its identity."""


@dataclass(frozen=True)
class CellRecord:
    """Content of ``bench.json``.

    Attributes
    ----------
    identity
        Hash of everything that the run's result depends on.
    split
        Which patients it was scored on.
    steps, seconds
        How many steps it took, and how long, validation included.
    peak_mib, gpu_peak_mib
        The most memory in MiB that it held, of the machine's and of the GPU's.
    scores
        SHA-256 of the text of ``scores.csv`` (`text_hash`); records of early versions do not say.
    """

    identity: str
    split: Part
    steps: int
    seconds: float
    peak_mib: float
    gpu_peak_mib: float
    scores: str = ""

    @classmethod
    def read(cls, folder: Path) -> "CellRecord | None":
        """Read the record in `folder`; None where there is none.

        Raises
        ------
        InputError
            Where it is malformed.
        """
        path = folder / RECORD
        if not path.is_file():
            return None
        try:
            return made(cls, read_json(path), str(path))
        except InputError as error:
            raise InputError(f"{error}; delete it, and the run is scored again") from None

    @property
    def speed(self) -> float:
        """Steps a second, validation included."""
        return self.steps / max(self.seconds, 1e-9)


def text_hash(path: Path) -> str:
    """Return the SHA-256 of a file's text; how its lines end, which other systems change, is no part of it."""
    return hashlib.sha256(read_text(path, most=MOST).replace("\r\n", "\n").encode()).hexdigest()


def grids_of(record: Mapping[str, Any]) -> dict[str, str]:
    """Return what a run's record says of whose its corpora's cases are and of their spacings, which its identity lacks.

    Spacings that are assumed are told by themselves. Runs of early versions do not say.
    """
    told = ((f"{key} {of}", str((record.get(key) or {}).get(of, ""))) for key in ("corpus", "prior") for of in SPACINGS)
    return {name: value for name, value in told if value}


def has_other_grids(folder: Path, grids: Mapping[str, str]) -> bool:
    """Whether ``run.json`` in `folder` records other patients or spacings than `grids`; not where it can't be read."""
    with suppress(InputError, AttributeError):  # whoever opens the run tells of it
        there = grids_of(read_json(folder / "run.json"))
        return any(there[key] != grids[key] for key in there.keys() & grids.keys())
    return False
