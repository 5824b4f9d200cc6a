"""Mappings whose values are loaded when they are asked for, so that listing names costs no import."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Generic, TypeVar

Value = TypeVar("Value")


class LazyMapping(Mapping[str, Value], Generic[Value]):
    """A mapping of names to values; a value is loaded each time that it is asked for.

    Parameters
    ----------
    names
        The keys, in their order.
    load
        Returns the value of a key. Imports are cached by Python, so that a second look costs little.

    Examples
    --------
    >>> from maskmixadv.lazy import LazyMapping
    >>> squares = LazyMapping(("2", "3"), lambda name: int(name) ** 2)
    >>> list(squares), squares["3"], "4" in squares
    (['2', '3'], 9, False)
    """

    def __init__(self, names: Collection[str], load: Callable[[str], Value]) -> None:
        self._names, self._load = names, load

    def __getitem__(self, name: str) -> Value:
        if name not in self._names:
            raise KeyError(name)
        return self._load(name)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
