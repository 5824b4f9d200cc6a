"""nnU-Net's 2D network on a fold's strokes, for some seconds: ``python benchmarks/nnunet.py acdc --out nnunet-1``.

nnU-Net v2 learns from strokes by its label ``ignore`` (`maskmixadv export nnunet`). It is given the fold's training
patients, its own plan for them, its own augmentation and its own learning rate, which falls with the time that is left
instead of with epochs. Nothing is validated on the way, so that all the time is learning. Test patients are predicted
with mirroring, as nnU-Net does by default, and scored as `maskmixadv evaluate` scores. The package ``nnunetv2`` must be
installed; it is no part of this one.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import tyro
from jaxtyping import UInt8
from tyro.conf import Positional, arg

import record
from maskmixadv.corpus.case import Case
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.device import pick_device
from maskmixadv.errors import InputError
from maskmixadv.files import write_text
from maskmixadv.metrics import scores
from maskmixadv.sources.nnunet import SPLITS
from maskmixadv.sources.nnunet_export import export
from maskmixadv.sources.opening import open_corpus

NUMBER = 1
DATASET = f"Dataset{NUMBER:03d}_Fold"
PLANS = "nnUNetPlans"
POWER = 0.9
"""Of nnU-Net's learning rate, in the part of the training that is left."""


@dataclass(frozen=True)
class Options:
    """Train nnU-Net on a fold's training patients for some seconds and score its test patients.

    Attributes
    ----------
    corpus
        Corpus with strokes or masks of training patients, and masks of test patients.
    out
        Folder to make, for scores and a summary.
    annotation
        What is learnt from.
    scheme
        Name of the scheme of folds.
    fold
        Which fold's patients are learnt from and which are tested, counted from 1.
    seconds
        How long it learns, from its first batch on.
    processes
        Processes that prepare images and augment batches.
    device
        Where to compute; by default the fastest that is there.
    """

    corpus: Annotated[Positional[Path], arg(metavar="CORPUS")]
    out: Path
    annotation: Literal["scribble", "dense"] = "scribble"
    scheme: str = "paper"
    fold: int = 1
    seconds: float = 60.0
    processes: int = os.cpu_count() or 1
    device: Annotated[str | None, arg(metavar="DEVICE")] = None


def given(corpus: Corpus, options: Options) -> Corpus:
    """The corpus without test patients: nnU-Net's plan must not see them, either."""
    split = corpus.split(options.scheme, options.fold)
    entries = corpus.of((*split.train, *split.val))
    return replace(corpus, entries=entries, folds={options.scheme: (split._replace(test=()),)})


def prepare(corpus: Corpus, root: Path, options: Options) -> None:
    """Export, plan and preprocess. nnU-Net reads its places when it is imported, so that comes last."""
    places = {name: root / name for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
    os.environ.update({name: str(place) for name, place in places.items()})
    os.environ.update(nnUNet_compile="f", nnUNet_n_proc_DA=str(options.processes))
    for place in places.values():
        place.mkdir()
    export(given(corpus, options), places["nnUNet_raw"] / DATASET, annotation=options.annotation, scheme=options.scheme)
    from nnunetv2.experiment_planning import plan_and_preprocess_api as api  # pyright: ignore[reportMissingImports]

    api.extract_fingerprints([NUMBER], num_processes=options.processes, check_dataset_integrity=False)
    api.plan_experiments([NUMBER])
    api.preprocess([NUMBER], PLANS, configurations=("2d",), num_processes=(options.processes,))
    splits = (places["nnUNet_raw"] / DATASET / SPLITS).read_text()
    (places["nnUNet_preprocessed"] / DATASET / SPLITS).write_text(splits)


def trained(seconds: float, device: torch.device) -> tuple[Any, int]:
    """Train for so many seconds; returns nnU-Net's trainer, and how many steps it took."""
    from nnunetv2.run.run_training import get_trainer_from_args  # pyright: ignore[reportMissingImports]

    trainer: Any = get_trainer_from_args(str(NUMBER), "2d", 0, plans_identifier=PLANS, device=device)
    trainer.on_train_start()
    trainer.network.train()
    steps, batch = 0, next(trainer.dataloader_train)
    began = time.monotonic()
    while (spent := time.monotonic() - began) < seconds:
        for group in trainer.optimizer.param_groups:
            group["lr"] = trainer.initial_lr * (1 - spent / seconds) ** POWER
        trainer.train_step(batch)  # it fetches its loss, so that the clock is right
        batch, steps = next(trainer.dataloader_train), steps + 1
    for loader in (trainer.dataloader_train, trainer.dataloader_val):
        if hasattr(loader, "_finish"):
            loader._finish()
    trainer.set_deep_supervision_enabled(enabled=False)
    return trainer, steps


def predicted(trainer: Any, cases: Iterator[Case], corpus: Corpus) -> Iterator[tuple[Case, UInt8[np.ndarray, "d h w"]]]:  # noqa: ANN401
    """Yield each case with nnU-Net's labels of it."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor  # pyright: ignore[reportMissingImports]

    predictor: Any = nnUNetPredictor(device=trainer.device, verbose=False, allow_tqdm=False)
    state = {name: value.cpu() for name, value in trainer.network.state_dict().items()}
    predictor.manual_initialization(
        trainer.network, trainer.plans_manager, trainer.configuration_manager, [state], trainer.dataset_json,
        type(trainer).__name__, trainer.inference_allowed_mirroring_axes,
    )  # fmt: skip
    for case in cases:
        spacing = {"spacing": list(case.spacing or corpus.nominal)}
        yield case, predictor.predict_single_npy_array(case.image.astype(np.float32), spacing).astype(np.uint8)


def main(options: Options) -> scores.Summary:
    """Train, score, write the results and append the record."""
    device, corpus = pick_device(options.device), open_corpus(options.corpus)
    tested = [each for each in corpus.of(corpus.split(options.scheme, options.fold).test) if each.dense]
    if not tested:
        raise InputError(
            f"{options.corpus}: no test patient of {options.scheme} {options.fold} has a mask to score with"
        )
    options.out.mkdir(parents=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        prepare(corpus, Path(folder), options)
        preparing = time.monotonic() - began
        trainer, steps = trained(options.seconds, device)
        pairs = predicted(trainer, corpus.measured.load_all(tested), corpus)
        rows = [
            row
            for case, labels in pairs
            for row in scores.rows(case, labels, classes=corpus.classes, nominal=corpus.nominal)
        ]
    facts = {
        "corpus": corpus.name, "scheme": options.scheme, "fold": options.fold, "annotation": options.annotation,
        "seconds": options.seconds, "steps": steps, "preparing_seconds": round(preparing, 1),
        "batch": trainer.batch_size, "patch": list(trainer.configuration_manager.patch_size),
    }  # fmt: skip
    summary = scores.summarise(rows, {"nnunet": facts})
    write_text(options.out / "scores.csv", scores.table(rows))
    write_text(options.out / "summary.json", summary.json())
    record.append("nnunet", {**facts, "dice": summary.mean.dice.mean, "hd95": summary.mean.hd95.mean}, device)
    print(summary)
    return summary


if __name__ == "__main__":
    try:
        main(tyro.cli(Options))
    except InputError as error:
        sys.exit(f"nnunet: {error}")
