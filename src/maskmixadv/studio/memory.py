"""One file that takes more memory than there is: an error of that file, not of the server or the training."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from maskmixadv.errors import InputError


@contextmanager
def within_memory(path: Path) -> Iterator[None]:
    """Do what `path` asks for, as far as the memory goes.

    Raises
    ------
    InputError
        Where it does not suffice.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # torch has no class of its own for it on a CPU
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        raise InputError(f"{path}: takes more memory than is free; close other programs, or cut the image") from None
