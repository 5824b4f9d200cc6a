"""Classes with their colours: ``classes.toml``, which the command line also reads."""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Shaped

from maskmixadv.errors import InputError
from maskmixadv.files import read_toml, write_text
from maskmixadv.formats import image_files
from maskmixadv.sources import classes
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.memory import within_memory
from maskmixadv.studio.refusals import RequestError
from maskmixadv.types import IGNORE

CLASS_LIMIT: Final = 32
"""The most classes that the studio takes."""
COLOUR: Final = re.compile(r"#[0-9a-fA-F]{6}")
COLOURS: Final = ("#8b95a5", "#4aa8ff", "#ffb02e", "#ff5d73", "#3ecf8e", "#b58cff", "#ff8ad8", "#d4d96b")
"""Colours of the background and of the structures; more structures begin again at the second colour."""


@dataclass(frozen=True)
class PaletteClass:
    """A class of the palette."""

    name: str
    colour: str


@dataclass(frozen=True)
class Palette:
    """The classes in the order of their codes, background first, and the code of a pixel without label."""

    classes: tuple[PaletteClass, ...]
    ignore: int = IGNORE

    def check(self) -> None:
        """Refuse classes that are not allowed.

        Raises
        ------
        RequestError
            If a name or a colour is malformed, two names are the same, or there are too few or too many classes.
        """
        if not 2 <= len(self.classes) <= CLASS_LIMIT:
            raise RequestError(
                f"classes: {len(self.classes)}, allowed are 2 (background, a structure) to {CLASS_LIMIT}"
            )
        for each in self.classes:
            if not (each.name.isprintable() and 1 <= len(each.name.strip()) == len(each.name) <= 40):
                raise RequestError(f"class {each.name[:40]!r}: allowed is a name of 1 to 40 characters")
            if not COLOUR.fullmatch(each.colour):
                raise RequestError(f"colour {each.colour[:20]!r}: allowed is one such as #4aa8ff")
        if len({each.name.casefold() for each in self.classes}) < len(self.classes):
            raise RequestError("classes: two have one name, names must be unique")

    def write(self, path: Path) -> None:
        """Write ``classes.toml``, whole or not at all."""
        tables = [f"[[class]]\nname = {_quoted(each.name)}\ncolour = {_quoted(each.colour)}\n" for each in self.classes]
        write_text(path, "\n".join([f"ignore = {self.ignore}  # code of a pixel without a stroke\n", *tables]))


def read(layout: Layout) -> Palette:
    """Read the folder's classes. If ``classes.toml`` is missing, it is written with classes guessed from the codes.

    Raises
    ------
    InputError
        If the file is malformed, or the classes can't be guessed.
    """
    path = layout.check(layout.root / classes.FILE)
    if not path.is_file():
        _guessed(layout).write(path)
    found = classes.read(path)
    colours = [table.get("colour", "") for table in read_toml(path)["class"]]
    given = zip(found.names, colours, strict=True)
    return Palette(
        tuple(
            PaletteClass(name, colour if isinstance(colour, str) and COLOUR.fullmatch(colour) else colour_of(code))
            for code, (name, colour) in enumerate(given)
        ),
        IGNORE if found.ignore is None else found.ignore,
    )


def colour_of(code: int) -> str:
    """Return the default colour of the class with a code.

    Examples
    --------
    >>> colour_of(1), colour_of(8)
    ('#4aa8ff', '#4aa8ff')
    """
    return COLOURS[code] if code < len(COLOURS) else COLOURS[1 + (code - 1) % (len(COLOURS) - 1)]


def _guessed(layout: Layout) -> Palette:
    scribbles, masks = _labels(layout, layout.scribbles), _labels(layout, layout.masks)
    if not scribbles and not masks:
        return _coloured(("background", "structure"), IGNORE)
    guess = classes.guess(scribbles, (codes for _, codes in masks))
    return _coloured(guess.names, guess.ignore if scribbles and guess.ignore is not None else IGNORE)


def _labels(layout: Layout, folder: Path) -> list[tuple[Path, Shaped[np.ndarray, "_ _ _"]]]:
    """Read the files of `folder` with their codes, without those that can't be read."""
    found = []
    for path in layout.listing(folder).files.values():
        with suppress(InputError), within_memory(path):
            found.append((path, image_files.read_labels(path).array))
    return found


def _coloured(names: Sequence[str], ignore: int) -> Palette:
    return Palette(tuple(PaletteClass(name, colour_of(code)) for code, name in enumerate(names)), ignore)


def _quoted(text: str) -> str:
    """Return printable text as a TOML string, which has the same escapes as JSON."""
    return json.dumps(text, ensure_ascii=False)
