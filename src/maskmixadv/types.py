"""Words that all modules share and that need no torch: label codes, spacing, the network's stride, supervision.

Examples
--------
>>> from maskmixadv.types import DRAWN, IGNORE, STRIDE
>>> IGNORE, STRIDE, DRAWN["random_walker"]
(255, 16, 'scribble')
"""

import os
from typing import Final, Literal

IGNORE: Final = 255
"""Label of a pixel of which nothing is known."""
STRIDE: Final = 16
"""Side in pixels of one cell of the network's coarsest level; the sides of its input are multiples of it."""
Spacing = tuple[float, float, float]
"""Millimetres between voxels along the axes d, h, w."""
PathLike = str | os.PathLike[str]
"""A file or directory: text, a `pathlib.Path`, or an open corpus or run, which stand for their directories."""
Part = Literal["train", "val", "test"]
"""A part of a fold: its training, validation or test patients."""
Annotation = Literal["scribble", "dense"]
"""A kind of annotation that people draw: strokes, or a class for each pixel."""

Supervision = Literal["scribble", "random_walker", "dense"]
"""The annotation that a method learns from; ``random_walker`` means labels that random walks make of the strokes."""
DRAWN: Final[dict[Supervision, Annotation]] = {
    "scribble": "scribble",
    "random_walker": "scribble",
    "dense": "dense",
}
"""The annotation that people have to draw for each kind of supervision."""
