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
from maskmixadv.studio.answers import CaseAnswer, ClinicalAnswer, DrawAnswer, ExportAnswer, FolderAnswer, RunAnswer
from maskmixadv.studio.export import CaseMask, ExportKind, write_masks, write_model, write_nnunet
from maskmixadv.studio.images.cases import Cases
from maskmixadv.studio.images.volumes import Facts
from maskmixadv.studio.layout import Layout, printable
from maskmixadv.studio.learning import corpus
from maskmixadv.studio.learning.accepted import Accepted
from maskmixadv.studio.learning.predictions import PROPOSED, StoredPredictions
from maskmixadv.studio.learning.preview import Look, Preview
from maskmixadv.studio.learning.proposals import Proposals, plane_of
from maskmixadv.studio.learning.training import PRESET_CHOICES, Training
from maskmixadv.studio.palette import Palette, PaletteClass
from maskmixadv.studio.refusals import MissingError, RequestError, TakenError
from maskmixadv.studio.review.heart import measured
from maskmixadv.studio.review.queue import Candidate, Proposal, propose
from maskmixadv.studio.review.reviews import Review, Reviews, Verdict
from maskmixadv.studio.scribbles import Scribbles

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
        self.proposals = Proposals(self.cases, self._scribbles, self._predictions)
        self._gate, self._locks, self._exporting = Lock(), defaultdict[str, Lock](Lock), Lock()

    def folder(self) -> FolderAnswer:
        """Return everything that the list of cases shows."""
        known, run = self.cases.known(), self._predictions.latest()
        problems = [*known.problems, *self._scribbles.problems(known.images)]
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
            drawn, ignore = self._scribbles.any_drawn(), before.ignore
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
        if accepted and accepted.run == PROPOSED and kind == "disagreement":
            return np.zeros_like(_slice(shown.volume.array, view, index), np.uint8)
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
        stored = view.stored(index, shape[view.axis])
        if run is None and verdict != "accepted":  # there is nothing but an accepted proposal
            self._reviews.judge(case, stored, None)
        elif run is not None:
            before = self._reviews.accepted(case).get(stored)
            shown = before.run if before and verdict == "accepted" else run
            said = None if verdict is None else Review(verdict, shown, view.axis)
            self._reviews.judge(case, stored, said)
        return self._verdicts(case, view, shape)

    def accept_proposal(self, case: str, index: int, labels: bytes) -> dict[int, Verdict]:
        """Keep a proposal as a slice's accepted labels; returns the verdicts that hold in the case.

        Trainings learn from it, and exports hold it, as an accepted prediction.

        Parameters
        ----------
        labels
            Class indices, row by row.

        Raises
        ------
        RequestError
            If `labels` does not fit the slice or the classes; nothing is changed then.
        """
        shown, view = self.cases.open(case)
        shape = shown.volume.array.shape
        plane, stored = plane_of(labels, shown, view, index), view.stored(index, shape[view.axis])
        if (plane >= len(self.classes())).any():
            raise RequestError(f"proposal: class {plane.max()}, allowed are 0 to {len(self.classes()) - 1}")
        with self._held(case):
            across = np.zeros(shape, np.uint8)
            _slice(across, view, index)[:] = plane
            kept = np.moveaxis(across, view.axis, 0)[stored]
            self._predictions.keep(case, kept, (view.axis, stored), shown.volume)
            self._reviews.judge(case, stored, Review("accepted", PROPOSED, view.axis))
        return self._verdicts(case, view, shape)

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
        masks = [(mask.case, mask.labels, mask.shown.volume.spacing) for mask in self._masks(problems)]
        cases, hearts = measured(masks, names)
        return ClinicalAnswer(cases, hearts or None, list(map(printable, problems)))

    def export(self, what: ExportKind) -> ExportAnswer:
        """Write masks, the latest run's model, or a data set for nnU-Net under ``export/``; one export at a time.

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
            learnt = corpus.corpus(self.layout, self.cases.known(), self._accepted)
            return *write_nnunet(self.layout, learnt.corpus), learnt.left_out
        run = self._predictions.latest()
        if run is None:
            raise TakenError("nothing is predicted yet; train first")
        if what == "model":
            return *write_model(self.layout, run), []
        out, problems = self.layout.check(self.layout.export / "masks"), list[str]()
        files = write_masks(out, self._masks(problems), ignore=self._scribbles.palette.rejected)
        return out, files, problems

    def _masks(self, problems: list[str]) -> Iterator[CaseMask]:
        """Yield the predictions of the latest run, with accepted slices as they were accepted.

        For each case or slice that can't be read, a line is appended to `problems`.
        """
        run = self._predictions.latest()
        for case in self.cases.known().images:
            try:
                mask = None if run is None else self._mask(case, run, problems)
            except InputError as error:
                problems.append(str(error))
                continue
            if mask is not None:
                yield mask

    def _mask(self, case: str, run: str, problems: list[str]) -> CaseMask | None:
        shown, view = self.cases.open(case)
        axis, shape, verdicts = view.axis, shown.volume.array.shape, self._reviews.verdicts(case, run)
        latest = self._predictions.labels(run, case, shape)
        if latest is None:
            return None
        labels = latest.copy()
        slices, lost = self._accepted.of(case, shape, axis, len(self.classes()))
        problems += lost
        for index, accepted in slices.items():
            np.moveaxis(labels, axis, 0)[index] = accepted.labels
        held: dict[int, Verdict] = {
            index: said for index, said in verdicts.items() if said != "accepted" or index in slices
        }
        return CaseMask(case, shown, labels, axis, held)

    def _drawn(self, case: str, view: View, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the slices with strokes, as they are numbered on the page; raises as `Scribbles.drawn`."""
        drawn = self._scribbles.drawn(case, view.axis, shape)
        return tuple(sorted(view.stored(index, shape[view.axis]) for index in drawn))

    def _verdicts(self, case: str, view: View, shape: tuple[int, ...]) -> dict[int, Verdict]:
        """Return the verdicts that hold for the latest run, by the slices' numbers on the page."""
        held = self._reviews.verdicts(case, self._predictions.latest())
        return {view.stored(index, shape[view.axis]): said for index, said in held.items()}

    def _candidate(self, case: str, facts: Facts, view: View, run: str | None) -> Candidate:
        doubts: list[float] = []
        if run is not None:
            with suppress(InputError):
                doubts = self._predictions.doubts(run, case, view.axis, facts.shape)
        drawn = self._drawn(case, view, facts.shape)
        verdicts = self._verdicts(case, view, facts.shape)
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
            predicted=predicted,
            seconds=self._reviews.seconds(case),
        )

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


def _slice(volume: np.ndarray, view: View, index: int) -> np.ndarray:
    """Return a slice as it is seen; what is written into it is written into `volume`."""
    return _at(view.seen(volume), index)


def _at(slices: np.ndarray, index: int) -> np.ndarray:
    if not 0 <= index < len(slices):
        raise MissingError(f"no slice {index}, allowed are 0 to {len(slices) - 1}")
    return slices[index]
