"""A lock for each case, and all of them together."""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock


class Locks:
    """Locks by case: who changes a case's files holds its lock, and who changes what all files mean holds all."""

    def __init__(self) -> None:
        self._gate, self._locks = Lock(), defaultdict[str, Lock](Lock)

    @contextmanager
    def of(self, case: str) -> Iterator[None]:
        """Hold the lock of a case."""
        with self._gate:
            lock = self._locks[case]
        with lock:
            yield

    @contextmanager
    def all(self) -> Iterator[None]:
        """Hold the locks of all cases, also of those that come meanwhile."""
        with self._gate, ExitStack() as stack:
            for lock in self._locks.values():
                stack.enter_context(lock)
            yield
