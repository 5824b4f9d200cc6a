"""How many threads a training on a processor takes: as many as make its steps shortest here and now.

The threads of a step wait for one another some thousand times. Where something else wants a core, such as the browser
that shows the studio, two threads of which one waits for its core are several times as slow as one alone. Which number
is best depends on the processor, and on what runs beside. So it is tried out, all the time.
"""

import time
from collections import deque
from collections.abc import Callable
from statistics import fmean, median
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from maskmixadv.training.fit import Watch
    from maskmixadv.training.loop import Loop

SEEN: Final = 8
"""Steps with one number of threads after which another may be tried."""
TRIED: Final = 4
"""Steps of a trial at most, and about how many steps' time a lost one costs at most."""
BETTER: Final = 0.95
"""Part of the present time a step that another number must stay below."""
SLOWER: Final = 1.5
"""Times as slow as they were steps become when something else has begun, so that another number is tried at once."""
LONGEST: Final = 256
"""Steps between trials at most: each lost trial doubles them."""


class Threads:
    """Watches a training, and sets the number of threads of its steps.

    Parameters
    ----------
    then
        Another watch, whose time does not count.
    most
        Threads at most; None: as many as torch would use.
    use
        Sets the number of threads; None: of torch.
    clock
        Returns the time in seconds.
    """

    def __init__(
        self,
        then: "Watch",
        most: int | None = None,
        use: Callable[[int], None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._then, self._most, self._use, self._clock = then, most, use, clock
        self._rungs: list[int] = []
        self._rung, self._turn, self._wait = 0, -1, SEEN
        self._seen, self._trial = deque[float](maxlen=SEEN), list[float]()
        self._other: int | None = None  # the rung that is tried
        self._left, self._usual = SEEN, float("inf")
        self._began: float | None = None

    def __call__(self, loop: "Loop") -> None:
        """Heed how long the step took, and call the other watch."""
        if loop.device.type == "cpu" and not self._rungs:
            self._begin()
        if len(self._rungs) > 1 and self._began is not None:
            self._took(self._clock() - self._began)
        self._then(loop)
        self._began = self._clock()

    def _begin(self) -> None:
        if self._most is None or self._use is None:
            import torch

            self._most = self._most or torch.get_num_threads()
            self._use = self._use or torch.set_num_threads
        self._rungs = _ladder(self._most)
        self._rung = len(self._rungs) - 1

    def _took(self, seconds: float) -> None:
        if self._other is not None:
            self._trial.append(seconds)
            self._judge(self._other)
            return
        self._seen.append(seconds)
        self._left -= 1
        if len(self._seen) < SEEN:
            return
        now = median(self._seen)
        if now > SLOWER * self._usual:
            self._left, self._usual = 0, now
        self._usual = min(self._usual, now)
        if self._left <= 0:
            self._try()

    def _try(self) -> None:
        """Begin a trial of the next number in the direction whose turn it is."""
        if not 0 <= self._rung + self._turn < len(self._rungs):
            self._turn = -self._turn
        self._other = self._rung + self._turn
        self._set(self._other)

    def _judge(self, other: int) -> None:
        """End the trial once it is decided: `TRIED` steps are done, or their time is over."""
        spent = sum(self._trial) >= TRIED * fmean(self._seen)
        if not spent and len(self._trial) < TRIED:
            return
        if not spent and median(self._trial) < BETTER * median(self._seen):
            self._rung, self._wait, self._usual = other, SEEN, float("inf")
        else:
            self._set(self._rung)
            self._turn, self._wait = -self._turn, min(2 * self._wait, LONGEST)
        self._other, self._left = None, self._wait
        self._seen.clear()
        self._trial.clear()

    def _set(self, rung: int) -> None:
        assert self._use is not None
        self._use(self._rungs[rung])


def _ladder(most: int) -> list[int]:
    """Return the numbers of threads that are tried: halves of `most`, and one fewer, which leaves a core to others."""
    halves = [most >> shift for shift in range(most.bit_length())]
    return sorted({*halves, max(1, most - 1)})
