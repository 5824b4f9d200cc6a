"""Exports a run's network as ONNX: ``python -m maskmixadv.studio.learning.export_job RUN OUT REASON``."""

import sys
from pathlib import Path

from maskmixadv.processes import reason_written

if __name__ == "__main__":
    run, out, reason = map(Path, sys.argv[1:])
    with reason_written(reason):
        from maskmixadv.inference.onnx import export

        export(run, out)
