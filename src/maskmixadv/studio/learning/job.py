"""Trains a run of the studio and predicts all images: ``python -m maskmixadv.studio.learning.job FOLDER RUN``."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from jaxtyping import UInt8

from maskmixadv.errors import INTERRUPTED, DivergedError, InputError, report, say
from maskmixadv.files import make_directory, read_json, whole, write_text, written
from maskmixadv.methods.registry import METHODS, fields_of, method_from
from maskmixadv.processes import reason_written
from maskmixadv.runs.schedule import PRESETS, Changes, default_preset
from maskmixadv.sources.marks import Mark
from maskmixadv.studio.images import grouping
from maskmixadv.studio.images.marks import Marks
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.learning import training
from maskmixadv.studio.learning.predictions import (
    CODES,
    MARKS,
    PROBABILITIES,
    StoredPredictions,
    marks_of,
    probabilities_of,
)
from maskmixadv.studio.learning.preview import Previews
from maskmixadv.studio.learning.process import Process
from maskmixadv.studio.learning.threads import Threads
from maskmixadv.studio.learning.training import AUTO, LearntSlices, Order
from maskmixadv.studio.memory import within_memory
from maskmixadv.typed import made
from maskmixadv.types import IGNORE

if TYPE_CHECKING:
    from maskmixadv.corpus.corpus import Corpus
    from maskmixadv.formats.volume import Volume
    from maskmixadv.inference.predictor import Predictor
    from maskmixadv.runs.run import Run

VALIDATIONS: Final = 12
"""About how many points the validation curve has."""


def work(layout: Layout, run: str) -> int:
    """Train and predict; returns the exit code.

    A training that fails predicts nothing, so that the predictions of earlier runs stay.
    """
    notes = layout.state / run
    Process.this().write(notes / training.PROCESS)
    # The reason is there before anybody can read that the training failed.
    with failure_noted(notes / training.PHASE), reason_written(notes / training.REASON):
        finished = _train(layout, run)
        if (layout.runs / run / "last.pt").is_file():
            write_text(notes / training.PHASE, "predicting")
            predict(layout, run)
        write_text(notes / training.PHASE, "done" if finished else "stopped")
    return 0 if finished else INTERRUPTED


@contextmanager
def failure_noted(phase: Path) -> Iterator[None]:
    """Write the phase "failed" if the block fails, even if somebody has asked the training to stop."""
    try:
        yield
    except Exception:
        with suppress(InputError):
            write_text(phase, "failed")
        raise


def predict(layout: Layout, run: str) -> None:
    """Predict all images of the folder. ``predictions/RUN`` appears when all are predicted.

    For an image that can't be predicted a line is printed to stderr, and kept with those of what was not learnt; the
    others are predicted. So is one of structures of which only the largest piece is predicted.

    Raises
    ------
    InputError
        If the run can't predict, no image can be predicted, or predictions can't be written.
    """
    from maskmixadv.inference.predictor import Predictor

    predictor = Predictor.load(layout.runs / run)
    images, marks = grouping.find(layout), Marks(layout)
    axes = marks.axes()
    with whole(layout.predictions / run) as place:
        wrong, kept = dict[str, str](), dict[str, Mark]()
        for case, paths in images.files.items():
            mark = marks.of(case)
            if line := _attempt(predictor, paths, place / case, images.odd.get(case), axes.get(case)):
                wrong[case] = line
            elif mark is not None:
                kept[case] = mark
        if len(wrong) == len(images.files):
            raise InputError("; ".join(["no image could be predicted", *list(wrong.values())[:1]]))
        write_text(place / MARKS, marks_of(kept))
        if (codes := StoredPredictions(layout).codes()) is not None:
            write_text(place / CODES, json.dumps(codes))
    notes = layout.state / run / training.LEFT_OUT
    before = training.left_out(notes)
    apart = [f"pieces beside the largest one of {predictor.pieces}"] if predictor.pieces.kept else []
    more = [line for case, line in wrong.items() if case not in images.odd and line not in before]
    more += [line for line in apart if line not in before]
    if more:
        write_text(notes, json.dumps([*before, *more]))


def _attempt(predictor: "Predictor", paths: Sequence[Path], out: Path, odd: str | None, axis: int | None) -> str | None:
    """Predict an image that is not `odd`; returns what is wrong with it, and prints it to stderr."""
    try:
        if odd is not None:
            raise InputError(odd)
        with within_memory(paths[0]):
            volume, found = _predicted(predictor, paths, axis)
    except InputError as error:
        say(f"{out.name}: not predicted ({error})")
        return str(error)
    _write(out, volume, found)
    return None


def _train(layout: Layout, run: str) -> bool:
    """Train on the folder as it is now; returns False if the training was asked to stop."""
    from maskmixadv.training.fit import fit

    return fit(_begun(layout, run), watch=Threads(Previews(layout, run)))


def _begun(layout: Layout, run: str) -> "Run":
    from maskmixadv.device import pick_device
    from maskmixadv.strokes.enclosure import drawn_round
    from maskmixadv.studio.images.cases import Cases
    from maskmixadv.studio.learning import corpus as learning
    from maskmixadv.training.recipe import Recipe

    notes = layout.state / run
    order = made(Order, read_json(notes / training.ORDER), str(notes / training.ORDER))
    corpus, left_out, accepted, corrected = learning.corpus(layout, Cases(layout).known(), learning.Dense.read(layout))
    for line in left_out:
        say(f"left out: {line}")
    start, unfit = _start(layout, order, corpus) if order.goes_on else (None, [])
    write_text(notes / training.LEFT_OUT, json.dumps([*left_out, *unfit]))
    drawn = sum(int((scribble != IGNORE).any((1, 2)).sum()) for scribble in _scribbles(corpus))
    strokes = drawn - sum(len(each) for dense in (accepted, corrected) for each in dense.values())
    LearntSlices(max(0, strokes), accepted, corrected).write(notes / training.LEARNT)
    preset = default_preset(pick_device(None).type) if order.preset == AUTO else order.preset
    recipe = Recipe(
        corpus.root,
        _method(order, goes_on=start is not None),
        preset,
        _changes(preset, order.steps if start is None else order.steps or training.further(preset)),
        enclosure=drawn_round(_scribbles(corpus)),
        start=start,
    )
    out = layout.runs / run
    return recipe.begin(out, command=recipe.command(out), by_place=True)  # a class keeps its place when it is renamed


def _method(order: Order, *, goes_on: bool) -> dict[str, Any]:
    """Return the method's name and fields.

    A teacher that has learnt counts at once. If its weight rose, as it does with a new network, the first steps would
    unlearn what strokes alone don't say.
    """
    method = {"name": order.method, **METHODS[order.method].without_prior}
    if goes_on and "ramp" in fields_of(method_from(method)):
        method["ramp"] = 0.0
    return method


def _start(layout: Layout, order: Order, corpus: "Corpus") -> tuple[Path | None, list[str]]:
    """Return the run to begin with, or None and why not: there is none, or its network does not fit."""
    from maskmixadv.runs.run import Run
    from maskmixadv.runs.start import started_from

    predictions = StoredPredictions(layout)
    latest = predictions.latest()
    if latest is None:
        return None, []
    root = layout.check(layout.runs / latest)
    method = method_from(_method(order, goes_on=True))
    try:
        predictions.check_classes(latest)
        first, classes = Run.open(root), tuple(corpus.classes)
        started_from(first, method=method, classes=classes, channels=corpus.channels, by_place=True)
    except InputError as error:
        say(f"begins anew: {error}")
        return None, [f"the network of run {latest} ({error})"]
    return root, []


def _scribbles(corpus: "Corpus") -> Iterator[UInt8[np.ndarray, "d h w"]]:
    for case in corpus.load_all([entry for entry in corpus.entries if entry.scribble]):
        if case.scribble is not None:
            yield case.scribble


def _changes(preset: str, steps: int | None) -> Changes:
    """Return the changes for another number of steps than the preset's.

    The average of the weights spans the same part of the training, and validation comes equally often.
    """
    if steps is None:
        return Changes()
    schedule = PRESETS[preset]
    kept = (1 - schedule.ema) * schedule.steps / steps
    ema = max(0.0, 1 - kept) if schedule.ema else 0.0
    return Changes(steps=steps, ema=float(f"{ema:.6g}"), validate_every=max(1, steps // VALIDATIONS))


class _Found(NamedTuple):
    """The labels of an image, their doubt, and its slices' probabilities by name, on the file's axes."""

    labels: np.ndarray
    doubt: np.ndarray
    probabilities: dict[str, np.ndarray]


def _predicted(predictor: "Predictor", paths: Sequence[Path], axis: int | None) -> tuple["Volume", _Found]:
    """Read an image; returns it with what the network says of it, cut along `axis`, or else as the run says."""
    from maskmixadv.corpus.channels import scaled
    from maskmixadv.formats import several
    from maskmixadv.sources.pairs import seen
    from maskmixadv.studio.images.intake import check_declared, taken
    from maskmixadv.studio.learning.doubt import judge

    with taken():
        for path in paths:
            check_declared(path)
        volume = several.read(paths)
    view = seen(predictor.slicing, volume.header, axis)
    cut = volume.seen(view)
    said = judge(predictor, scaled(cut, predictor.channels, str(paths[0])), cut.spacing)
    return volume, _Found(view.back(said.labels), view.back(said.doubt), probabilities_of(said.probs, view))


def _write(out: Path, volume: "Volume", found: _Found) -> None:
    from maskmixadv.formats.nifti import write_labels

    write_labels(out.with_name(f"{out.name}.nii.gz"), found.labels, volume)
    with written(out.with_name(f"{out.name}.npz")) as file:
        np.savez_compressed(file, disagreement=found.doubt)
    make_directory(out.parent / PROBABILITIES)
    with written(out.parent / PROBABILITIES / f"{out.name}.npz") as file:
        np.savez_compressed(file, **found.probabilities)  # pyright: ignore[reportArgumentType]


def main(argv: list[str]) -> int:
    """Run the job for the arguments FOLDER and RUN; returns the exit code."""
    folder, run = argv
    try:
        return work(Layout.open(Path(folder)), run)
    except (InputError, DivergedError) as error:
        return report(error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
