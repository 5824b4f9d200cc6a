"""A training of the studio, ``python -m maskmixadv.studio.learning.job FOLDER RUN``, then predictions of all images."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from maskmixadv.errors import DIVERGED, DivergedError, InputError
from maskmixadv.files import read_json, whole, write_text, written
from maskmixadv.methods.registry import METHODS
from maskmixadv.runs.schedule import PRESETS, Changes, default_preset
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.learning import training
from maskmixadv.studio.learning.process import Process
from maskmixadv.studio.learning.training import AUTO, Order
from maskmixadv.studio.memory import within_memory
from maskmixadv.typed import made

if TYPE_CHECKING:
    from maskmixadv.formats.volume import Volume
    from maskmixadv.inference.predictor import Predictor
    from maskmixadv.runs.run import Run

INTERRUPTED = 130
VALIDATIONS = 12
"""Points of the validation curve, about."""


def work(layout: Layout, run: str) -> int:
    """Train and predict; returns an exit code as the command line does.

    A training that failed, or whose weights are no numbers, predicts nothing, so that what earlier runs made stays.
    """
    notes = layout.state / run
    Process.this().write(notes / training.PROCESS)
    with told_failure(notes / training.PHASE):
        code = 0 if _train(layout, run) else INTERRUPTED
        if (layout.runs / run / "last.pt").is_file():
            write_text(notes / training.PHASE, "predicting")
            predict(layout, run)
        write_text(notes / training.PHASE, {0: "done", INTERRUPTED: "stopped"}.get(code, "failed"))
    return code


@contextmanager
def told_failure(phase: Path) -> Iterator[None]:
    """Have what fails be known as that, and not as stopped, also where somebody had asked it to stop."""
    try:
        yield
    except Exception:
        with suppress(InputError):
            write_text(phase, "failed")
        raise


def predict(layout: Layout, run: str) -> None:
    """Predict all images of the folder into ``predictions/RUN``, which is there when all are done.

    An image that can't be predicted has its line on stderr, the others are done.

    Raises
    ------
    InputError
        Where the run can't predict, none of the images could be, or predictions can't be written.
    """
    from maskmixadv.inference.predictor import Predictor

    axis = read_json(layout.runs / run / "run.json")["corpus"].get("axis", 0)
    predictor = Predictor.load(layout.runs / run)
    images = layout.listing()[0]
    with whole(layout.predictions / run) as place:
        wrong = [line for case, path in images.items() if (line := _attempt(predictor, path, axis, place / case))]
        if len(wrong) == len(images):
            raise InputError("; ".join(["no image could be predicted", *wrong[:1]]))


def _attempt(predictor: "Predictor", path: Path, axis: int, out: Path) -> str | None:
    """Predict an image; returns what is wrong with it, which stderr is told too."""
    try:
        with within_memory(path):
            volume, labels, doubt = _predicted(predictor, path, axis)
    except InputError as error:
        print(f"{out.name}: not predicted ({error})", file=sys.stderr)
        return str(error)
    _write(out, volume, labels, doubt)
    return None


def _train(layout: Layout, run: str) -> bool:
    """Train on the folder as it is now, whatever is drawn while it learns; False where it was asked to stop."""
    from maskmixadv.training.fit import fit

    return fit(_begun(layout, run))


def _begun(layout: Layout, run: str) -> "Run":
    from maskmixadv.device import pick_device
    from maskmixadv.strokes.enclosure import drawn_round
    from maskmixadv.studio.images import readable
    from maskmixadv.training.recipe import Recipe

    notes = layout.state / run
    order = made(Order, read_json(notes / training.ORDER), str(notes / training.ORDER))
    corpus, left_out = readable.corpus(layout)
    for line in left_out:
        print(f"left out: {line}", file=sys.stderr)
    write_text(notes / training.LEFT_OUT, json.dumps(left_out))
    scribbles = (case.scribble for case in corpus.load_all([entry for entry in corpus.entries if entry.scribble]))
    preset = default_preset(pick_device(None).type) if order.preset == AUTO else order.preset
    recipe = Recipe(
        corpus.root,
        {"name": order.method, **METHODS[order.method].without_prior},
        preset,
        _changes(preset, order.steps),
        enclosure=drawn_round(scribble for scribble in scribbles if scribble is not None),
    )
    out = layout.runs / run
    return recipe.begin(out, command=recipe.command(out))


def _changes(preset: str, steps: int | None) -> Changes:
    """Return what another length than the preset's changes; the same part of it is averaged and validated."""
    if steps is None:
        return Changes()
    schedule = PRESETS[preset]
    kept = (1 - schedule.ema) * schedule.steps / steps
    ema = max(0.0, 1 - kept) if schedule.ema else 0.0
    return Changes(steps=steps, ema=float(f"{ema:.6g}"), validate_every=max(1, steps // VALIDATIONS))


def _predicted(predictor: "Predictor", path: Path, axis: int) -> tuple["Volume", np.ndarray, np.ndarray]:
    """Read an image, and what `judge` makes of it on the file's axes, as the command ``predict`` would."""
    from maskmixadv.corpus.case import normalise
    from maskmixadv.formats import image_files
    from maskmixadv.studio.images.intake import check_declared, taken
    from maskmixadv.studio.images.volumes import turned
    from maskmixadv.studio.learning.doubt import judge

    with taken():
        check_declared(path)
        volume = image_files.read(path)
    cut = volume.along(axis)
    labels, doubt = judge(predictor, normalise(cut.array, where=str(path)), cut.spacing)
    return volume, turned(labels, axis), turned(doubt, axis)


def _write(out: Path, volume: "Volume", labels: np.ndarray, doubt: np.ndarray) -> None:
    from maskmixadv.formats.nifti import write_labels

    write_labels(out.with_name(f"{out.name}.nii.gz"), labels, volume)
    with written(out.with_name(f"{out.name}.npz")) as file:
        np.savez_compressed(file, disagreement=doubt)


def main(argv: list[str]) -> int:
    """Do the training that the arguments name."""
    folder, run = argv
    try:
        return work(Layout.open(Path(folder)), run)
    except (InputError, DivergedError) as error:
        print(f"maskmixadv: {error}", file=sys.stderr)
        return DIVERGED if isinstance(error, DivergedError) else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
