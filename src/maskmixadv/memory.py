"""Memory of this machine: how much is free, and a budget that threads share. Nothing here imports torch."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Condition
from typing import Final

_PROC: Final = Path("/proc")
_GROUP: Final = Path("/sys/fs/cgroup")


def free() -> int:
    """Return the bytes that this process can take without swapping, within its container's limits and ``ulimit -v``.

    Examples
    --------
    >>> free() > 2**20
    True
    """
    return max(0, min(_machine(), _container(), _address_space()))


class Budget:
    """Bytes that threads share; a thread that wants more than is left waits.

    Parameters
    ----------
    total
        Bytes. A thread that wants more is let in when no other has any.

    Examples
    --------
    >>> budget = Budget(2**30)
    >>> with budget.taken(2**29), budget.taken(2**29):
    ...     pass  # a third one would wait here
    """

    def __init__(self, total: int) -> None:
        self._total, self._used, self._changed = total, 0, Condition()

    @contextmanager
    def taken(self, amount: int) -> Iterator[None]:
        """Wait until `amount` bytes are left, and have them until the block ends."""
        with self._changed:
            self._changed.wait_for(lambda: not self._used or self._used + amount <= self._total)
            self._used += amount
        try:
            yield
        finally:
            with self._changed:
                self._used -= amount
                self._changed.notify_all()


def _machine() -> int:
    with suppress(OSError, KeyError, ValueError):  # sysconf does not count memory that caches files as free
        return _table(_PROC / "meminfo", ":")["MemAvailable"] * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _container() -> int:
    """Return what the limit of a control group, such as a container's, leaves; memory that caches files is free."""
    with suppress(OSError, KeyError, ValueError):
        return int((_GROUP / "memory.max").read_text()) - _table(_GROUP / "memory.stat", " ")["anon"]
    return 2**63


def _address_space() -> int:
    """Return what ``ulimit -v`` leaves."""
    with suppress(ImportError, OSError, IndexError, ValueError):
        import resource  # not everywhere there is one

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            return limit - int((_PROC / "self" / "statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    return 2**63


def _table(path: Path, between: str) -> dict[str, int]:
    """Numbers by name, a line each."""
    rows = (line.split(between, 1) for line in path.read_text().splitlines())
    return {name: int(value.split()[0]) for name, value in rows}
