"""What strokes that people drew say by random walks alone: ``python benchmarks/walks.py MEDSCRIBBLE OUT``.

No network learns here: each folder of MedScribble (Wong et al., ScribblePrompt, ECCV 2024) has one to eight images. Its
images and the strokes of each person become a corpus, as ``prepare folder`` makes it. Dice is of the labels of
`maskmixadv.strokes.walker.believe`, which is what `walk-teacher` begins with. Writes ``OUT/scores.csv``, a row an image
and person, and appends a line to ``records/walks.jsonl``.
"""

import csv
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Annotated, NamedTuple

import numpy as np
import torch
import tyro
from tyro.conf import Positional, arg

import record
from beliefs import scored
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.errors import InputError
from maskmixadv.sources import folder
from maskmixadv.strokes.corrections import Corrections
from maskmixadv.strokes.walker import believe
from maskmixadv.types import IGNORE


@dataclass(frozen=True)
class Options:
    """Score what random walks alone make of the strokes of MedScribble's people, task by task.

    Attributes
    ----------
    root
        Folder with a folder for each task. A task has images, masks, classes.toml, and the strokes of each person in a
        folder of its own: scribbles_0, scribbles_1 and so on.
    out
        Folder for scores.csv, which is made.
    odds
        What probabilities of the structure are multiplied by; 1 leaves them as walks have them.
    looks
        Power of how probable a pixel is by its looks, with which walks are multiplied; 0: walks alone.
    evened
        Make up for strokes of other sizes where structures touch, as walk-teacher does.
    """

    root: Annotated[Positional[Path], arg(metavar="MEDSCRIBBLE")]
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    odds: float = 1.0
    looks: float = 0.0
    evened: bool = False


class Scored(NamedTuple):
    """How well an image's structure is found from one person's strokes.

    Attributes
    ----------
    task, person, case
        Names.
    drawn
        Share of the pixels that have a stroke.
    dice
        Of the labels, beside the mask.
    volume
        Predicted over true number of pixels.
    """

    task: str
    person: str
    case: str
    drawn: float
    dice: float
    volume: float


def corpus_of(task: Path, strokes: Path, place: Path) -> Corpus:
    """Make a corpus in `place` of a task's images and masks and one person's strokes."""
    source = place / "source"
    source.mkdir()
    for name, path in {"images": task / "images", "masks": task / "masks", "scribbles": strokes}.items():
        (source / name).symlink_to(path.resolve())
    (source / "classes.toml").symlink_to((task / "classes.toml").resolve())
    return folder.prepare(source, place / "corpus")


def walked(task: Path, strokes: Path, options: Options) -> Iterator[Scored]:
    """Score each image of a task by one person's strokes; classes beside the first structure have no row."""
    corrections = Corrections(options.looks, options.evened)
    with TemporaryDirectory() as place:
        corpus = corpus_of(task, strokes, Path(place))
        weights = np.where(np.arange(len(corpus.classes)) > 0, options.odds, 1.0)[:, None, None]
        for entry in corpus.entries:
            case = corpus.load(entry)
            if case.scribble is None or case.dense is None:
                continue
            said = believe(case, case.scribble, classes=len(corpus.classes), corrections=corrections) / 255 * weights
            (overlap, *_), (volume, *_) = scored(case, said)
            yield Scored(
                task.name, strokes.name.rpartition("_")[2], case.name, float((case.scribble != IGNORE).mean()),
                overlap, volume,
            )  # fmt: skip


def main(options: Options) -> None:
    """Measure, print, write the scores, append the record."""
    tasks = sorted(path.parent for path in options.root.glob("*/classes.toml"))
    if not tasks:
        raise InputError(f"{options.root}: no folder with classes.toml in it; allowed is MedScribble's")
    rows: list[Scored] = []
    for task in tasks:
        for strokes in sorted(task.glob("scribbles_*")):
            with redirect_stdout(sys.stderr):
                rows += walked(task, strokes, options)
    people = sorted({row.person for row in rows})
    print("| task | images | strokes cover |" + "".join(f" person {person} |" for person in people))
    print("|---|---|---|" + "---|" * len(people))
    for name in [*(task.name for task in tasks), None]:
        mine = [row for row in rows if name in (None, row.task)]
        by_person = [fmean(row.dice for row in mine if row.person == person) for person in people]
        shown = " | ".join(f"{value:.3f}" for value in by_person)
        cases = len({(row.task, row.case) for row in mine})
        print(f"| {name or 'all images'} | {cases} | {fmean(row.drawn for row in mine):.1%} | {shown} |")
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "scores.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(Scored._fields)
        table.writerows([*row[:3], *(f"{value:.4f}" for value in row[3:])] for row in rows)
    figures = {f"{task}/{person}": [] for task in sorted({row.task for row in rows}) for person in people}
    for row in rows:
        figures[f"{row.task}/{row.person}"].append(row.dice)
    means = {key: round(fmean(values), 4) for key, values in figures.items()}
    record.append(
        "walks",
        {"dice": means, "odds": options.odds, "looks": options.looks, "evened": options.evened, "images": len(rows)},
        torch.device("cpu"),
    )


if __name__ == "__main__":
    try:
        main(tyro.cli(Options))
    except InputError as error:
        sys.exit(f"walks: {error}")
