"""One training of the studio: ``python -m maskmixadv.studio.job FOLDER RUN``; it trains, then predicts all images."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from maskmixadv import cli
from maskmixadv.catalogue import METHODS
from maskmixadv.errors import InputError
from maskmixadv.files import read_json, whole, write_text, written
from maskmixadv.studio import training
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.memory import within_memory
from maskmixadv.studio.process import Process
from maskmixadv.studio.training import AUTO, Order
from maskmixadv.typed import made

if TYPE_CHECKING:
    from maskmixadv.data.nifti import Volume
    from maskmixadv.predict import Predictor

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
        code = _command(_train(layout, run))
        if code in (0, INTERRUPTED) and (layout.runs / run / "last.pt").is_file():
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
    from maskmixadv.predict import Predictor  # torch comes after the process has told its number

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


def _train(layout: Layout, run: str) -> list[str]:
    """Return the command that begins the run: on the folder as it is now, whatever is drawn while it learns."""
    from maskmixadv.data.enclosure import drawn_round
    from maskmixadv.studio import readable

    notes, root = layout.state / run, layout.runs / run
    order = made(Order, read_json(notes / training.ORDER), str(notes / training.ORDER))
    corpus, left_out = readable.corpus(layout)
    for line in left_out:
        print(f"left out: {line}", file=sys.stderr)
    write_text(notes / training.LEFT_OUT, json.dumps(left_out))
    scribbles = (case.scribble for case in corpus.load_all([entry for entry in corpus.entries if entry.scribble]))
    enclosed = drawn_round(scribble for scribble in scribbles if scribble is not None)
    preset = _preset(order)
    return [
        "train",
        str(corpus.root),
        *("--out", str(root), "--preset", preset, *_length(preset, order.steps)),
        *(["--enclosure"] if enclosed else []),
        *(order.method, *METHODS[order.method].without_prior),
    ]


def _preset(order: Order) -> str:
    """The preset that was ordered, or the one that the device deserves, as the command line has it."""
    from maskmixadv.run import pick_device
    from maskmixadv.schedule import default_preset

    return default_preset(pick_device(None)) if order.preset == AUTO else order.preset


def _length(name: str, steps: int | None) -> list[str]:
    """Return the options of another length than the preset's; the same part of it is averaged and validated."""
    from maskmixadv.schedule import PRESETS

    preset = PRESETS[name]
    if steps is None:
        return []
    kept = (1 - preset.ema) * preset.steps / steps
    ema = max(0.0, 1 - kept) if preset.ema else 0.0
    every = max(1, steps // VALIDATIONS)
    return ["--steps", str(steps), "--ema", f"{ema:.6g}", "--validate-every", str(every)]


def _command(argv: list[str]) -> int:
    sys.argv[1:] = argv  # what the run's record says of itself
    return cli.run(argv)


def _predicted(predictor: "Predictor", path: Path, axis: int) -> tuple["Volume", np.ndarray, np.ndarray]:
    """Read an image, and what `judge` makes of it on the file's axes, as the command ``predict`` would."""
    from maskmixadv.data import formats
    from maskmixadv.data.corpus import normalise
    from maskmixadv.studio.doubt import judge
    from maskmixadv.studio.intake import check_declared, taken
    from maskmixadv.studio.volumes import turned

    with taken():
        check_declared(path)
        volume = formats.read(path)
    cut = volume.along(axis)
    labels, doubt = judge(predictor, normalise(cut.array, where=str(path)), cut.spacing)
    return volume, turned(labels, axis), turned(doubt, axis)


def _write(out: Path, volume: "Volume", labels: np.ndarray, doubt: np.ndarray) -> None:
    from maskmixadv.studio.volumes import write_labels

    write_labels(out.with_name(f"{out.name}.nii.gz"), labels, volume)
    with written(out.with_name(f"{out.name}.npz")) as file:
        np.savez_compressed(file, disagreement=doubt)


def main(argv: list[str]) -> int:
    """Do the training that the arguments name."""
    folder, run = argv
    try:
        return work(Layout.open(Path(folder)), run)
    except InputError as error:
        print(f"maskmixadv: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
