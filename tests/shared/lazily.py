"""Types that are checked at each call, with the check compiled at the first one: most functions are never called."""

import functools
from collections.abc import Callable
from typing import Any

from beartype import beartype


def checked(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with beartype's check of its arguments and its answer."""
    check: Callable[..., Any] | None = None

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        nonlocal check
        if check is None:
            check = beartype(function)
        return check(*args, **kwargs)

    return called
