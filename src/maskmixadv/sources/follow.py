"""A corpus that follows a folder of images: it is kept in the folder's ``.corpus``, and made again after changes.

Each state of the folder has a corpus of its own, named by a hash. So a run that was trained on an earlier state can
still be resumed and scored. Case files that did not change are links to those of the earlier corpus.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from maskmixadv.corpus.channels import ONE, Channel, records
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Entry, KeptCase
from maskmixadv.errors import InputError
from maskmixadv.files import held, make_directory, read_json, whole, write_text
from maskmixadv.formats import itk
from maskmixadv.formats.details import tiff_fields
from maskmixadv.processes import used
from maskmixadv.sources import classes as declared
from maskmixadv.sources import folder, pairs
from maskmixadv.sources.classes import Classes
from maskmixadv.sources.folder import Found
from maskmixadv.sources.pairs import Cuts, Pair
from maskmixadv.sources.states import PLACE
from maskmixadv.typed import as_type

KEPT: Final = 10
"""States of a folder that are kept at most."""
_KEYS: Final = "keys.json"
_TICK: Final = 2 * 10**9
"""Nanoseconds that every file system tells apart."""
_READERS: Final = 4
"""Raised when files are read otherwise than before, so that no case is kept as it was read then."""


def current(source: Path) -> Corpus:
    """Return a corpus of the images that are in `source` now, as `maskmixadv.sources.folder.prepare` makes it.

    Raises
    ------
    InputError
        If the folder's ``classes.toml`` is missing, or a file is damaged or does not fit its image.

    Examples
    --------
    >>> import numpy as np
    >>> from PIL import Image
    >>> for part in ("images", "masks"):
    ...     (Path("mine") / part).mkdir(parents=True)
    >>> Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save("mine/images/a.png")
    >>> Image.fromarray(np.eye(8, dtype=np.uint8)).save("mine/masks/a.png")
    >>> write_text(Path("mine/classes.toml"), "class = [{name = 'background'}, {name = 'LV'}]")
    >>> current(Path("mine"))
    Corpus('mine', root='mine/.corpus/...', 1 case, 2 classes)
    """
    folder.declared_classes(source)  # here, as it tells other names once
    return _made(lambda: _State.of(folder.find(source), declared.read(source / declared.FILE)))


def of(found: Found, classes: Classes) -> Corpus:
    """As `current`, for images that were `found` in a folder, which may be some of those in it.

    Examples
    --------
    >>> of(Found(Path("mine"), [], []), Classes(("background", "LV"), 2))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: own images: no case found in it
    """
    return _made(lambda: _State.of(found, classes))


def alike(source: Path, content: str) -> Corpus | None:
    """Return the corpus of a folder's state with a certain content; None where none is kept, and it has another now.

    States go by their files' times, too: where files were copied, or put back, a new state has the content of an old.

    Parameters
    ----------
    source
        The folder of images.
    content
        Hash of the corpus.

    Examples
    --------
    >>> alike(Path("mine"), "77ab") is None
    True
    """
    for place in _states(source / PLACE):
        with suppress(OSError, InputError):  # damaged, or deleted meanwhile
            if (found := Corpus.open(place)).hash() == content:
                return found
    with suppress(OSError, InputError):  # the folder can't become a corpus now
        if (found := current(source)).hash() == content:
            return found
    return None


def _made(look: Callable[[], "_State"]) -> Corpus:
    """Return the corpus of the state that `look` finds; make it if it is missing."""
    state = look()
    if not state.is_made():
        make_directory(state.root.parent)
        with held(state.root.parent, wait=True):
            state = look()  # another process may have made it meanwhile, or its user changed a file
            if not state.is_made():
                state.make()
    return Corpus.open(state.root)


@dataclass(frozen=True)
class _State:
    """A state of a folder, and the directory of its corpus; `keys` are hashes of what each case is made of."""

    found: Found
    classes: Classes
    cuts: Cuts
    channels: tuple[Channel, ...]
    keys: Mapping[str, str]
    root: Path

    @classmethod
    def of(cls, found: Found, classes: Classes) -> "_State":
        toml = found.source / declared.FILE
        cuts, channels = pairs.cuts(found.pairs), pairs.channels_of(found.pairs, declared.channels(toml), str(toml))
        how = f"{classes!r} {_READERS}" + ("" if channels == ONE else f" {records(channels)}")
        turned = " radiological" if cuts.slicing.radiological else ""
        keys = {pair.name: _key(pair, f"{how} {cuts.views[pair.name].axis}{turned}") for pair in found.pairs}
        return cls(found, classes, cuts, channels, keys, found.source / PLACE / _digest(json.dumps(keys)))

    def is_made(self) -> bool:
        return (self.root / "corpus.json").is_file()

    def make(self) -> None:
        """Make the corpus, with links to an earlier state's cases that did not change; delete the oldest states."""
        kept = _Earlier.newest(self.root.parent, self.keys).kept
        with whole(self.root) as place:
            folder.tell_cuts(self.found.source, self.cuts)
            made = folder.cases(self.found, self.classes, self.cuts.views, self.channels, kept)
            folder.write(place, self.found.source, made, self.classes, self.cuts.slicing, self.channels)
            write_text(place / _KEYS, json.dumps(self.keys))
            _be_newest(place / "corpus.json", self.root.parent)
        for old in [root for root in _states(self.root.parent) if root != self.root][KEPT - 1 :]:
            if not used(old):  # a training goes on to read it
                shutil.rmtree(old, ignore_errors=True)


@dataclass(frozen=True)
class _Earlier:
    """Cases of an earlier state that did not change; `keys` are those of the current state."""

    keys: Mapping[str, str]
    root: Path = Path()
    entries: Mapping[str, Entry] = field(default_factory=dict)

    @classmethod
    def newest(cls, place: Path, keys: Mapping[str, str]) -> "_Earlier":
        try:
            root = _states(place)[0]
            before = as_type(read_json(root / _KEYS), dict[str, Any], str(root / _KEYS))
            entries = Corpus.open(root).entries
        except (IndexError, OSError, InputError):  # none, or damaged: all is read anew
            return cls(keys)
        same = {name for name, key in keys.items() if isinstance(before, dict) and before.get(name) == key}
        return cls(keys, root, {entry.name: entry for entry in entries if entry.name in same})

    def kept(self, pair: Pair) -> KeptCase | None:
        if pair.name not in self.entries:
            return None
        return KeptCase(self.entries[pair.name], self.root / "cases" / f"{pair.name}.npz")


def _states(place: Path) -> list[Path]:
    """Return the corpora of the folder's states, the newest first."""
    whole_ones = (index for index in place.glob("*/corpus.json") if not index.parent.name.startswith("."))
    indices = sorted(whole_ones, key=_time, reverse=True)
    return [index.parent for index in indices]


def _be_newest(index: Path, place: Path) -> None:
    """Give a new state's index a later time than those there, as clocks are put back and copies have other times."""
    latest = max((_time(root / "corpus.json") for root in _states(place)), default=0)
    with suppress(OSError):
        if index.stat().st_mtime_ns <= latest:
            os.utime(index, ns=(latest + _TICK, latest + _TICK))


def _time(path: Path) -> int:
    """Return when a file was written; 0 where it was deleted meanwhile."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _key(pair: Pair, how: str) -> str:
    """Hash what a case is made of: its files' names, sizes and times, and `how` they are read."""
    files = [
        _stamp(file)
        for path in (*pair.images, pair.scribble, pair.mask)
        if path is not None
        for file in (path, *_parts(path))
    ]
    slices = [f"{_stamp(each.path)} {each.axis} {each.index}{' corrected' * each.corrected}" for each in pair.slices]
    return _digest("\n".join([how, pair.patient, *files, *slices, *["masked"] * pair.masked]))


def _parts(path: Path) -> list[Path]:
    """Return the files that belong to an image's own: those of a series, or what lies in a file beside a header."""
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.is_file())
    if path.name.lower().endswith(itk.SUFFIXES):
        return itk.beside(path)
    beside = tiff_fields.beside(path)
    return [] if beside is None else [beside]


def _stamp(path: Path) -> str:
    stat = path.stat()
    return f"{path.name} {stat.st_size} {stat.st_mtime_ns} {stat.st_ino}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
