"""Work on masks: slices that people paint, what they looked at, and what dense slices are for."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from maskmixadv.errors import InputError
from maskmixadv.formats.slicing import View
from maskmixadv.studio import versions
from maskmixadv.studio.answers import MaskAnswer, PaintedAnswer
from maskmixadv.studio.corrected import Corrected
from maskmixadv.studio.images.cases import Cases
from maskmixadv.studio.images.planes import labels_of, plane
from maskmixadv.studio.images.readable import Use
from maskmixadv.studio.images.volumes import ShownImage
from maskmixadv.studio.learning.accepted import Accepted
from maskmixadv.studio.learning.predictions import StoredPredictions
from maskmixadv.studio.locks import Locks
from maskmixadv.studio.refusals import MissingError, StaleError, TakenError
from maskmixadv.studio.review.looked import Looked
from maskmixadv.studio.review.reviews import Reviews, Verdict
from maskmixadv.types import IGNORE

SliceArray = UInt8[np.ndarray, "h w"]
MaskOf = Literal["corrected", "given"]
"""A mask of a slice: the one that somebody painted, or the one that came with the folder."""


class Masks:
    """The masks of a folder that people paint; safe for many threads.

    Slices are numbered as the page numbers them.
    """

    def __init__(
        self,
        cases: Cases,
        corrected: Corrected,
        reviews: Reviews,
        looked: Looked,
        predictions: StoredPredictions,
        accepted: Accepted,
        locks: Locks,
        must_be_current: Callable[[], None],
    ) -> None:
        self._cases, self._corrected, self._reviews = cases, corrected, reviews
        self._looked, self._predictions, self._accepted = looked, predictions, accepted
        self._locks, self._must_be_current = locks, must_be_current

    def of(self, case: str, index: int, kind: MaskOf) -> SliceArray:
        """Return the mask of a slice: class indices, 255 where no label is known.

        Raises
        ------
        MissingError
            If there is none.
        InputError
            If its file can't be read.
        """
        shown, view = self._cases.open(case)
        shape = shown.volume.array.shape
        found = self._corrected.read(case, shape) if kind == "corrected" else self._corrected.given(case, shape)
        missing = MissingError(f"no {kind} mask of this slice")
        if found is None:
            raise missing
        seen = plane(found, view, index)
        if kind == "corrected" and (seen == IGNORE).any():
            raise missing
        return seen

    def correct(
        self,
        case: str,
        index: int,
        labels: bytes,
        seconds: float,
        version: str | None = None,
        coding: str | None = None,
    ) -> PaintedAnswer:
        """Keep the mask that somebody painted of a slice; it is on disk when the method returns.

        An earlier verdict on the slice is taken back, as the mask counts from now on.

        Parameters
        ----------
        labels
            Class indices, row by row.
        seconds
            How long somebody painted.
        version
            Version of the mask that `labels` were painted on (`maskmixadv.studio.versions`); None replaces any.
        coding
            What `labels` mean (`maskmixadv.studio.palette.Palette.coding`); None: what they mean by now.

        Raises
        ------
        RequestError
            If `labels` does not fit the slice or the classes; nothing is changed then.
        StaleError
            If the mask has another version; nothing is changed then.
        """
        shown, view = self._cases.open(case)
        array = shown.volume.array
        painted, stored = labels_of(labels, array, view, index, "mask"), view.stored(index, array.shape[view.axis])
        self._put(case, shown, view, index, painted, version, coding)
        self._reviews.judge(case, stored, None)
        if seconds > 0:
            self._reviews.spend(case, stored, seconds)
        return self._painted(case, array.shape, view, versions.mask_version(painted))

    def discard(self, case: str, index: int, version: str | None = None) -> PaintedAnswer:
        """Forget the painted mask of a slice.

        Parameters
        ----------
        version
            Version of the mask that somebody saw; None forgets any. Where one is said, there need be none: it may not
            have been saved yet, or be gone already.

        Raises
        ------
        MissingError
            If there is none, and no version is said, or no such slice.
        StaleError
            If the mask has another version; it stays then.
        """
        shown, view = self._cases.open(case)
        plane(shown.volume.array, view, index)  # there must be such a slice
        try:
            self.of(case, index, "corrected")
        except MissingError:
            if version is None:
                raise
        else:
            self._put(case, shown, view, index, None, version)
        return self._painted(case, shown.volume.array.shape, view, versions.UNPAINTED)

    def cases(self) -> list[str]:
        """Return the cases that people judged or painted, in order, also those without an image."""
        return sorted({*self._reviews.judged(), *self._corrected.cases()})

    def look(self, case: str, index: int, seen: str | None = None) -> MaskAnswer:
        """Keep that somebody looked at a slice's labels by the latest run.

        Parameters
        ----------
        seen
            The run whose labels the page showed; None: the latest one.

        Raises
        ------
        MissingError
            If there is no such slice.
        TakenError
            If nothing is predicted yet.
        StaleError
            If a later run has predicted than the one that was seen.
        """
        shown, view = self._cases.open(case)
        array, run = shown.volume.array, self._predictions.latest()
        plane(array, view, index)
        if run is None or self._predictions.file(run, case) is None:
            raise TakenError("no prediction of this case yet, so there is nothing to look at")
        if seen is not None and seen != run:
            raise StaleError(f"looked: run {run} has predicted since; look at its slice")
        self._looked.look(case, view.stored(index, array.shape[view.axis]), run, view.axis)
        return self.answer(case, array.shape, view)

    def set_use(self, case: str, use: Use) -> MaskAnswer:
        """Say what the dense slices of a case are for."""
        shown, view = self._cases.open(case)
        self._looked.set_use(case, use)
        return self.answer(case, shown.volume.array.shape, view)

    def answer(self, case: str, shape: tuple[int, ...], view: View) -> MaskAnswer:
        """Return what holds in a case whose image has `shape`; raises as `Corrected.dense`."""
        depth = shape[view.axis]
        painted = self._corrected.dense(case, view.axis, shape)
        verdicts = self._verdicts(case, view, shape, painted)
        looked = self._looked.at(case, self._predictions.latest(), depth)

        def seen(slices: Iterable[int]) -> list[int]:
            return sorted(view.stored(index, depth) for index in slices)

        return MaskAnswer(
            corrected=seen(painted),
            given=self._corrected.has_given(case),
            looked=seen({*looked, *verdicts, *painted}),
            use=self._looked.use(case),
            reviews={view.stored(index, depth): said for index, said in verdicts.items()},
        )

    def verdicts(self, case: str, view: View, shape: tuple[int, ...]) -> dict[int, Verdict]:
        """Return the verdicts that hold for the latest run, by the slices' places in the file.

        None holds on a corrected slice, whose mask counts, and on one that was accepted as a prediction that is gone.
        """
        painted: tuple[int, ...] = ()
        with suppress(InputError):  # the list of cases says what is wrong with the file
            painted = self._corrected.dense(case, view.axis, shape)
        return self._verdicts(case, view, shape, painted)

    def _verdicts(self, case: str, view: View, shape: tuple[int, ...], painted: Sequence[int]) -> dict[int, Verdict]:
        held = self._reviews.verdicts(case, self._predictions.latest(), view.axis, shape[view.axis])
        standing = self._accepted.standing(case)
        lost = {index for index, said in held.items() if said == "accepted" and index not in standing}
        return {index: said for index, said in held.items() if index not in {*painted, *lost}}

    def _painted(self, case: str, shape: tuple[int, ...], view: View, version: str) -> PaintedAnswer:
        return PaintedAnswer(**vars(self.answer(case, shape, view)), version=version)

    def _put(
        self,
        case: str,
        shown: ShownImage,
        view: View,
        index: int,
        labels: SliceArray | None,
        version: str | None,
        coding: str | None = None,
    ) -> None:
        with self._locks.of(case):
            self._must_be_current()
            if labels is not None:
                self._corrected.check(labels, coding)
                self._looked.cut(case, view.axis)
            masks = self._corrected.read(case, shown.volume.array.shape).copy()
            versions.check_mask(version, plane(masks, view, index), labels)
            plane(masks, view, index)[:] = IGNORE if labels is None else labels
            self._corrected.write(case, masks, shown.volume)
