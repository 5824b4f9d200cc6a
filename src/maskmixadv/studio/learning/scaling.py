"""Intensities of images that the page shows, scaled as a training scales them (`maskmixadv.corpus.channels`)."""

from collections.abc import Callable, Iterable
from typing import Any, Final

import numpy as np
from jaxtyping import Float, UInt8, UInt16

from maskmixadv.corpus.case import structures
from maskmixadv.corpus.channels import COLOURS, ONE, Channel, own, same
from maskmixadv.corpus.scale import PERCENTILE
from maskmixadv.corpus.window import PERCENTILES
from maskmixadv.errors import InputError
from maskmixadv.files import read_json
from maskmixadv.formats.slicing import View
from maskmixadv.runs.origin import LearntFrom, corpus_record
from maskmixadv.sources import classes
from maskmixadv.studio.images.volumes import TOP, ShownImage
from maskmixadv.studio.layout import Layout
from maskmixadv.typed import as_type

Plane = UInt8[np.ndarray, "h w"]
Ends = tuple[float, float]
"""Values of a shown image, which has 16 bits, that become 0 and 1."""
Bend = tuple[tuple[float, float], ...]
"""Such values in rising order, each with what it becomes; what lies between is interpolated."""
Drawn = Callable[[], Iterable[tuple[int, Plane]]]
"""Returns the slices of an image that have strokes, by their numbers on the page."""
LOWEST: Final = 1
"""The lowest value that is not the image's minimum, which is that of padding, too."""


class Scaling:
    """Knows the channels of a folder's images, and what becomes 0 and 1 in each of them.

    Channels are what ``classes.toml`` says, or else of kind MR. A CT has the window of the latest run. Before there is
    one, the window is that of the structures' strokes in the image itself.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._counted: tuple[ShownImage | None, dict[tuple[int, tuple[float, ...]], Ends]] = (None, {})

    def bends(self, shown: ShownImage, view: View, run: str | None, drawn: Drawn) -> tuple[Bend, ...]:
        """Return what values become in each shown channel, from 0 to 1.

        Parameters
        ----------
        shown, view
            The image, and how it is seen.
        run
            The latest run with predictions.
        drawn
            Its strokes; asked for only if a CT has no window yet.
        """
        channels = self.channels(shown, run)
        return tuple(self._bend(shown, view, place, channels[place], drawn) for place in range(len(shown.channels)))

    def channels(self, shown: ShownImage, run: str | None) -> tuple[Channel, ...]:
        """Return the channels of an image, with the windows and percentiles of the latest run where it had these."""
        count = len(shown.channels)
        numbered = tuple(Channel(f"channel {place}") for place in range(count))
        found = COLOURS if shown.coloured else numbered if count > 1 else ONE
        said = self._said()
        found = own(said if len(said) == len(found) and _in_colour(said) == shown.coloured else found)
        learnt = () if run is None else self._learnt(run)
        return learnt if same(learnt, found) else found

    def _said(self) -> tuple[Channel, ...]:
        try:
            return classes.channels(self._layout.root / classes.FILE)
        except InputError:  # a training says what is wrong
            return ()

    def _learnt(self, run: str) -> tuple[Channel, ...]:
        path = self._layout.runs / run / "run.json"
        try:
            raw = as_type(read_json(path), dict[str, Any], str(path))
            return corpus_record(LearntFrom, raw.get("corpus"), str(path)).channels
        except InputError:  # it is gone, or damaged
            return ()

    def _bend(self, shown: ShownImage, view: View, place: int, channel: Channel, drawn: Drawn) -> Bend:
        low, high = self._ends(shown, view, place, channel, drawn)
        if channel.knee:
            middle = self._percentiles(shown, place, (0.0, PERCENTILE), least=0)[1]
            if 0 < middle - low < channel.knee * (high - low):
                return (low, 0.0), (middle, channel.knee), (high, 1.0)
        return (low, 0.0), (max(high, low + 1e-9), 1.0)

    def _ends(self, shown: ShownImage, view: View, place: int, channel: Channel, drawn: Drawn) -> Ends:
        told = shown.channels[place]
        if channel.kind in ("MR", "RGB"):
            return self._percentiles(shown, place, (0.0, channel.percentile or PERCENTILE), least=0)
        window = (0.0, 1.0) if channel.kind == "noNorm" else channel.window
        if window is not None:
            low, high = ((value - told.low) / (told.high - told.low) * TOP for value in window)
            return low, high
        return _of_strokes(shown.pixels(view, place), drawn()) or self._percentiles(
            shown, place, PERCENTILES, least=LOWEST
        )

    def _percentiles(self, shown: ShownImage, place: int, wanted: tuple[float, float], *, least: int) -> Ends:
        """Return two percentiles of a channel's values from `least` on; kept for the latest image."""
        of, kept = self._counted
        if of is not shown:
            kept = dict[tuple[int, tuple[float, ...]], Ends]()
            self._counted = shown, kept
        key = place, wanted
        if key not in kept:
            # Of a long CT counts are faster than a percentile; slice by slice, to save memory.
            pixels = shown.stored[place]
            counts = np.sum([np.bincount(each.ravel(), minlength=TOP + 1) for each in pixels], 0)[least:].cumsum()
            low, high = (
                least + int(np.searchsorted(counts, max(1, counts[-1] * percentile / 100))) for percentile in wanted
            )
            kept[key] = float(low), float(high if high > low else TOP)
        return kept[key]


def scaled(pixels: UInt16[np.ndarray, "h w *rgb"], bend: Bend) -> Float[np.ndarray, "h w *rgb"]:
    """Scale a slice to [0, 1].

    Examples
    --------
    >>> scaled(np.array([[0, 100, 300]], np.uint16), ((50.0, 0.0), (250.0, 1.0))).tolist()
    [[0.0, 0.25, 1.0]]
    """
    values, become = zip(*bend, strict=True)
    # Looked up: to interpolate each of a large picture's 48 million values takes a second.
    return np.interp(np.arange(TOP + 1), values, become).astype(np.float32)[pixels]


def _in_colour(channels: tuple[Channel, ...]) -> bool:
    return bool(channels) and channels[0].kind == "RGB"


def _of_strokes(pixels: UInt16[np.ndarray, "d h w"], drawn: Iterable[tuple[int, Plane]]) -> Ends | None:
    """Return the window of structures' strokes, as `maskmixadv.corpus.window` has it; None where there are none."""
    found = [pixels[index][structures(strokes)] for index, strokes in drawn]
    values = np.concatenate(found) if found else np.zeros(0, np.uint16)
    if not values.size:
        return None
    low, high = np.percentile(values, PERCENTILES).tolist()
    return (low, high) if low < high else None
