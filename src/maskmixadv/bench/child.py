"""One run of a table, in a process of its own: ``python -m maskmixadv.bench.child JOB``.

It trains or resumes, evaluates and files the scores; what it needs of memory and how it ends is no one else's.
"""

import json
import os
import resource
import shlex
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from maskmixadv.bench.cells import RECORD, Job
from maskmixadv.errors import DIVERGED, DivergedError, InputError
from maskmixadv.evaluation.evaluate import evaluate, folder
from maskmixadv.files import held, make_directory, read_json, write_text
from maskmixadv.runs.course import read_course
from maskmixadv.runs.run import Run
from maskmixadv.training.fit import fit
from maskmixadv.typed import as_type

INTERRUPTED = 130
"""Exit code of a run that a signal ended early; it goes on where it was."""


def work(job: Job, device: str | None) -> int:
    """Train or resume, evaluate and file; returns an exit code as the command line does."""
    make_directory(job.run.parent)
    # Another process may be at the same run: one whose table was killed may still be saving.
    with held(job.run.parent, name=f".{job.run.name}.lock", wait=True):
        if job.done:
            return 0
        if not fit(_begun(job, device), device=device):
            return INTERRUPTED
        usage = _usage(job)
        scores = folder(job.run, job.split)
        evaluate(job.run, split=job.split, out=scores, device=device, command=_evaluating(job, scores))
        for kept in job.folders:
            _file(job, usage, scores, kept)
        return 0


def _begun(job: Job, device: str | None) -> Run:
    """Begin the run, or open what was begun of it."""
    if (job.run / "run.json").is_file():
        return Run.open(job.run)
    # Killed before its record was written, it left a directory without any work in it.
    shutil.rmtree(job.run, ignore_errors=True)
    return job.recipe.begin(job.run, device=device, command=job.recipe.command(job.run))


def _evaluating(job: Job, out: Path) -> str:
    """Return the command that scores the run as it is done here, for the record."""
    return shlex.join(["maskmixadv", "evaluate", str(job.run), "--split", job.split, "--out", str(out)])


def _usage(job: Job) -> dict[str, Any]:
    """Peaks of memory in MiB, over all resumptions; kept beside the checkpoint."""
    path = job.run / "usage.json"
    before = as_type(read_json(path), dict[str, float], str(path)) if path.is_file() else {}
    now = {"peak_mib": peak_memory(), "gpu_peak_mib": gpu_peak_memory()}
    usage = {key: max(value, before.get(key, 0.0)) for key, value in now.items()}
    write_text(path, json.dumps(usage))
    return usage


def peak_memory() -> float:
    """Highest resident memory of this process in MiB."""
    status = Path("/proc/self/status")
    if status.is_file():  # rusage counts what the parent had at the fork, too
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)


def gpu_peak_memory() -> float:
    """Highest memory of this process's tensors on the GPU in MiB."""
    import torch

    return torch.cuda.max_memory_allocated() / 1024**2 if torch.cuda.is_initialized() else 0.0


def _file(job: Job, usage: dict[str, Any], scores: Path, folder: Path) -> None:
    make_directory(folder)
    (folder / RECORD).unlink(missing_ok=True)
    for source in (job.run / "log.csv", scores / "scores.csv", scores / "summary.json"):
        write_text(folder / source.name, source.read_text())
    write_text(folder / "run.json", json.dumps(Run.open(job.run).published(), indent=1))
    seconds = max(row.seconds for row in read_course(job.run / "log.csv"))
    record = {"identity": job.identity, "split": job.split, "steps": job.steps, "seconds": seconds, **usage}
    write_text(folder / RECORD, json.dumps(record, indent=1))


def _follow(parent: int) -> None:
    """Stop as Ctrl-C would, with all saved, when the process that wanted this run is gone."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    wanted, device = sys.argv[1:]
    threading.Thread(target=_follow, args=(os.getppid(),), daemon=True).start()
    try:
        sys.exit(work(Job.from_json(wanted), device or None))
    except (InputError, DivergedError) as error:
        print(f"maskmixadv: {error}", file=sys.stderr)
        sys.exit(DIVERGED if isinstance(error, DivergedError) else 2)
