"""One training of the studio: ``python -m maskmixadv.studio.job FOLDER RUN``; it trains, then predicts all images."""

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from maskmixadv import cli
from maskmixadv.errors import InputError
from maskmixadv.files import read_json, write_text
from maskmixadv.studio import training
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.process import Process
from maskmixadv.studio.training import Order
from maskmixadv.typed import made

if TYPE_CHECKING:
    from maskmixadv.predict import Predictor

INTERRUPTED = 130
VALIDATIONS = 12
"""Points of the validation curve, about."""
WITHOUT_PRIOR = {"maskmixadv": ["--adv", "0"]}
"""What switches a method's wish for masks of other patients off."""


def work(layout: Layout, run: str) -> int:
    """Train and predict; returns an exit code as the command line does."""
    notes, root = layout.state / run, layout.runs / run
    Process.this().write(notes / training.PROCESS)
    order = made(Order, read_json(notes / training.ORDER), str(notes / training.ORDER))
    code = _command(_train(layout, root, order))
    if code not in (0, INTERRUPTED):
        return code
    if (root / "last.pt").is_file():
        write_text(notes / training.PHASE, "predicting")
        predict(layout, run)
    write_text(notes / training.PHASE, "done" if code == 0 else "stopped")
    return code


def predict(layout: Layout, run: str) -> None:
    """Predict all images of the folder into ``predictions/RUN``, which is there when all are done.

    An image that can't be predicted has its line on stderr, the others are done.
    """
    from maskmixadv.predict import Predictor  # torch comes after the process has told its number
    from maskmixadv.run import Run

    axis = Run.open(layout.runs / run).corpus.get("axis", 0)
    predictor = Predictor.load(layout.runs / run)
    partial = layout.predictions / f".partial-{run}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for case, path in layout.listing()[0].items():
        try:
            _predict(predictor, path, axis, partial / case)
        except InputError as error:
            print(f"{case}: not predicted ({error})", file=sys.stderr)
    partial.rename(layout.predictions / run)


def _train(layout: Layout, root: Path, order: Order) -> list[str]:
    """Return the command that begins the run: on the folder as it is now, whatever is drawn while it learns."""
    from maskmixadv.data.corpus import Corpus
    from maskmixadv.data.enclosure import drawn_round

    corpus = Corpus.open(layout.root)
    scribbles = (case.scribble for case in corpus.load_all([entry for entry in corpus.entries if entry.scribble]))
    enclosed = drawn_round(scribble for scribble in scribbles if scribble is not None)
    return [
        "train",
        str(corpus.root),
        *("--out", str(root), "--preset", order.preset, *_length(order)),
        *(["--enclosure"] if enclosed else []),
        *(order.method, *WITHOUT_PRIOR.get(order.method, [])),
    ]


def _length(order: Order) -> list[str]:
    """Return the options of another length than the preset's; the same part of it is averaged and validated."""
    from maskmixadv.schedule import PRESETS

    preset = PRESETS[order.preset]
    if order.steps is None:
        return []
    kept = (1 - preset.ema) * preset.steps / order.steps
    ema = max(0.0, 1 - kept) if preset.ema else 0.0
    every = max(1, order.steps // VALIDATIONS)
    return ["--steps", str(order.steps), "--ema", f"{ema:.6g}", "--validate-every", str(every)]


def _command(argv: list[str]) -> int:
    sys.argv[1:] = argv  # what the run's record says of itself
    return cli.run(argv)


def _predict(predictor: "Predictor", path: Path, axis: int, out: Path) -> None:
    import numpy as np

    from maskmixadv.data import formats
    from maskmixadv.data.corpus import normalise
    from maskmixadv.studio.doubt import judge
    from maskmixadv.studio.intake import check_declared
    from maskmixadv.studio.volumes import turned, write_labels

    check_declared(path)
    volume = formats.read(path)
    cut = volume.along(axis)
    image = np.ascontiguousarray(normalise(cut.array, where=str(path)))
    labels, doubt = (turned(array, axis) for array in judge(predictor, image, cut.spacing))
    write_labels(out.with_name(f"{out.name}.nii.gz"), labels, volume)
    np.savez_compressed(out.with_name(f"{out.name}.npz"), disagreement=doubt)


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
