"""The window of a corpus's CTs."""

import tracemalloc
from collections.abc import Iterator

import numpy as np

from maskmixadv.corpus.case import Case
from maskmixadv.corpus.channels import Channel
from maskmixadv.corpus.window import with_windows


def test_of_volumes_that_were_looked_at_nothing_stays_in_memory() -> None:
    side, count = 1000, 10

    def cases() -> Iterator[Case]:
        for number in range(count):
            image = np.linspace(-1000, 1000, side * side, dtype=np.float32).reshape(1, 1, side, side)
            yield Case(str(number), str(number), image, dense=(image[0] > 0).astype(np.uint8))

    tracemalloc.start()
    (channel,) = with_windows([Channel("CT", "CT")], cases(), "mine")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert channel.window is not None
    # A volume as it is made, what is taken of it, and the hundred thousand values of each of the others.
    assert peak < (6 * side * side + 2 * count * 100_000) * 4
