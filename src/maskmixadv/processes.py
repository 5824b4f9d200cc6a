"""Processes: pools that end with their starter, children that write down why they failed, signals, users of folders.

A process is a user of a folder, as one that adds files to it over minutes, until it says otherwise or ends.
"""

import multiprocessing
import os
import signal
import threading
import traceback
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from maskmixadv.errors import DivergedError, InputError, one_line
from maskmixadv.files import make_directory, read_text, write_text

LONGEST_REASON: Final = 2**16
"""Bytes of a reason, and of the end of an output in which its last line is looked for."""
USED: Final = ".used-"
"""Begin of the names of files in a folder that its users hold locks of; the script of an exported model has it, too."""


@contextmanager
def told_to(path: Path) -> Iterator[None]:
    """Add to a file what is printed meanwhile.

    Examples
    --------
    >>> with told_to(Path("output.txt")):
    ...     print("one line")
    >>> Path("output.txt").read_text().strip()
    'one line'
    """
    make_directory(path.parent)
    with path.open("a") as file, redirect_stderr(file), redirect_stdout(file):
        yield


def process_pool(
    processes: int | None = None, *, fresh: bool = False, begin: Callable[[], object] | None = None
) -> ProcessPoolExecutor:
    """Return a pool of processes, all of which end when this one does, even if it is killed.

    Processes of the standard library's pool wait for work for ever after their parent was killed.

    Parameters
    ----------
    processes
        How many; None: one a core.
    fresh
        Whether each begins as Python does, as it must where this process has begun to use a GPU.
    begin
        What each does first.

    Examples
    --------
    >>> with process_pool() as pool:
    ...     list(pool.map(abs, [-2, -1]))
    [2, 1]
    """
    context = multiprocessing.get_context("spawn") if fresh else None
    return ProcessPoolExecutor(processes, mp_context=context, initializer=_begun, initargs=(begin,))


def _begun(begin: Callable[[], object] | None) -> None:
    threading.Thread(target=_wait_for_parent, daemon=True).start()
    if begin is not None:
        begin()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


@contextmanager
def reason_written(path: Path) -> Iterator[None]:
    """Write to the file `path` why the block fails, in one line, for the process that started this one.

    The error is raised again.

    Examples
    --------
    >>> try:
    ...     with reason_written(Path("reason.txt")):
    ...         raise InputError("steps: 0, allowed is 1 or more")
    ... except InputError:
    ...     print(read_reason(Path("reason.txt")))
    steps: 0, allowed is 1 or more
    """
    try:
        yield
    except Exception as error:
        known = isinstance(error, (InputError, DivergedError))
        reason = str(error) if known else "".join(traceback.format_exception_only(error))
        with suppress(InputError):  # the disk may be full, which is then what failed
            write_text(path, f"{one_line(reason)[: LONGEST_REASON // 4]}\n")
        raise


def read_reason(path: Path) -> str | None:
    """Return what `reason_written` wrote to `path`; None where there is nothing, as of a process that was killed.

    Examples
    --------
    >>> read_reason(Path("missing.txt")) is None
    True
    """
    try:
        return read_text(path, most=LONGEST_REASON).strip() or None
    except InputError:
        return None


def last_line(output: Path) -> str:
    r"""Return the last line that a process printed to the file `output`; empty where it printed none.

    Examples
    --------
    >>> Path("output.txt").write_text("step 1\nMemoryError\n")
    19
    >>> last_line(Path("output.txt"))
    'MemoryError'
    """
    try:
        with output.open("rb") as file:
            file.seek(-min(LONGEST_REASON, output.stat().st_size), os.SEEK_END)
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


@contextmanager
def hearing(*numbers: int, call: Callable[..., object]) -> Iterator[None]:
    """Call `call` where a signal of `numbers` comes while the block goes on; then they do what they did before.

    Beside the main thread Python hears no signals: there they do so all the time.

    Parameters
    ----------
    numbers
        Signals, such as ``signal.SIGTERM``.
    call
        Is given the signal's number and the frame that was interrupted.

    Examples
    --------
    >>> heard = []
    >>> with hearing(signal.SIGTERM, call=lambda number, _: heard.append(number)):
    ...     signal.raise_signal(signal.SIGTERM)
    >>> heard == [signal.SIGTERM]
    True
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, call) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


@contextmanager
def using(folder: Path) -> Iterator[None]:
    """Let other processes see (`used`) that this one uses `folder`, until the block ends or this process does.

    Several may use one folder. Where no lock can be made, as in a folder that may only be read, nobody sees it.

    Examples
    --------
    >>> with using(Path()):
    ...     used(Path())
    True
    >>> used(Path()), list(Path().iterdir())
    (False, [])
    """
    mark = folder / f"{USED}{uuid.uuid4().hex}"
    lock = FileLock(mark, thread_local=False)
    with suppress(OSError, NotImplementedError):
        if folder.is_dir():  # else the lock would make it
            used(folder)  # deletes what killed ones left
            lock.acquire(timeout=0)
    try:
        yield
    finally:
        lock.release()
        with suppress(OSError):
            mark.unlink(missing_ok=True)


def used(folder: Path) -> bool:
    """Whether a process uses `folder` (`using`); files of processes that were killed are deleted.

    Examples
    --------
    >>> Path(".used-by-one-that-was-killed").touch()
    >>> used(Path()), list(Path().iterdir())
    (False, [])
    """
    held_by = [mark for mark in folder.glob(f"{USED}*") if _locked(mark)]
    return bool(held_by)


def _locked(mark: Path) -> bool:
    lock = FileLock(mark, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return False
    with suppress(OSError):
        mark.unlink(missing_ok=True)
    lock.release()
    return False
