"""Turns a lack of memory into an error of the file that caused it, so that the server and the training go on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from maskmixadv.errors import InputError


class MemoryLackError(InputError):
    """An image takes more memory than is free; there may be more later."""


@contextmanager
def within_memory(path: Path) -> Iterator[None]:
    """Raise a `MemoryLackError` that names `path` if the block runs out of memory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # On a CPU, torch raises a plain RuntimeError.
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        raise MemoryLackError(
            f"{path}: takes more memory than is free; close other programs, or cut the image"
        ) from None
