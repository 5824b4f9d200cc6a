"""Dice against minutes of annotation: ``python benchmarks/annotation.py results/acdc-labels results/annotation``.

Prints a table and draws ``annotation.png``. Minutes are what the annotation of the training slices costs at the prices
below. ``learnt.csv`` in the folder says how many slices a run learnt from, and how many of them are dense.
"""

import csv
import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Annotated

import tyro
from matplotlib.figure import Figure
from tyro.conf import Positional, arg

from maskmixadv.errors import InputError, report

STROKES_SECONDS = 20.0
"""To draw strokes in a slice: nine slices took three minutes in this project's studio."""
DENSE_SECONDS = 63.0
"""To outline both ventricles in a slice: 20 minutes a subject of two phases (Bai et al., J Cardiovasc Magn Reson 2018),
and an ACDC patient has 19 slices."""
CURVES = {
    "curve": "walk-teacher: strokes everywhere, some patients dense",
    "rival": "pCE + Dice: the same annotation",
    "dense-alone": "full supervision: dense patients alone",
}
"""What the figure shows, by the beginning of the runs' names."""


@dataclass(frozen=True)
class Point:
    """Runs of one name over the folds.

    Attributes
    ----------
    minutes
        Of annotation: mean over the folds.
    dice
        Mean over a fold's volumes and classes, by fold.
    """

    minutes: float
    dice: dict[int, float]

    @property
    def mean(self) -> float:
        """Mean over the folds."""
        return fmean(self.dice.values())


def mean_dice(scores: Path) -> float:
    """Mean over all volumes and classes that have one."""
    with scores.open() as file:
        return fmean(float(row["dice"]) for row in csv.DictReader(file) if row["dice"] not in ("", "nan"))


def minutes(run: str, slices: int, dense: int) -> float:
    """What the annotation of a run's training slices costs."""
    if run.startswith(("dense-alone", "all-dense", "supervised")):
        return slices * DENSE_SECONDS / 60
    return (slices * STROKES_SECONDS + dense * DENSE_SECONDS) / 60


def points(root: Path) -> dict[str, Point]:
    """All runs in a folder, by name without the fold."""
    spent: dict[str, list[float]] = defaultdict(list)
    dice: dict[str, dict[int, float]] = defaultdict(dict)
    with (root / "learnt.csv").open() as file:
        for row in csv.DictReader(file):
            name, fold = row["run"].rsplit("-fold", 1)
            spent[name].append(minutes(name, int(row["slices"]), int(row["dense"])))
            dice[name][int(fold)] = mean_dice(root / row["run"] / "scores.csv")
    return {name: Point(fmean(spent[name]), dice[name]) for name in dice}


def curve(found: dict[str, Point], kind: str) -> list[tuple[str, Point]]:
    """The points of one curve that have all folds, cheapest first."""
    most = max(len(point.dice) for point in found.values())
    mine = [(name, found[name]) for name in found if re.fullmatch(rf"{kind}-\d+", name)]
    return sorted((each for each in mine if len(each[1].dice) == most), key=lambda each: each[1].minutes)


def table(found: dict[str, Point]) -> str:
    """A Markdown table of all runs, cheapest annotation first."""
    lines = ["| runs | minutes of annotation | Dice by fold | mean |", "|---|---|---|---|"]
    for name, point in sorted(found.items(), key=lambda each: (each[1].minutes, each[0])):
        folds = ", ".join(f"{fold}: {point.dice[fold]:.3f}" for fold in sorted(point.dice))
        lines.append(f"| {name} | {point.minutes:.0f} | {folds} | {point.mean:.3f} |")
    return "\n".join(lines)


def figure(found: dict[str, Point]) -> Figure:
    """The curves: means over the folds."""
    made = Figure(figsize=(7.0, 4.2), layout="constrained")
    axes = made.subplots()
    for kind, label in CURVES.items():
        of = curve(found, kind)
        if not of:
            continue
        (line,) = axes.plot([p.minutes for _, p in of], [p.mean for _, p in of], "o-", label=label, linewidth=1.8)
        for name, point in of:
            shift = (0, 8) if kind == "curve" else (0, -14)
            said = name.rsplit("-", 1)[1]
            axes.annotate(
                said, (point.minutes, point.mean), xytext=shift, textcoords="offset points", ha="center",
                fontsize=8, color=line.get_color(),
            )  # fmt: skip
    axes.set_xlabel("minutes of annotation (numbers: dense patients)")
    axes.set_ylabel("mean Dice on test patients, folds 1 to 3")
    axes.grid(alpha=0.3)
    axes.margins(y=0.12)
    made.legend(frameon=False, fontsize=8, loc="outside upper center")
    axes.spines[["top", "right"]].set_visible(False)
    return made


def spread(found: dict[str, Point]) -> str:
    """By how much folds differ in what a dense patient more is worth, in one line."""
    of = curve(found, "curve")
    gains = [of[-1][1].dice[fold] - of[0][1].dice[fold] for fold in of[0][1].dice]
    return f"{of[0][0]} to {of[-1][0]}: Dice {fmean(gains):+.3f} (standard deviation over folds {stdev(gains):.3f})"


@dataclass(frozen=True)
class Options:
    """Print and draw Dice against minutes of annotation.

    Attributes
    ----------
    root
        Folder with learnt.csv, and with a folder for each run, named NAME-foldN, that holds its scores.csv.
    out
        File of the figure; it becomes a PNG.
    """

    root: Annotated[Positional[Path], arg(metavar="RESULTS")]
    out: Annotated[Positional[Path], arg(metavar="FIGURE")]


def main(options: Options) -> None:
    """Print the table, and draw the figure."""
    if not (options.root / "learnt.csv").is_file():
        raise InputError(f"{options.root}: has no learnt.csv, which says how many slices each run learnt from")
    found = points(options.root)
    print(table(found))
    print(f"\n{spread(found)}")
    figure(found).savefig(options.out.with_suffix(".png"), dpi=160)


if __name__ == "__main__":
    try:
        main(tyro.cli(Options))
    except InputError as error:
        sys.exit(report(error))
