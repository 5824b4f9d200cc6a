"""What a training that is to go on from the latest run begins with, told before it begins."""

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from maskmixadv.errors import InputError, listed
from maskmixadv.files import read_json
from maskmixadv.methods.registry import FORMER, FROM_SCRIBBLES, METHODS
from maskmixadv.studio.layout import Layout, printable
from maskmixadv.studio.learning.predictions import StoredPredictions
from maskmixadv.typed import as_type


class Beginning(NamedTuple):
    """Why a training begins anew though it is to go on, by method; and which classes the run knows by other names.

    Methods that go on are not in `anew`. What only the images say, such as other channels, is told when it begins.
    """

    anew: Mapping[str, str]
    renamed: Sequence[str]


def of(layout: Layout, predictions: StoredPredictions, classes: Sequence[str]) -> Beginning:
    """Return what a training of classes called `classes` begins with, without reading the network."""
    run = predictions.latest()
    if run is None:
        return Beginning({}, ())
    try:
        root = layout.check(layout.runs / run)
        record = as_type(read_json(root / "run.json"), dict[str, Any], str(root / "run.json"))
        learnt = as_type(_within(record, "corpus").get("classes"), list[str], f"{root / 'run.json'}: classes")
        method = as_type(_within(record, "method").get("name"), str, f"{root / 'run.json'}: method")
        if not (root / "last.pt").is_file():
            raise InputError(f"{root / 'last.pt'}: is gone")
        predictions.check_classes(run)
        if len(learnt) < len(classes):
            raise InputError(f"run {run} has not learnt {listed(classes[len(learnt) :])}")
        if len(learnt) > len(classes):
            raise InputError(f"run {run} has {len(learnt)} classes, and here are {len(classes)}")
    except InputError as error:
        why = printable(str(error).replace(f"{layout.root}{os.sep}", ""))
        return Beginning(dict.fromkeys(FROM_SCRIBBLES, why), ())
    return Beginning(
        {
            name: f"{name} has another network than {method}, by which run {run} was trained"
            for name in FROM_SCRIBBLES
            if not _alike(name, FORMER.get(method, method))
        },
        [f"{then} is called {now} now" for then, now in zip(learnt, classes, strict=True) if then != now],
    )


def _within(record: Mapping[str, Any], key: str) -> dict[str, Any]:
    return as_type(record.get(key), dict[str, Any], key)


def _alike(one: str, other: str) -> bool:
    """Whether two methods have one network."""
    return one == other or not any(METHODS[name].own_network for name in (one, other) if name in METHODS)
