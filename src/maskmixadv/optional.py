"""Packages that only some uses need."""

from importlib import import_module
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
        missing = error.name or module
        raise InputError(f"{what} needs {missing}; install it with \"pip install 'maskmixadv[{extra}]'\"") from None
