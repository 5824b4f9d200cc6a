"""The errors that the command line reports in one line, and the exit codes that a program sees."""

import sys
from typing import Final

DIVERGED: Final = 3
"""Exit code of a training whose losses or weights are no longer finite."""
INTERRUPTED: Final = 130
"""Exit code of a command that Ctrl-C or a signal stopped."""


class InputError(ValueError):
    """The user's input is wrong; the message is one line naming file, value and what is allowed.

    The command line prints it to stderr and ends with exit code 2.
    """


class DivergedError(ArithmeticError):
    """A loss or a weight is no longer finite; the message is one line naming term, step, rate and what to try.

    The command line prints it to stderr and ends with exit code ``DIVERGED``.
    """


def report(error: InputError | DivergedError) -> int:
    """Print `error` to stderr in one line, as every command does; returns the command's exit code.

    Examples
    --------
    >>> report(InputError("steps: 0, allowed is 1 or more"))
    2
    """
    print(f"maskmixadv: {one_line(str(error))}", file=sys.stderr)
    return DIVERGED if isinstance(error, DivergedError) else 2


def one_line(text: str) -> str:
    r"""Return `text` with every run of white space, line breaks included, as one space.

    Examples
    --------
    >>> one_line("no room\n  on the disk")
    'no room on the disk'
    """
    return " ".join(text.split())
