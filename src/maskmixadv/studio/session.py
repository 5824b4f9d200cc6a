"""The work in a folder: everything that the page asks for and changes; it is kept in plain files."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Literal

import numpy as np
from jaxtyping import UInt8, UInt16

from maskmixadv.errors import InputError, counted
from maskmixadv.files import held
from maskmixadv.formats.slicing import View
from maskmixadv.methods.registry import FROM_SCRIBBLES, METHODS
from maskmixadv.sources import classes
from maskmixadv.studio import palette as palettes
from maskmixadv.studio import versions, work
from maskmixadv.studio.answers import (
    CaseAnswer,
    ClinicalAnswer,
    DrawAnswer,
    ExportAnswer,
    FolderAnswer,
    MaskAnswer,
    MethodAnswer,
    ReadyAnswer,
    RunAnswer,
)
from maskmixadv.studio.corrected import Corrected
from maskmixadv.studio.export.kinds import ExportKind
from maskmixadv.studio.images.cases import Cases, KnownCases
from maskmixadv.studio.images.marks import Marks
from maskmixadv.studio.images.planes import at as _at
from maskmixadv.studio.images.planes import labels_of
from maskmixadv.studio.images.planes import plane as _slice
from maskmixadv.studio.images.volumes import Facts
from maskmixadv.studio.layout import LOOKED, PROPOSED, REVIEWS, Layout, printable
from maskmixadv.studio.learning import beginning, corpus, readiness
from maskmixadv.studio.learning.accepted import Accepted
from maskmixadv.studio.learning.predictions import StoredPredictions
from maskmixadv.studio.learning.preview import Look, Preview
from maskmixadv.studio.learning.proposals import Proposals
from maskmixadv.studio.learning.training import PRESET_CHOICES, Order, Training
from maskmixadv.studio.learning.unused import check_unused
from maskmixadv.studio.locks import Locks
from maskmixadv.studio.masks import Masks
from maskmixadv.studio.outputs import Outputs
from maskmixadv.studio.palette import PaletteClass
from maskmixadv.studio.pending import Idle
from maskmixadv.studio.refusals import MissingError, RequestError, StaleError, TakenError
from maskmixadv.studio.review.held import held_back
from maskmixadv.studio.review.looked import Looked
from maskmixadv.studio.review.queue import Candidate, Proposal, propose
from maskmixadv.studio.review.reviews import Review, Reviews, Seen, Verdict
from maskmixadv.studio.scribbles import Scribbles
from maskmixadv.types import IGNORE

SliceArray = UInt8[np.ndarray, "h w"]
Overlay = Literal["prediction", "disagreement"]
"""What the page draws over an image: labels, or where the network is in doubt."""


@contextmanager
def served(root: Path) -> Iterator["Session"]:
    """Give a session of folder `root` and lock the folder: two servers would overwrite each other's strokes.

    Trainings go on when the session ends, and the next session finds them.

    Raises
    ------
    InputError
        If another process serves the folder (the message says which one), and as `Session` does.
    """
    layout = Layout.open(root)
    with held(layout.state):
        session = Session(layout)
        session.recover()
        try:
            yield session
        finally:
            session.close()


class Session:
    """The work in a folder; safe for many threads.

    Parameters
    ----------
    root
        The folder; made if it is missing. A server must lock it (`served`).

    Raises
    ------
    InputError
        If something in the folder is malformed, or a link that leads out of it.
    """

    def __init__(self, root: Path | Layout) -> None:
        self.layout = root if isinstance(root, Layout) else Layout.open(root)
        self.training = Training(self.layout, lambda: {*self._reviews.runs(), *self._looked.runs()})
        marks = Marks(self.layout)
        self._reviews = Reviews(self.layout.check(self.layout.root / REVIEWS), marks)
        self.cases = Cases(self.layout)
        self._predictions = StoredPredictions(self.layout)
        self._accepted = Accepted(self._reviews, self._predictions)
        self._scribbles = Scribbles(
            self.layout, palettes.read(self.layout), lambda case: self.cases.open(case)[0].volume
        )
        self._corrected = Corrected(self.layout, lambda: self._scribbles.palette)
        self._looked = Looked(self.layout.check(self.layout.root / LOOKED), marks)
        self._locks, self._exporting = Locks(), Lock()
        noted = (self._reviews, self._looked, self._predictions, self._accepted)
        self.masks = Masks(self.cases, self._corrected, *noted, self._locks, self._scribbles.must_be_current)
        self._idle = Idle(self._settle_when_idle)
        parts = (self.cases, self._predictions, self._accepted, self._corrected, self._looked)
        self._outputs = Outputs(self.layout, *parts, self.masks, self._scribbles)
        dense = corpus.Dense(self._accepted, self._corrected, self._looked)
        self.proposals = Proposals(self.layout, self.cases, self._scribbles, self._predictions, dense)

    def folder(self) -> FolderAnswer:
        """Return everything that the list of cases shows."""
        self.recover()
        with self.layout.at_once():
            return self._folder()

    def _folder(self) -> FolderAnswer:
        known, run = self.cases.known(), self._predictions.latest()
        problems = [*filter(None, [self.layout.gone(), self._scribbles.changed_classes()]), *known.problems]
        problems += [*self._scribbles.problems(known.images), *self._corrected.problems(known.images)]
        problems += work.without_image(self.layout, known.images)
        cases = [self._case(case, known, run, problems) for case in known.facts]
        judged = (held_back(self._reviews, self._looked, case, known.images[case][0]) for case in known.facts)
        problems += filter(None, judged)
        return FolderAnswer(
            name=printable(self.layout.root.name),
            classes=self.classes(),
            coding=self.coding(),
            spacing_known=all(facts.spacing is not None for facts in known.facts.values()),
            cases=cases,
            problems=[printable(line.replace(f"{self.layout.root}{os.sep}", "")) for line in problems],
            presets=PRESET_CHOICES,
            methods=[MethodAnswer(name, _sentence(METHODS[name].about)) for name in FROM_SCRIBBLES],
            run=None if run is None else RunAnswer(run),
        )

    def settle(self) -> None:
        """Write the files of all strokes that are on disk as slices alone; whatever reads the files comes after it.

        Raises
        ------
        InputError
            If a file can't be written; its slices stay.
        """
        self.recover()
        for case in self._scribbles.unsettled():
            with self._locks.of(case):
                self._scribbles.settle(case)

    def recover(self) -> None:
        """Write strokes into their files that a killed server left as slices; `folder` tells of those that stay.

        Those of an image that can't be read wait until it can be.
        """
        for case in self._scribbles.left():
            with suppress(InputError):
                self._scribbles.recover(case)

    def close(self) -> None:
        """Settle; what can't be written is there as slices at the next start."""
        self._idle.stop()
        with suppress(InputError):
            self.settle()

    def train(self, order: Order) -> None:
        """Start a training of all that is drawn; raises as `Training.start` and `settle`."""
        order.check()
        self._scribbles.must_be_current()
        self.settle()
        self.training.start(order)

    def _settle_when_idle(self) -> None:
        try:
            self.settle()
        except InputError:  # the disk is full, for example; nothing is lost
            self._idle.soon()

    def ready(self) -> ReadyAnswer:
        """Return what a training of the folder as it is would lack, and about how long it would take."""
        with self.layout.at_once():
            return self._ready()

    def _ready(self) -> ReadyAnswer:
        names = [each.name for each in self.classes()]
        wants = readiness.wants(self._as_seen(), names)
        known = not readiness.has_gpu()
        pace, beside = (readiness.pace(self.layout.runs), readiness.beside(self.layout)) if known else (None, 0.0)
        times = readiness.seconds(pace, beside) if known else {}
        anew, renamed = beginning.of(self.layout, self._predictions, names)
        return ReadyAnswer(wants, times, readiness.further_of(pace, beside, known=known), anew, renamed)

    def _as_seen(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield the strokes of each case that has some, as they are seen; `folder` says which ones can't be read."""
        known = self.cases.known()
        for case in (case for case in known.facts if case not in known.odd):
            view, shape = known.views[case], known.facts[case].shape
            with suppress(InputError):
                if self._scribbles.drawn(case, view.axis, shape):
                    yield case, view.seen(self._scribbles.read(case, shape))

    def classes(self) -> tuple[PaletteClass, ...]:
        """Return the classes, background first."""
        return self._scribbles.palette.classes

    def coding(self) -> str:
        """Return what labels mean (`Palette.coding`)."""
        return self._scribbles.palette.coding

    def set_classes(
        self,
        named: Sequence[PaletteClass],
        was: Sequence[int | None] | None = None,
        seen: Sequence[PaletteClass] | None = None,
    ) -> None:
        """Rename, recolour, append and remove classes. A class is removed only where nothing is labelled with it.

        Parameters
        ----------
        was
            The place that each class had; None for a new one (`Palette.of`).
        seen
            The classes that somebody changed into `named`; None replaces any.

        Raises
        ------
        RequestError
            If the classes are not allowed, a class to remove has strokes, masks or predictions, no code is left for
            another class, or another program changed ``classes.toml``.
        StaleError
            If there are other classes than `seen`; nothing is changed then.
        """
        with self._locks.all():
            before = self._scribbles.palette
            if seen is not None and tuple(named) == before.classes:
                return  # they are there already: their first answer may have been lost
            if seen is not None and tuple(seen) != before.classes:
                raise StaleError("classes: another page changed them since; open this window again, then change them")
            after = before.of(named, was)
            after.check()
            kept = set(range(len(named)) if was is None else was)
            if (path := self.layout.root / classes.FILE).is_file() and palettes.read(self.layout) != before:
                raise StaleError(f"{path.name}: another program changed it; start the studio anew, then change classes")
            for case in self._scribbles.unsettled():
                self._scribbles.settle(case)
            drawn, ignore = self._scribbles.any_drawn() or self._corrected.any_painted(), before.ignore
            for place in (place for place in range(len(before.classes)) if place not in kept):
                parts = (self._scribbles, self._corrected, self._predictions, self.training)
                check_unused(place, before.classes[place].name, *parts)
            if after.codes is None and len(named) > ignore:
                if drawn:
                    raise TakenError(
                        f"classes: code {ignore} means unlabelled in the strokes, so no class can be added"
                    )
                self._scribbles.forget()
                after = replace(before, ignore=IGNORE, stated=True).of(named, was)
            after.write(self.layout.root / classes.FILE)
            self._scribbles.use(palettes.read(self.layout))
            self._corrected.forget()

    def image(self, case: str, index: int, channel: int = 0) -> UInt16[np.ndarray, "h w *rgb"]:
        """Return a slice of a channel, scaled so that 0 to 65,535 are the channel's lowest to its highest value.

        Pictures in colour are one channel, with red, green and blue on the last axis, which are scaled alike.

        Raises
        ------
        MissingError
            If there is no such slice or channel.
        """
        with self.layout.at_once():
            if channel == 0 and (first := self.cases.first(case, index)) is not None:
                return first
            shown, view = self.cases.open(case)
        if not 0 <= channel < len(shown.channels):
            raise MissingError(f"no channel {channel}, allowed are 0 to {len(shown.channels) - 1}")
        return _at(shown.pixels(view, channel), index)

    def across(self, case: str, axis: int, index: int, channel: int = 0) -> UInt16[np.ndarray, "h w *rgb"]:
        """Return a plane across the slices, scaled as `image` is: slices along its rows.

        Parameters
        ----------
        axis
            1: through row `index` of each slice; 2: through column `index`.

        Raises
        ------
        MissingError
            If there is no such plane or channel.
        """
        shown, view = self.cases.open(case)
        if axis not in (1, 2) or not 0 <= channel < len(shown.channels):
            raise MissingError(f"no axis {axis} or channel {channel}, allowed are axes 1 and 2")
        return _at(np.moveaxis(shown.pixels(view, channel), axis, 0), index)

    def scribble(self, case: str, index: int) -> SliceArray:
        """Return the strokes of a slice: class indices, 255 where nothing is drawn."""
        shape, view = self.cases.place(case)
        return _slice(self._scribbles.read(case, shape), view, index)

    def draw(
        self,
        case: str,
        index: int,
        labels: bytes,
        seconds: float,
        version: str | None = None,
        coding: str | None = None,
    ) -> DrawAnswer:
        """Replace the strokes of a slice; they are on disk when the method returns.

        Strokes that change take the slice's acceptance back: whoever draws there does not find it right.

        Parameters
        ----------
        labels
            Class indices, row by row; 255 where nothing is drawn.
        seconds
            How long somebody drew.
        version
            Version of the strokes that `labels` were drawn on (`maskmixadv.studio.versions`); None replaces any.
        coding
            What `labels` mean (`maskmixadv.studio.palette.Palette.coding`); None: what they mean by now.

        Raises
        ------
        RequestError
            If `labels` does not fit the slice or the classes, or its mask was painted; nothing is changed then.
        StaleError
            If the strokes have another version; nothing is changed then.
        """
        shown, view = self.cases.open(case)
        array = shown.volume.array
        plane, stored = labels_of(labels, array, view, index, "scribble"), view.stored(index, array.shape[view.axis])
        with self._locks.of(case):
            self._scribbles.check(plane, coding)
            self._looked.cut(case, view.axis)
            strokes = self._scribbles.read(case, array.shape)
            versions.check(version, _slice(strokes, view, index), plane)
            if not np.array_equal(_slice(strokes, view, index), plane):
                self._must_be_unpainted(case, view, stored, array.shape)
                strokes = strokes.copy()
                _slice(strokes, view, index)[:] = plane
                if stored in self._reviews.accepted(case):
                    # Before the strokes, which are sent again if they can't be written.
                    self._reviews.judge(case, stored, None)
                if self._scribbles.write_slice(case, strokes, shown.volume, view.axis, stored):
                    self._idle.soon()
                self._reviews.correct(case, stored, self._predictions.latest(), view.axis)
            drawn = self._drawn(case, view, array.shape)
        if seconds > 0:
            self._reviews.spend(case, stored, seconds)
        return DrawAnswer(drawn, self._verdicts(case, view, array.shape), versions.version(plane))

    def _must_be_unpainted(self, case: str, view: View, stored: int, shape: tuple[int, ...]) -> None:
        """Refuse a stroke on a slice whose mask somebody painted, as it would teach nothing; a `RequestError`."""
        painted: tuple[int, ...] = ()
        with suppress(InputError):  # the list of cases says what is wrong with the file
            painted = self._corrected.dense(case, view.axis, shape)
        if stored in painted:
            raise RequestError(
                "somebody painted the mask of this slice, which counts; discard the mask to draw strokes, or undo these"
            )

    def predicted(self, case: str, index: int, kind: Overlay) -> SliceArray:
        """Return the labels of a slice, or their doubt: from the run that was accepted there, or else the latest run.

        Raises
        ------
        MissingError
            If there is no prediction.
        InputError
            If the prediction can't be read.
        """
        shown, view = self.cases.open(case)
        shape = shown.volume.array.shape
        accepted = self._accepted.standing(case).get(view.stored(index, shape[view.axis]))
        accepted = accepted if accepted and accepted.along(view.axis) else None
        if accepted and accepted.run == PROPOSED and kind == "disagreement":
            return np.zeros_like(_slice(shown.volume.array, view, index), np.uint8)
        run = accepted.run if accepted else self._predictions.latest()
        of = self._predictions.labels if kind == "prediction" else self._predictions.doubt
        array = None if run is None else of(run, case, shape)
        if array is None:
            raise MissingError(f"no {kind} of this case yet")
        plane = _slice(array, view, index)
        if kind == "prediction":
            self._outputs.check_classes(plane, case, str(run))
        return plane

    def review(self, case: str, index: int, verdict: Verdict | None, seen: Seen | None = None) -> dict[int, Verdict]:
        """Keep a verdict on a slice's prediction; returns the verdicts that hold in the case.

        Parameters
        ----------
        seen
            What the page showed when somebody judged; None overrules whatever holds.

        Raises
        ------
        MissingError
            If there is no prediction.
        StaleError
            If another verdict holds than the page showed, or a later run has predicted.
        """
        self.predicted(case, index, "prediction")
        known, run = self.cases.known(), self._predictions.latest()
        view, shape = known.views[case], known.facts[case].shape
        stored = view.stored(index, shape[view.axis])
        with self._locks.of(case):
            if verdict is not None and index in self.masks.answer(case, shape, view).corrected:
                raise TakenError("somebody painted the mask of this slice; discard the mask to judge the prediction")
            self._scribbles.must_be_current()
            versions.check_seen(seen, Seen(self._verdicts(case, view, shape).get(index), run))
            if run is None and verdict != "accepted":  # there is nothing but an accepted proposal
                self._reviews.judge(case, stored, None)
            elif run is not None:
                self._looked.cut(case, view.axis)
                before = self._accepted.standing(case).get(stored)
                shown = before.run if before and verdict == "accepted" else run
                said = None if verdict is None else Review(verdict, shown, view.axis)
                self._reviews.judge(case, stored, said)
            return self._verdicts(case, view, shape)

    def accept_proposal(
        self, case: str, index: int, labels: bytes, coding: str | None = None, seen: Seen | None = None
    ) -> dict[int, Verdict]:
        """Keep a proposal as a slice's accepted labels; returns the verdicts that hold in the case.

        Trainings learn from it, and exports hold it, as an accepted prediction.

        Parameters
        ----------
        labels
            Class indices, row by row.
        coding
            What they mean (`maskmixadv.studio.palette.Palette.coding`); None: what they mean by now.
        seen
            What the page showed when somebody accepted; None overrules whatever holds.

        Raises
        ------
        RequestError
            If `labels` does not fit the slice or the classes; nothing is changed then.
        StaleError
            If another verdict holds than the page showed, or a later run has predicted.
        """
        shown, view = self.cases.open(case)
        shape = shown.volume.array.shape
        plane, stored = labels_of(labels, shown.volume.array, view, index), view.stored(index, shape[view.axis])
        with self._locks.of(case):
            if index in self.masks.answer(case, shape, view).corrected:
                raise TakenError("somebody painted the mask of this slice; discard the mask to accept the proposal")
            self._scribbles.must_be_current()
            self._scribbles.palette.check_coding(coding)
            if (plane >= len(self.classes())).any():
                raise RequestError(f"proposal: class {plane.max()}, allowed are 0 to {len(self.classes()) - 1}")
            versions.check_seen(seen, Seen(self._verdicts(case, view, shape).get(index), self._predictions.latest()))
            self._looked.cut(case, view.axis)
            self._withdraw_lost(case)
            across = np.zeros(shape, np.uint8)
            _slice(across, view, index)[:] = plane
            kept = np.moveaxis(across, view.axis, 0)[stored]
            self._predictions.keep(case, kept, (view.axis, stored), shown.volume)
            self._reviews.judge(case, stored, Review("accepted", PROPOSED, view.axis))
        return self._verdicts(case, view, shape)

    def _withdraw_lost(self, case: str) -> None:
        """Take back that proposals were accepted whose file is gone: in a new one they would be background."""
        if self._predictions.file(PROPOSED, case) is None:
            for index, said in self._reviews.accepted(case).items():
                if said.run == PROPOSED:
                    self._reviews.judge(case, index, None)

    def preview(self, case: str, index: int) -> Preview | None:
        """Return what the network of the running training says of a slice, or None while that is not known.

        Raises
        ------
        MissingError
            If there is no such case or slice.
        """
        known = self.cases.known()
        facts = known.facts.get(case)
        if facts is None or not 0 <= index < facts.shape[known.views[case].axis]:
            raise MissingError("no such slice")
        return self.training.preview(Look(case, index))

    def queue(self) -> list[Proposal]:
        """Return the slices that are most worth reviewing or drawing next, the most worthwhile first."""
        with self.layout.at_once():
            return self._queue()

    def _queue(self) -> list[Proposal]:
        known, run = self.cases.known(), self._predictions.latest()
        candidates = []
        for case, facts in known.facts.items():
            if case in known.odd:
                continue
            with suppress(InputError):  # a case with a damaged file is not proposed; `folder` says what is wrong
                candidates.append(self._candidate(case, facts, known.views[case], run))
        return propose(candidates)

    def clinical(self) -> ClinicalAnswer:
        """Return the volumes of all cases, and the measures of hearts (`Outputs.clinical`)."""
        return self._outputs.clinical()

    def export(self, what: ExportKind) -> ExportAnswer:
        """Write what is asked for under ``export/``; one export at a time.

        Raises
        ------
        RequestError
            If there is nothing to export, or this installation can't export it.
        """
        with self._exporting:
            self._scribbles.must_be_current()
            self.settle()
            out, files, problems = self._outputs.write(what)
        return ExportAnswer(printable(str(out)), files, list(map(printable, problems)))

    def _drawn(self, case: str, view: View, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the slices with strokes, as they are numbered on the page; raises as `Scribbles.drawn`."""
        drawn = self._scribbles.drawn(case, view.axis, shape)
        return tuple(sorted(view.stored(index, shape[view.axis]) for index in drawn))

    def _verdicts(self, case: str, view: View, shape: tuple[int, ...]) -> dict[int, Verdict]:
        """Return the verdicts that hold for the latest run, by the slices' numbers on the page."""
        held = self.masks.verdicts(case, view, shape)
        return {view.stored(index, shape[view.axis]): said for index, said in held.items()}

    def _candidate(self, case: str, facts: Facts, view: View, run: str | None) -> Candidate:
        doubts: list[float] = []
        if run is not None:
            with suppress(InputError):
                doubts = self._predictions.doubts(run, case, view.axis, facts.shape)
        held = self.masks.answer(case, facts.shape, view)
        drawn = sorted({*self._drawn(case, view, facts.shape), *held.corrected})
        verdicts: dict[int, Verdict] = {**held.reviews, **dict.fromkeys(held.corrected, "accepted")}
        depth, doubts = facts.shape[view.axis], doubts[::-1] if view.flipped[0] else doubts
        corrected = [view.stored(index, depth) for index in self._reviews.corrected(case, run)]
        return Candidate(case, depth, drawn, verdicts, doubts, corrected)

    def _case(self, case: str, known: KnownCases, run: str | None, problems: list[str]) -> CaseAnswer:
        facts, view = known.facts[case], known.views[case]
        scribbled, predicted = (), False
        try:
            scribbled = self._drawn(case, view, facts.shape)
        except InputError as error:
            problems.append(str(error))
        try:
            predicted = run is not None and self._predictions.has(run, case, facts.shape)
        except InputError as error:
            problems.append(str(error))
        try:
            self._corrected.check_given(case)
        except InputError as error:
            problems.append(str(error))
        masks = self._masks_of(case, facts, view, problems)
        return CaseAnswer(
            name=case,
            shape=[facts.shape[place] for place in view.order],
            spacing=None if facts.spacing is None else [facts.spacing[place] for place in view.order],
            edges=known.edges[case],
            channels=facts.channels,
            coloured=facts.coloured,
            notes=list(map(printable, facts.notes)),
            scribbled=scribbled,
            reviews=masks.reviews,
            masks=masks,
            predicted=predicted,
            seconds=self._reviews.seconds(case),
            changed=known.changed[case],
        )

    def _masks_of(self, case: str, facts: Facts, view: View, problems: list[str]) -> MaskAnswer:
        if elsewhere := self._reviews.elsewhere(case, view.axis):
            problems.append(
                f"{case}: {counted(elsewhere, 'verdict')} left out of trainings and exports, as slices "
                f"were cut along another axis than {view.axis}, along which they are cut now"
            )
        for run, count in self._accepted.gone(case).items():
            counts = f"{count} slices that were accepted in it count" if count > 1 else "a slice accepted in it counts"
            problems.append(
                f"predictions/{run}/{case}.nii.gz: is gone, so {counts} no longer; put it back, or judge again"
            )
        try:
            if line := corpus.turned(self._corrected, case, view.axis, facts.shape):
                problems.append(line)
            return self.masks.answer(case, facts.shape, view)
        except InputError as error:
            problems.append(str(error))
            reviews = self._verdicts(case, view, facts.shape)
            return MaskAnswer((), given=False, looked=(), use="auto", reviews=reviews)


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
