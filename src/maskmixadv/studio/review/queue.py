"""Which slices are most worth somebody's time next."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from maskmixadv.studio.review.reviews import Verdict

SPREAD: Final = 4
"""Slices of a case that are proposed before anything is known of it."""


@dataclass(frozen=True)
class Candidate:
    """A case that slices may be proposed of.

    Attributes
    ----------
    depth
        Its slices.
    scribbled
        Those with strokes.
    verdicts
        What was said of its prediction.
    doubts
        Part of each slice in doubt, in [0, 1]; empty before it was predicted.
    """

    name: str
    depth: int
    scribbled: Sequence[int]
    verdicts: Mapping[int, Verdict]
    doubts: Sequence[float]


@dataclass(frozen=True)
class Proposal:
    """A slice, how worthwhile it is (any number, more is more), and why."""

    case: str
    slice: int
    score: float
    reason: str


def propose(candidates: Sequence[Candidate]) -> list[Proposal]:
    """Return slices, most worthwhile first, without those that were accepted.

    Before anything is predicted: over all volumes, their middles first, then what is farthest from strokes. After
    that: what was rejected and not drawn on since, then by doubt.
    """
    found = [proposal for each in candidates for proposal in (_by_doubt(each) if each.doubts else _spread_out(each))]
    return sorted(found, key=lambda proposal: -proposal.score)


def _by_doubt(case: Candidate) -> Iterator[Proposal]:
    for index, doubt in enumerate(case.doubts):
        verdict = case.verdicts.get(index)
        if verdict == "rejected" and index not in case.scribbled:
            yield Proposal(case.name, index, 1 + doubt, "rejected, and without strokes")
        elif verdict != "accepted":
            yield Proposal(case.name, index, doubt, f"the network is in doubt of {doubt:.1%} of it")


def _spread_out(case: Candidate) -> Iterator[Proposal]:
    taken = sorted(case.scribbled)
    while len(taken) < min(SPREAD, case.depth):
        index = _farthest(taken, case.depth)
        reason = "far from slices with strokes" if taken else "middle of a volume without strokes"
        yield Proposal(case.name, index, 1 / (1 + len(taken)), reason)
        taken = sorted([*taken, index])


def _farthest(taken: Sequence[int], depth: int) -> int:
    """Slice in the middle of the widest gap."""
    if not taken:
        return depth // 2
    return max(range(depth), key=lambda index: min(abs(index - other) for other in taken))
