"""What tests of methods share: networks are narrow."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def _narrow(narrow: None) -> None:
    """Make networks narrow: a method's questions are the same at any width."""
