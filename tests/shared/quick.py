"""Which of many alike cases `make test` takes: the others are slow ones."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def quick(cases: Iterable[Any], *kept: str, name: Callable[[Any], str] = str) -> list[Any]:
    """Return cases for `parametrize`, those whose names are not `kept` as slow ones; a tuple is several arguments."""
    found = list(cases)
    assert set(kept) <= {name(case) for case in found}, "a case that is kept is not there"
    slow = [() if name(case) in kept else (pytest.mark.slow,) for case in found]
    given = [case if isinstance(case, tuple) else (case,) for case in found]
    return [pytest.param(*values, marks=marks) for values, marks in zip(given, slow, strict=True)]
