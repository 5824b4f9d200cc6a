"""Words that all modules share and that cost no torch: codes of labels, spacing, what is learnt from."""

import os
from typing import Final, Literal

IGNORE: Final = 255
"""Label of a pixel of which nothing is known."""
Spacing = tuple[float, float, float]
"""Millimetres between voxels along d, h, w."""
PathLike = str | os.PathLike[str]
"""A file or directory: text, a `pathlib.Path`, or an open corpus or run, which stand for their directories."""
Part = Literal["train", "val", "test"]
"""Of a fold's patients."""

Supervision = Literal["scribble", "random_walker", "dense"]
"""Which annotation a method learns from; ``random_walker`` is what a walker makes of the scribbles."""
DRAWN: dict[Supervision, Literal["scribble", "dense"]] = {
    "scribble": "scribble",
    "random_walker": "scribble",
    "dense": "dense",
}
"""What people have to draw for it."""
