"""Turns a lack of memory into an error of the file that caused it, so that the server and the training go on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from maskmixadv.errors import InputError
from maskmixadv.memory import free


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


def must_be_free(needed: int, what: str) -> None:
    """Refuse what takes more memory than is free, before it begins: the system would end the server, unsaved work too.

    Parameters
    ----------
    needed
        About how many bytes it takes.
    what
        What takes them, for the error's text.

    Raises
    ------
    MemoryLackError
        If fewer are free.

    Examples
    --------
    >>> must_be_free(2**60, "filling heart")
    Traceback (most recent call last):
        ...
    maskmixadv.studio.memory.MemoryLackError: filling heart takes about 1073741824.0 GB of memory, ...
    """
    if needed > (left := free()):
        told = f"{what} takes about {needed / 2**30:.1f} GB of memory, and {left / 2**30:.1f} GB are free"
        raise MemoryLackError(f"{told}; close other programs, or cut the image")
