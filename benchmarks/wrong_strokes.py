"""How wrong people's strokes are: ``python benchmarks/wrong_strokes.py MEDSCRIBBLE``.

Compares the strokes of two people with dense masks, in each task of MedScribble (Wong et al., ScribblePrompt, ECCV
2024): the share of the strokes' pixels that lie in the other class, how far beyond the border these lie, and how they
lie along the strokes. A run is a connected part of a stroke that lies beyond the border. ``annotate --errors`` draws
such runs. Appends a line to ``records/wrong-strokes.jsonl``.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import nibabel as nib
import numpy as np
import scipy
import skimage
import torch
import tyro
from jaxtyping import UInt8
from tyro.conf import Positional, arg

import record
from maskmixadv.errors import InputError
from maskmixadv.strokes.draw import pieces_of

CLASSES: Final = ("background", "structure")
PEOPLE: Final = ("scribbles_0", "scribbles_1")
VESSELS: Final = ("OCTA500", "STARE")
"""Tasks whose structures are narrower than the strokes: a stroke on them can't be right."""

Plane = UInt8[np.ndarray, "h w"]


@dataclass(frozen=True)
class Options:
    """Count the wrong pixels in the strokes of MedScribble's people, and how far off and how long they are.

    Attributes
    ----------
    root
        Folder with a folder for each task, which has masks, scribbles_0 and scribbles_1 as NIfTI files:
        0 background, 1 structure, 2 nothing drawn.
    """

    root: Annotated[Positional[Path], arg(metavar="MEDSCRIBBLE")]


@dataclass
class Found:
    """What was found in some strokes of one class.

    Attributes
    ----------
    drawn, wrong
        Number of the strokes' pixels, and of those in the other class.
    distances
        Of each wrong pixel to the nearest pixel of the stroke's own class, in pixels.
    runs
        Size of each run in pixels.
    lengths
        Length of each run along its stroke in pixels: its size over the stroke's width.
    """

    drawn: int = 0
    wrong: int = 0
    distances: list[float] = field(default_factory=list)
    runs: list[int] = field(default_factory=list)
    lengths: list[float] = field(default_factory=list)

    def add(self, stroke: np.ndarray, own: np.ndarray) -> None:
        """Count the strokes of one image; `own` is where their class truly is."""
        wrong = stroke & ~own
        self.drawn += int(stroke.sum())
        self.wrong += int(wrong.sum())
        if not wrong.any():
            return
        self.distances += scipy.ndimage.distance_transform_edt(~own)[wrong].tolist()
        width = stroke.sum() / max(1, skimage.morphology.skeletonize(stroke).sum())
        sizes = np.bincount(pieces_of(wrong).ravel())[1:]
        self.runs += sizes.tolist()
        self.lengths += (sizes / width).tolist()

    def figures(self) -> dict[str, Any]:
        """Return the figures; a median where nothing is wrong is None."""
        of = {"pixels": self.drawn, "wrong": self.wrong / max(1, self.drawn), "runs": len(self.runs)}
        if not self.wrong:
            return {**of, **dict.fromkeys(("in_runs", "distance", "distance_90", "length", "length_mean"))}
        sizes = np.array(self.runs)
        return {
            **of,
            "in_runs": float(sizes[sizes >= 3].sum() / self.wrong),
            "distance": float(np.median(self.distances)),
            "distance_90": float(np.percentile(self.distances, 90)),
            # Where a wrong pixel lies counts, so that the many runs of one pixel do not hide the long ones.
            "length": float(np.median(np.repeat(self.lengths, sizes))),
            "length_mean": float(np.mean(self.lengths)),
        }


def strokes_of(task: Path) -> Iterator[tuple[Plane, Plane]]:
    """Yield mask and strokes of each image and person."""
    for path in sorted((task / "masks").iterdir()):
        for person in PEOPLE:
            yield _plane(path), _plane(task / person / path.name)


def _plane(path: Path) -> Plane:
    return np.asarray(nib.Nifti1Image.from_filename(path).dataobj).squeeze().astype(np.uint8)


def main(options: Options) -> None:
    """Measure, print, append the record."""
    tasks = (
        sorted(path for path in options.root.iterdir() if (path / "masks").is_dir()) if options.root.is_dir() else []
    )
    if not tasks:
        raise InputError(f"{options.root}: no folder with masks/ in it; allowed is MedScribble's")
    found: dict[str, dict[str, Found]] = {}
    for task in tasks:
        rows = [task.name, "vessels" if task.name in VESSELS else "organs"]
        for mask, strokes in strokes_of(task):
            for row in rows:
                for code, name in enumerate(CLASSES):
                    found.setdefault(row, {}).setdefault(name, Found()).add(strokes == code, mask == code)
    print(
        "| task | class | wrong | of these in runs of 3 pixels or more | pixels beyond the border: median, 90 % |",
        end="",
    )
    print(" run along the stroke: median pixel's, mean |\n|---|---|---|---|---|---|")
    figures = {row: {name: of.figures() for name, of in classes.items()} for row, classes in found.items()}
    for row, classes in sorted(figures.items(), key=lambda item: item[0] in ("organs", "vessels")):
        for name, of in classes.items():
            print(f"| {row} | {name} | {of['wrong']:.2%} | {_told(of)} |")
    rounded = {
        row: {name: {key: _short(value) for key, value in of.items()} for name, of in classes.items()}
        for row, classes in figures.items()
    }
    record.append("wrong-strokes", rounded, torch.device("cpu"))


def _told(of: dict[str, Any]) -> str:
    if of["distance"] is None:
        return "– | – | –"
    reach = f"{of['distance']:.1f}, {of['distance_90']:.1f}"
    return f"{of['in_runs']:.0%} | {reach} | {of['length']:.1f}, {of['length_mean']:.1f}"


def _short(value: float | None) -> float | None:
    return round(value, 5) if isinstance(value, float) else value


if __name__ == "__main__":
    try:
        main(tyro.cli(Options))
    except InputError as error:
        sys.exit(f"wrong_strokes: {error}")
