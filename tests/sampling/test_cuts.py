"""Slices much larger than a window: a step takes a part of each, about something that is labelled."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from maskmixadv.corpus.case import Case
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Split
from maskmixadv.methods.pce import PCE
from maskmixadv.methods.scribble2label import Scribble2Label
from maskmixadv.runs.schedule import PRESETS, Schedule
from maskmixadv.sampling.cuts import corners
from maskmixadv.training.begin import begin
from maskmixadv.training.data import training_slices
from maskmixadv.training.fit import fit
from maskmixadv.training.loop import Loop
from maskmixadv.types import IGNORE

pytestmark = pytest.mark.usefixtures("narrow", "unpictured")

SCHEDULE = replace(PRESETS["cpu"], size=400, window=48, steps=2)
CPU = torch.device("cpu")


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """Return slices of 400 × 400 pixels with a stroke of the structure in one corner and of the background in another.

    The image is brightest where the structure's stroke is.
    """
    rng, cases = np.random.default_rng(0), []
    for number in range(3):
        image = rng.random((1, 1, 400, 400), dtype=np.float32) / 2
        scribble = np.full((1, 400, 400), IGNORE, np.uint8)
        image[..., 350:360, 350:370], scribble[:, 350:360, 350:370], scribble[:, 20:30, 10:30] = 1, 1, 0
        cases.append(Case(f"c{number}", f"c{number}", image, scribble))
    split = Split(("c0", "c1", "c2"), (), ())
    return Corpus.write(tmp_path / "corpus", cases, name="large", classes=("background", "a"), folds={"own": (split,)})


def loop_of(
    corpus: Corpus, method: PCE | Scribble2Label, memory: float | None = None, schedule: Schedule = SCHEDULE
) -> Loop:
    run = begin(corpus.root, corpus.root.parent / f"run-{memory}", method=method, schedule=schedule, device="cpu")
    return Loop(run, training_slices(run, corpus, CPU, memory), None, CPU)


def test_parts_alone_go_to_the_device_and_show_what_is_drawn(corpus: Corpus) -> None:
    loop, seen = loop_of(corpus, PCE()), set[int]()
    for step in range(12):
        loop.step = step
        rows = loop._rows()
        assert rows.image.shape == (4, 1, 96, 96)
        whole = loop.slices.image[rows.number]
        for part, slice_, (left, top) in zip(rows.image, whole, rows.corner.tolist(), strict=True):
            assert torch.equal(part, slice_[:, top : top + 96, left : left + 96])
        batch = loop.batch()
        assert batch.image.shape == (4, 1, 48, 48)
        seen |= set(batch.target.unique().tolist())
        if (shown := (batch.target == 1)[:, None]).any():  # labels lie where the image does
            assert batch.image[shown].mean() > batch.image[~shown].mean() + 0.2
    assert seen == {0, 1, IGNORE}


def test_windows_say_where_on_the_canvas_they_lie(corpus: Corpus) -> None:
    loop = loop_of(corpus, Scribble2Label())
    batch = loop.batch()
    canvas = loop.slices.target[batch.index]
    for k in range(4):
        rows, columns = torch.nonzero(batch.target[k] == 1, as_tuple=True)
        place = torch.stack(((2 * columns + 1) / 48 - 1, (2 * rows + 1) / 48 - 1, torch.ones(len(rows))))
        column, row = ((batch.affine[k] @ place + 1) / 2 * 400).long().clamp(0, 399)
        assert (canvas[k][row, column] == 1).float().mean() > 0.9 or not len(rows)


def test_windows_show_all_that_the_canvas_does(corpus: Corpus) -> None:
    loop = loop_of(corpus, PCE(), schedule=replace(SCHEDULE, augment=replace(SCHEDULE.augment, intensity=0.0)))
    for step in range(12):
        loop.step = step
        batch = loop.batch()
        place = torch.nn.functional.affine_grid(batch.affine, [4, 1, 48, 48], align_corners=False)
        on_canvas = (place.abs() < 1 - 2 / 400).all(3)  # all pixels that are interpolated
        assert (batch.image[:, 0][on_canvas] > 0).all()


def test_streamed_slices_give_the_same_parts(corpus: Corpus) -> None:
    held, streamed = (loop_of(corpus, PCE(), memory) for memory in (1.0, 0.0))
    assert streamed.slices.mapping is not None
    for one, other in zip(held._rows(), streamed._rows(), strict=True):
        assert torch.equal(one, other)


def test_parts_lie_on_the_canvas_and_stray() -> None:
    about = torch.full((500, 2, 2), 399)
    corner, middle = corners(about, canvas=400, side=96, stray=0.5, key=(0,))
    assert corner.min() >= 0
    assert corner.max() == 400 - 96
    assert 0.4 < (middle != 399).any(1).float().mean() < 0.6


def test_a_run_says_how_far_slices_are_shrunk(corpus: Corpus, capsys: pytest.CaptureFixture[str]) -> None:
    for size, told in ((100, "100 × 100"), (400, "")):
        schedule = replace(SCHEDULE, size=size, steps=1)
        run = begin(corpus.root, corpus.root.parent / f"run{size}", method=PCE(), schedule=schedule, device="cpu")
        assert fit(run, device="cpu")
        shown = [line for line in capsys.readouterr().err.splitlines() if "slices are shrunk" in line]
        assert len(shown) == bool(told)
        assert all(told in line and "4.0 of the image's" in line and "up to 400" in line for line in shown)
