"""Time and memory that a fold's slices take to load: ``python benchmarks/loading.py CORPUS``.

Each figure is measured in a process of its own, so that its peak of memory is its own. The first load comes after what
the system caches of the cases' files was dropped, the others find them in memory. Slices are loaded to where they would
lie if they fitted memory, and to where they would if they did not; and to memory from what the corpus's cache keeps, as
trainings do, where the first load may have to make them.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional, arg

from fresh import forget, run_apart
from maskmixadv import methods
from maskmixadv.bench.child import peak_memory
from maskmixadv.device import device_name, pick_device
from maskmixadv.errors import InputError
from maskmixadv.provenance import commit
from maskmixadv.runs.run import Run
from maskmixadv.runs.schedule import PRESETS
from maskmixadv.sampling.loading import load_slices
from maskmixadv.sources.opening import open_corpus
from maskmixadv.training.begin import begin
from maskmixadv.types import DRAWN
from record import append


@dataclass(frozen=True)
class Loading:
    """Time the loading of a fold's training slices.

    Attributes
    ----------
    corpus
        Directory that 'maskmixadv prepare' made.
    method
        Whose annotation to load; one that needs no prior.
    preset
        Whose canvas.
    fold
        Which fold's training patients, counted from 1, of the corpus's first scheme.
    enclosure
        Take what lies beyond the hull of a slice's background stroke as background.
    rounds
        How often to load what is cached, at least 1.
    device
        Where slices go; by default the fastest that is there.
    """

    corpus: Annotated[Positional[Path], arg(metavar="CORPUS")]
    method: str = "pce"
    preset: Literal["paper", "fast", "cpu"] = "cpu"
    fold: int = 1
    enclosure: bool = False
    rounds: int = 3
    device: Annotated[str | None, arg(metavar="DEVICE")] = None


@dataclass(frozen=True)
class Figures:
    """What was measured.

    Attributes
    ----------
    streamed
        Whether slices went to the disk.
    kept
        Whether they came from the corpus's cache.
    megabytes
        What they take there, or in memory.
    cold_seconds, warm_seconds
        Of the first load, and the median of those that found the cases' files in memory.
    peak_mib
        By how much loading raised the process's peak of memory.
    """

    cases: int
    slices: int
    streamed: bool
    kept: bool
    megabytes: float
    cold_seconds: float
    warm_seconds: float
    peak_mib: float


def measure(options: Loading, *, streamed: bool, kept: bool) -> Figures:
    """Load slices again and again, in this process."""
    run = planned(options)
    corpus, device = open_corpus(options.corpus), pick_device(options.device)
    supervision = run.method.supervision
    entries = [e for e in corpus.of(run.learnt_from.train) if getattr(e, DRAWN[supervision])]
    for entry in entries:
        with (corpus.root / "cases" / f"{entry.name}.npz").open("rb") as file:
            forget(file.fileno())
    before, seconds, slices = peak_memory(), [], None
    with TemporaryDirectory(dir=Path()) as folder:
        for _ in range(options.rounds + 1):
            slices = None  # what was loaded before makes room
            began = time.perf_counter()
            slices = load_slices(
                corpus, entries, grid=run.grid, supervision=supervision, enclosure=options.enclosure, device=device,
                memory=0.0 if streamed else None, folder=Path(folder) if streamed else None, keep=kept,
                beliefs=run.method.believes, corrections=run.method.corrections(),
            )  # fmt: skip
            seconds.append(time.perf_counter() - began)
    return Figures(
        cases=len(entries), slices=len(slices or ()), streamed=streamed, kept=kept,
        megabytes=0.0 if slices is None else (slices.target.nbytes + slices.image.nbytes) / 1e6,
        cold_seconds=seconds[0], warm_seconds=median(seconds[1:]), peak_mib=peak_memory() - before,
    )  # fmt: skip


def planned(options: Loading) -> Run:
    """The run that would learn from the slices."""
    return begin(
        options.corpus, Path("unwritten"), method=methods.ALL[options.method](), schedule=PRESETS[options.preset],
        fold=options.fold, enclosure=options.enclosure, device=options.device, write=False,
    )  # fmt: skip


def main(argv: Sequence[str]) -> None:
    """Measure, print a Markdown table, add the record's line."""
    options = _checked(tyro.cli(Loading, args=argv))
    device, run = pick_device(options.device), planned(options)
    ways = ((False, False), (True, False), (False, True))
    found = [run_apart(measure, options, streamed=streamed, kept=kept) for streamed, kept in ways]
    size, name = run.grid.size, run.learnt_from.name
    print(f"{name}, fold {options.fold}, {size} pixels, {options.method}, {device_name(device)}, commit {commit()}\n")
    print("| slices go | cases | slices | MB | s, not cached | s, cached | ms a case | peak MiB |")
    print(f"|{' --- |' * 8}")
    for each in found:
        cells = (
            "to disk" if each.streamed else "to memory, kept" if each.kept else "to memory",
            each.cases, f"{each.slices:,}", f"{each.megabytes:.0f}",
            f"{each.cold_seconds:.2f}", f"{each.warm_seconds:.2f}", f"{1000 * each.warm_seconds / each.cases:.1f}",
            f"{each.peak_mib:.0f}",
        )  # fmt: skip
        print(f"| {' | '.join(map(str, cells))} |")
    facts = {"corpus": name, "hash": run.learnt_from.hash, "size": size}
    chosen = {key: getattr(options, key) for key in ("method", "fold", "enclosure", "rounds")}
    append("loading", {**facts, **chosen, "loads": [asdict(each) for each in found]}, device)


def _checked(options: Loading) -> Loading:
    if options.method not in methods.ALL:
        raise InputError(f"method: {options.method!r}, allowed are {', '.join(methods.ALL)}")
    if options.rounds < 1:
        raise InputError(f"rounds: {options.rounds}, allowed is 1 or more")
    return options


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except InputError as error:
        sys.exit(f"loading: {error}")
