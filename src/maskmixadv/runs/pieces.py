"""Which structures are in one piece. A run finds it out when its training ends, and keeps it beside its network.

Far from an organ a network may draw a second, smaller one. Where a structure is in one piece in the images that were
learnt from, its other pieces are such errors, and become background. nnU-Net decides the same by the Dice of
validation cases (Isensee et al., Nature Methods 2021); here masks say it, or where there are none, the training cases
as they are drawn (`maskmixadv.training.pieces`).
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8

from maskmixadv.errors import InputError, listed
from maskmixadv.files import write_text
from maskmixadv.networks.components import boxes_of, in_one_piece
from maskmixadv.runs.seal import ODDS, PIECES, seal_of, sealed, unsealed
from maskmixadv.typed import made

FILE: Final = PIECES
"""Name of the file in a run's directory."""


@dataclass(frozen=True)
class Piece:
    """Whether some structures are one connected piece together, and what that was decided by.

    Attributes
    ----------
    structures
        Their names: all of the run, or one.
    kept
        Whether only their largest piece is kept.
    cases
        Number of training cases in which the network draws one of them.
    outside
        Which part of them is not in the largest piece, in [0, 1]: mean over the masks, or without masks of what the
        network draws in these cases.
    lost
        Which part of their annotated pixels that it draws right is not in the largest piece, over all cases; of the
        structure that would lose most; in [0, 1].
    masks
        Number of masks with one of them that `outside` is of; 0: it is of what is drawn. Early versions knew no masks.

    Examples
    --------
    >>> print(Piece(("LV", "RV"), kept=True, cases=60, outside=0.002, lost=0.0))
    all structures together
    """

    structures: tuple[str, ...]
    kept: bool
    cases: int
    outside: float
    lost: float
    masks: int = 0

    def __str__(self) -> str:
        """Name them in one line: several are all that the run has."""
        return "all structures together" if len(self.structures) > 1 else "".join(self.structures)


@dataclass(frozen=True)
class Pieces:
    """What was decided of a run's structures.

    Attributes
    ----------
    found
        Decisions, in the order in which they are carried out: of all structures together, then of each one.

    Examples
    --------
    >>> pieces = Pieces((Piece(("LV",), kept=True, cases=60, outside=0.002, lost=0.0),))
    >>> pieces.keep(np.array([[[1, 0, 1, 1, 2]]], np.uint8), ("background", "LV", "RV"))
    array([[[0, 0, 1, 1, 2]]], dtype=uint8)
    >>> pieces.write(Path("."))
    >>> Pieces.of_run(Path("."), ("background", "LV", "RV")) == pieces
    True
    >>> print(pieces)
    LV
    """

    found: tuple[Piece, ...] = ()

    @classmethod
    def of_run(cls, root: Path, classes: tuple[str, ...], network: str = "") -> "Pieces":
        """Read what the run in directory `root` with `classes` has kept; nothing where it has decided nothing.

        With the hash of the weights of the run's `network`, the file's seal is looked at (`maskmixadv.runs.seal`).

        Raises
        ------
        InputError
            Where the file is malformed, of other structures or of another network, or was edited.
        """
        path = root / FILE
        if not path.is_file():
            return cls()
        told = unsealed(path, network)
        told.pop("odds", None)
        pieces = made(cls, told, str(path))
        for piece in pieces.found:
            for name in piece.structures or ("",):
                if name not in classes[1:]:
                    told = f"structure {name!r}, allowed are those of the run: {listed(classes[1:])}"
                    raise InputError(f"{path}: {told}")
        return pieces

    def write(self, root: Path, network: str = "") -> None:
        """Keep it in the run's directory `root`, beside its odds, sealed with the hash of its `network`'s weights."""
        table = {**asdict(self), **({"odds": seal_of(root / ODDS)} if network else {})}
        write_text(root / FILE, json.dumps(sealed(table, network), indent=1))

    @property
    def kept(self) -> tuple[Piece, ...]:
        """Those of which only the largest piece is kept."""
        return tuple(piece for piece in self.found if piece.kept)

    def keep(self, labels: UInt8[np.ndarray, "d h w"], classes: tuple[str, ...]) -> UInt8[np.ndarray, "d h w"]:
        """Return a volume's labels with the largest pieces alone; other pieces become background."""
        boxes = boxes_of(labels) if self.kept else ()  # what is left of a structure lies in its box, too
        for piece in self.kept:
            labels = in_one_piece(labels, [classes.index(name) for name in piece.structures], boxes)
        return labels

    def __str__(self) -> str:
        """Name in one line what is kept in one piece."""
        return listed(self.kept) or "none"
