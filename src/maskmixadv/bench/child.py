"""One run of a table, in a process of its own: ``python -m maskmixadv.bench.child JOB DEVICE``.

It trains the run or resumes it, evaluates it and files the scores. So its memory is measured alone, and a crash ends
no other run.
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
from dataclasses import asdict, dataclass
from pathlib import Path

from maskmixadv.bench.cells import Job
from maskmixadv.bench.filed import RECORD, CellRecord, text_hash
from maskmixadv.errors import INTERRUPTED, DivergedError, InputError, report
from maskmixadv.evaluation.evaluate import evaluate, folder
from maskmixadv.files import held, make_directory, read_json, write_text
from maskmixadv.processes import reason_written
from maskmixadv.runs.course import read_course
from maskmixadv.runs.run import Run
from maskmixadv.training.fit import fit
from maskmixadv.training.settle import settle
from maskmixadv.typed import made


@dataclass(frozen=True)
class Usage:
    """The most memory in MiB that a run held, of the machine's and of the GPU's."""

    peak_mib: float = 0.0
    gpu_peak_mib: float = 0.0


def work(job: Job, device: str | None) -> int:
    """Train or resume, evaluate and file; returns the exit code.

    Where the job fails, ``job.reason`` says why.
    """
    make_directory(job.run.parent)
    # Another process may be at the same run: one whose table was killed may still be saving.
    with reason_written(job.reason), held(job.run.parent, name=f".{job.run.name}.lock", wait=True):
        if job.done:
            return 0
        run = opened(job) or job.recipe.begin(job.run, device=device, command=job.recipe.command(job.run))
        if not fit(run, device=device):
            return INTERRUPTED
        score(job, _usage(job.run / "usage.json"), device=device)
        return 0


def score(job: Job, usage: Usage, *, device: str | None, jobs: int | None = None) -> None:
    """Score the trained run of `job`, in `jobs` processes, and file the scores."""
    settle(Run.open(job.run), device)  # which runs that were trained side by side have not done
    scores = folder(job.run, job.split)
    evaluate(job.run, split=job.split, out=scores, device=device, jobs=jobs, command=_evaluating(job, scores))
    for kept in job.folders:
        _file(job, usage, scores, kept)


def opened(job: Job) -> Run | None:
    """Open the run where an earlier process began it; else remove what one left that was killed before run.json."""
    if (job.run / "run.json").is_file():
        return Run.open(job.run)
    shutil.rmtree(job.run, ignore_errors=True)
    return None


def _evaluating(job: Job, out: Path) -> str:
    """Return the command that scores the run in the same way, for the record."""
    return shlex.join(["maskmixadv", "evaluate", str(job.run), "--split", job.split, "--out", str(out)])


def measured(path: Path) -> Usage:
    """Return the peaks of memory that `path` keeps; 0 where none was measured."""
    return made(Usage, read_json(path), str(path)) if path.is_file() else Usage()


def _usage(path: Path) -> Usage:
    """Measure the peaks of memory, over all processes that worked at the run; `path` keeps them."""
    before = measured(path)
    usage = Usage(max(peak_memory(), before.peak_mib), max(gpu_peak_memory(), before.gpu_peak_mib))
    write_text(path, json.dumps(asdict(usage)))
    return usage


def peak_memory() -> float:
    """Return the highest resident memory of this process in MiB."""
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage also counts what the parent held at the fork
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)


def gpu_peak_memory() -> float:
    """Return the highest memory of this process's tensors on the GPU in MiB; 0 without a GPU."""
    import torch

    return torch.cuda.max_memory_allocated() / 1024**2 if torch.cuda.is_initialized() else 0.0


def _file(job: Job, usage: Usage, scores: Path, folder: Path) -> None:
    """Copy the scores to `folder`; the record comes last."""
    make_directory(folder)
    (folder / RECORD).unlink(missing_ok=True)
    for source in (job.log, scores / "scores.csv", scores / "summary.json"):
        write_text(folder / source.name, source.read_text())
    write_text(folder / "run.json", json.dumps(Run.open(job.run).published(), indent=1))
    seconds = max(row.seconds for row in read_course(job.log))
    filed = text_hash(folder / "scores.csv")
    record = CellRecord(job.identity, job.split, job.steps, seconds, usage.peak_mib, usage.gpu_peak_mib, filed)
    write_text(folder / RECORD, json.dumps(asdict(record), indent=1))


def follow(parent: int) -> None:
    """Stop as Ctrl-C would, with everything saved, when the process that started this one is gone."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    wanted, device = sys.argv[1:]
    threading.Thread(target=follow, args=(os.getppid(),), daemon=True).start()
    try:
        sys.exit(work(Job.from_json(wanted), device or None))
    except (InputError, DivergedError) as error:
        sys.exit(report(error))
