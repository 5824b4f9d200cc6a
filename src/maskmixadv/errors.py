"""The errors that the command line tells in one line."""

from typing import Final

DIVERGED: Final = 3
"""Exit code of a training whose losses or weights are no finite numbers any more."""


class InputError(ValueError):
    """The user's input is wrong; the message is one line naming file, value and what is allowed.

    The command line prints it to stderr and ends with exit code 2.
    """


class DivergedError(ArithmeticError):
    """A training left the finite numbers; the message is one line naming term, step, rate and what to try.

    The command line prints it to stderr and ends with exit code ``DIVERGED``.
    """
