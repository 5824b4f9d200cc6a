"""Previews: what the network of a running training says of the slice that the page shows.

The server writes which slice that is, and the training's process writes what its network says, each as a small file in
the run's notes. So neither waits for the other, and a later server finds both.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from maskmixadv.errors import InputError, say
from maskmixadv.files import read_json, write_text, written
from maskmixadv.formats.reading import read_npz
from maskmixadv.studio.images.cases import Cases
from maskmixadv.studio.layout import Layout
from maskmixadv.types import Spacing

if TYPE_CHECKING:
    from maskmixadv.training.loop import Loop

LOOK, PREVIEW = "look.json", "preview.npz"
EVERY: Final = 3.0
"""Seconds between previews at least."""
SHARE: Final = 0.05
"""Part of the time that previews may take: after one, twenty times as long as it took passes until the next one."""


@dataclass(frozen=True)
class Look:
    """A slice of a case, as it is numbered on the page."""

    case: str
    index: int


class Preview(NamedTuple):
    """The labels of a slice as it is seen, and the training's step."""

    labels: UInt8[np.ndarray, "h w"]
    step: int


def ask(notes: Path, look: Look) -> Preview | None:
    """Ask for previews of a slice; returns the one that is there, or None.

    Raises
    ------
    InputError
        If the question can't be written.
    """
    if _asked(notes) != look:
        write_text(notes / LOOK, json.dumps(asdict(look)))
    path = notes / PREVIEW
    try:
        found = read_npz(path) if path.is_file() else {}
        if str(found.get("case")) != look.case or int(found["index"]) != look.index:
            return None
        return Preview(found["labels"], int(found["step"]))
    except (InputError, KeyError, TypeError, ValueError):
        return None


def _asked(notes: Path) -> Look | None:
    try:
        raw = read_json(notes / LOOK)
        return Look(str(raw["case"]), int(raw["index"]))
    except (InputError, KeyError, TypeError, ValueError):
        return None


class Previews:
    """Watches a training, and writes previews of the slice that was asked for last, every few seconds.

    Parameters
    ----------
    layout, run
        The folder, and the name of the run.
    clock
        Returns the time in seconds.
    """

    def __init__(self, layout: Layout, run: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._layout, self._notes, self._clock, self._due = layout, layout.state / run, clock, -float("inf")
        self._volume: tuple[str, Float[np.ndarray, "c d h w"], Spacing | None] | None = None

    def __call__(self, loop: "Loop") -> None:
        """Write a preview if it is time. One that fails is told on stderr, and is the last."""
        began = self._clock()
        if began < self._due:
            return
        try:
            look = _asked(self._notes)
            if look is not None:
                self._write(look, loop)
        except Exception as error:  # the training must go on
            say(f"previews end: {type(error).__name__}: {error}")
            self._due = float("inf")
            return
        took = self._clock() - began
        self._due = began + (max(EVERY, took / SHARE) if look else EVERY / 10)

    def _write(self, look: Look, loop: "Loop") -> None:
        from maskmixadv.inference.predictor import Predictor

        channels = loop.run.learnt_from.channels
        try:
            image, spacing = self._image(look.case, loop)
        except InputError:  # other cases have previews; what the run predicts at its end says why
            return
        if not 0 <= look.index < image.shape[1]:
            return
        predictor = Predictor(loop.scored, loop.run.grid, loop.run.task.classes, channels=channels)
        labels = predictor.labels(image[:, look.index : look.index + 1], spacing)[0]
        with written(self._notes / PREVIEW) as file:
            np.savez_compressed(file, labels=labels, case=look.case, index=look.index, step=loop.step)

    def _image(self, case: str, loop: "Loop") -> tuple[Float[np.ndarray, "c d h w"], Spacing | None]:
        """Return a case as the network takes it; the latest one is kept."""
        from maskmixadv.corpus.channels import scaled
        from maskmixadv.formats import several

        if self._volume is None or self._volume[0] != case:
            known, channels = Cases(self._layout).known(), loop.run.learnt_from.channels
            paths = known.images[case]
            cut = several.read(paths).seen(known.views[case])
            self._volume = case, scaled(cut, channels, str(paths[0])), cut.spacing
        return self._volume[1:]
