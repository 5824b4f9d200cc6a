"""Print a Markdown table of the evaluations in a folder: ``python benchmarks/table.py results/acdc-fold1``."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import Positional, arg

from maskmixadv.errors import InputError, report
from maskmixadv.runs.course import read_course


def row(folder: Path) -> str:
    """One evaluation: Dice of each class and their mean, distances in mm, minutes of training."""
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    dice = [f"{result['dice']['mean']:.3f}" for result in (*summary["classes"].values(), summary["mean"])]
    mean = summary["mean"]
    undefined = sum(len(result["hd95"]["undefined"]) for result in summary["classes"].values())
    volumes = " / ".join(f"{result['volume_ratio']:.2f}" for result in summary["classes"].values())
    cells = [
        folder.name,
        *dice[:-1],
        f"**{dice[-1]}** ± {mean['dice']['std']:.3f}",
        f"{mean['hd95']['mean']:.1f}",
        f"{mean['assd']['mean']:.1f}",
        str(undefined),
        volumes,
        f"{minutes(folder / 'log.csv'):.1f}",
        summary["provenance"]["commit"],
    ]
    return f"| {' | '.join(cells)} |"


def minutes(log: Path) -> float:
    """Training and validation time of a run."""
    return max(row.seconds for row in read_course(log)) / 60


@dataclass(frozen=True)
class Options:
    """Print a Markdown table of the evaluations in a folder.

    Attributes
    ----------
    root
        Folder with a folder for each evaluation.
    """

    root: Annotated[Positional[Path], arg(metavar="RESULTS")]


def main(options: Options) -> None:
    """Print the table of all evaluations in the folder."""
    folders = sorted(path.parent for path in options.root.glob("*/summary.json"))
    if not folders:
        raise InputError(f"{options.root}: holds no evaluation (no folder with a summary.json)")
    classes = list(json.loads((folders[0] / "summary.json").read_text())["classes"])
    header = ["run", *classes, "mean Dice", "HD95", "ASSD", "no distance", "volume ratio", "minutes", "commit"]
    print(f"| {' | '.join(header)} |\n|{'---|' * len(header)}")
    for folder in folders:
        print(row(folder))


if __name__ == "__main__":
    try:
        main(tyro.cli(Options))
    except InputError as error:
        sys.exit(report(error))
