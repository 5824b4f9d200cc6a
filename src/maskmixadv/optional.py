"""Packages that only some uses need."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from maskmixadv.errors import InputError


def needed(module: str, *, extra: str, what: str) -> Any:  # noqa: ANN401
    """Import an optional package.

    Parameters
    ----------
    module
        The package's name.
    extra
        The project's extra that installs it.
    what
        What needs it: the beginning of the error's text.

    Raises
    ------
    InputError
        If it is missing; the line has the command that installs it.

    Examples
    --------
    >>> needed("missing_package", extra="dicom", what="a.dcm: DICOM")
    Traceback (most recent call last):
    maskmixadv.errors.InputError: a.dcm: DICOM needs missing_package; install it with "pip install 'maskmixadv[dicom]'"
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise _missing(error.name or module, extra, what) from None


def must_be_there(module: str, *, extra: str, what: str) -> None:
    """Raise as `needed` does, without importing the package.

    Examples
    --------
    >>> must_be_there("json", extra="dicom", what="a.dcm: DICOM")
    """
    if find_spec(module) is None:
        raise _missing(module, extra, what)


def _missing(module: str, extra: str, what: str) -> InputError:
    return InputError(f"{what} needs {module}; install it with \"pip install 'maskmixadv[{extra}]'\"")
