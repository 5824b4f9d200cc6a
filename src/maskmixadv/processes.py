"""Processes that share work, and end when the one that started them does."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from threading import Thread


def process_pool() -> ProcessPoolExecutor:
    """Return a pool with one process a core, all of which end when this one does, even if it is killed.

    Processes of the standard library's pool wait for work for ever after their parent was killed.

    Examples
    --------
    >>> with process_pool() as pool:
    ...     list(pool.map(abs, [-2, -1]))
    [2, 1]
    """
    return ProcessPoolExecutor(initializer=_end_with_parent)


def _end_with_parent() -> None:
    Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
