"""What is proposed next: it spreads over the cases, and a slice that was just corrected is left alone."""

from pathlib import Path

import own
from maskmixadv.studio.review.queue import Candidate, propose
from studio_server import SLICE, client, predict, strokes


def places(found: list[dict[str, object]]) -> list[tuple[object, object]]:
    return [(each["case"], each["slice"]) for each in found]


def test_proposals_spread_over_the_cases() -> None:
    doubts = {"a": [0.2, 0.19, 0.18, 0.17], "b": [0.1, 0.01, 0.0, 0.0], "c": [0.08, 0.0, 0.0, 0.0]}
    found = propose([Candidate(name, 4, [], {}, each) for name, each in doubts.items()])
    assert [each.case for each in found[:4]] == ["a", "b", "a", "c"]
    assert {each.case for each in found[:4]} == set(doubts)


def test_rejected_slices_come_before_doubts() -> None:
    case = Candidate("a", 3, [], {0: "rejected", 1: "rejected"}, [0.1, 0.2, 0.9])
    assert [each.slice for each in propose([case, Candidate("b", 1, [], {}, [0.95])])][:2] == [1, 0]


def test_a_slice_that_was_just_corrected_is_not_proposed_until_the_next_run(tmp_path: Path) -> None:
    folder = own.folder(tmp_path / "hearts", scribbled=2, masked=1)
    predict(folder)
    with client(folder) as page:
        worst = "/api/cases/s0/slices/2"
        assert ("s0", 2) in places(page.get("/api/queue").json())[:3]
        page.put(f"{worst}/scribble", content=strokes(2).tobytes()).raise_for_status()
        assert ("s0", 2) not in places(page.get("/api/queue").json())
    with client(folder) as page:  # also after a restart
        assert ("s0", 2) not in places(page.get("/api/queue").json())
        before = page.get("/api/queue").json()
        same = page.get(f"{SLICE}/scribble").content
        page.put(f"{SLICE}/scribble", content=same).raise_for_status()
        assert page.get("/api/queue").json() == before, "nothing was drawn"
        predict(folder, "002")
        assert ("s0", 2) in places(page.get("/api/queue").json())
