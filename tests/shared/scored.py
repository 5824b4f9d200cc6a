"""Cases with a truth, what a network might predict of them, and rows of scores."""

import numpy as np

from maskmixadv.corpus.case import Case
from maskmixadv.metrics.masks import Score
from maskmixadv.metrics.scores import CaseScore
from maskmixadv.types import IGNORE

CLASSES = ("background", "R<V>", "LV")
NOMINAL = (10.0, 1.0, 1.0)


def case(number: int, *, spacing: tuple[float, float, float] | None = None, dense: bool = True) -> Case:
    rng = np.random.default_rng(number)
    labels = np.zeros((5, 40, 32), dtype=np.uint8)
    labels[1:4, 10:20, 8:16] = 1
    labels[1:4, 12:22, 16:24] = 2
    scribble = np.full_like(labels, IGNORE)
    scribble[:, 5, 5:25] = 0
    scribble[1:4, 15, 9:15] = 1
    return Case(
        name=f"p{number:02}_a",
        patient=f"p{number:02}",
        image=np.clip(labels / 3 + rng.uniform(0, 0.3, labels.shape), 0, 1).astype(np.float32)[None],
        scribble=scribble,
        dense=labels if dense else None,
        spacing=spacing,
        phase="ED",
        group="NOR",
    )


def shifted(of: Case) -> np.ndarray:
    """Predict the truth moved aside by the case's number; case 3 lacks the first class."""
    assert of.dense is not None
    number = int(of.patient[1:])
    labels = np.roll(of.dense, number, axis=2)
    return np.where(labels == 1, 0, labels).astype(np.uint8) if number == 3 else labels


def row(name: str, class_name: str, dice: float, hd95: float, *, ml: tuple[float, float] = (1.0, 1.0)) -> CaseScore:
    return CaseScore(name, name, "", "", Score(class_name, dice, hd95, 2 * hd95, hd95 / 2, *ml), "known")
