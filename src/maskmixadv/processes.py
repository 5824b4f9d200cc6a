"""Processes that share work, and end with the one that started them."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from threading import Thread


def process_pool() -> ProcessPoolExecutor:
    """Return a pool of a process a core; its processes end when this one does, however that ends.

    Those of the standard library wait for work for ever where their parent was killed.
    """
    return ProcessPoolExecutor(initializer=_end_with_parent)


def _end_with_parent() -> None:
    Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
