"""Our step beside the released loop's, in turns: ``python benchmarks/released.py corpora/acdc corpora/mscmr``.

The released way (MaskMixAdv's and WSL4MIS's trainers): one HDF5 file a slice, opened for each sample by one worker, and
for a critic one slice of a random NIfTI file of masks; turns, flips and rotation by SciPy, each slice then zoomed to
the network's size; float32 in rows of channels; torch's dropout; every loss fetched from the device and written to
TensorBoard at each step; and, as a habit, all validation volumes predicted slice by slice and the network saved every
20 steps. Networks, losses, batch and pixels are the same on both sides. Each side has a process of its own, ours with
the thread setting of the command line (docs/decisions/0004), the released one with torch's. Both take turns, so that a
machine whose speed drifts slows both; a ratio is the median over rounds.
"""

import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Annotated, Any, Literal

import h5py
import nibabel as nib
import numpy as np
import torch
import tyro
from scipy import ndimage
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.tensorboard import SummaryWriter
from tyro.conf import Positional, arg

import record
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.device import pick_device
from maskmixadv.errors import InputError
from maskmixadv.methods import PCE, MaskMixAdv, Method
from maskmixadv.networks.dropout import FastDropout
from maskmixadv.networks.losses import uniform
from maskmixadv.runs.run import Run
from maskmixadv.runs.schedule import Schedule
from maskmixadv.sources.opening import open_corpus
from maskmixadv.tensors import Batch
from maskmixadv.training.begin import begin
from maskmixadv.training.data import prior_masks, training_slices
from maskmixadv.training.loop import Loop
from maskmixadv.training.optimisers import optimisers
from maskmixadv.types import IGNORE
from steps import smaller, turn

METHODS: dict[str, Method] = {
    "pce": PCE(),
    "maskmixadv": MaskMixAdv(),
    "maskmixadv, as published": MaskMixAdv(level="image", whole=0.0, every=1),
}
HABIT_STEPS = 20


@dataclass(frozen=True)
class Released:
    """Time our step against the released loop's.

    Attributes
    ----------
    corpus
        With scribbles; its first fold's training patients are learnt from.
    prior
        With dense masks.
    preset
        Resolution, batch and optimiser of both.
    batch
        Slices a step, instead of the preset's.
    window
        Side in pixels of what a step sees, instead of the preset's; a multiple of 16.
    rounds
        How often each side has its turn; one more goes before, untimed.
    steps
        Steps a turn.
    habit
        Also count the released loop's validations and checkpoints, measured once.
    device
        Where to compute; by default the fastest that is there.
    """

    corpus: Annotated[Positional[Path], arg(metavar="CORPUS")]
    prior: Annotated[Positional[Path], arg(metavar="PRIOR")]
    preset: Literal["paper", "fast", "cpu"] = "cpu"
    batch: Annotated[int | None, arg(metavar="INT")] = None
    window: Annotated[int | None, arg(metavar="PIXELS")] = None
    rounds: int = 5
    steps: int = 12
    habit: bool = True
    device: Annotated[str | None, arg(metavar="DEVICE")] = None

    @property
    def schedule(self) -> Schedule:
        """Of both sides: the preset's, with what was given instead."""
        return smaller(self.preset, self.batch, self.window)


class SliceFiles(Dataset[dict[str, Tensor]]):
    """Slices and masks as the released loader reads and changes them.

    Parameters
    ----------
    files
        HDF5 files of slices with `image` and `scribble`.
    masks
        NIfTI files of masks, one a volume; none for methods without a critic.
    side
        Pixels that each is zoomed to.
    """

    def __init__(self, files: list[Path], masks: list[Path], side: int) -> None:
        self.files, self.masks, self.side = files, masks, side

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        """Read, turn, zoom one."""
        rng = np.random.default_rng()
        with h5py.File(self.files[number]) as file:
            image, label = np.asarray(file["image"]), np.asarray(file["scribble"])
        arrays: list[np.ndarray] = [image, label]
        if self.masks:
            volume = np.asarray(nib.load(self.masks[rng.integers(len(self.masks))]).dataobj)  # pyright: ignore
            arrays.append(volume[rng.integers(len(volume))])
        if rng.random() < 0.5:
            turns, axis = int(rng.integers(4)), int(rng.integers(2))
            arrays = [np.flip(np.rot90(each, turns), axis).copy() for each in arrays]
        elif rng.random() < 0.5:
            angle = rng.integers(-20, 20)
            arrays[0] = ndimage.rotate(image, angle, order=0, reshape=False)
            arrays[1] = ndimage.rotate(label, angle, order=0, reshape=False, mode="constant", cval=IGNORE)
        image, *labels = (self._zoomed(each) for each in arrays)
        named = zip(("label", "mask"), labels, strict=False)
        return {
            "image": torch.from_numpy(image.astype(np.float32))[None],
            **{name: torch.from_numpy(each.astype(np.uint8)) for name, each in named},
        }

    def _zoomed(self, array: np.ndarray) -> np.ndarray:
        return np.asarray(ndimage.zoom(array, (self.side / array.shape[0], self.side / array.shape[1]), order=0))


class ReleasedLoop:
    """The released way to take a step."""

    def __init__(self, run: Run, files: list[Path], masks: list[Path], device: torch.device, logs: Path) -> None:
        self.run, self.device, self.step = run, device, 0
        torch.manual_seed(run.seed)
        task = replace(run.task, biases=True)
        self.nets = {name: _as_released(net).to(device) for name, net in run.method.players(task).items()}
        self.optimisers = optimisers(run.schedule, self.nets)
        loader = DataLoader(
            SliceFiles(files, masks, run.schedule.window), batch_size=run.schedule.batch, shuffle=True, num_workers=1,
            pin_memory=device.type == "cuda", drop_last=True, persistent_workers=True,
        )  # fmt: skip
        self.batches = _forever(loader)
        self.writer = SummaryWriter(str(logs))
        self.rng = torch.Generator(device)

    def advance(self) -> None:
        """Take one step."""
        sample = {name: tensor.to(self.device) for name, tensor in next(self.batches).items()}
        b, steps = len(sample["image"]), self.run.schedule.steps
        batch = Batch(
            image=sample["image"], target=sample["label"], prior=sample.get("mask"), weight=uniform(sample["label"]),
            index=torch.zeros(b, dtype=torch.long, device=self.device), affine=torch.eye(2, 3).expand(b, 2, 3),
            step=self.step, progress=self.step / steps, rng=self.rng,
        )  # fmt: skip
        for player, terms in self.run.method.phases(self.nets, batch):
            self.optimisers[player].zero_grad()
            torch.stack(list(terms.values())).sum().backward()
            self.optimisers[player].step()
            for name, loss in terms.items():
                self.writer.add_scalar(f"{player}/{name}", loss.item(), self.step)
        for group in self.optimisers["net"].param_groups:
            group["lr"] = self.run.schedule.lr_at(self.step)
        self.step += 1

    @torch.no_grad()
    def habit(self, corpus: Corpus, place: Path) -> float:
        """Seconds of one validation, slice by slice, and one saving."""
        cases = list(corpus.load_all([entry for entry in corpus.of(self.run.learnt_from.val) if entry.dense]))
        net, side, began = self.nets["net"].eval(), self.run.schedule.window, time.perf_counter()
        for case in cases:
            for image in case.shown:
                small = ndimage.zoom(image, (side / image.shape[0], side / image.shape[1]), order=0)
                shown = torch.from_numpy(small)[None, None].to(self.device)
                labels = net(shown).argmax(1)[0].cpu().numpy()
                ndimage.zoom(labels, (image.shape[0] / side, image.shape[1] / side), order=0)
        torch.save(net.state_dict(), place / "net.pt")
        net.train()
        return time.perf_counter() - began


def _forever(loader: DataLoader[Any]) -> Iterator[dict[str, Tensor]]:
    while True:
        yield from loader


def write_slices(corpus: Corpus, patients: list[str], place: Path) -> list[Path]:
    """Write the release's files, one a slice."""
    files: list[Path] = []
    for case in corpus.load_all(corpus.of(patients)):
        if case.scribble is None:
            continue
        for k, (image, scribble) in enumerate(zip(case.image[0], case.scribble, strict=True)):
            files.append(place / f"{case.name}_slice_{k}.h5")
            with h5py.File(files[-1], "w") as file:
                file.create_dataset("image", data=image, compression="gzip")
                file.create_dataset("scribble", data=scribble, compression="gzip")
    return files


def write_masks(corpus: Corpus, place: Path) -> list[Path]:
    """Write dense masks as NIfTI files, one a volume."""
    place.mkdir()
    files: list[Path] = []
    for case in corpus.load_all([entry for entry in corpus.entries if entry.dense]):
        if case.dense is not None:
            files.append(place / f"{case.name}.nii.gz")
            nib.save(nib.Nifti1Image(case.dense, np.eye(4)), files[-1])  # pyright: ignore
    return files


def _as_released(net: nn.Module) -> nn.Module:
    """The same network with torch's dropout, and activations that keep what they are given."""
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, FastDropout):
                setattr(module, name, nn.Dropout(child.p))
            elif isinstance(child, nn.LeakyReLU):
                child.inplace = False
    return net


def serve(calls: Connection, side: str, options: Released, name: str, files: list[Path], place: Path) -> None:
    """Be one side in a process of its own: take as many steps as is asked for, or a habit's round; answer seconds."""
    device = pick_device(options.device)
    run = begin(
        options.corpus, place / name, method=METHODS[name], schedule=options.schedule, preset=options.preset,
        prior_root=options.prior, device=options.device, write=False,
    )  # fmt: skip
    corpus, prior = open_corpus(options.corpus), open_corpus(options.prior)
    if side == "ours":
        loop = Loop(run, training_slices(run, corpus, device), prior_masks(run, device), device)
    else:
        masks = write_masks(prior, place / f"{name} masks") if run.method.wants_prior else []
        loop = ReleasedLoop(run, files, masks, device, place / "logs")
    while asked := calls.recv():
        if asked == "habit" and isinstance(loop, ReleasedLoop):
            calls.send(loop.habit(corpus, place))
        else:
            calls.send(turn(loop, int(asked)))


def begin_side(side: str, *rest: Any) -> Connection:  # noqa: ANN401
    """Start one side's process, in the environment that it brings."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    os.environ.pop("GOMP_SPINCOUNT", None)
    if side == "ours":
        os.environ["GOMP_SPINCOUNT"] = "1000"
    multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, side, *rest)).start()
    theirs.close()
    return ours


def compare(options: Released, name: str, place: Path, files: list[Path]) -> dict[str, Any]:
    """Figures of one method."""
    sides = [begin_side(side, options, name, files, place) for side in ("ours", "released")]
    seconds = [[_asked(side, options.steps) for side in sides] for _ in range(options.rounds + 1)]
    del seconds[0]  # in the first round memory is claimed and kernels are chosen
    habit = _asked(sides[1], "habit") / HABIT_STEPS if options.habit else 0.0
    for side in sides:
        side.send(None)
    return {
        "method": name,
        "ours_ms": round(1000 * median(a for a, _ in seconds), 1),
        "released_ms": round(1000 * median(b for _, b in seconds), 1),
        "ratio": round(median(b / a for a, b in seconds), 2),
        "habit_ms": round(1000 * habit, 1),
        "ratio_with_habit": round(median((b + habit) / a for a, b in seconds), 2) if options.habit else None,
    }


def _asked(side: Connection, what: int | str) -> float:
    side.send(what)
    return side.recv()


def main(options: Released) -> None:
    """Measure, print a Markdown table, append the record."""
    device = pick_device(options.device)
    corpus = open_corpus(options.corpus)
    with tempfile.TemporaryDirectory() as folder:
        files = write_slices(corpus, list(corpus.split(next(iter(corpus.folds)), 1).train), Path(folder))
        found = [compare(options, name, Path(folder), files) for name in METHODS]
    schedule = options.schedule
    facts = {"preset": options.preset, "batch": schedule.batch, "window": schedule.window, "rows": found}
    record.append("released", facts, device)
    print(f"Batches of {schedule.batch}, {schedule.window} pixels\n")
    print("| method | ours, ms a step | released, ms a step | ratio | ratio with its habit |")
    print("| --- | --- | --- | --- | --- |")
    for row in found:
        print(
            f"| {row['method']} | {row['ours_ms']} | {row['released_ms']} | {row['ratio']}× "
            f"| {row['ratio_with_habit'] or '–'} |"
        )


if __name__ == "__main__":
    try:
        main(tyro.cli(Released))
    except InputError as error:
        sys.exit(f"released: {error}")
