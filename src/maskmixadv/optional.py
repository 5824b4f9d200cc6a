"""Packages that only some uses need."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from maskmixadv.errors import InputError


def needed(module: str, *, extra: str, what: str) -> Any:  # noqa: ANN401
    """Import an optional package.

    Parameters
    ----------
    module, extra
        Its name, and that of the project's extra which installs it.
    what
        What needs it, as the complaint begins.

    Raises
    ------
    InputError
        Where it is missing, with the command that installs it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise _missing(error.name or module, extra, what) from None


def must_be_there(module: str, *, extra: str, what: str) -> None:
    """Raise as `needed` does, without importing the package."""
    if find_spec(module) is None:
        raise _missing(module, extra, what)


def _missing(module: str, extra: str, what: str) -> InputError:
    return InputError(f"{what} needs {module}; install it with \"pip install 'maskmixadv[{extra}]'\"")
