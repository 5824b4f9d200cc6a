"""Odds of classes, by which a run's network draws borders where people draw them.

Strokes do not say where a border lies. So a network that learnt from strokes may draw all structures too large, or one
at the cost of another. Masks of a few patients that it did not learn from show by how much. Its probabilities are then
multiplied by one number a class, and divided by their sum. A run finds these numbers when its training ends
(`maskmixadv.training.odds`), and keeps them beside its network.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from maskmixadv.errors import InputError
from maskmixadv.files import read_json, write_text
from maskmixadv.typed import made

FILE: Final = "odds.json"
"""Name of the file in a run's directory."""


@dataclass(frozen=True)
class Odds:
    """What a network's probabilities are multiplied by, and what that was decided by.

    Attributes
    ----------
    classes
        Names of the k classes, background first; none where nothing was decided.
    factors
        One number a class, above 0, with which validation patients' masks are met better. The geometric mean of the
        structures' is 1.
    used
        Whether predictions are multiplied by them.
    patients, cases
        Number of validation patients with masks, and of their cases.
    before, after
        Mean Dice of these cases without and with odds, in [0, 1]; each with odds by the masks of other patients.
    error
        Standard error of the mean difference over patients.

    Examples
    --------
    >>> odds = Odds(("background", "LV"), (2.0, 1.0), used=True, patients=8, cases=16, before=0.88, after=0.9)
    >>> print(odds)
    background 2, LV 1
    >>> odds.write(Path("."))
    >>> Odds.of_run(Path("."), ("background", "LV")) == odds
    True
    >>> print(Odds())
    neutral
    """

    classes: tuple[str, ...] = ()
    factors: tuple[float, ...] = ()
    used: bool = False
    patients: int = 0
    cases: int = 0
    before: float = 0.0
    after: float = 0.0
    error: float = 0.0

    @classmethod
    def of_run(cls, root: Path, classes: tuple[str, ...]) -> "Odds":
        """Read what the run in directory `root` with `classes` has kept; neutral ones where it has decided nothing.

        Raises
        ------
        InputError
            Where the file is malformed, of other classes, or a number is not finite and above 0.
        """
        path = root / FILE
        if not path.is_file():
            return cls()
        odds = made(cls, read_json(path), str(path))
        if odds.classes != classes:
            told = f"classes {', '.join(odds.classes) or 'none'}, allowed are those of the run: {', '.join(classes)}"
            raise InputError(f"{path}: {told}")
        if len(odds.factors) != len(classes):
            raise InputError(f"{path}: factors: {len(odds.factors)} numbers, allowed is one a class: {len(classes)}")
        for factor in odds.factors:
            if not (math.isfinite(factor) and factor > 0):
                raise InputError(f"{path}: factors: {factor}, allowed are numbers above 0")
        return odds

    def write(self, root: Path) -> None:
        """Keep them in the run's directory `root`."""
        write_text(root / FILE, json.dumps(asdict(self), indent=1))

    @property
    def applied(self) -> tuple[float, ...] | None:
        """What probabilities are multiplied by; None: they stay."""
        return self.factors if self.used else None

    def __str__(self) -> str:
        """Name them in one line."""
        if not self.used:
            return "neutral"
        return ", ".join(f"{name} {factor:.2g}" for name, factor in zip(self.classes, self.factors, strict=True))
