"""What a run has come to, to be compared with what another one has."""

import csv
import json
from typing import Any

import torch

from maskmixadv.runs.run import Run


def state(run: Run) -> dict[str, Any]:
    """Return what its checkpoint holds beside the log, in numbers alone."""
    held = dict(run.load(torch.device("cpu")))
    return {**{k: v for k, v in held.items() if k != "log"}, "steers": list(json.dumps(held["steers"]).encode())}


def log(run: Run) -> list[dict[str, str]]:
    """Return its log without the time that its steps took."""
    with (run.root / "log.csv").open() as file:
        return [{**row, "seconds": ""} for row in csv.DictReader(file)]
