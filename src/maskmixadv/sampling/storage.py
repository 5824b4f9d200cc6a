"""Where the slices of a fold lie in training: in the device's memory, or in a file that is mapped into the host's."""

import errno
import mmap
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from maskmixadv.errors import UnwritableError
from maskmixadv.files import nameless
from maskmixadv.memory import free
from maskmixadv.moved import remedy

GB: Final = 10**9
SliceShape = tuple[int, int, int]
"""Shape of a slice, ``(c, side, side)``: channels, and the sides of its canvas in pixels."""


class Stored(NamedTuple):
    """Images and labels of slices, wherever they lie.

    Attributes
    ----------
    image, target
        As in `maskmixadv.sampling.slices.Slices`.
    mapping
        The file that they are views of; None where they lie in the device's memory.

    Examples
    --------
    >>> from pathlib import Path
    >>> import torch
    >>> from maskmixadv.sampling.storage import Streamed
    >>> room = Streamed(2, (1, 16, 16), Path())
    >>> room.put(torch.rand(2, 1, 16, 16).half(), torch.zeros(2, 16, 16, dtype=torch.uint8))
    >>> stored = room.rows()
    >>> len(stored.image), stored.mapping is None
    (2, False)
    """

    image: Float[Tensor, "n c s s"]
    target: UInt8[Tensor, "n s s"]
    mapping: mmap.mmap | None


class Resident:
    """Slices in a device's memory.

    Parameters
    ----------
    count
        The largest number of slices that will come.
    shape
        Shape of a slice, ``(c, side, side)``.
    device
        The device in whose memory they lie.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.sampling.storage import Resident
    >>> room = Resident(10, (1, 16, 16), torch.device("cpu"))
    >>> room.put(torch.rand(2, 1, 16, 16).half(), torch.zeros(2, 16, 16, dtype=torch.uint8))
    >>> room.rows().image.shape
    torch.Size([2, 1, 16, 16])
    """

    def __init__(self, count: int, shape: SliceShape, device: torch.device) -> None:
        _, size, _ = shape
        self._image = torch.empty(count, *shape, dtype=torch.half, device=device)
        self._target = torch.empty(count, size, size, dtype=torch.uint8, device=device)
        self._filled = 0

    def put(self, image: Float[Tensor, "d c s s"], target: UInt8[Tensor, "d s s"]) -> None:
        """Add slices."""
        added = slice(self._filled, self._filled + len(image))
        self._image[added], self._target[added] = image, target
        self._filled = added.stop

    def rows(self) -> Stored:
        """Return all slices that were added."""
        return Stored(self._image[: self._filled], self._target[: self._filled], None)


class Streamed:
    """Slices in a file, one record each, so that a slice is one piece on the disk.

    The file has no name: no one can take it for complete before it is, and it is gone when the process ends, however
    that happens.

    Parameters
    ----------
    count
        The largest number of slices that will come.
    shape
        Shape of a slice, ``(c, side, side)``.
    folder
        The folder on whose disk they lie.

    Attributes
    ----------
    file
        Open until `rows` maps it.

    Raises
    ------
    UnwritableError
        Where the disk has no space for them.

    Examples
    --------
    >>> from pathlib import Path
    >>> import torch
    >>> from maskmixadv.sampling.storage import Streamed
    >>> room, image = Streamed(2, (1, 16, 16), Path()), torch.rand(2, 1, 16, 16).half()
    >>> room.put(image, torch.zeros(2, 16, 16, dtype=torch.uint8))
    >>> torch.equal(room.rows().image, image)
    True
    """

    def __init__(self, count: int, shape: SliceShape, folder: Path) -> None:
        self._record = _record(shape)
        self._folder, self._needed = folder, count * self._record.itemsize
        with self._complaining():
            if shutil.disk_usage(folder).free < self._needed:  # better known now than after hours of loading
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.file = nameless(folder)

    def put(self, image: Float[Tensor, "d c s s"], target: UInt8[Tensor, "d s s"]) -> None:
        """Add slices.

        Raises
        ------
        UnwritableError
            Where the disk is full.
        """
        records = np.empty(len(image), self._record)
        records["image"], records["target"] = image, target
        left = records.view(np.uint8).data
        with self._complaining():  # Written, not mapped: a process is killed where a mapped file finds no space.
            while left:
                left = left[self.file.write(left) :]

    def rows(self) -> Stored:
        """Return all slices that were added, which must be at least one; no more can be added afterwards."""
        with self._complaining(), self.file as file:
            # A shared mapping: a private one would count against the host's memory, which may be too small for it.
            mapping = mmap.mmap(file.fileno(), 0)
        mapping.madvise(mmap.MADV_RANDOM)  # else the system reads megabytes round every slice
        records = np.frombuffer(mapping, self._record)
        return Stored(torch.from_numpy(records["image"]), torch.from_numpy(records["target"]), mapping)

    @contextmanager
    def _complaining(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UnwritableError(
                f"{self._folder}: {self._needed / GB:.1f} GB of slices can't be kept there ({error.strerror}); "
                f"{remedy(error.errno, ', or ')}raise --memory to hold them in memory",
                error.errno,
            ) from None


def make_room(
    count: int, shape: SliceShape, *, device: torch.device, memory: float | None, folder: Path | None
) -> Resident | Streamed:
    """Choose where slices will lie: in the device's memory where they fit, else in `folder`.

    Parameters
    ----------
    count
        The largest number of slices that will come.
    shape
        Shape of a slice, ``(c, side, side)``.
    device
        The device that trains.
    memory
        GB (10⁹ bytes) that they may take of the device's memory, at least 0; None: half of what is free, since training
        needs memory, too.
    folder
        The folder on whose disk they lie beyond that; None: they always lie in memory.

    Raises
    ------
    UnwritableError
        Where they fit neither memory nor disk.

    Examples
    --------
    >>> from pathlib import Path
    >>> import torch
    >>> from maskmixadv.sampling.storage import make_room
    >>> for memory in (1.0, 0.0):
    ...     room = make_room(10, (1, 64, 64), device=torch.device("cpu"), memory=memory, folder=Path())
    ...     print(type(room).__name__)
    Resident
    Streamed
    """
    limit = _free(device) / 2 if memory is None else memory * GB
    if folder is None or count * slice_bytes(shape) <= limit:
        return Resident(count, shape, device)
    return Streamed(count, shape, folder)


def read_ahead(mapping: mmap.mmap, index: Int[Tensor, "b"], *, shape: SliceShape) -> None:
    """Have slices number `index` read from the disk in the background, unless they are in memory; returns at once.

    Parameters
    ----------
    mapping
        The mapping of `Streamed.rows`.
    index
        Numbers of slices, ``(b,)``.
    shape
        Shape of a slice, ``(c, side, side)``.

    Examples
    --------
    >>> from pathlib import Path
    >>> import torch
    >>> from maskmixadv.sampling.storage import Streamed, read_ahead
    >>> room = Streamed(2, (1, 16, 16), Path())
    >>> room.put(torch.rand(2, 1, 16, 16).half(), torch.zeros(2, 16, 16, dtype=torch.uint8))
    >>> read_ahead(room.rows().mapping, torch.tensor([1]), shape=(1, 16, 16))
    """
    length = _record(shape).itemsize
    for number in index.tolist():
        start = number * length
        page = start - start % mmap.PAGESIZE
        mapping.madvise(mmap.MADV_WILLNEED, page, start + length - page)


def _record(shape: SliceShape) -> np.dtype:
    # Aligned, since torch can't read half-precision numbers at odd addresses.
    return np.dtype([("image", np.float16, shape), ("target", np.uint8, shape[1:])], align=True)


def slice_bytes(shape: SliceShape) -> int:
    """Return the number of bytes that a slice and its labels take.

    Parameters
    ----------
    shape
        Shape of a slice, ``(c, side, side)``.

    Examples
    --------
    >>> from maskmixadv.sampling.storage import slice_bytes
    >>> slice_bytes((1, 144, 144))  # two bytes a pixel of the image, one of the labels
    62208
    """
    return _record(shape).itemsize


def _free(device: torch.device) -> int:
    """Number of free bytes of memory: of the GPU, or those that this process could take without swapping."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return free()
