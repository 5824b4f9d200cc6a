"""Slices that are ready to learn from, kept in a corpus's cache, so that the next training reads no image again."""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float16, UInt8
from torch import Tensor

from maskmixadv.corpus.entry import Entry
from maskmixadv.corpus.masks import Taught
from maskmixadv.errors import InputError, say
from maskmixadv.files import make_directory, written
from maskmixadv.formats.reading import read_npz
from maskmixadv.sampling.learnt import Learnt
from maskmixadv.sampling.storage import SliceShape, slice_bytes

NEWEST: Final = 3
"""Files of a case that are kept: for so many canvases, enclosures, beliefs and so on."""
SHARE: Final = 0.1
"""Of the disk's free space that the slices of a training may take."""
WORTH_TELLING: Final = 10**8
"""Bytes from which on a line says that slices are kept."""


class Ready(NamedTuple):
    """What is learnt from a case: n slices on their canvases, and what was counted of the case.

    Attributes
    ----------
    image, target
        As in `maskmixadv.sampling.slices.Slices`, in the host's memory.
    centre
        As there; NaN where no slice of the case has a label.
    flags
        Whether each slice is whole, walked and bare, as there.
    learnt
        Counts of the case alone.

    Examples
    --------
    >>> image, target = torch.zeros(2, 1, 4, 4).half(), torch.zeros(2, 4, 4, dtype=torch.uint8)
    >>> learnt = Learnt(("background", "liver"), size=4, drawn="scribble", slices=2)
    >>> Ready(image, target, torch.zeros(2, 2), torch.zeros(3, 2, dtype=torch.bool), learnt).learnt.slices
    2
    """

    image: Float16[Tensor, "n c s s"]
    target: UInt8[Tensor, "n s s"]
    centre: Float[Tensor, "n 2"]
    flags: Bool[Tensor, "3 n"]
    learnt: Learnt


@dataclass(frozen=True)
class Kept:
    """Files of `Ready` slices, a directory for each case.

    A file is named by all that decides its content. Damaged ones count as missing. Of each case the `NEWEST` files stay
    that were used last.

    Attributes
    ----------
    folder
        The directory; it may be removed at any time.
    settings
        Plain values on which slices depend, beside their case and the masks that are learnt from.
    shape
        Shape of a slice, ``(c, side, side)``.
    fresh
        Makes a `Learnt` without counts.
    taught
        The masks that are learnt from.

    Examples
    --------
    >>> from maskmixadv.corpus.entry import Entry
    >>> entry = Entry("p1", "p1", (2, 4, 4), None, scribble=True, dense=False, sha256="9f3c")
    >>> def fresh() -> Learnt:
    ...     return Learnt(("background", "liver"), size=4, drawn="scribble")
    >>> kept = Kept(Path("slices"), {"size": 4}, (1, 4, 4), fresh, {})
    >>> image, target = torch.zeros(2, 1, 4, 4).half(), torch.zeros(2, 4, 4, dtype=torch.uint8)
    >>> kept.keep(entry, Ready(image, target, torch.zeros(2, 2), torch.zeros(3, 2, dtype=torch.bool), fresh()))
    >>> kept.has(entry), kept.read(entry).image.shape
    (True, torch.Size([2, 1, 4, 4]))
    """

    folder: Path
    settings: Mapping[str, Any]
    shape: SliceShape
    fresh: Callable[[], Learnt]
    taught: Taught

    def path(self, entry: Entry) -> Path:
        """Return the path of the file of a case's slices."""
        depends = {**self.settings, "entry": asdict(entry), "made by": _made_by()}
        if entry.name in self.taught:
            depends["taught"] = self.taught[entry.name]
        digest = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()
        return self.folder / entry.name / f"{digest[:24]}.npz"

    def has(self, entry: Entry) -> bool:
        """Whether the slices of a case are kept; they may be damaged all the same."""
        return self.path(entry).is_file()

    def read(self, entry: Entry) -> Ready | None:
        """Return the slices of a case; None where they are missing or damaged."""
        path = self.path(entry)
        with contextlib.suppress(OSError, InputError, KeyError, ValueError, TypeError):
            arrays = read_npz(path)
            count = len(arrays["target"])
            expected = {
                "image": ("float16", (count, *self.shape)), "target": ("uint8", (count, *self.shape[1:])),
                "centre": ("float32", (count, 2)), "flags": ("bool", (3, count)),
            }  # fmt: skip
            if all((arrays[name].dtype.name, arrays[name].shape) == form for name, form in expected.items()):
                learnt = self.fresh()
                learnt.add(json.loads(arrays["learnt"].tobytes()))
                with contextlib.suppress(OSError):  # of a corpus that may only be read
                    os.utime(path)
                image, target, centre, flags = (torch.from_numpy(arrays[name]) for name in expected)
                return Ready(image, target, centre, flags, learnt)
        return None

    def keep(self, entry: Entry, ready: Ready) -> None:
        """Write the slices of a case, if the directory can be written, and remove what is older than its newest."""
        path = self.path(entry)
        arrays = {name: getattr(ready, name).numpy() for name in ("image", "target", "centre", "flags")}
        arrays["learnt"] = np.frombuffer(json.dumps(ready.learnt.counts()).encode(), np.uint8)
        with contextlib.suppress(OSError, InputError):
            make_directory(path.parent)
            with written(path) as file:
                np.savez(file, **arrays)
            there = [each for each in path.parent.glob("[!.]*.npz") if each != path]  # not what another is writing
            for old in sorted(there, key=lambda each: each.stat().st_mtime_ns, reverse=True)[NEWEST - 1 :]:
                old.unlink()  # never the new one, as clocks are put back

    def holds(self, count: int) -> bool:
        """Whether the disk has enough free space for `count` slices."""
        with contextlib.suppress(OSError):
            return count * slice_bytes(self.shape) <= SHARE * shutil.disk_usage(self.folder.parents[1]).free
        return False

    def tell(self, slices: int) -> None:
        """Say on stderr that so many slices were written, if that is worth a line."""
        if (taken := slices * slice_bytes(self.shape)) >= WORTH_TELLING:
            told = f"{taken / 1e6:,.0f} MB of slices are kept for the next training, and can be removed at any time"
            say(f"{self.folder}: {told}")


@cache
def _made_by() -> dict[str, str]:
    """Say which code makes slices: what computes it, and a hash of this package's rooms that have a hand in it."""
    digest, package = hashlib.sha256(), Path(__file__).parents[1]
    for room in ("corpus", "sampling", "strokes"):
        for source in sorted((package / room).glob("*.py")):
            digest.update(source.read_bytes())
    versions = {name: version(name) for name in ("torch", "numpy", "scipy", "scikit-image")}
    return {**versions, "code": digest.hexdigest(), "instructions": torch.backends.cpu.get_cpu_capability()}
