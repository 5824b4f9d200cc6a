"""Networks of a few channels, for tests that hold at any width: most of a small step goes into the channels."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

WIDTHS = (4, 6, 8, 10, 12)
"""Each level has a width of its own: levels that are mixed up do not fit."""


@contextmanager
def narrowed() -> Iterator[None]:
    """Make networks and critics narrow; what was made before keeps its width."""
    from maskmixadv.networks.critic import Critic  # torch is slow to import, and some files of tests need none

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maskmixadv.networks.unet.WIDTHS", WIDTHS)
        for module in ("maskmixadv", "walk_teacher"):
            patch.setattr(f"maskmixadv.methods.{module}.Critic", partial(Critic, widths=WIDTHS[1:]))
        yield
