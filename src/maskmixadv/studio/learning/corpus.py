"""The corpus that trainings learn from, and that is exported for nnU-Net: strokes, masks and dense slices."""

from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from maskmixadv.corpus.corpus import Corpus
from maskmixadv.errors import InputError
from maskmixadv.sources import classes as declared
from maskmixadv.sources.pairs import LabelledSlice
from maskmixadv.studio import palette
from maskmixadv.studio.corrected import Corrected
from maskmixadv.studio.images import readable
from maskmixadv.studio.images.cases import KnownCases
from maskmixadv.studio.images.marks import Marks
from maskmixadv.studio.layout import LOOKED, Layout
from maskmixadv.studio.learning.accepted import Accepted
from maskmixadv.studio.review.looked import Looked
from maskmixadv.types import IGNORE


class Learnt(NamedTuple):
    """A corpus, and what it has of dense slices.

    Attributes
    ----------
    corpus
        The corpus.
    left_out
        A line for each file and slice that was left out.
    accepted
        Its accepted slices with their runs, by case.
    corrected
        Its corrected slices, by case.
    """

    corpus: Corpus
    left_out: list[str]
    accepted: dict[str, dict[int, str]]
    corrected: dict[str, list[int]]


class Dense(NamedTuple):
    """The dense slices of a folder: accepted ones, corrected ones, and what they are for."""

    accepted: Accepted
    corrected: Corrected
    looked: Looked

    @classmethod
    def read(cls, layout: Layout) -> "Dense":
        """Read what a folder says of its dense slices.

        Raises
        ------
        InputError
            If its reviews, or ``cases.json`` are malformed.
        """
        classes = palette.read(layout)
        looked = Looked(layout.check(layout.root / LOOKED), Marks(layout))
        return cls(Accepted.read(layout), Corrected(layout, lambda: classes), looked)


def corpus(layout: Layout, known: KnownCases, dense: Dense) -> Learnt:
    """Return the folder as a corpus, as it is now, with accepted and corrected slices as part of the scribbles.

    Parameters
    ----------
    layout
        The folder.
    known
        Its cases.
    dense
        The dense slices. Where an accepted slice has strokes, their pixels keep the strokes' labels. In a corrected
        slice its mask counts alone.

    Raises
    ------
    InputError
        If no readable image has strokes, a mask or an accepted slice, or the classes can't be read.
    """
    classes = len(declared.read(layout.root / declared.FILE).names)
    lost, runs, slices = list[str](), dict[str, dict[int, str]](), dict[str, tuple[LabelledSlice, ...]]()
    for case in sorted({*dense.accepted.cases(), *dense.corrected.cases()}):
        facts = known.facts.get(case)
        if facts is None:
            lost.append(f"{case}: dense slices are left out, as no image of this name can be read")
            continue
        axis = known.views[case].axis
        painted = _painted(dense.corrected, case, axis, facts.shape, lost)
        found = dense.accepted.of(case, facts.shape, axis, classes)
        lost += found.lost
        shown = {index: each for index, each in found.slices.items() if index not in {each.index for each in painted}}
        runs[case] = {index: each.run for index, each in shown.items()}
        laid = (*(LabelledSlice(each.path, axis, index) for index, each in shown.items()), *painted)
        if laid:
            slices[case] = laid
    uses: dict[str, readable.Use] = {case: dense.looked.use(case) for case in known.facts}
    unready = _unready(dense.corrected, known, slices, [case for case, use in uses.items() if use == "validate"])
    made, left_out, kept = readable.corpus(layout, slices, uses, unready, lost)
    accepted = {
        case: {each.index: runs[case][each.index] for each in found if not each.corrected}
        for case, found in kept.items()
    }
    corrected = {case: [each.index for each in found if each.corrected] for case, found in kept.items()}
    return Learnt(
        made,
        [*left_out, *lost],
        {case: each for case, each in accepted.items() if each},
        {case: each for case, each in corrected.items() if each},
    )


def _unready(corrected: Corrected, known: KnownCases, slices: readable.Slices, cases: Iterable[str]) -> dict[str, str]:
    """Return those of `cases` that can't validate yet, as slices of theirs have no mask; each with a line."""
    lines = dict[str, str]()
    for case in cases:
        shape, axis = known.facts[case].shape, known.views[case].axis
        given = None
        with suppress(InputError):  # the corpus says what is wrong with it
            given = corrected.given(case, shape)
        laid = {each.index for each in slices.get(case, ())}
        whole = [] if given is None else np.flatnonzero((np.moveaxis(given, axis, 0) != IGNORE).all(axis=(1, 2)))
        lacking = shape[axis] - len(laid.union(map(int, whole)))
        if lacking:
            lines[case] = (
                f"{case}: is left out, as {lacking} of its {shape[axis]} slices have no mask to validate on yet"
            )
    return lines


def _painted(
    corrected: Corrected, case: str, axis: int, shape: tuple[int, ...], lost: list[str]
) -> tuple[LabelledSlice, ...]:
    """Return the corrected slices of a case; a file that can't be read appends a line to `lost`."""
    try:
        path = corrected.path(case)
        found = corrected.dense(case, axis, shape)
    except InputError as error:
        lost.append(f"{case}: corrected slices are left out ({error})")
        return ()
    if path is not None and (line := turned(corrected, case, axis, shape)):
        lost.append(line)
    return () if path is None else tuple(LabelledSlice(path, axis, index, corrected=True) for index in found)


def turned(corrected: Corrected, case: str, axis: int, shape: tuple[int, ...]) -> str | None:
    """Say that a case's slices were painted along another axis than they are cut along; raises as `Corrected.read`."""
    if corrected.dense(case, axis, shape) or not (corrected.read(case, shape) != IGNORE).any():
        return None
    return (
        f"{case}: what was painted is left out of trainings and exports, as it was cut along another axis than {axis}, "
        "along which slices are cut now"
    )
