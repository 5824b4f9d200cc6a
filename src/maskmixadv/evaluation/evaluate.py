"""Evaluation: a run's predictions for cases it never learnt from, scored on their own grid."""

import math
import os
import sys
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Semaphore
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from jaxtyping import UInt8

from maskmixadv import provenance
from maskmixadv.corpus.case import Case
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Entry
from maskmixadv.errors import InputError
from maskmixadv.files import make_directory, read_json, write_texts
from maskmixadv.metrics import clinical, scores
from maskmixadv.metrics.scores import CaseScore, Summary
from maskmixadv.types import Part, Spacing

if TYPE_CHECKING:
    from maskmixadv.evaluation.report import Example
    from maskmixadv.inference.predictor import Predictor

FILES: Final = ("scores.csv", "clinical.csv", "report.html", "summary.json")
"""What an evaluation writes; the last one says whose they are, and takes its place first."""

Predict = Callable[[Case], UInt8[np.ndarray, "d h w"]]
"""Labels for a case's image, on its grid."""


def folder(run: Path, split: str, corpus: Path | None = None) -> Path:
    """Where an evaluation is written when no other place is named; `corpus` is another one than the run's own."""
    return run / f"evaluation-{split if corpus is None else f'{corpus.resolve().name}-{split}'}"


def evaluate(
    run: Path,
    *,
    split: Part = "test",
    corpus: Path | None = None,
    out: Path | None = None,
    flips: bool = False,
    largest: bool = False,
    device: str | None = None,
    jobs: int | None = None,
    command: str | None = None,
) -> Summary:
    """Predict a split's cases with a run's last checkpoint and score them.

    Writes ``scores.csv`` (a row for each case and class), ``clinical.csv`` (volumes, of hearts ejection fractions),
    ``summary.json`` and ``report.html``, over those of an earlier evaluation: all of them or none.

    Parameters
    ----------
    run
        The run's directory.
    split
        Which of the fold's patients.
    corpus
        Another corpus of the same classes, to see how a run does elsewhere; of its first fold, without the run's own
        patients. None: the run's own.
    out
        Directory of the four files; that of `folder` if None.
    flips
        Average predictions over the right-angle turns and flips in plane, where training drew them; ``summary.json``
        says whether it was done.
    largest
        Keep each class's largest 3D component only.
    device
        Where to predict, such as ``cuda:0``; the fastest that is there if None.
    jobs
        Cases predicted and scored at a time, at least 1; one a thread that torch would use if None. On a CPU they
        share these threads.

    command
        What asked for it, for the record; None: the command line that is running.

    Raises
    ------
    InputError
        Where `run` is no run, its corpus is gone or has changed, no case of the split has a dense mask, another corpus
        has other classes or the run's own patients alone, `out` holds files that are no evaluation's, or that of
        another corpus where it is not named, or the files can't be written.
    """
    from maskmixadv.evaluation import report
    from maskmixadv.evaluation.elsewhere import another
    from maskmixadv.inference.predictor import Predictor
    from maskmixadv.runs.run import Run, same_corpus

    opened = Run.open(run)
    if corpus is None:
        scored_on, patients = same_corpus(opened.corpus), opened.corpus
    else:
        scored_on, patients = another(corpus, opened.corpus)
    entries = _scorable(run, scored_on, patients, split)
    workers = _workers(jobs, len(entries))
    of = {"corpus": scored_on.name, "root": str(scored_on.root.resolve()), "hash": scored_on.hash()}
    _must_be_free(out or folder(run, split, corpus), of, named=out is not None)
    predictor = Predictor.load(run, device)
    flips = predictor.averages(flips)
    predictions = Predictions(predictor, workers, flips=flips, largest=largest)
    out = out or folder(run, split, corpus)
    make_directory(out)
    with _pool(workers) as pool:
        scored = score_cases(
            map(scored_on.load, entries), predictions.make, pool, ahead=workers,
            classes=scored_on.classes, nominal=scored_on.nominal,
        )  # fmt: skip
        found = [row for case in _shown(scored, len(entries)) for row in case]
    evaluation = {
        "command": command or provenance.command(),
        "commit": provenance.commit(),
        "device": str(predictions.device),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        **of,
        "nominal_mm": list(scored_on.nominal),
        "split": split,
        "flips": flips,
        "largest": largest,
    }
    measured = clinical.records(scores.volumes(found, scored_on.nominal))
    agreed = {measure.column: each for measure, each in clinical.agreements(measured).items()}
    summary = replace(scores.summarise(found, {**opened.published(), "evaluation": evaluation}), clinical=agreed)
    page = report.render(
        summary,
        found,
        classes=scored_on.classes,
        examples=_examples(found, scored_on, predictions.kept),
        log=run / "log.csv",
        measured=measured,
    )
    texts = (scores.table(found), clinical.table(measured), page, summary.json())
    write_texts({out / name: text for name, text in zip(FILES, texts, strict=True)})
    return summary


def _must_be_free(out: Path, of: Mapping[str, str], *, named: bool) -> None:
    """See that what `out` holds under the names of `FILES` is an evaluation's, of `of` where `out` was not named."""
    taken = next((out / name for name in FILES if os.path.lexists(out / name)), None)
    if taken is None:
        return
    try:
        earlier = read_json(out / FILES[-1])["provenance"]["evaluation"]
        same = earlier["corpus"] == of["corpus"] and any(
            earlier.get(key, of[key]) == of[key] for key in ("root", "hash")
        )
        told = f"{out}: holds the evaluation of another corpus, {earlier['corpus']}; name a directory by --out"
    except (InputError, KeyError, TypeError, AttributeError):
        same, named = False, False
        told = f"{taken}: is there already, and not of an evaluation; name another directory by --out"
    if not (same or named):
        raise InputError(told)


class Predictions:
    """What a network makes of cases, from several threads; all of it is kept, packed.

    Parameters
    ----------
    predictor
        The network.
    at_once
        Cases predicted at a time on a CPU. On another device it is one, so that its memory need not hold more.
    flips, largest
        As `Predictor.labels` has them.
    """

    def __init__(self, predictor: "Predictor", at_once: int, *, flips: bool, largest: bool) -> None:
        self._predictor = predictor
        self._how = {"flips": flips, "largest": largest}
        self._turn = Semaphore(at_once if self.device.type == "cpu" else 1)
        self._packed: dict[str, bytes] = {}

    @property
    def device(self) -> Any:  # noqa: ANN401
        """Where the network computes."""
        return next(self._predictor.net.parameters()).device

    def make(self, case: Case) -> UInt8[np.ndarray, "d h w"]:
        """Predict labels for a case's image, on its grid."""
        with self._turn:
            labels = self._predictor.labels(case.image, case.spacing, **self._how)
        self._packed[case.name] = zlib.compress(labels.tobytes(), 1)
        return labels

    def kept(self, case: Case) -> UInt8[np.ndarray, "d h w"]:
        """Return what `make` made for this case."""
        return np.frombuffer(zlib.decompress(self._packed[case.name]), np.uint8).reshape(case.image.shape)


def score_cases(
    cases: Iterable[Case],
    predict: Predict,
    pool: Executor,
    *,
    ahead: int,
    classes: Sequence[str],
    nominal: Spacing,
) -> Iterator[tuple[CaseScore, ...]]:
    """Predict and score each case in `pool`, while the next ones are read here.

    Parameters
    ----------
    cases
        Cases with dense masks; taken one by one, so that a few at a time are in memory.
    predict
        What makes a case's labels.
    pool
        Threads.
    ahead
        Cases taken before the first of them is done.
    classes
        Names of the k classes, background first.
    nominal
        Spacing in mm along d, h, w of cases that have none.

    Yields
    ------
    Each case's rows, in the order of `cases`.
    """

    def rows(case: Case) -> tuple[CaseScore, ...]:
        return scores.rows(case, predict(case), classes=classes, nominal=nominal)

    waiting: deque[Future[tuple[CaseScore, ...]]] = deque()
    for case in cases:
        waiting.append(pool.submit(rows, case))
        while len(waiting) > ahead or (waiting and waiting[0].done()):
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _scorable(run: Path, corpus: Corpus, recorded: Mapping[str, Any], split: Part) -> tuple[Entry, ...]:
    dense = {
        part: tuple(entry for entry in corpus.of(recorded[part]) if entry.dense) for part in ("train", "val", "test")
    }
    if not dense[split]:
        allowed = ", ".join(part for part, entries in dense.items() if entries) or "none"
        raise InputError(f"{run}: no case of split {split!r} has a dense mask to score against, allowed: {allowed}")
    return dense[split]


def _workers(jobs: int | None, cases: int) -> int:
    import torch

    if jobs is not None and jobs < 1:
        raise InputError(f"jobs: {jobs}, allowed is 1 or more")
    return min(jobs or torch.get_num_threads(), cases)


@contextmanager
def _pool(workers: int) -> Iterator[Executor]:
    """Threads that share those which torch has here: a case each is faster than all on one (docs/decisions/0006)."""
    import torch

    here = torch.get_num_threads()
    try:
        # Torch and SciPy's search let go of the interpreter; nothing is copied and nothing imported twice.
        with ThreadPoolExecutor(
            workers, initializer=torch.set_num_threads, initargs=(max(1, here // workers),)
        ) as pool:
            yield pool
    finally:
        torch.set_num_threads(here)  # what a thread sets, later ones inherit


def _shown(scored: Iterable[tuple[CaseScore, ...]], total: int) -> Iterator[tuple[CaseScore, ...]]:
    """Pass results on and show progress on stderr: a bar on a terminal, a line a case elsewhere."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    if console.is_terminal:
        yield from track(scored, description="evaluate", total=total, console=console, transient=True)
        return
    for number, found in enumerate(scored, 1):
        ((name, value),) = scores.ranked(found)
        told = "no structure, none found" if math.isnan(value) else f"Dice {value:.3f}"
        print(f"{number}/{total} {name} {told}", file=sys.stderr, flush=True)
        yield found


def _examples(found: Sequence[CaseScore], corpus: Corpus, predicted: Predict) -> "list[Example]":
    from maskmixadv.evaluation import report

    entries = {entry.name: entry for entry in corpus.entries}
    examples = []
    for title, name, value in report.telling(scores.ranked(found)):
        case = corpus.load(entries[name])
        examples.append(report.Example(f"{title}: {name}", value, case, predicted(case)))
    return examples
