"""Methods: each an immutable dataclass that yields its losses, imported when it is asked for."""

import warnings
from typing import Any, Final

import lazy_loader

_lazily, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

FORMER: Final = {"Flagship": "WalkTeacher"}
"""Names that classes had before version 0.2, to present ones."""


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in FORMER:
        return _lazily(name)
    told = f"maskmixadv.methods.{name} is called {FORMER[name]} now; the former name goes with version 0.3"
    warnings.warn(told, DeprecationWarning, stacklevel=2)
    return _lazily(FORMER[name])
