"""The corpus that trainings learn from, and that is exported for nnU-Net: strokes, masks and accepted slices."""

from typing import NamedTuple

from maskmixadv.corpus.corpus import Corpus
from maskmixadv.sources import classes as declared
from maskmixadv.sources.pairs import LabelledSlice
from maskmixadv.studio.images import readable
from maskmixadv.studio.images.cases import KnownCases
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.learning.accepted import Accepted


class Learnt(NamedTuple):
    """A corpus; a line for each file and slice that was left out; and its accepted slices with their runs, by case."""

    corpus: Corpus
    left_out: list[str]
    accepted: dict[str, dict[int, str]]


def corpus(layout: Layout, known: KnownCases, accepted: Accepted) -> Learnt:
    """Return the folder as a corpus, as it is now, with accepted slices as part of the scribbles.

    Parameters
    ----------
    layout
        The folder.
    known
        Its cases.
    accepted
        The accepted slices. Where such a slice has strokes, their pixels keep the strokes' labels.

    Raises
    ------
    InputError
        If no readable image has strokes, a mask or an accepted slice, or the classes can't be read.
    """
    classes = len(declared.read(layout.root / declared.FILE).names)
    lost, runs, slices = list[str](), dict[str, dict[int, str]](), dict[str, tuple[LabelledSlice, ...]]()
    for case in accepted.cases():
        facts = known.facts.get(case)
        if facts is None:
            lost.append(f"{case}: accepted slices are left out, as no image of this name can be read")
            continue
        axis = known.views[case].axis
        found = accepted.of(case, facts.shape, axis, classes)
        lost += found.lost
        if not found.slices:
            continue
        runs[case] = {index: each.run for index, each in found.slices.items()}
        slices[case] = tuple(LabelledSlice(each.path, axis, index) for index, each in found.slices.items())
    made, left_out, laid = readable.corpus(layout, slices)
    kept = {case: {each.index: runs[case][each.index] for each in found} for case, found in laid.items()}
    return Learnt(made, [*left_out, *lost], kept)
