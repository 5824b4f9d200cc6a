"""The type of the fixture that reads what a benchmark recorded."""

from collections.abc import Callable
from typing import Any

Recorded = Callable[[str], Any]
"""Figures of the only line in a benchmark's records, by their name."""
