"""Where a fold's slices lie while training: in the device's memory, or in a file that is mapped into the host's."""

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

from maskmixadv.errors import InputError
from maskmixadv.files import nameless
from maskmixadv.memory import free

GB: Final = 10**9
Shape = tuple[int, int, int]
"""Of a slice: channels, and twice the side of its canvas in pixels."""


class Stored(NamedTuple):
    """Images and labels of slices, wherever they lie; `mapping` is the file's they are views of, if there is one."""

    image: Float[Tensor, "n c s s"]
    target: UInt8[Tensor, "n s s"]
    mapping: mmap.mmap | None


class Resident:
    """Slices in a device's memory.

    Parameters
    ----------
    count
        The most slices that will come.
    shape
        Of one: its channels, and twice the side of its canvas in pixels.
    device
        Whose memory.
    """

    def __init__(self, count: int, shape: Shape, device: torch.device) -> None:
        _, size, _ = shape
        self._image = torch.empty(count, *shape, dtype=torch.half, device=device)
        self._target = torch.empty(count, size, size, dtype=torch.uint8, device=device)
        self._filled = 0

    def put(self, image: Float[Tensor, "d c s s"], target: UInt8[Tensor, "d s s"]) -> None:
        """Add slices to those that are there."""
        added = slice(self._filled, self._filled + len(image))
        self._image[added], self._target[added] = image, target
        self._filled = added.stop

    def rows(self) -> Stored:
        """All slices that were put."""
        return Stored(self._image[: self._filled], self._target[: self._filled], None)


class Streamed:
    """Slices in a file, a record each, so that a slice is one piece on the disk.

    The file has no name: nothing takes it for whole before it is, and it is gone with the process, however that ends.

    Parameters
    ----------
    count
        The most slices that will come.
    shape
        Of one: its channels, and twice the side of its canvas in pixels.
    folder
        On whose disk.

    Attributes
    ----------
    file
        Open until `rows` maps it.

    Raises
    ------
    InputError
        Where the disk has no space for them.
    """

    def __init__(self, count: int, shape: Shape, folder: Path) -> None:
        self._record = _record(shape)
        self._folder, self._needed = folder, count * self._record.itemsize
        with self._complaining():
            if shutil.disk_usage(folder).free < self._needed:  # better known now than after hours of loading
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.file = nameless(folder)

    def put(self, image: Float[Tensor, "d c s s"], target: UInt8[Tensor, "d s s"]) -> None:
        """Add slices to those that are there.

        Raises
        ------
        InputError
            Where the disk is full.
        """
        records = np.empty(len(image), self._record)
        records["image"], records["target"] = image, target
        left = records.view(np.uint8).data
        with self._complaining():  # Written, not mapped: where a mapped file finds no space, the process is killed.
            while left:
                left = left[self.file.write(left) :]

    def rows(self) -> Stored:
        """All slices that were put, which must be one at least; no more can be put then."""
        with self._complaining(), self.file as file:
            # Shared with the file, as a private mapping would be counted against the memory that is too small for it.
            mapping = mmap.mmap(file.fileno(), 0)
        mapping.madvise(mmap.MADV_RANDOM)  # else the system reads megabytes round every slice
        records = np.frombuffer(mapping, self._record)
        return Stored(torch.from_numpy(records["image"]), torch.from_numpy(records["target"]), mapping)

    @contextmanager
    def _complaining(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(
                f"{self._folder}: {self._needed / GB:.1f} GB of slices can't be kept there ({error.strerror}); "
                f"free space, or raise --memory to hold them in memory"
            ) from None


def make_room(
    count: int, shape: Shape, *, device: torch.device, memory: float | None, folder: Path | None
) -> Resident | Streamed:
    """Choose where slices are to lie: in the device's memory where they fit, else in `folder`.

    Parameters
    ----------
    count
        The most slices that will come.
    shape
        Of one: its channels, and twice the side of its canvas in pixels.
    memory
        GB (10⁹ bytes) that they may take of the device's memory, at least 0; None: half of what is free, as training
        needs memory, too.
    folder
        On whose disk; None: always in memory.

    Raises
    ------
    InputError
        Where they fit neither memory nor disk.
    """
    limit = _free(device) / 2 if memory is None else memory * GB
    if folder is None or count * slice_bytes(shape) <= limit:
        return Resident(count, shape, device)
    return Streamed(count, shape, folder)


def read_ahead(mapping: mmap.mmap, index: Int[Tensor, "b"], *, shape: Shape) -> None:
    """Have slices number `index` read from the disk, where they aren't in memory; returns at once.

    Parameters
    ----------
    mapping
        Of `Streamed.rows`.
    shape
        Of a slice: its channels, and twice the side of its canvas in pixels.
    """
    length = _record(shape).itemsize
    for number in index.tolist():
        start = number * length
        page = start - start % mmap.PAGESIZE
        mapping.madvise(mmap.MADV_WILLNEED, page, start + length - page)


def _record(shape: Shape) -> np.dtype:
    # Aligned, as an odd number of bytes a record would put halves where torch can't have them.
    return np.dtype([("image", np.float16, shape), ("target", np.uint8, shape[1:])], align=True)


def slice_bytes(shape: Shape) -> int:
    """Bytes that a slice and its labels take."""
    return _record(shape).itemsize


def _free(device: torch.device) -> int:
    """Bytes of memory that are free: the GPU's, or what this process could take without swapping."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return free()
