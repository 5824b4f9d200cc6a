"""A directory that is there whole or not at all."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from maskmixadv.data.corpus import claim
from maskmixadv.errors import InputError


@contextmanager
def whole(root: Path) -> Iterator[Path]:
    """Give a new directory beside `root`, which becomes `root` if what follows succeeds, and is gone if it fails.

    Raises
    ------
    InputError
        Where `root` holds something already, or can't be made.
    """
    claim(root)  # its complaints come before the work
    partial = root.with_name(f".{root.name}.partial-{uuid.uuid4().hex[:8]}")
    try:
        partial.mkdir()
        yield partial
        partial.replace(root)
    except OSError as error:
        raise InputError(f"{root}: can't be written ({error.strerror}); free space or name another place") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        with suppress(OSError):
            root.rmdir()  # empty, where it failed
