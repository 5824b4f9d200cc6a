"""The network of a run as ONNX."""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from maskmixadv.files import whole
from maskmixadv.processes import read_reason
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.refusals import UnavailableError


def write_model(layout: Layout, run: str) -> tuple[Path, int]:
    """Write the network of `run` as ONNX, unless that was done before; returns the directory and the number of files.

    Another process does it, because torch and tracing take memory that the server would not give back.

    Raises
    ------
    UnavailableError
        If the network can't be exported; the message says why.
    """
    out, source = layout.check(layout.export / f"model-{run}"), layout.check(layout.runs / run)
    if not (out / "model.json").is_file():
        with whole(out) as place:
            _export_model(source, place)
    return out, len(list(out.iterdir()))


def _export_model(run: Path, place: Path) -> None:
    with TemporaryDirectory() as notes:
        reason = Path(notes, "reason")
        command = [sys.executable, "-m", "maskmixadv.studio.learning.export_job", str(run), str(place), str(reason)]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        if done.returncode:
            why = read_reason(reason) or "it ended without giving a reason (killed, or out of memory)"
            raise UnavailableError(f"export of the model: {why}")
