"""Classes that may be removed: those with which nothing is labelled."""

from maskmixadv.studio.corrected import Corrected
from maskmixadv.studio.learning.predictions import StoredPredictions
from maskmixadv.studio.learning.training import Training
from maskmixadv.studio.refusals import RequestError
from maskmixadv.studio.scribbles import Scribbles


def check_unused(
    place: int,
    name: str,
    scribbles: Scribbles,
    corrected: Corrected,
    predictions: StoredPredictions,
    training: Training,
) -> None:
    """Refuse to remove a class that something is labelled with: it would mean another class then, or nothing.

    Parameters
    ----------
    place, name
        Of the class.

    Raises
    ------
    RequestError
        If there are strokes, masks or predictions of it, or a training learns it.
    """
    if cases := scribbles.cases_with(place):
        has = "has" if len(cases) == 1 else "have"
        raise RequestError(
            f"class {name!r} is not removed: {', '.join(cases[:3])} {has} strokes of it; erase them first"
        )
    if corrected.any_painted():  # their codes would mean other classes
        raise RequestError(f"class {name!r} is not removed: masks were painted; discard them first, or rename it")
    if masks := scribbles.masks_with(place):
        raise RequestError(f"class {name!r} is not removed: masks/ holds it in {', '.join(masks[:3])}; rename it")
    if predictions.proposed():
        raise RequestError(f"class {name!r} is not removed: proposals were accepted as masks; rename it")
    if (run := training.running()) is not None:
        raise RequestError(f"class {name!r} is not removed: run {run} learns it; stop the training, or rename it")
    if (run := predictions.latest()) is not None:
        raise RequestError(f"class {name!r} is not removed: run {run} has learnt it; rename it")
