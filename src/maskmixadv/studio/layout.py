"""The folder that the studio serves: where things lie, and which files count; names never come from a request."""

import os
from dataclasses import dataclass
from pathlib import Path

from maskmixadv.data import formats
from maskmixadv.errors import InputError
from maskmixadv.files import make_directory
from maskmixadv.studio.refusals import MissingError


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
        layout.check(layout.masks)
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
        if not path.resolve().is_relative_to(self.root):
            raise InputError(f"{path}: is a link out of {self.root}, allowed are files inside")
        return path

    def listing(self) -> tuple[dict[str, Path], list[str]]:
        """Images by case, in the order of their names, and a line for each file that can't be one."""
        found: dict[str, Path] = {}
        problems: list[str] = []
        for path in sorted(_files(self.images)):
            name = case_of(path.name)
            if not name:
                problems.append(f"{path.name}: not an image, allowed are {', '.join(formats.SUFFIXES)}")
            elif not path.resolve().is_relative_to(self.root):
                problems.append(f"{path.name}: is a link out of the folder, which is not followed")
            elif name in found:
                problems.append(f"{path.name}: case {name!r} is {found[name].name} already; rename one of them")
            else:
                found[name] = path
        return found, problems

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
        begun = map(latest, (self.runs, self.predictions, self.state))
        return f"{max((int(run) for run in begun if run), default=0) + 1:03d}"


def latest(folder: Path) -> str | None:
    """Name of the last run that has something in `folder`."""
    return max((path.name for path in folder.iterdir() if path.name.isdecimal()), key=int, default=None)


def case_of(file: str) -> str:
    """Name of the case that an image file shows: the file's without its suffix; empty where it is no image."""
    try:
        return formats.stem(Path(file))
    except InputError:
        return ""


def _files(folder: Path) -> list[Path]:
    """Files that are images, or were to be: what belongs to one (a .mhd's .raw) and hidden ones are neither."""
    with os.scandir(folder) as entries:
        shown = [entry for entry in entries if not entry.name.startswith(".") and entry.is_file()]
        return [Path(entry.path) for entry in shown if Path(entry.name).suffix.lower() not in formats.BESIDE]
