"""Classes with their colours: ``classes.toml``, which the command line also reads."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
from jaxtyping import Shaped

from maskmixadv.corpus.channels import records
from maskmixadv.errors import InputError
from maskmixadv.files import read_toml, write_text
from maskmixadv.formats import image_files
from maskmixadv.formats.details.class_colours import colour_of
from maskmixadv.sources import classes, labels, segments, tables
from maskmixadv.sources.classes import Classes
from maskmixadv.spelling import folded
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.memory import within_memory
from maskmixadv.studio.refusals import RecodedError, RequestError
from maskmixadv.types import IGNORE

CLASS_LIMIT: Final = 32
"""The most classes that the studio takes."""
COLOUR: Final = re.compile(r"#[0-9a-fA-F]{6}")


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
    codes: tuple[int | None, ...] | None = None
    """Each class's code in files; None: its place."""
    stated: bool = True
    """Whether ``classes.toml`` says the code of a pixel without label (`maskmixadv.sources.classes.Classes`)."""
    removed: frozenset[int] = frozenset()
    """Codes of classes that were removed, which no other class gets: a page that was not loaded since knows them."""

    @property
    def coded(self) -> Classes:
        """The same as the command line has it."""
        return Classes(tuple(each.name for each in self.classes), self.ignore, self.codes, self.stated)

    @property
    def coding(self) -> str:
        """What labels of a page mean: the classes' codes in their order. New classes come after those that stay."""
        return ",".join(map(str, self.codes or range(len(self.classes))))

    def check_coding(self, known: str | None) -> None:
        """Refuse labels of a page that knew the classes by `known` (`coding`), unless all of these are as they were.

        None refuses nothing.

        Raises
        ------
        RecodedError
            If a class was removed since: labels of the others would be taken for those of other classes.
        """
        if known is not None and not f"{self.coding},".startswith(f"{known},"):
            raise RecodedError("classes: one was removed on another page since; load this page again")

    @property
    def rejected(self) -> int:
        """Code of a rejected slice in an export, whose other codes are class indices."""
        return self.ignore if self.ignore >= len(self.classes) else IGNORE

    def of(self, named: Sequence[PaletteClass], was: Sequence[int | None] | None = None) -> "Palette":
        """Return the palette with classes `named`; those that stay keep their codes, new ones get codes that are free.

        Parameters
        ----------
        was
            The place that each class had, in order; None for a new class. None instead of all: the places stay, and
            those after the last one are new.

        Raises
        ------
        RequestError
            If `was` is no choice of places in their order, background first, or all codes were given.
        """
        count = len(self.classes)
        was = [place if place < count else None for place in range(len(named))] if was is None else was
        kept = [place for place in was if place is not None]
        if len(was) != len(named) or kept[:1] != [0] or kept != sorted({*kept} & {*range(count)}):
            raise RequestError(f"classes: were {kept}, allowed are places from 0 to {count - 1} in order")
        before = self.codes or tuple(range(count))
        codes: list[int | None] = [before[place] for place in kept]
        gone = self.removed | {code for code in before if code is not None and code not in codes}
        new = replace(self, classes=tuple(named), removed=gone)
        places = range(len(named))
        if self.codes is None and codes == [*range(len(codes))] and gone.isdisjoint(places):
            return new
        while len(codes) < len(named):
            codes.append(_free(codes, {self.ignore, *gone}))
        return replace(new, codes=tuple(codes))

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
        if len({folded(each.name) for each in self.classes}) < len(self.classes):
            raise RequestError("classes: two have one name, names must be unique")

    def write(self, path: Path) -> None:
        """Write ``classes.toml``, whole or not at all; what it says of the images' channels stays.

        Raises
        ------
        RequestError
            If it could not be read again, as of a class that has a name with another meaning; nothing is written then.
        InputError
            If it can't be written, or is malformed.
        """
        tables = [
            f"[[class]]\nname = {_quoted(each.name)}\ncolour = {_quoted(each.colour)}\n"
            + ("" if self.codes is None else f"code = {self.codes[place]}\n")
            for place, each in enumerate(self.classes)
        ]
        channels = [_table("channel", each) for each in records(classes.channels(path))]
        usual = 1 + max(code for code in self.codes or range(len(self.classes)) if code is not None)
        told = [f"ignore = {self.ignore}  # code of a pixel without a stroke\n"] * (self.stated or self.ignore != usual)
        gone = [f"removed = {sorted(self.removed)}  # codes of former classes; no other class gets them\n"]
        text = "\n".join([*told, *(gone if self.removed else ()), *tables, *channels])
        _must_be_readable(text)
        write_text(path, text)


def _must_be_readable(text: str) -> None:
    """Refuse the text of a ``classes.toml`` that its reader refuses: with it, the folder could not be opened again."""
    with TemporaryDirectory() as place:
        path = Path(place, classes.FILE)
        path.write_text(text, encoding="utf-8")
        try:
            classes.read(path)
        except InputError as error:
            raise RequestError(str(error).replace(str(path), "classes")) from None


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
    declared = classes.read(path)
    tables.must_agree(declared, _tables(layout))
    found = _in_bytes(path, declared)
    colours = [table.get("colour", "") for table in read_toml(path)["class"]]
    given = zip(found.names, colours, strict=True)
    palette = Palette(
        tuple(
            PaletteClass(name, colour if isinstance(colour, str) and COLOUR.fullmatch(colour) else colour_of(code))
            for code, (name, colour) in enumerate(given)
        ),
        IGNORE if found.ignore is None else found.ignore,
        found.codes,
        declared.stated,
        classes.removed(path) - set(found.codes or range(len(found.names))),
    )
    if found != declared:
        palette.write(path)
    return palette


def _in_bytes(path: Path, found: Classes) -> Classes:
    """Return classes with a code for everything that the studio writes, 0 to 255, beside those that the files have."""
    codes, ignore = found.codes or tuple(range(len(found.names))), found.ignore
    if codes[0] is None:
        codes = (_free(codes, {ignore}), *codes[1:])
    if ignore is None or ignore > IGNORE:  # no code was said, and none is free above those of the classes
        ignore = _free(codes, ())
    if large := [code for code in (*codes, ignore) if code is not None and not 0 <= code <= IGNORE]:
        raise InputError(
            f"{path}: code {large[0]}, allowed in the studio are 0 to {IGNORE}; 'maskmixadv train' takes these files"
        )
    return (
        found
        if (codes, ignore) == (found.codes, found.ignore)
        else classes.coded(found.names, codes, ignore, str(path))
    )


def _free(codes: Sequence[int | None], taken: Collection[int | None]) -> int:
    """Return a code that is neither a class's nor otherwise `taken`."""
    free = (code for code in range(len(codes), IGNORE) if code not in codes and code not in taken)
    if (found := next(free, None)) is None:
        raise RequestError(f"classes: no code is left; those of classes that were removed are listed in {classes.FILE}")
    return found


def _guessed(layout: Layout) -> Palette:
    scribbles, masks = _labels(layout, layout.scribbles), _labels(layout, layout.masks)
    if not scribbles and not masks:
        return _coloured(("background", "structure"), IGNORE)
    files = [path for folder in (layout.scribbles, layout.masks) for path in layout.listing(folder).files.values()]
    segments.must_name_none(files, layout.root / classes.FILE)
    guess = classes.guess(scribbles, (codes for _, codes in masks))
    guess = tables.applied(guess, _tables(layout))
    if not scribbles or guess.ignore is None:
        return _coloured(guess.names, IGNORE, guess.codes)
    doubted = any(
        labels.unlike_strokes(guess.indices(codes, dense=False, where=str(path)), guess) for path, codes in scribbles
    )
    return replace(_coloured(guess.names, guess.ignore, guess.codes), stated=not doubted)


def _tables(layout: Layout) -> list[tables.Table]:
    return tables.find([layout.root, layout.scribbles, layout.masks])


def _labels(layout: Layout, folder: Path) -> list[tuple[Path, Shaped[np.ndarray, "_ _ _"]]]:
    """Read the files of `folder` with their codes, without those that can't be read."""
    found = []
    for path in layout.listing(folder).files.values():
        with suppress(InputError), within_memory(path):
            found.append((path, image_files.read_labels(path).array))
    return found


def _coloured(names: Sequence[str], ignore: int, codes: tuple[int | None, ...] | None = None) -> Palette:
    return Palette(tuple(PaletteClass(name, colour_of(code)) for code, name in enumerate(names)), ignore, codes)


def _table(name: str, values: Mapping[str, str | float]) -> str:
    lines = [f"{key} = {_quoted(value) if isinstance(value, str) else value}\n" for key, value in values.items()]
    return "".join([f"[[{name}]]\n", *lines])


def _quoted(text: str) -> str:
    """Return printable text as a TOML string, which has the same escapes as JSON."""
    return json.dumps(text, ensure_ascii=False)
