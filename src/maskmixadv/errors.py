"""The errors that the command line reports in one line, without a traceback."""

from typing import Final

DIVERGED: Final = 3
"""Exit code of a training whose losses or weights are no finite numbers any more."""


class InputError(ValueError):
    """The user's input is wrong; the message is one line that names the file, the value and what is allowed.

    The command line prints it to stderr and ends with exit code 2.

    Examples
    --------
    >>> from maskmixadv.errors import InputError
    >>> from maskmixadv.methods.registry import load
    >>> try:
    ...     load("no-such-method")
    ... except InputError as error:
    ...     print(error)
    method: 'no-such-method', allowed are walk-teacher, maskmixadv, pce, ...
    """


class DivergedError(ArithmeticError):
    """A training's losses or weights became NaN or infinite.

    The message is one line that names the term, the step, the learning rate and what to try. The command line prints it
    to stderr and ends with exit code ``DIVERGED``.

    Examples
    --------
    >>> from maskmixadv.errors import DIVERGED, DivergedError
    >>> issubclass(DivergedError, ArithmeticError), DIVERGED
    (True, 3)
    """
