"""A folder that is being worked on: what the page asks for and what it changes, as plain files."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8, UInt16

from maskmixadv.data import classes
from maskmixadv.studio import palette as palettes
from maskmixadv.studio import queue
from maskmixadv.studio.cases import Cases
from maskmixadv.studio.export import Mask, What, write_masks, write_model, write_nnunet
from maskmixadv.studio.heart import measured
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.palette import Named, Palette
from maskmixadv.studio.predictions import Predictions
from maskmixadv.studio.queue import Candidate
from maskmixadv.studio.refusals import MissingError, RequestError, TakenError
from maskmixadv.studio.reviews import Reviews, Verdict
from maskmixadv.studio.scribbles import Scribbles
from maskmixadv.studio.training import METHODS, PRESETS, Training
from maskmixadv.studio.volumes import Facts

Plane = UInt8[np.ndarray, "h w"]
Kind = Literal["prediction", "disagreement"]


class Session:
    """A folder, served; safe to be asked by many threads.

    Parameters
    ----------
    root
        The folder; made where it is missing.

    Raises
    ------
    InputError
        Where something in it is malformed, or a link out of it.
    """

    def __init__(self, root: Path) -> None:
        self.layout = Layout.open(root)
        self.training = Training(self.layout)
        self._reviews = Reviews(self.layout.check(self.layout.root / "studio.json"))
        self.cases = Cases(self.layout)
        self._predictions = Predictions(self.layout)
        self._scribbles = Scribbles(self.layout, palettes.read(self.layout))
        self._gate, self._locks = Lock(), defaultdict[str, Lock](Lock)

    def folder(self) -> dict[str, Any]:
        """All that a list of the cases shows."""
        known, run = self.cases.known(), self._predictions.latest()
        return {
            "name": self.layout.root.name,
            "classes": self.classes(),
            "spacing_known": all(facts.spacing is not None for facts in known.facts.values()),
            "cases": [self._case(case, facts, known.axis, run) for case, facts in known.facts.items()],
            "problems": known.problems,
            "presets": list(PRESETS),
            "methods": list(METHODS),
            "run": None if run is None else {"name": run},
        }

    def classes(self) -> list[dict[str, str]]:
        """Names and colours, background first."""
        return [asdict(each) for each in self._scribbles.palette.classes]

    def set_classes(self, named: Sequence[Named]) -> None:
        """Rename, recolour and append classes; before there are strokes, also take some away.

        Raises
        ------
        RequestError
            Where they can't be classes, strokes would lose theirs, or the files have no code left for another one.
        """
        before = self._scribbles.palette
        after = Palette(tuple(named), before.ignore)
        after.check()
        with self._all_held():
            cases, ignore = self._scribbles.files(), before.ignore
            drawn = any(self._scribbles.drawn(case, 0) for case in cases)
            if drawn and len(named) < len(before.classes):
                raise RequestError("classes: strokes are there, so classes can be renamed and added, not removed")
            if len(named) > ignore:
                if drawn:
                    raise TakenError(
                        f"classes: code {ignore} means unlabelled in the strokes, so no class can be added"
                    )
                self._scribbles.forget()
                after = Palette(tuple(named))
            after.write(self.layout.root / classes.FILE)
            self._scribbles.palette = after

    def image(self, case: str, index: int) -> UInt16[np.ndarray, "h w"]:
        """A slice: 0 to 65,535 from the volume's lowest to its highest value."""
        shown, axis = self.cases.open(case)
        return _slice(shown.pixels(axis), 0, index)

    def scribble(self, case: str, index: int) -> Plane:
        """Strokes of a slice: class indices, 255 where nothing is drawn."""
        shown, axis = self.cases.open(case)
        return _slice(self._scribbles.read(case, shown.volume.array.shape), axis, index)

    def draw(self, case: str, index: int, labels: bytes, seconds: float) -> tuple[int, ...]:
        """Replace the strokes of a slice; on disk when it returns.

        Parameters
        ----------
        labels
            Row by row: class indices, 255 where nothing is drawn.
        seconds
            How long somebody drew.

        Returns
        -------
        The case's slices with strokes.

        Raises
        ------
        RequestError
            Where `labels` does not fit the slice or the classes; nothing is changed then.
        """
        shown, axis = self.cases.open(case)
        shape = _slice(shown.pixels(axis), 0, index).shape
        if len(labels) != shape[0] * shape[1]:
            raise RequestError(f"scribble: {len(labels)} bytes, allowed are {shape[0]} × {shape[1]}")
        plane = np.frombuffer(labels, np.uint8).reshape(shape)
        with self._held(case):
            self._scribbles.check(plane)
            strokes = self._scribbles.read(case, shown.volume.array.shape)
            if not np.array_equal(_slice(strokes, axis, index), plane):
                strokes = strokes.copy()
                np.moveaxis(strokes, axis, 0)[index] = plane
                self._scribbles.write(case, strokes, shown.volume)
            drawn = self._scribbles.drawn(case, axis)
        if seconds > 0:
            self._reviews.spend(case, index, seconds)
        return drawn

    def predicted(self, case: str, index: int, kind: Kind) -> Plane:
        """Labels of a slice, or how much they are in doubt: of the latest run, or of that which was accepted.

        Raises
        ------
        MissingError
            Where there are none.
        """
        shown, axis = self.cases.open(case)
        run = self._reviews.accepted_from(case).get(index) or self._predictions.latest()
        of = self._predictions.labels if kind == "prediction" else self._predictions.doubt
        array = None if run is None else of(run, case)
        if array is None or array.shape != shown.volume.array.shape:
            raise MissingError(f"no {kind} of this case yet")
        return _slice(array, axis, index)

    def review(self, case: str, index: int, verdict: Verdict | None) -> dict[int, Verdict]:
        """Keep what somebody says of a slice's prediction; returns what holds in the case.

        Raises
        ------
        MissingError
            Where there is no prediction.
        """
        self.predicted(case, index, "prediction")
        run = self._predictions.latest()
        if run is not None:
            self._reviews.judge(case, index, verdict, run)
        return self._reviews.verdicts(case, run)

    def queue(self) -> list[dict[str, Any]]:
        """Slices worth somebody's time, most worthwhile first."""
        known, run = self.cases.known(), self._predictions.latest()
        candidates = [
            Candidate(
                case,
                facts.shape[known.axis],
                self._scribbles.drawn(case, known.axis),
                self._reviews.verdicts(case, run),
                [] if run is None else self._predictions.doubts(run, case, known.axis),
            )
            for case, facts in known.facts.items()
        ]
        return [asdict(proposal) for proposal in queue.propose(candidates)]

    def clinical(self) -> dict[str, Any]:
        """Volumes of all cases that were predicted, and of hearts what is read off them."""
        names = [each.name for each in self._scribbles.palette.classes]
        return measured([(mask.case, mask.labels, mask.shown.volume.spacing) for mask in self._masks()], names)

    def export(self, what: What) -> dict[str, Any]:
        """Write masks, the latest run's model, or a data set for nnU-Net under ``export/``.

        Raises
        ------
        RequestError
            Where there is nothing to export, or this installation can't.
        """
        if what == "nnunet":
            out, cases = write_nnunet(self.layout)
            return {"path": str(out), "files": 2 * cases + 2}
        run = self._predictions.latest()
        if run is None:
            raise TakenError("nothing is predicted yet; train first")
        if what == "model":
            out, files = write_model(self.layout, run)
            return {"path": str(out), "files": files}
        out = self.layout.check(self.layout.export / "masks")
        files = write_masks(out, self._masks(), ignore=self._scribbles.palette.ignore)
        return {"path": str(out), "files": files}

    def _masks(self) -> Iterator[Mask]:
        """Predictions of the latest run, with accepted slices as they were accepted."""
        images, run = self.layout.listing()[0], self._predictions.latest()
        for case in images:
            latest = None if run is None else self._predictions.labels(run, case)
            if latest is None:
                continue
            (shown, axis), labels = self.cases.open(case), latest.copy()
            for index, accepted in self._reviews.accepted_from(case).items():
                kept = self._predictions.labels(accepted, case)
                if kept is not None and kept.shape == labels.shape and index < labels.shape[axis]:
                    np.moveaxis(labels, axis, 0)[index] = np.moveaxis(kept, axis, 0)[index]
            yield Mask(case, shown, labels, axis, self._reviews.verdicts(case, run))

    def _case(self, case: str, facts: Facts, axis: int, run: str | None) -> dict[str, Any]:
        order = (axis, *(other for other in range(3) if other != axis))
        return {
            "name": case,
            "shape": [facts.shape[place] for place in order],
            "spacing": None if facts.spacing is None else [facts.spacing[place] for place in order],
            "low": facts.low,
            "high": facts.high,
            "scribbled": self._scribbles.drawn(case, axis),
            "reviews": self._reviews.verdicts(case, run),
            "predicted": run is not None and self._predictions.has(run, case),
            "seconds": self._reviews.seconds(case),
        }

    @contextmanager
    def _held(self, case: str) -> Iterator[None]:
        with self._gate:
            lock = self._locks[case]
        with lock:
            yield

    @contextmanager
    def _all_held(self) -> Iterator[None]:
        with self._gate, ExitStack() as stack:
            for lock in self._locks.values():
                stack.enter_context(lock)
            yield


def _slice(volume: np.ndarray, axis: int, index: int) -> np.ndarray:
    if not 0 <= index < volume.shape[axis]:
        raise MissingError(f"no slice {index}, allowed are 0 to {volume.shape[axis] - 1}")
    return np.moveaxis(volume, axis, 0)[index]
