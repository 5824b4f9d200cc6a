"""Evaluation: a run's predictions for cases that it did not learn from, scored on the cases' own grids."""

import math
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Semaphore
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from jaxtyping import UInt8

from maskmixadv import provenance
from maskmixadv.corpus.case import Case, whole_slices
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Entry, Split
from maskmixadv.errors import InputError, listed, say
from maskmixadv.files import make_directory, read_json, write_texts
from maskmixadv.formats import image_files
from maskmixadv.metrics import clinical, phases, scores
from maskmixadv.metrics.scores import CaseScore, Summary
from maskmixadv.strokes.regrid import resized_case
from maskmixadv.types import IGNORE, Part, PathLike, Spacing

if TYPE_CHECKING:
    from maskmixadv.evaluation.report import Example
    from maskmixadv.inference.predictor import Predictor

FILES: Final = ("scores.csv", "clinical.csv", "volumes.csv", "report.html", "summary.json")
"""Files that an evaluation writes. The last one says what was evaluated, and is put in place first."""

BY_THESE: Final = " (chosen by the masks of the patients that are scored here)"
"""Said of odds where a run's own validation patients are scored: their Dice is too good by that."""

Predict = Callable[[Case], UInt8[np.ndarray, "d h w"]]
"""Gives labels for a case's image, on its grid."""


def folder(root: Path, split: str, corpus_root: Path | None = None) -> Path:
    """Return the directory that an evaluation is written to where no other one is named.

    Parameters
    ----------
    root
        The run's directory.
    split
        Which of the fold's patients are scored.
    corpus_root
        Directory of the corpus that is scored, where it is another one than the run's own.

    Examples
    --------
    >>> folder(Path("run"), "test").as_posix(), folder(Path("run"), "val", Path("hospital")).as_posix()
    ('run/evaluation-test', 'run/evaluation-hospital-val')
    """
    return root / f"evaluation-{split if corpus_root is None else f'{corpus_root.resolve().name}-{split}'}"


def evaluate(
    root: PathLike,
    *,
    split: Part = "test",
    corpus_root: PathLike | None = None,
    out: PathLike | None = None,
    flips: bool = False,
    largest: bool | None = None,
    odds: bool = True,
    device: str | None = None,
    jobs: int | None = None,
    command: str | None = None,
) -> Summary:
    """Predict a split's cases with a run's last checkpoint and score them.

    Writes five files, over those of an earlier evaluation of the run: ``scores.csv`` (a row for each case and class),
    ``clinical.csv`` (volumes; of hearts also ejection fractions), ``volumes.csv`` (a row for each case and class: what
    is predicted where there is nothing), ``report.html`` and ``summary.json``. Either all of them are written or none.

    Parameters
    ----------
    root
        The run's directory.
    split
        Which of the fold's patients to score.
    corpus_root
        Another corpus of the same classes, to see how the run does elsewhere. The patients of its first fold are
        scored, without those that are the run's own, or of a run with whose network it began. None: the run's own
        corpus.
    out
        Directory of the five files; None: that of `folder`.
    flips
        Average predictions over the right-angle turns and flips in plane, where training drew them. ``summary.json``
        says whether it was done.
    largest
        Whether only the largest connected piece of each structure is kept. None: of those that the run found in one
        piece (`maskmixadv.runs.pieces`). ``summary.json`` says of which ones it was done.
    odds
        Whether classes have the odds that masks of validation patients gave (`maskmixadv.runs.odds`); else
        probabilities are the network's own. ``summary.json`` has them.
    device
        Where to predict, such as ``cuda:0``; None: the fastest device that is there.
    jobs
        Cases predicted and scored at a time, at least 1; None: as many as torch would use threads. On a CPU they share
        these threads.
    command
        Command line that asked for it, for the record; None: it is called from Python.

    Returns
    -------
    Means and spreads of the scores, by class; printed, it is a table.

    Raises
    ------
    InputError
        Where `root` is no run, its corpus is gone or has changed, no case of the split has a dense mask, another corpus
        has other classes or only the run's own patients, `out` holds files that are no evaluation's, or another run's,
        or those of another corpus's evaluation where it is not named, or images, or the files can't be written.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from maskmixadv.methods.pce import PCE
    >>> from maskmixadv.runs.schedule import PRESETS
    >>> from maskmixadv.sources.phantoms import phantom
    >>> from maskmixadv.training.begin import begin
    >>> from maskmixadv.training.fit import fit
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> schedule = replace(PRESETS["demo"], size=64, window=32, steps=1)
    >>> _ = fit(begin(corpus.root, Path("run"), method=PCE(), schedule=schedule))
    >>> summary = evaluate(Path("run"))
    >>> summary.cases, list(summary.classes)
    (2, ['RV', 'Myo', 'LV'])
    >>> sorted(path.name for path in Path("run/evaluation-test").iterdir())
    ['clinical.csv', 'report.html', 'scores.csv', 'summary.json', 'volumes.csv']
    """
    from maskmixadv.evaluation import report
    from maskmixadv.evaluation.elsewhere import another
    from maskmixadv.inference.predictor import Predictor
    from maskmixadv.runs.lineage import lineage
    from maskmixadv.runs.origin import same_corpus
    from maskmixadv.runs.run import Run

    root, elsewhere = Path(root), None if corpus_root is None else Path(corpus_root)
    run = Run.open(root)
    if elsewhere is None:
        corpus, patients = same_corpus(run.learnt_from), run.learnt_from.split
    else:
        before = [each.learnt_from for each in lineage(run)[1:]]
        corpus, patients = another(elsewhere, run.learnt_from, before)
    entries, partly = _known(root, corpus, _scorable(root, corpus, patients, split))
    workers = _workers(jobs, len(entries))
    of = {"corpus": corpus.name, "root": str(corpus.root.resolve()), "hash": corpus.hash()}
    place = folder(root, split, elsewhere) if out is None else Path(out)
    earlier = _must_be_free(place, of, run.record(), named=out is not None)
    for entry in entries:  # before hours of prediction
        resized_case(entry, size=run.grid.size, mm=run.grid.mm)
    predictor = Predictor.load(root, device, odds=odds)
    flips = predictor.averages(flips)
    cases = CasePredictor(predictor, workers, flips=flips, largest=largest)
    how = {
        "split": split,
        "step": run.step,
        "flips": flips,
        "largest": predictor.alone(largest),
        "odds": f"{predictor.odds}{BY_THESE if predictor.odds.used and split == 'val' and elsewhere is None else ''}",
    }
    _tell_replaced(place, earlier, {**of, **how})
    _must_be_makeable(place)
    with _pool(workers) as pool:
        scored = score_cases(
            map(_with_whole_slices, map(corpus.load, entries)), cases.predict, pool, ahead=workers,
            classes=corpus.classes, nominal=corpus.nominal,
        )  # fmt: skip
        found = [row for case in _shown(scored, len(entries)) for row in case]
    evaluation = {
        "command": command or provenance.FROM_PYTHON,
        "commit": provenance.commit(),
        "device": str(cases.device),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        **of,
        "nominal_mm": list(corpus.nominal),
        **how,
    }
    volumes = scores.volumes((row for row in found if row.case not in partly), corpus.nominal)
    measured = clinical.records(volumes)  # part of a heart has no volume
    tell_unpaired(root, volumes, measured)
    summary = _summary(found, measured, partly, {**run.published(), "evaluation": evaluation})
    page = report.render(
        summary,
        found,
        classes=corpus.classes,
        examples=_examples(found, corpus, cases.predicted),
        log=root / "log.csv",
        measured=measured,
    )
    if _must_be_free(place, of, run.record(), named=out is not None) != earlier:
        say(f"{place}: another evaluation has ended there meanwhile, and is replaced")
    texts = (scores.table(found), clinical.table(measured), phases.table(found), page, summary.json())
    make_directory(place)
    write_texts({place / name: text for name, text in zip(FILES, texts, strict=True)})
    return summary


def tell_unpaired(root: Path, volumes: Sequence[clinical.CaseVolumes], measured: Sequence[clinical.Record]) -> None:
    """Say which patients have both phases, and no ejection fraction, since nothing says which cases belong together.

    Examples
    --------
    >>> import contextlib, sys
    >>> scans = [("a", "ED"), ("b", "ED"), ("c", "ES")]
    >>> found = [clinical.CaseVolumes(case, "anna", phase, "ml", {"LV": 99.0}, {}) for case, phase in scans]
    >>> with contextlib.redirect_stderr(sys.stdout):
    ...     tell_unpaired(Path("run"), found, clinical.records(found))
    run: anna: several cases of one phase, or volumes in two units, so no ejection fraction; names ...
    """
    paired, phases = {each.patient for each in measured if len(each.cases) > 1}, dict[str, set[str]]()
    for each in volumes:
        phases.setdefault(each.patient, set()).add(each.phase)
    hearts = {each.patient for each in volumes if clinical.is_heart(each.predicted)}
    if odd := [who for who, of in phases.items() if who in hearts - paired and of.issuperset(clinical.PHASES)]:
        told = "several cases of one phase, or volumes in two units, so no ejection fraction"
        say(f"{root}: {listed(odd)}: {told}; names that are alike but for _ED and _ES say what belongs together")


def _summary(
    found: Sequence[CaseScore], measured: Sequence[clinical.Record], partly: set[str], record: dict[str, Any]
) -> Summary:
    """Return means and spreads of all scores, how far volumes agree, and what is predicted where nothing is."""
    return replace(
        scores.summarise(found, record),
        clinical={measure.column: each for measure, each in clinical.agreements(measured).items()},
        volumes=phases.by_phase(found),
        ejection=phases.ejection(found, partly),
    )


def _must_be_free(out: Path, of: Mapping[str, str], run: Mapping[str, Any], *, named: bool) -> dict[str, Any]:
    """Check that `out` holds no file under a name of `FILES` but an evaluation's, and no images where it holds none.

    That must be an evaluation of the same run, of which `run` is the record; where `out` was not named, also of the
    same corpus, `of`. What it says of itself is returned; nothing where there is none.
    """
    taken = next((out / name for name in FILES if os.path.lexists(out / name)), None)
    if taken is None:
        image_files.must_hold_none(out)
        return {}
    try:
        provenance = read_json(out / FILES[-1])["provenance"]
        earlier = dict(provenance["evaluation"])
        told = "another corpus, " + earlier["corpus"]
        free = named or (
            earlier["corpus"] == of["corpus"] and any(earlier.get(key, of[key]) == of[key] for key in ("root", "hash"))
        )
        if _begun(provenance) != _begun(run):
            free, told = False, f"another run ({provenance['command']:.120})"
    except (InputError, KeyError, TypeError, ValueError, AttributeError):
        raise InputError(
            f"{taken}: is there already, and not of an evaluation; name another directory by --out"
        ) from None
    if not free:
        raise InputError(
            f"{out}: holds the evaluation of {told}; name {'another' if named else 'a'} directory by --out"
        )
    return earlier


def _must_be_makeable(out: Path) -> None:
    """Check that `out` can be made, before hours of work whose results it is for; what that makes is deleted at once.

    So an evaluation that fails or is killed leaves no empty directories.
    """
    missing = [each for each in (out, *out.parents) if not os.path.lexists(each)]
    make_directory(out)
    for each in missing:
        with suppress(OSError):  # somebody has put something there
            each.rmdir()


def _begun(record: Mapping[str, Any]) -> list[Any]:
    """Return what tells a run from others, in its own record and in an evaluation's: it stays where a run is moved."""
    return [*(record.get(key) for key in ("command", "commit", "device", "versions", "seed")), record["corpus"]["hash"]]


def _tell_replaced(out: Path, earlier: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Say on stderr in what the evaluation that is replaced is another one than that of `now`."""
    other = [key for key, value in now.items() if key not in ("root", "hash") and earlier.get(key, value) != value]
    if other:
        told = ", ".join(f"{key} {str(earlier[key])[:80]} (now {str(now[key])[:80]})" for key in other)
        say(f"{out}: its earlier evaluation will be replaced, of {told}")


class CasePredictor:
    """Predicts cases from several threads, and keeps the labels that it predicted, packed.

    Parameters
    ----------
    predictor
        The network.
    at_once
        Cases predicted at a time on a CPU. On another device it is one, so that its memory need not hold more.
    flips, largest
        As `Predictor.labels` has them.

    Examples
    --------
    >>> from maskmixadv.inference.predictor import Predictor
    >>> from maskmixadv.networks.unet import UNet
    >>> from maskmixadv.sampling.grid import Grid
    >>> predictor = Predictor(UNet(1, 2), Grid(64), ("background", "LV"))
    >>> cases = CasePredictor(predictor, 1, flips=False, largest=False)
    >>> image = np.random.default_rng(0).random((1, 3, 40, 48), dtype=np.float32)
    >>> case = Case(name="p1_ED", patient="p1", image=image, scribble=None, dense=None, spacing=(8.0, 1.5, 1.5))
    >>> labels = cases.predict(case)
    >>> labels.shape, np.array_equal(cases.predicted(case), labels)
    ((3, 40, 48), True)
    """

    def __init__(self, predictor: "Predictor", at_once: int, *, flips: bool, largest: bool | None) -> None:
        self._predictor = predictor
        self._how: Any = {"flips": flips, "largest": largest}
        self._turn = Semaphore(at_once if self.device.type == "cpu" else 1)
        self._packed: dict[str, bytes] = {}

    @property
    def device(self) -> Any:  # noqa: ANN401
        """The torch device on which the network computes."""
        return next(self._predictor.net.parameters()).device

    def predict(self, case: Case) -> UInt8[np.ndarray, "d h w"]:
        """Predict labels for a case's image, on its grid."""
        with self._turn:
            try:
                labels = self._predictor.labels(case.image, case.spacing, **self._how)
            except InputError as error:
                raise InputError(f"{case.name}: {error}") from None
        self._packed[case.name] = zlib.compress(labels.tobytes(), 1)
        return labels

    def predicted(self, case: Case) -> UInt8[np.ndarray, "d h w"]:
        """Return the labels that `predict` gave for this case."""
        return np.frombuffer(zlib.decompress(self._packed[case.name]), np.uint8).reshape(case.shape)


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
        Cases with dense masks. They are taken one by one, so that only a few are in memory at a time.
    predict
        Function that gives a case's labels.
    pool
        Threads that predict and score.
    ahead
        Number of cases that are taken before the first of them is done.
    classes
        Names of the k classes, background first.
    nominal
        Spacing in mm along d, h, w of cases that have none.

    Yields
    ------
    Each case's rows, one for each class but the background, in the order of `cases`.

    Examples
    --------
    >>> from maskmixadv.sources.phantoms import phantom
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> cases = map(corpus.load, corpus.entries)
    >>> with ThreadPoolExecutor(1) as pool:   # the truth itself as a prediction
    ...     found = list(score_cases(cases, lambda case: case.dense, pool, ahead=1, classes=corpus.classes,
    ...                              nominal=corpus.nominal))
    >>> len(found), [(row.score.class_name, row.score.dice) for row in found[0]]
    (6, [('RV', 1.0), ('Myo', 1.0), ('LV', 1.0)])
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


def _scorable(root: Path, corpus: Corpus, patients: Split, split: Part) -> tuple[Entry, ...]:
    dense = {
        part: tuple(entry for entry in corpus.of(names) if entry.dense) for part, names in patients._asdict().items()
    }
    if not dense.get(split):
        others = ", ".join(part for part, entries in dense.items() if entries)
        others = f"allowed: {others}; name it by --split" if others else "nor has one of another split"
        raise InputError(f"{root}: no case of split {split!r} has a dense mask to score against, {others}")
    return dense[split]


def _known(root: Path, corpus: Corpus, entries: Sequence[Entry]) -> tuple[tuple[Entry, ...], set[str]]:
    """Leave out masks that know no whole slice; returns the other entries, and the names of those partly dense."""
    cases = corpus.load_all([entry for entry in entries if entry.partly])
    partly = {case.name: whole_slices(case.dense) for case in cases if case.dense is not None}
    known = tuple(entry for entry in entries if entry.name not in partly or partly[entry.name].any())
    if not known:
        raise InputError(f"{root}: no mask of the cases to score knows a whole slice, at least one is needed")
    if partly:
        scored, there = (sum(int(count(each)) for each in partly.values()) for count in (np.sum, len))
        say(
            f"{root}: {len(partly)} of {len(entries)} masks know only some slices; {scored} of their {there} slices "
            "are scored, and no volumes are measured of them",
        )
    return known, set(partly)


def _with_whole_slices(case: Case) -> Case:
    """Return the case with those slices of its mask alone that it knows wholly."""
    if case.dense is None or (known := whole_slices(case.dense)).all():
        return case
    return replace(case, dense=np.where(known[:, None, None], case.dense, np.uint8(IGNORE)))


def _workers(jobs: int | None, cases: int) -> int:
    import torch

    if jobs is not None and jobs < 1:
        raise InputError(f"jobs: {jobs}, allowed is 1 or more")
    return min(jobs or torch.get_num_threads(), cases)


@contextmanager
def _pool(workers: int) -> Iterator[Executor]:
    """Give threads that share torch's threads: a case each is faster than all on one case (docs/decisions/0006)."""
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
    """Yield results and show progress on stderr: a bar on a terminal, elsewhere a line for each case."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    if console.is_terminal:
        yield from track(scored, description="evaluate", total=total, console=console, transient=True)
        return
    for number, found in enumerate(scored, 1):
        ((name, value),) = scores.ranked(found)
        told = "no structure, none found" if math.isnan(value) else f"Dice {value:.3f}"
        say(f"{number}/{total} {name} {told}")
        yield found


def _examples(found: Sequence[CaseScore], corpus: Corpus, predicted: Predict) -> "list[Example]":
    from maskmixadv.evaluation import report

    entries = {entry.name: entry for entry in corpus.entries}
    examples = []
    for title, name, value in report.telling(scores.ranked(found)):
        try:
            case = corpus.load(entries[name])
        except InputError as error:  # whose picture is worth no scores
            say(f"{error}; the report is without its picture")
            continue
        examples.append(report.Example(f"{title}: {name}", value, case, predicted(case)))
    return examples
