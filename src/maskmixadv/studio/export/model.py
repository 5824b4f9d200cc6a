"""The network of a run as ONNX."""

import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from maskmixadv.errors import InputError
from maskmixadv.files import read_json, sha256
from maskmixadv.processes import read_reason
from maskmixadv.studio.export.folders import renewed
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.refusals import UnavailableError


def write_model(layout: Layout, run: str, names: Sequence[str], problems: list[str]) -> tuple[Path, int]:
    """Write the network of `run` as ONNX, unless what was exported is of the weights that it has by now.

    Another process does it, because torch and tracing take memory that the server would not give back.

    Returns
    -------
    The directory, and the number of its files. For what stays in it, and each class that the model does not know by its
    present name, one of `names`, a line is appended to `problems`.

    Raises
    ------
    UnavailableError
        If the network can't be exported; the message says why.
    TakenError
        If a file of an earlier export was changed since.
    """
    out, source = layout.check(layout.model(run)), layout.check(layout.runs / run)
    if not _is_of(out / "model.json", layout.check(source / "last.pt")):
        with renewed(out, problems, whole=True) as new:
            _export_model(source, new.place)
    problems += _called_otherwise(out / "model.json", run, names)
    return out, len(list(out.iterdir()))


def _called_otherwise(about: Path, run: str, names: Sequence[str]) -> list[str]:
    """Return a line for each class that was renamed or added since the run was trained, whose names the model has."""
    described = read_json(about)
    learnt = described.get("classes") if isinstance(described, dict) else None
    if not isinstance(learnt, list):
        return []
    pairs = zip(learnt, names, strict=False)  # classes keep their places, and new ones come last
    renamed = [
        f"the name {now}: the model says {then}, as when run {run} was trained; train again"
        for then, now in pairs
        if then != now
    ]
    return renamed + [f"{name}: run {run} has not learnt it; train again" for name in names[len(learnt) :]]


def _is_of(about: Path, weights: Path) -> bool:
    """Whether a model that is described by the file `about` has the `weights`; so it counts if these are gone."""
    if not about.is_file() or not weights.is_file():
        return about.is_file()
    with suppress(InputError):  # a damaged file is replaced, or told
        described = read_json(about)
        return isinstance(described, dict) and described.get("checkpoint") == sha256(weights)
    return False


def _export_model(run: Path, place: Path) -> None:
    with TemporaryDirectory() as notes:
        reason = Path(notes, "reason")
        command = [sys.executable, "-m", "maskmixadv.studio.learning.export_job", str(run), str(place), str(reason)]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        if done.returncode:
            why = read_reason(reason) or "it ended without giving a reason (killed, or out of memory)"
            raise UnavailableError(f"export of the model: {why}")
