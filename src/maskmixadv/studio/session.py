"""The work in a folder: everything that the page asks for and changes; it is kept in plain files."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Literal

import numpy as np
from jaxtyping import UInt8, UInt16

from maskmixadv.errors import InputError
from maskmixadv.files import held
from maskmixadv.formats.slicing import View
from maskmixadv.methods.registry import FROM_SCRIBBLES
from maskmixadv.sources import classes
from maskmixadv.studio import palette as palettes
from maskmixadv.studio.answers import (
    CaseAnswer,
    ClinicalAnswer,
    DrawAnswer,
    ExportAnswer,
    FolderAnswer,
    MaskAnswer,
    RunAnswer,
    SliceCounts,
)
from maskmixadv.studio.corrected import Corrected
from maskmixadv.studio.export.kinds import ExportKind
from maskmixadv.studio.export.masks import CaseMask, State, write_masks
from maskmixadv.studio.export.meshes import write_meshes
from maskmixadv.studio.export.model import write_model
from maskmixadv.studio.export.nnunet import write_nnunet
from maskmixadv.studio.export.overlays import write_overlays
from maskmixadv.studio.export.segmentations import write_segmentations
from maskmixadv.studio.export.volumes import counted, write_volumes
from maskmixadv.studio.images.cases import Cases
from maskmixadv.studio.images.planes import at as _at
from maskmixadv.studio.images.planes import plane as _slice
from maskmixadv.studio.images.volumes import Facts
from maskmixadv.studio.layout import Layout, printable
from maskmixadv.studio.learning import corpus
from maskmixadv.studio.learning.accepted import Accepted
from maskmixadv.studio.learning.predictions import StoredPredictions
from maskmixadv.studio.learning.training import PRESET_CHOICES, Training
from maskmixadv.studio.masks import Masks
from maskmixadv.studio.palette import Palette, PaletteClass
from maskmixadv.studio.refusals import MissingError, RequestError, TakenError
from maskmixadv.studio.review.heart import measured
from maskmixadv.studio.review.looked import Looked
from maskmixadv.studio.review.queue import Candidate, Proposal, propose
from maskmixadv.studio.review.reviews import Review, Reviews, Verdict
from maskmixadv.studio.scribbles import Scribbles
from maskmixadv.types import IGNORE, Spacing

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
        yield Session(layout)


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
        self.training = Training(self.layout)
        self._reviews = Reviews(self.layout.check(self.layout.root / "studio.json"))
        self.cases = Cases(self.layout)
        self._predictions = StoredPredictions(self.layout)
        self._accepted = Accepted(self._reviews, self._predictions)
        self._scribbles = Scribbles(self.layout, palettes.read(self.layout))
        self._corrected = Corrected(self.layout, lambda: self._scribbles.palette)
        self._looked = Looked(self.layout.check(self.layout.root / corpus.LOOKED))
        self.masks = Masks(self.cases, self._corrected, self._reviews, self._looked, self._predictions)
        self._gate, self._locks, self._exporting = Lock(), defaultdict[str, Lock](Lock), Lock()

    def folder(self) -> FolderAnswer:
        """Return everything that the list of cases shows."""
        known, run = self.cases.known(), self._predictions.latest()
        problems = [*known.problems, *self._scribbles.problems(known.images), *self._corrected.problems(known.images)]
        cases = [self._case(case, facts, known.views[case], run, problems) for case, facts in known.facts.items()]
        return FolderAnswer(
            name=printable(self.layout.root.name),
            classes=self.classes(),
            spacing_known=all(facts.spacing is not None for facts in known.facts.values()),
            cases=cases,
            problems=list(map(printable, problems)),
            presets=PRESET_CHOICES,
            methods=FROM_SCRIBBLES,
            run=None if run is None else RunAnswer(run),
        )

    def classes(self) -> tuple[PaletteClass, ...]:
        """Return the classes, background first."""
        return self._scribbles.palette.classes

    def set_classes(self, named: Sequence[PaletteClass]) -> None:
        """Rename, recolour and append classes. Classes can be removed only before there are strokes.

        Raises
        ------
        RequestError
            If the classes are not allowed, strokes would lose their class, or no code is left for another class.
        """
        before = self._scribbles.palette
        after = before.of(named)
        after.check()
        with self._all_held():
            drawn, ignore = self._scribbles.any_drawn() or self._corrected.any_painted(), before.ignore
            if drawn and len(named) < len(before.classes):
                raise RequestError("classes: strokes are there, so classes can be renamed and added, not removed")
            if before.codes is None and len(named) > ignore:
                if drawn:
                    raise TakenError(
                        f"classes: code {ignore} means unlabelled in the strokes, so no class can be added"
                    )
                self._scribbles.forget()
                after = Palette(tuple(named))
            after.write(self.layout.root / classes.FILE)
            self._scribbles.palette = after

    def image(self, case: str, index: int, channel: int = 0) -> UInt16[np.ndarray, "h w *rgb"]:
        """Return a slice of a channel, scaled so that 0 to 65,535 are the channel's lowest to its highest value.

        Pictures in colour are one channel, with red, green and blue on the last axis, which are scaled alike.

        Raises
        ------
        MissingError
            If there is no such slice or channel.
        """
        shown, view = self.cases.open(case)
        if not 0 <= channel < len(shown.channels):
            raise MissingError(f"no channel {channel}, allowed are 0 to {len(shown.channels) - 1}")
        return _at(shown.pixels(view, channel), index)

    def scribble(self, case: str, index: int) -> SliceArray:
        """Return the strokes of a slice: class indices, 255 where nothing is drawn."""
        shown, view = self.cases.open(case)
        return _slice(self._scribbles.read(case, shown.volume.array.shape), view, index)

    def draw(self, case: str, index: int, labels: bytes, seconds: float) -> DrawAnswer:
        """Replace the strokes of a slice; they are on disk when the method returns.

        Strokes that change take the slice's acceptance back: whoever draws there does not find it right.

        Parameters
        ----------
        labels
            Class indices, row by row; 255 where nothing is drawn.
        seconds
            How long somebody drew.

        Raises
        ------
        RequestError
            If `labels` does not fit the slice or the classes; nothing is changed then.
        """
        shown, view = self.cases.open(case)
        array = shown.volume.array
        shape, stored = _slice(array, view, index).shape, view.stored(index, array.shape[view.axis])
        if len(labels) != shape[0] * shape[1]:
            raise RequestError(f"scribble: {len(labels)} bytes, allowed are {shape[0]} × {shape[1]}")
        plane = np.frombuffer(labels, np.uint8).reshape(shape)
        with self._held(case):
            self._scribbles.check(plane)
            strokes = self._scribbles.read(case, array.shape)
            if not np.array_equal(_slice(strokes, view, index), plane):
                strokes = strokes.copy()
                _slice(strokes, view, index)[:] = plane
                if stored in self._reviews.accepted(
                    case
                ):  # first: if the strokes can't be written, they are sent again
                    self._reviews.judge(case, stored, None)
                self._scribbles.write(case, strokes, shown.volume)
            drawn = self._drawn(case, view, array.shape)
        if seconds > 0:
            self._reviews.spend(case, stored, seconds)
        return DrawAnswer(drawn, self._verdicts(case, view, array.shape))

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
        accepted = self._reviews.accepted(case).get(view.stored(index, shape[view.axis]))
        run = accepted.run if accepted else self._predictions.latest()
        of = self._predictions.labels if kind == "prediction" else self._predictions.doubt
        array = None if run is None else of(run, case, shape)
        if array is None:
            raise MissingError(f"no {kind} of this case yet")
        return _slice(array, view, index)

    def review(self, case: str, index: int, verdict: Verdict | None) -> dict[int, Verdict]:
        """Keep a verdict on a slice's prediction; returns the verdicts that hold in the case.

        Raises
        ------
        MissingError
            If there is no prediction.
        """
        self.predicted(case, index, "prediction")
        known, run = self.cases.known(), self._predictions.latest()
        view, shape = known.views[case], known.facts[case].shape
        if verdict is not None and index in self.masks.answer(case, shape, view).corrected:
            raise TakenError("somebody painted the mask of this slice; discard the mask to judge the prediction")
        if run is not None:
            stored = view.stored(index, shape[view.axis])
            before = self._reviews.accepted(case).get(stored)
            shown = before.run if before and verdict == "accepted" else run
            said = None if verdict is None else Review(verdict, shown, view.axis)
            self._reviews.judge(case, stored, said)
        return self._verdicts(case, view, shape)

    def queue(self) -> list[Proposal]:
        """Return the slices that are most worth reviewing or drawing next, the most worthwhile first."""
        known, run = self.cases.known(), self._predictions.latest()
        candidates = []
        for case, facts in known.facts.items():
            if case in known.odd:
                continue
            with suppress(InputError):  # a case with a damaged file is not proposed; `folder` says what is wrong
                candidates.append(self._candidate(case, facts, known.views[case], run))
        return propose(candidates)

    def clinical(self) -> ClinicalAnswer:
        """Return the volumes of all predicted cases, and the measures of hearts."""
        names, problems = [each.name for each in self._scribbles.palette.classes], list[str]()
        slices, masks = dict[str, SliceCounts](), list[tuple[str, UInt8[np.ndarray, "_ _ _"], Spacing | None]]()
        for mask in (mask for mask in self._masks(problems) if mask.known):
            masks.append((mask.case, mask.labels, mask.shown.volume.spacing))
            slices[mask.case] = counted(mask)
        cases, hearts = measured(masks, names)
        return ClinicalAnswer(cases, slices, hearts or None, list(map(printable, problems)))

    def export(self, what: ExportKind) -> ExportAnswer:
        """Write what is asked for under ``export/``; one export at a time.

        Raises
        ------
        RequestError
            If there is nothing to export, or this installation can't export it.
        """
        with self._exporting:
            out, files, problems = self._export(what)
        return ExportAnswer(printable(str(out)), files, list(map(printable, problems)))

    def _export(self, what: ExportKind) -> tuple[Path, int, list[str]]:
        if what == "nnunet":
            dense = corpus.Dense(self._accepted, self._corrected, self._looked)
            learnt = corpus.corpus(self.layout, self.cases.known(), dense)
            return *write_nnunet(self.layout, learnt.corpus), learnt.left_out
        run = self._predictions.latest()
        if run is None and (what == "model" or not self._corrected.any_painted()):
            raise TakenError("nothing is predicted yet; train first")
        if what == "model" and run is not None:
            return *write_model(self.layout, run), []
        return self._export_masks(what)

    def _export_masks(self, what: ExportKind) -> tuple[Path, int, list[str]]:
        out, problems, palette = self.layout.check(self.layout.export / what), list[str](), self._scribbles.palette
        masks, names = self._masks(problems), [each.name for each in palette.classes]
        if what == "volumes":
            measures = self.clinical()
            return *write_volumes(self.layout.check(self.layout.export), measures, names), list(measures.problems)
        if what == "seg":
            files = write_segmentations(out, masks, names, problems)
        elif what == "meshes":
            files = write_meshes(out, masks, names, problems)
        elif what == "overlays":
            files = write_overlays(out, masks, palette.classes, problems)
        else:
            files = write_masks(out, masks, ignore=palette.rejected)
        return out, files, problems

    def _masks(self, problems: list[str]) -> Iterator[CaseMask]:
        """Yield what the page shows: the latest predictions, with accepted and corrected slices as people left them.

        For each case or slice that can't be read, a line is appended to `problems`.
        """
        run = self._predictions.latest()
        for case in self.cases.known().images:
            try:
                mask = self._mask(case, run, problems)
            except InputError as error:
                problems.append(str(error))
                continue
            if mask is not None:
                yield mask

    def _mask(self, case: str, run: str | None, problems: list[str]) -> CaseMask | None:
        shown, view = self.cases.open(case)
        axis, shape = view.axis, shown.volume.array.shape
        verdicts = self.masks.verdicts(case, view, shape)
        latest = None if run is None else self._predictions.labels(run, case, shape)
        painted = self._corrected.dense(case, axis, shape)
        if latest is None and not painted:
            return None
        labels = np.full(shape, IGNORE, np.uint8) if latest is None else latest.copy()
        states: list[State] = ["unlabelled" if latest is None else "predicted"] * shape[axis]
        slices, lost = self._accepted.of(case, shape, axis, len(self.classes()))
        problems += lost
        planes = np.moveaxis(labels, axis, 0)
        for index, accepted in slices.items():
            planes[index], states[index] = accepted.labels, "accepted"
        for index in (index for index, said in verdicts.items() if said == "rejected"):
            states[index] = "rejected"
        for index in painted:
            planes[index] = np.moveaxis(self._corrected.read(case, shape), axis, 0)[index]
            states[index] = "corrected"
        looked = frozenset({*self._looked.at(case, run), *verdicts, *painted})
        return CaseMask(case, shown, view, labels, tuple(states), looked)

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
        painted = self.masks.answer(case, facts.shape, view).corrected
        drawn = sorted({*self._drawn(case, view, facts.shape), *painted})
        verdicts = self._verdicts(case, view, facts.shape)
        for index in painted:
            verdicts[index] = "accepted"
        return Candidate(case, facts.shape[view.axis], drawn, verdicts, doubts[::-1] if view.flipped[0] else doubts)

    def _case(self, case: str, facts: Facts, view: View, run: str | None, problems: list[str]) -> CaseAnswer:
        scribbled, predicted = (), False
        try:
            predicted = run is not None and self._predictions.has(run, case, facts.shape)
            scribbled = self._drawn(case, view, facts.shape)
        except InputError as error:
            problems.append(str(error))
        return CaseAnswer(
            name=case,
            shape=[facts.shape[place] for place in view.order],
            spacing=None if facts.spacing is None else [facts.spacing[place] for place in view.order],
            channels=facts.channels,
            coloured=facts.coloured,
            scribbled=scribbled,
            reviews=self._verdicts(case, view, facts.shape),
            masks=self._masks_of(case, facts, view, problems),
            predicted=predicted,
            seconds=self._reviews.seconds(case),
        )

    def _masks_of(self, case: str, facts: Facts, view: View, problems: list[str]) -> MaskAnswer:
        try:
            return self.masks.answer(case, facts.shape, view)
        except InputError as error:
            problems.append(str(error))
            return MaskAnswer((), given=False, looked=(), use="auto", reviews={})

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
