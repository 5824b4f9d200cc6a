"""One JSON line for each measurement: the figures, and what they were measured with."""

import json
import os
import platform
import shlex
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from maskmixadv.device import device_name
from maskmixadv.provenance import commit

RECORDS = Path(os.environ.get("MASKMIXADV_RECORDS") or Path(__file__).parent / "records")
"""Where lines are added; `gpu/bare.py` collects those of a lot in a folder of its own."""


def append(name: str, figures: Any, device: torch.device) -> Path:  # noqa: ANN401
    """Add a line to ``<name>.jsonl`` in `RECORDS`: `figures`, command, commit, machine, library versions, date."""
    path = RECORDS / f"{name}.jsonl"
    line = {
        "figures": figures,
        "command": shlex.join(["python", *sys.argv]),
        "commit": commit(),
        "device": device_name(device),
        "machine": f"{platform.system()} {platform.machine()}",
        "versions": {"python": platform.python_version(), **{name: version(name) for name in ("torch", "numpy")}},
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps(line) + "\n")
    return path
