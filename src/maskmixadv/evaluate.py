"""Evaluation: a run's predictions for cases it never learnt from, scored on their own grid."""

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from maskmixadv import scores
from maskmixadv.data.corpus import Case, Corpus, Entry, Part, Spacing, make_directory, write_text
from maskmixadv.errors import InputError
from maskmixadv.scores import Row, Summary

Predict = Callable[[Case], UInt8[np.ndarray, "d h w"]]
"""Labels for a case's image, on its grid."""


def folder(run: Path, split: str) -> Path:
    """Where an evaluation is written when no other place is named."""
    return run / f"evaluation-{split}"


def evaluate(
    run: Path,
    *,
    split: Part = "test",
    out: Path | None = None,
    flips: bool = False,
    largest: bool = False,
    device: str | None = None,
    jobs: int | None = None,
) -> Summary:
    """Predict a split's cases with a run's last checkpoint and score them.

    Writes ``scores.csv`` (a row for each case and class), ``summary.json`` and ``report.html``, over those of
    an earlier evaluation.

    Parameters
    ----------
    run
        The run's directory.
    split
        Which of the fold's patients.
    out
        Directory of the three files; ``evaluation-<split>`` in the run's if None.
    flips
        Average predictions over the four flips in plane.
    largest
        Keep each class's largest 3D component only.
    device
        Where to predict, such as ``cuda:0``; the fastest that is there if None.
    jobs
        Cases scored at a time, at least 1; one a core if None.

    Raises
    ------
    InputError
        Where `run` is no run, its corpus is gone or has changed, no case of the split has a dense mask, or
        the files can't be written.
    """
    from maskmixadv.begin import command, commit
    from maskmixadv.predict import Predictor
    from maskmixadv.run import Run, same_corpus

    opened = Run.open(run)
    corpus = same_corpus(opened.corpus)
    entries = _scorable(run, corpus, opened.corpus, split)
    workers = _workers(jobs)
    predictor = Predictor.load(run, device)
    out = out or folder(run, split)
    make_directory(out)

    def predict(case: Case) -> UInt8[np.ndarray, "d h w"]:
        return predictor.labels(case.image, case.spacing, flips=flips, largest=largest)

    scored = score_cases(
        map(corpus.load, entries), predict, classes=corpus.classes, nominal=corpus.nominal, jobs=workers
    )
    found = [row for case in _shown(scored, len(entries)) for row in case]
    evaluation = {
        "command": command(),
        "commit": commit(),
        "device": str(next(predictor.net.parameters()).device),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "nominal_mm": list(corpus.nominal),
        "split": split,
        "flips": flips,
        "largest": largest,
    }
    summary = scores.summarise(found, {**opened.record(), "evaluation": evaluation})
    _write(out, found, summary, run, corpus, predict)
    return summary


def score_cases(
    cases: Iterable[Case], predict: Predict, *, classes: Sequence[str], nominal: Spacing, jobs: int = 1
) -> Iterator[tuple[Row, ...]]:
    """Predict each case here and score it in one of `jobs` threads meanwhile.

    Parameters
    ----------
    cases
        Cases with dense masks; taken one by one, so that a few at a time are in memory.
    predict
        What makes a case's labels.
    classes
        Names of the k classes, background first.
    nominal
        Spacing in mm along d, h, w of cases that have none.
    jobs
        Threads.

    Yields
    ------
    Each case's rows, in the order of `cases`.
    """
    # Threads, as SciPy's search lets go of the interpreter; nothing is copied and nothing imported twice.
    with ThreadPoolExecutor(jobs) as pool:
        waiting: deque[Future[tuple[Row, ...]]] = deque()
        for case in cases:
            waiting.append(pool.submit(scores.rows, case, predict(case), classes=classes, nominal=nominal))
            while len(waiting) > jobs or (waiting and waiting[0].done()):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _scorable(run: Path, corpus: Corpus, recorded: dict[str, Any], split: Part) -> tuple[Entry, ...]:
    dense = {
        part: tuple(entry for entry in corpus.of(recorded[part]) if entry.dense) for part in ("train", "val", "test")
    }
    if not dense[split]:
        allowed = ", ".join(part for part, entries in dense.items() if entries) or "none"
        raise InputError(f"{run}: no case of split {split!r} has a dense mask to score against, allowed: {allowed}")
    return dense[split]


def _workers(jobs: int | None) -> int:
    if jobs is not None and jobs < 1:
        raise InputError(f"jobs: {jobs}, allowed is 1 or more")
    return jobs or os.cpu_count() or 1


def _shown(scored: Iterable[tuple[Row, ...]], total: int) -> Iterator[tuple[Row, ...]]:
    """Pass results on and show progress on stderr: a bar on a terminal, a line a case elsewhere."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    if console.is_terminal:
        yield from track(scored, description="evaluate", total=total, console=console, transient=True)
        return
    for number, found in enumerate(scored, 1):
        ((name, value),) = scores.ranked(found)
        print(f"{number}/{total} {name} Dice {value:.3f}", file=sys.stderr, flush=True)
        yield found


def _write(out: Path, found: Sequence[Row], summary: Summary, run: Path, corpus: Corpus, predict: Predict) -> None:
    from maskmixadv import report

    write_text(out / "scores.csv", scores.table(found))
    write_text(out / "summary.json", summary.json())
    entries = {entry.name: entry for entry in corpus.entries}

    # Predicted once more, so that three predictions are kept in memory instead of all.
    examples = []
    for title, name, value in report.telling(scores.ranked(found)):
        case = corpus.load(entries[name])
        examples.append(report.Example(f"{title}: {name}", value, case, predict(case)))
    text = report.render(summary, found, classes=corpus.classes, examples=examples, log=run / "log.csv")
    write_text(out / "report.html", text)
