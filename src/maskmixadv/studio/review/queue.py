"""The slices that are most worth reviewing or drawing next."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from maskmixadv.studio.review.reviews import Verdict

SPREAD: Final = 4
"""How many slices of a case are proposed before it was predicted, beside its ends."""
ENDS: Final = 2
"""The first and the last slice of a case, which often show nothing of an organ."""
DRAWN: Final = 4
"""By how much less the doubt of a slice counts whose strokes the run has learnt: more of the same say little new."""


@dataclass(frozen=True)
class Candidate:
    """A case whose slices may be proposed.

    Attributes
    ----------
    depth
        Number of slices.
    scribbled
        Indices of the slices with strokes.
    verdicts
        Verdicts on its prediction, by slice.
    doubts
        Part of each slice in doubt, in [0, 1]; empty before the case was predicted.
    corrected
        Slices on which somebody drew after the prediction was made.
    """

    name: str
    depth: int
    scribbled: Sequence[int]
    verdicts: Mapping[int, Verdict]
    doubts: Sequence[float]
    corrected: Sequence[int] = ()


@dataclass(frozen=True)
class Proposal:
    """A proposed slice, with a score (the higher, the more worthwhile) and the reason in words."""

    case: str
    slice: int
    score: float
    reason: str


def propose(candidates: Sequence[Candidate]) -> list[Proposal]:
    """Return proposals, most worthwhile first; slices that were accepted or just corrected are not proposed.

    Before a case was predicted, its middle slice comes first, then those at its quarters and in what gaps are left
    between slices with strokes; its ends come last. Later, rejected slices without strokes come first, then the slices
    with the most doubt, where that of slices with strokes counts a quarter. A case's second slice counts half as much,
    its third a third, so that the proposals spread over the cases.

    Examples
    --------
    >>> [proposal.slice for proposal in propose([Candidate("heart", 9, [], {}, [])])]
    [4, 2, 6, 3, 0, 8]
    """
    found = [proposal for each in candidates for proposal in (_by_doubt(each) if each.doubts else _spread_out(each))]
    return sorted(found, key=lambda proposal: -proposal.score)


def _lessened(proposals: Iterable[Proposal]) -> Iterator[Proposal]:
    """Yield a case's proposals, the best first; each but those with a score above 1 counts less than that before it."""
    for place, each in enumerate(sorted(proposals, key=lambda proposal: -proposal.score)):
        yield each if each.score > 1 else replace(each, score=each.score / (1 + place))


def _by_doubt(case: Candidate) -> Iterator[Proposal]:
    return _lessened(_in_doubt(case))


def _in_doubt(case: Candidate) -> Iterator[Proposal]:
    for index, doubt in enumerate(case.doubts):
        verdict = case.verdicts.get(index)
        if verdict == "rejected" and index not in case.scribbled:
            yield Proposal(case.name, index, 1 + doubt, "rejected, and without strokes")
        elif verdict != "accepted" and index not in case.corrected:
            score = doubt / DRAWN if index in case.scribbled else doubt
            yield Proposal(case.name, index, score, f"the network is in doubt of {doubt:.1%} of it")


def _spread_out(case: Candidate) -> Iterator[Proposal]:
    taken = sorted(case.scribbled)
    while len(taken) < min(SPREAD, case.depth) and (inner := _inner(taken, case.depth)):
        index = _farthest(inner, taken, case.depth)
        without = "middle of a volume without strokes" if case.depth > 1 else "an image without strokes"
        reason = "far from slices with strokes" if taken else without
        yield Proposal(case.name, index, 1 / (1 + len(taken)), reason)
        taken = sorted([*taken, index])
    for index in (0, case.depth - 1):
        if index not in taken and len(taken) < SPREAD + ENDS:
            yield Proposal(case.name, index, 1 / (1 + max(len(taken), SPREAD)), "an end of the volume")
            taken = sorted([*taken, index])


def _inner(taken: Sequence[int], depth: int) -> list[int]:
    """Return the slices without strokes that are no ends; the middle of a flat volume is none."""
    return [index for index in range(depth) if index not in taken and (0 < index < depth - 1 or index == depth // 2)]


def _farthest(among: Sequence[int], taken: Sequence[int], depth: int) -> int:
    """Return the slice in the middle of the widest gap, which strokes bound, or what lies beyond the volume.

    Of several the one nearest to the volume's middle is taken.
    """
    if not taken:
        return depth // 2
    bounds = (-1, *taken, depth)
    return max(among, key=lambda index: (min(abs(index - other) for other in bounds), -abs(index - depth // 2)))
