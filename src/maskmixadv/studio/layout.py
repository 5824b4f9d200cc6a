"""The folder that the studio serves: where things lie, and which files count; names never come from a request."""

import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from maskmixadv.errors import InputError
from maskmixadv.files import LOCK, make_directory, sweep
from maskmixadv.formats import image_files
from maskmixadv.studio.refusals import MissingError

RUN: Final = re.compile(r"[0-9]{3,9}")
"""A run's number."""


@dataclass(frozen=True)
class Layout:
    """A folder of images and what people and runs add to it.

    Attributes
    ----------
    root
        The folder; absolute, without links.
    """

    root: Path

    @classmethod
    def open(cls, root: Path) -> "Layout":
        """Open folder `root`, which is made where it is missing.

        Raises
        ------
        InputError
            Where it can't be made, or a folder in it is a link out of it.
        """
        make_directory(root)
        layout = cls(root.resolve())
        for folder in (layout.images, layout.scribbles, layout.state, layout.runs, layout.predictions, layout.export):
            layout.check(folder)
            make_directory(folder)
        for part in (layout.masks, layout.root / ".corpus", layout.state / LOCK):
            layout.check(part)
        for notes in _runs(layout.state):
            if not notes.is_symlink():
                sweep(notes)
        return layout

    @property
    def images(self) -> Path:
        """The user's images, which are never changed."""
        return self.root / "images"

    @property
    def scribbles(self) -> Path:
        """Strokes, one NIfTI file a case."""
        return self.root / "scribbles"

    @property
    def runs(self) -> Path:
        """What was trained, numbered from 001."""
        return self.root / "runs"

    @property
    def predictions(self) -> Path:
        """What runs made of the images, by the runs' numbers."""
        return self.root / "predictions"

    @property
    def export(self) -> Path:
        """What was taken out."""
        return self.root / "export"

    @property
    def masks(self) -> Path:
        """Dense masks, for validation; there may be none."""
        return self.root / "masks"

    @property
    def state(self) -> Path:
        """The studio's own notes on images and trainings."""
        return self.root / ".studio"

    def check(self, path: Path) -> Path:
        """Return `path`, whose links, if it is one, stay in the folder.

        Raises
        ------
        InputError
            Where they leave it.
        """
        if not self._holds(path):
            raise InputError(f"{path}: is a link out of {self.root}, allowed are files inside")
        return path

    def _holds(self, path: Path) -> bool:
        """Whether it lies in the folder once links are followed; what goes round in circles leads nowhere else."""
        return Path(os.path.realpath(path)).is_relative_to(self.root)

    def listing(self, part: Path | None = None) -> tuple[dict[str, Path], list[str]]:
        """Files of folder `part` by case, in the order of their names, and a line for each one that can't be one.

        Parameters
        ----------
        part
            ``images/``, which it is by default, ``scribbles/`` or ``masks/``; there may be none.
        """
        found: dict[str, Path] = {}
        problems: list[str] = []
        for path in sorted(_shown(part or self.images)):
            name = case_of(path.name)
            wrong = self._wrong(path, name)
            if wrong is None and name in found:
                wrong = f"case {name!r} is {found[name].name} already; rename one of them"
            if wrong is None:
                found[name] = path
            else:
                problems.append(f"{printable(str(path.relative_to(self.root)))}: {wrong}")
        return found, problems

    def find(self, part: Path, case: str) -> Path | None:
        """File of `case` in folder `part`, or None.

        Raises
        ------
        InputError
            Where what has this name there can't be read, and must not be written over.
        """
        for path in sorted(path for path in _shown(part) if case_of(path.name) == case):
            wrong = self._wrong(path, case)
            if wrong is not None:
                raise InputError(f"{path.relative_to(self.root)}: {wrong}")
            return path
        return None

    def _wrong(self, path: Path, name: str) -> str | None:
        """Why `path`, of case `name`, can't be a file of images or codes."""
        if printable(path.name) != path.name:
            return "has a name with signs that can't be shown; rename it"
        if not self._holds(path):
            return "is a link out of the folder, which is not followed"
        if not path.is_file():
            return "is no file, allowed are images in one file each"
        return None if name else f"not an image, allowed are {', '.join(image_files.SUFFIXES)}"

    def image(self, case: str) -> Path:
        """Image of `case`, looked up in the listing.

        Raises
        ------
        MissingError
            Where there is none.
        """
        path = self.listing()[0].get(case)
        if path is None:
            raise MissingError("no such case")
        return path

    def next_run(self) -> str:
        """Name of a run that is about to begin: one more than all that ever began here."""
        begun = [path.name for part in (self.runs, self.predictions, self.state) for path in _runs(part)]
        return f"{max(map(int, begun), default=0) + 1:03d}"


def latest(folder: Path) -> str | None:
    """Name of the last run that has something in `folder`; a link to elsewhere is none."""
    held = [path.name for path in _runs(folder) if not path.is_symlink() and path.is_dir() and any(path.iterdir())]
    return max(held, key=int, default=None)


def _runs(folder: Path) -> list[Path]:
    """What lies in `folder` under a run's number."""
    return [path for path in folder.iterdir() if RUN.fullmatch(path.name)]


def printable(text: str) -> str:
    """Text in one line that any page can show: what is no sign of UTF-8, or steers a terminal, is escaped."""
    return "".join(ascii(sign)[1:-1] if unicodedata.category(sign) in ("Cc", "Cs") else sign for sign in text)


def case_of(file: str) -> str:
    """Name of the case that an image file shows: the file's without its suffix; empty where it is no image."""
    try:
        return image_files.stem(Path(file))
    except InputError:
        return ""


def _shown(folder: Path) -> list[Path]:
    """What is, or was to be, an image: what belongs to one (a .mhd's .raw) and what is hidden are neither."""
    inside = folder.iterdir() if folder.is_dir() else ()
    return [path for path in inside if path.name[0] != "." and path.suffix.lower() not in image_files.BESIDE]
