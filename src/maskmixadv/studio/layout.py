"""The folder that the studio serves: where its files are, and which of them count. No path comes from a request."""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from threading import local
from typing import Any, Final, NamedTuple, TypeVar

from maskmixadv.errors import InputError, listed
from maskmixadv.files import LOCK, LONGEST_NAME, make_directory, sweep
from maskmixadv.formats import dicom_header, image_files, series
from maskmixadv.inference.outputs import RECORD
from maskmixadv.sources import marks

RUN_NAME: Final = re.compile(r"[0-9]{3,9}")
"""The name of a run: its number."""
PROPOSED: Final = "000"
"""Stands for a run where a person accepted what strokes propose: no training has this number."""
REVIEWS: Final = "studio.json"
"""Name of the file with verdicts and drawing times (`maskmixadv.studio.review.reviews`)."""
LOOKED: Final = marks.NOTES
"""Name of the file with looks, and with what dense slices are for (`maskmixadv.studio.review.looked`)."""

_MODEL: Final = "model-"
"""What the name of an exported model's folder begins with; its run's name follows."""

CHANNELS: Final = 16
"""How many numbers of channels' files are tried, from 0 on, until the first file of an image is found."""
NOBODYS: Final = "no image of this name; call it as its image is called, put the image back, or take it away"
"""What is said of strokes and masks without an image."""


class Listing(NamedTuple):
    """The files of a folder by case, in the order of their names, and a line for each file that can't be used."""

    files: dict[str, Path]
    problems: list[str]


Found = TypeVar("Found")

_Inside = Mapping[str, list[Path]]
"""The files of a folder by case."""


@dataclass(frozen=True)
class Layout:
    """The paths in a folder of images, scribbles, runs and predictions.

    Attributes
    ----------
    root
        Path of the folder; absolute, without links.
    """

    root: Path
    _series: dict[Path, int] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Folders that are series, and when they last changed."""
    _contours: dict[Path, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What is said of contours in folders that are series."""
    _once: local = field(default_factory=local, init=False, repr=False, compare=False)
    """What a thread has listed since it began to look `at_once`."""

    @classmethod
    def open(cls, root: Path) -> "Layout":
        """Open folder `root`, which is made if it is missing.

        Raises
        ------
        InputError
            If it can't be made, or a folder in it is a link that leads out of it.
        """
        make_directory(root)
        layout = cls(root.resolve())
        for folder in (layout.images, layout.scribbles, layout.state, layout.runs, layout.predictions, layout.export):
            layout.check(folder)
            make_directory(folder)
        parts = (layout.masks, layout.corrected, layout.root / ".corpus")
        for part in (*parts, layout.state / LOCK, layout.export / LOCK, layout.export / RECORD):
            layout.check(part)
        for notes in _runs(layout.state):
            if not notes.is_symlink():
                sweep(notes)
        return layout

    @property
    def images(self) -> Path:
        """Folder of the user's images, which are never changed."""
        return self.root / "images"

    @property
    def scribbles(self) -> Path:
        """Folder of strokes, with one NIfTI file for each case."""
        return self.root / "scribbles"

    @property
    def runs(self) -> Path:
        """Folder of runs, numbered from 001."""
        return self.root / "runs"

    @property
    def predictions(self) -> Path:
        """Folder of predictions, with a folder for each run."""
        return self.root / "predictions"

    @property
    def export(self) -> Path:
        """Folder of exports."""
        return self.root / "export"

    @property
    def masks(self) -> Path:
        """Folder of dense masks for validation; it may be missing."""
        return self.root / "masks"

    @property
    def corrected(self) -> Path:
        """Folder of masks that people painted, with one NIfTI file for each case; it may be missing."""
        return self.root / "corrected"

    @property
    def state(self) -> Path:
        """Folder of the studio's own notes on images and trainings."""
        return self.root / ".studio"

    def check(self, path: Path) -> Path:
        """Return `path`, which may be a link inside the folder.

        Raises
        ------
        InputError
            If it leads out of the folder.
        """
        if not self._holds(path):
            raise InputError(f"{path}: is a link out of {self.root}, allowed are files inside")
        return path

    def gone(self) -> str | None:
        """Return a line where the folder itself is not there any more; None where it is."""
        if self.root.is_dir():
            return None
        return f"{self.root.name}: the studio's folder was renamed, or taken away; give it back this name and place"

    def _holds(self, path: Path) -> bool:
        """Whether `path` is in the folder when its links are followed; links in a circle lead nowhere else."""
        if path.is_symlink():
            return Path(os.path.realpath(path)).is_relative_to(self.root)
        return self.once(("holds", path.parent), lambda: self._holds_files_of(path.parent))

    def _holds_files_of(self, folder: Path) -> bool:
        return Path(os.path.realpath(folder)).is_relative_to(self.root)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """List each folder once while the block runs in this thread: who asks for all cases lists them for each one."""
        if hasattr(self._once, "seen"):
            yield
            return
        self._once.seen = dict[Path, _Inside](), dict[Path, Listing](), dict[str, Path | None]()
        self._once.found = dict[Hashable, Any]()
        try:
            yield
        finally:
            del self._once.seen, self._once.found

    def once(self, what: Hashable, find: Callable[[], Found]) -> Found:
        """Return what `find` does; while this thread looks `at_once`, it is found once for all that ask for `what`."""
        if not hasattr(self._once, "seen"):
            return find()
        found: dict[Hashable, Any] = self._once.found
        if what not in found:
            found[what] = find()
        return found[what]

    def listing(self, part: Path | None = None) -> Listing:
        """Return the files of folder `part`.

        Parameters
        ----------
        part
            ``images/`` (the default), ``scribbles/``, ``corrected/`` or ``masks/``; it may be missing.
        """
        if not hasattr(self._once, "seen"):
            return self._listed(part or self.images)
        listed = self._once.seen[1]
        if (folder := part or self.images) not in listed:
            listed[folder] = self._listed(folder)
        return listed[folder]

    def _listed(self, part: Path) -> Listing:
        found: dict[str, Path] = {}
        problems: list[str] = []
        for path in sorted(_shown(part)):
            name = self._case(path)
            wrong = self._wrong(path, name)
            if wrong is None and name in found:
                wrong = f"case {name!r} is {found[name].name} already; rename one of them"
            if wrong is None:
                found[name] = path
                wrong = self._contours.get(path)
            if wrong is not None:
                problems.append(f"{printable(str(path.relative_to(self.root)))}: {wrong}")
        return Listing(found, problems)

    def find(self, part: Path, case: str) -> Path | None:
        """Return the file of `case` in folder `part`, or None.

        Raises
        ------
        InputError
            If something of this name is there that can't be read. It must not be overwritten.
        """
        for path in self._of_case(part, case):
            wrong = self._wrong(path, case)
            if wrong is not None:
                raise InputError(f"{path.relative_to(self.root)}: {wrong}")
            return path
        return None

    def image(self, case: str) -> Path | None:
        """Return the file of an image, the first one if its channels have several; None if there is none.

        Folders are listed, and no image is read.
        """
        if not hasattr(self._once, "seen"):
            return self._image(case)
        images = self._once.seen[2]
        if case not in images:
            images[case] = self._image(case)
        return images[case]

    def _image(self, case: str) -> Path | None:
        inside = self._inside(self.images, case)
        channels = (f"{case}_{number:04d}" for number in range(CHANNELS))  # named only where they are looked for
        found = next((path for name in chain([case], channels) for path in inside.get(name, ())), None)
        return found if found is not None and self._holds(found) else None

    def _of_case(self, part: Path, case: str) -> list[Path]:
        return self._inside(part, case).get(case, [])

    def _inside(self, part: Path, case: str) -> Mapping[str, list[Path]]:
        """Return the files of folder `part` by case: those with names that begin with `case`, or all of them."""
        if not hasattr(self._once, "seen"):
            return self._by_case(path for path in _shown(part) if _plain(path.name).startswith(_plain(case)))
        inside = self._once.seen[0]
        if part not in inside:
            inside[part] = self._by_case(_shown(part))
        return inside[part]

    def _by_case(self, paths: Iterable[Path]) -> Mapping[str, list[Path]]:
        inside = defaultdict[str, list[Path]](list)
        for path in sorted(paths):
            inside[self._case(path)].append(path)
        return inside

    def _case(self, path: Path) -> str:
        """Return the case of a file, or of a folder of a series; empty if it is neither."""
        return path.name if path.parent == self.images and path.is_dir() else case_of(path)

    def _wrong(self, path: Path, name: str) -> str | None:
        """Say why `path`, of case `name`, can't be an image or a mask; None if it can."""
        if printable(path.name) != path.name:
            return "has a name with signs that can't be shown; rename it"
        if long := too_long(name):
            return long
        if not self._holds(path):
            return "is a link out of the folder, which is not followed"
        if path.parent == self.images and path.is_dir():
            return self._wrong_series(path)
        if not path.is_file():
            return "is no file, allowed are images in one file each"
        if not name and dicom_header.KINDS.get(dicom_header.stored_class(path)) == dicom_header.STRUCTURES:
            return dicom_header.CONTOURS
        return None if name else f"not an image, allowed are {', '.join(image_files.SUFFIXES)}"

    def _wrong_series(self, folder: Path) -> str | None:
        """Say why `folder` can't be a DICOM series; None if it can. Only one that changed is looked at again."""
        changed = folder.stat().st_mtime_ns
        if self._series.get(folder) == changed:
            return None
        if any(path.is_symlink() and not self._holds(path) for path in folder.iterdir()):
            return "holds a link out of the folder, which is not followed; copy the file that it names"
        if not series.holds_dicom(folder):
            return "is a folder without DICOM files; put images beside it, or the files of one series into it"
        self._contours.pop(folder, None)
        contours = series.contours(folder)
        if contours and len(contours) < sum(dicom_header.is_dicom(path) for path in folder.iterdir() if path.is_file()):
            self._contours[folder] = f"{dicom_header.CONTOURS}: {listed([path.name for path in contours])}"
        self._series[folder] = changed
        return None

    def model(self, run: str) -> Path:
        """Folder of a run's network as it was exported."""
        return self.export / f"{_MODEL}{run}"

    def next_run(self, named: Iterable[str] = ()) -> str:
        """Return the name of the next run: a number above those of all runs that ever began here.

        A folder may have come without its runs. Then `named`, the runs that notes on cases name, and exported models
        still tell of them.
        """
        begun = [path.name for part in (self.runs, self.predictions, self.state) for path in _runs(part)]
        begun += [path.name for path in _runs(self.export, _MODEL)]
        return f"{max((int(name.removeprefix(_MODEL)) for name in (*begun, *named)), default=0) + 1:03d}"


def latest(folder: Path) -> str | None:
    """Return the name of the last run with files in `folder`, or None; links do not count."""
    return max((path.name for path in _runs(folder) if _holds_files(path)), key=int, default=None)


def _runs(folder: Path, prefix: str = "") -> list[Path]:
    """Return the entries of `folder` called as a run after `prefix`; none if somebody has taken it away."""
    inside = folder.iterdir() if folder.is_dir() else ()
    named = (path for path in inside if path.name.startswith(prefix))
    return [path for path in named if RUN_NAME.fullmatch(path.name.removeprefix(prefix))]


def _holds_files(folder: Path) -> bool:
    with suppress(OSError):  # deleted meanwhile
        return not folder.is_symlink() and folder.is_dir() and any(folder.iterdir())
    return False


def printable(text: str) -> str:
    r"""Return `text` in one line that any page can show: control characters and lone surrogates are escaped.

    Examples
    --------
    >>> printable("heart\x1b[31m")
    'heart\\x1b[31m'
    """
    return "".join(ascii(sign)[1:-1] if unicodedata.category(sign) in ("Cc", "Cs") else sign for sign in text)


def too_long(name: str) -> str | None:
    """Say that a case's name leaves no room for the suffixes of its files; None if it does.

    Examples
    --------
    >>> too_long("heart" * 50)
    'has a name of 250 bytes, allowed are up to 200; rename it'
    """
    size = len(name.encode(errors="replace"))
    return f"has a name of {size} bytes, allowed are up to {LONGEST_NAME}; rename it" if size > LONGEST_NAME else None


def _plain(name: str) -> str:
    """Return a name as cases are called (`maskmixadv.formats.image_files.stem`)."""
    return unicodedata.normalize("NFC", name)


def case_of(file: str | Path) -> str:
    """Return the case of an image file, which is its name without the suffix; empty if it is no image.

    Where `file` is the path of a multi-frame DICOM file, which its content tells from a slice, this one is an image.

    Examples
    --------
    >>> case_of("heart.nii.gz"), case_of("notes.txt")
    ('heart', '')
    """
    try:
        return image_files.stem(Path(file))
    except InputError:
        return ""


def _shown(folder: Path) -> list[Path]:
    """Return the files that are meant as images: no hidden files, and no parts of an image (such as a .mhd's .raw)."""
    inside = folder.iterdir() if folder.is_dir() else ()
    return [path for path in inside if path.name[0] != "." and path.suffix.lower() not in image_files.BESIDE]
