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


def test_doubts_of_slices_that_were_drawn_on_count_less() -> None:
    """Round after round led to the same slices, on which all was drawn that there was to draw."""
    found = propose([Candidate("a", 4, [0, 2], {}, [0.3, 0.1, 0.9, 0.0])])
    assert [each.slice for each in found] == [2, 1, 0, 3]
    assert propose([Candidate("a", 2, [0], {}, [0.012, 0.005])])[0].slice == 1


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


def spread(depths: dict[str, int], drawn: dict[str, list[int]] | None = None) -> list[tuple[str, int]]:
    """Where Next leads, one after another, when each slice is drawn that it leads to."""
    strokes = {name: list((drawn or {}).get(name, [])) for name in depths}
    been = []
    while found := propose([Candidate(name, depth, strokes[name], {}, []) for name, depth in depths.items()]):
        been.append((found[0].case, found[0].slice))
        strokes[found[0].case].append(found[0].slice)
    return been


def test_before_a_run_middles_come_first_then_quarters_and_ends_last() -> None:
    depths = {"a": 15, "b": 16, "c": 9}
    been = spread(depths)
    assert been[:3] == [("a", 7), ("b", 8), ("c", 4)]
    quarters = been[3:9]
    assert {name for name, _ in quarters[:3]} == set(depths), "a quarter of each case before a second one"
    for name, depth in depths.items():
        near = sorted(index for case, index in quarters if case == name)
        assert [abs(index - part * depth) <= 1 for index, part in zip(near, (0.25, 0.75), strict=True)] == [True, True]
    assert {index for name, index in been[-6:] if name == "a"} == {0, 14}
    assert not {(name, end) for name, depth in depths.items() for end in (0, depth - 1)} & {*been[:-6]}
    assert len(set(been)) == len(been)


def test_before_a_run_the_list_has_the_same_order() -> None:
    found = propose([Candidate(name, 15, [], {}, []) for name in "ab"])
    assert [(each.case, each.slice) for each in found] == spread({"a": 15, "b": 15})


def test_slices_far_from_strokes_come_before_ends() -> None:
    assert spread({"a": 15}, {"a": [0, 1, 2]})[0] == ("a", 8)
    assert spread({"a": 15}, {"a": [7]})[0][1] in (3, 11)


def test_flat_volumes_have_all_their_slices() -> None:
    assert [spread({"a": depth}) for depth in (1, 2, 3)] == [
        [("a", 0)],
        [("a", 1), ("a", 0)],
        [("a", 1), ("a", 0), ("a", 2)],
    ]


def test_an_image_of_one_slice_is_no_volume() -> None:
    assert [each.reason for each in propose([Candidate("a", 1, [], {}, [])])] == ["an image without strokes"]
    assert propose([Candidate("a", 2, [], {}, [])])[0].reason == "middle of a volume without strokes"
