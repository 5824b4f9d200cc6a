"""Keeping account of what an exported model wrote: a part of the script that 'maskmixadv export model' writes.

'maskmixadv export model' puts this module in the place of `standalone`'s import of it.
"""

import csv
import errno
import hashlib
import io
import json
import os
import socket
import sys
import unicodedata
import uuid
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from maskmixadv.inference.standalone_files import ending

VOLUMES = "clinical.csv"
"""File of the volumes of what 'maskmixadv predict' segmented, to which this script adds nothing."""
CASES = ("case", "ed", "es")
"""Columns there with images' names."""
OTHERS = (".seg.nrrd", ".nrrd", ".mha", ".mgz", ".mgh", ".dcm")
"""Ends of the names of labels that 'maskmixadv predict' alone writes."""
RECORD = ".maskmixadv.json"
"""File in a folder of outputs that lists those that this program wrote, with their SHA-256."""

READ = {
    "images": "images",
    "scribbles": "strokes",
    "masks": "masks",
    "imagesTr": "images",
    "labelsTr": "labels",
}
"""Folders of what maskmixadv or nnU-Net learns from, and what their files are taken for."""
LOCK = ".lock"
"""File in a folder of outputs that 'maskmixadv predict' locks, too, while it changes the record."""
USED = ".used-"
"""Begin of the names of files in a folder of outputs, each locked by a process that adds to it."""
PARTIAL = ".partial"
"""Begin of the names of files that are not written whole; 'maskmixadv predict' calls its own alike."""
HOST = f"{zlib.crc32(socket.gethostname().encode()):x}"
"""This machine in these names."""
MOST_OWN = 80
"""Bytes of a file's own name in them: file systems take names of 255."""


class Named(NamedTuple):
    """An image: its files, of which there is one a channel or only one, and the name of its labels' file."""

    files: tuple[Path, ...]
    labels: str


def name_of(labels: str) -> str:
    """Return the name of the image whose labels have this file name, as `folded` has it."""
    end = next((each for each in OTHERS if labels.lower().endswith(each)), "")
    return folded(labels[: -len(end)] if end else stem_of(Path(labels)))


def folded(name: str) -> str:
    """Return a name as systems know a file by it that take upper and lower case for one."""
    return unicodedata.normalize("NFC", name.casefold())


def stem_of(path: Path) -> str:
    """Return a file's name without its suffix. macOS stores the accent of a letter apart; here they are one."""
    return unicodedata.normalize("NFC", path.name[: len(path.name) - len(ending(path))])


def written(out: Path) -> dict[str, str | None]:
    """Return the SHA-256 of each file that was written into `out`, by name; None where it was not finished."""
    return recorded(out)["written"]


def recorded(out: Path) -> dict[str, Any]:
    """Return the record of a folder of outputs; 'maskmixadv predict' notes more there than this script does."""
    record = out / RECORD
    return json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {"written": {}}


def note(out: Path, images: list[Named], made: dict[str, str], *, done: bool) -> None:
    """Write down which labels of `images` lie in `out`: all that may be written, or, when `done`, those that were."""
    with locked(out):  # several processes may write into one folder
        renew(out, images, made, done=done)


def renew(out: Path, images: list[Named], made: dict[str, str], *, done: bool) -> None:
    """Do the work of `note`; nobody else may write the record meanwhile."""
    record: dict[str, Any] = {**recorded(out), **made}
    known = record["written"]
    for name in (image.labels for image in images):
        known[name] = digest(out / name) if done and (out / name).is_file() else None
        if done and known[name] is None:
            del known[name]
    if VOLUMES in known and (out / VOLUMES).is_file() and done and known[VOLUMES] is None:
        known[VOLUMES] = digest(out / VOLUMES)
    if not done and lines_of(out, images)[1]:
        known[VOLUMES] = None  # lines of it will go
    put(out / RECORD, json.dumps(record, indent=1))


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Keep other processes from writing the record of `out` and its ``clinical.csv`` meanwhile, or wait for one."""
    with (out / LOCK).open("ab") as file:
        if not lock(file.fileno(), wait=False):
            say(f"{out}: waiting for another process that writes there")
            while not lock(file.fileno(), wait=True):
                pass  # Windows gives up after ten seconds
        yield  # the lock goes when the file is closed


@contextmanager
def using(out: Path) -> Iterator[None]:
    """Let other processes see (`used`) that this one adds to `out`, until the block ends or this process does."""
    used(out)  # deletes what killed ones left
    mark = out / f"{USED}{uuid.uuid4().hex}"
    with mark.open("ab") as file:
        lock(file.fileno(), wait=False)
        try:
            yield
        finally:
            with suppress(OSError):
                mark.unlink(missing_ok=True)


def used(out: Path) -> bool:
    """Whether another process adds to `out`; files of processes that were killed are deleted."""
    found = False
    for mark in out.glob(f"{USED}*"):
        with suppress(OSError), mark.open("r+b") as file:
            free = lock(file.fileno(), wait=False)
            found = found or not free
            if free:
                mark.unlink(missing_ok=True)
    return found


def lock(file: int, *, wait: bool) -> bool:
    """Lock an open file; returns whether it is locked now."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(file, 0, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            raise
        return False
    return True


def put(path: Path, text: str) -> None:
    """Write a file of text, whole or not at all; raises ValueError where it can't be written."""
    whole(path, path.name.strip("."), lambda partial: partial.write_text(text, encoding="utf-8", newline=""))


def whole(path: Path, name: str, save: Callable[[Path], object]) -> None:
    """Have `save` write a file, whole or not at all, at first under a hidden name that ends with `name`."""
    end = os.fsencode(name)[-MOST_OWN:].decode(errors="ignore")
    partial = path.with_name(f"{PARTIAL}-{HOST}-{os.getpid()}-{uuid.uuid4().hex[:12]}-{end}")
    try:
        save(partial)
        partial.replace(path)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        told = f"can't be written ({error.strerror or error}); {'free space or ' * full}name another directory"
        raise ValueError(f"{path}: {told}") from None
    finally:
        partial.unlink(missing_ok=True)


def lines_of(out: Path, images: list[Named]) -> tuple[list[list[str]], list[str]]:
    """Return the lines of ``clinical.csv`` that stay where `images` get other labels, and the images of the others."""
    if VOLUMES not in written(out) or not (out / VOLUMES).is_file():
        return [], []
    with (out / VOLUMES).open(encoding="utf-8", newline="") as file:
        header, *lines = csv.reader(file)
    places = [place for place, column in enumerate(header) if column in CASES]
    again = {
        sign + stem_of(Path(image.labels)) for image in images for sign in ("", "'")
    }  # a spreadsheet's sign of text
    named = [{line[place] for place in places if line[place : place + 1]} - {""} for line in lines]
    stay = [line for line, of in zip(lines, named, strict=True) if not of & again]
    return [header, *stay], sorted({name for of in named if of & again for name in of})


@contextmanager
def begun(out: Path, images: list[Named], made: dict[str, str]) -> Iterator[None]:
    """Write down that labels of `images` may be written while the block goes on, and at its end which of them were.

    Raises ValueError as `must_be_alike`.
    """
    out.mkdir(parents=True, exist_ok=True)
    sweep(out)
    with ExitStack() as stack:
        with locked(out):  # so that of two that begin at once one sees the other
            must_be_alike(out, images, made)
            renew(out, images, made, done=False)
            stack.enter_context(using(out))
        forget(out, images)
        try:
            yield
        finally:
            # Where there is no space for the hashes, the record stays as it is: right, but less strict.
            with suppress(OSError, ValueError):
                note(out, images, made, done=True)


def sweep(out: Path) -> None:
    """Delete unfinished files in `out` of processes of this machine that were killed."""
    for path in out.glob(f"{PARTIAL}-{HOST}-*-*-*"):
        process = path.name.split("-", 4)[2]
        if process.isdecimal() and not alive(int(process)):
            with suppress(OSError):
                path.unlink(missing_ok=True)


def alive(process: int) -> bool:
    """Whether a process of this machine goes on."""
    if sys.platform == "win32":  # where signal 0 would end it
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def forget(out: Path, images: list[Named]) -> None:
    """Drop lines of ``clinical.csv`` of earlier labels of `images`: they would be taken for those of new ones."""
    with locked(out):
        stay, gone = lines_of(out, images)
        if not gone:
            return
        if len(stay) > 1:
            buffer = io.StringIO(newline="")
            csv.writer(buffer, lineterminator="\n").writerows(stay)
            put(out / VOLUMES, buffer.getvalue())
        else:
            (out / VOLUMES).unlink()
    told = f"without {', '.join(gone)[:300]}, of which labels are made anew; 'maskmixadv predict' measures volumes"
    say(f"note: {out / VOLUMES}: {told}")


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def must_be_alike(out: Path, images: list[Named], made: dict[str, str]) -> None:
    """Raise ValueError where labels of another network, or with other options, would stay beside those of `images`.

    Where all are made anew, the earlier ones are deleted: those of an image that can't be segmented would stay.
    """
    record = recorded(out)
    other = [key for key in made if (record.get(key) or made[key]) != made[key]]
    if not other:
        return
    told = "of another network" if "network" in other else f"made with {record['how']:.300} (now {made['how']})"
    if used(out):
        told = f"another process adds labels {told}, and results would be mixed"
        raise ValueError(f"{out}: {told}; wait for it, or name another directory")
    again = {image.labels for image in images}
    if stay := sorted(name for name in record["written"] if name not in {*again, VOLUMES} and (out / name).is_file()):
        raise ValueError(
            f"{out}: holds {', '.join(stay)[:300]} {told}, and results would be mixed; name another directory"
        )
    known = record["written"]
    if VOLUMES in known and (out / VOLUMES).is_file() and known[VOLUMES] not in (None, digest(out / VOLUMES)):
        raise ValueError(f"{out / VOLUMES}: is of another network, and was changed since; move it away")
    for name in again | ({VOLUMES} & set(known)):
        (out / name).unlink(missing_ok=True)


def must_be_free(out: Path, images: list[Named]) -> None:
    """Raise ValueError where labels would lie among the images, or replace a file that this program did not write."""
    must_not_be_read(out)
    known = written(out)
    for image in images:
        target = out / image.labels
        for path in image.files:
            if out.resolve() == path.resolve().parent or out.resolve() == path.parent.resolve():
                raise ValueError(f"{out}: holds {path.name}, which is an input; name another directory for the labels")
        ours = image.labels in known and target.is_file() and known[image.labels] in (None, digest(target))
        if os.path.lexists(target) and (target.is_symlink() or not ours):
            raise ValueError(f"{target}: is there already, and was not written here or changed since; move it away")
    if lines_of(out, images)[1] and known[VOLUMES] not in (None, digest(out / VOLUMES)):
        raise ValueError(f"{out / VOLUMES}: has volumes of these images, and was changed since; move it away")
    names = {name_of(image.labels): image.labels for image in images}
    for name in known:
        if names.get(name_of(name), name) != name and (out / name).is_file():
            told = "labels of another image with this name without suffix are there already"
            raise ValueError(f"{out / name}: {told}; name another directory")


def must_not_be_read(out: Path) -> None:
    """Raise ValueError where labels would lie among images or masks from which maskmixadv or nnU-Net learns."""
    for root in (out.absolute(), out.resolve()):  # either may be the one that goes through a link
        for place in (root, *root.parents):
            hidden = any(part.startswith(".") for part in root.relative_to(place).parts)
            if place.name in READ and not hidden and is_read(place):
                lies = "is" if place == root else f"lies in {place}, which is"
                raise ValueError(f"{out}: {lies} read as {READ[place.name]} of {place.parent}; name another directory")


def is_read(place: Path) -> bool:
    """Whether there is something beside a folder of this name that makes it part of the sources of a corpus."""
    if place.name.endswith("Tr"):
        return (place.parent / "dataset.json").is_file()
    beside = ("scribbles", "masks", "classes.toml")
    return (place.parent / "images").is_dir() and any(os.path.lexists(place.parent / name) for name in beside)


def say(line: str) -> None:
    """Print a line on stderr."""
    print(f"predict.py: {line}", file=sys.stderr)
