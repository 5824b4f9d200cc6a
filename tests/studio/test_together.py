"""Several pages and servers of one folder: no stroke or verdict that was acknowledged is lost or overruled unseen."""

import json
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest

import own
import tiny
from maskmixadv.cli.app import run as command_line
from maskmixadv.files import held, tell_holder
from maskmixadv.studio.http import address
from maskmixadv.studio.locks import Locks
from maskmixadv.studio.refusals import TakenError
from maskmixadv.studio.session import Session
from maskmixadv.studio.versions import UNPAINTED
from studio_server import SHAPE, SLICE, client, plane, predict, refused, strokes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return own.folder(tmp_path / "hearts", scribbled=2, masked=1)


def test_a_page_that_did_not_see_another_ones_strokes_can_not_replace_them(folder: Path) -> None:
    with client(folder) as page:
        version = page.get(f"{SLICE}/scribble").headers["X-Version"]
        one, other = strokes(1), np.roll(strokes(2), 5, axis=0)
        first = page.put(f"{SLICE}/scribble?version={version}", content=one.tobytes())
        refused(page.put(f"{SLICE}/scribble?version={version}", content=other.tobytes()), 409, "somebody else")
        np.testing.assert_array_equal(plane(answer := page.get(f"{SLICE}/scribble")), one)
        assert answer.headers["X-Version"] == first.json()["version"]
        # An answer that got lost: the same strokes again are no conflict.
        assert page.put(f"{SLICE}/scribble?version={version}", content=one.tobytes()).status_code == 200
        both = np.where(other != 255, other, one)
        held_now = answer.headers["X-Version"]
        page.put(f"{SLICE}/scribble?version={held_now}", content=both.tobytes()).raise_for_status()
        np.testing.assert_array_equal(plane(page.get(f"{SLICE}/scribble")), both)


def test_a_page_that_did_not_see_another_ones_mask_can_not_replace_it(folder: Path) -> None:
    one, other, mask = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8), f"{SLICE}/mask"
    one[4:20, 30:44], other[25:30, 4:9] = 3, 1
    with client(folder) as page:

        def paint(labels: np.ndarray, version: str) -> httpx.Response:
            return page.put(f"{mask}?version={version}", content=labels.tobytes())

        first = paint(one, UNPAINTED)
        refused(paint(other, UNPAINTED), 409, "somebody else")
        np.testing.assert_array_equal(plane(answer := page.get(mask)), one)
        assert answer.headers["X-Version"] == first.json()["version"]
        assert paint(one, UNPAINTED).status_code == 200, "an answer that got lost: the same mask again is no conflict"
        both = np.maximum(one, other)
        assert paint(both, first.json()["version"]).status_code == 200
        refused(page.delete(f"{mask}?version={first.json()['version']}"), 409, "somebody else")
        np.testing.assert_array_equal(plane(answer := page.get(mask)), both)
        gone = page.delete(f"{mask}?version={answer.headers['X-Version']}")
        assert gone.json()["version"] == UNPAINTED
        refused(paint(one, answer.headers["X-Version"]), 409, "somebody else")


def test_two_pages_that_draw_in_turn_keep_every_acknowledged_pixel(folder: Path) -> None:
    """As the page does it: read again on 409, and draw the own strokes over what is there."""
    rng, acknowledged = np.random.default_rng(3), np.full(SHAPE, 255, np.uint8)
    with client(folder) as page:
        page.put(f"{SLICE}/scribble", content=acknowledged.tobytes()).raise_for_status()
        versions = [page.get(f"{SLICE}/scribble").headers["X-Version"]] * 2
        mine = [acknowledged.copy(), acknowledged.copy()]
        clashes = 0
        for _ in range(12):
            who = int(rng.integers(2))
            row, column = rng.integers(0, SHAPE[0]), rng.integers(0, SHAPE[1] - 6)
            drawn = np.zeros(SHAPE, bool)
            drawn[row, column : column + 6] = True
            mine[who][drawn] = 1 + who
            answer = page.put(f"{SLICE}/scribble?version={versions[who]}", content=mine[who].tobytes())
            if answer.status_code == 409:
                clashes += 1
                now = page.get(f"{SLICE}/scribble")
                mine[who] = np.where(drawn, 1 + who, plane(now)).astype(np.uint8)
                answer = page.put(f"{SLICE}/scribble?version={now.headers['X-Version']}", content=mine[who].tobytes())
            versions[who] = answer.json()["version"]
            acknowledged[drawn] = 1 + who
        np.testing.assert_array_equal(plane(page.get(f"{SLICE}/scribble")), acknowledged)
    assert clashes > 2


def test_a_verdict_on_something_else_than_what_holds_is_refused(folder: Path) -> None:
    predict(folder)
    with client(folder) as page:

        def judge(verdict: str | None, before: str | None, run: str = "001") -> httpx.Response:
            return page.put(f"{SLICE}/review", json={"verdict": verdict, "seen": {"verdict": before, "run": run}})

        assert judge("rejected", None).json() == {"reviews": {"1": "rejected"}}
        refused(judge("accepted", None), 409, "judged elsewhere", "rejected")
        assert page.get("/api/folder").json()["cases"][1]["reviews"] == {"1": "rejected"}
        assert judge("accepted", "rejected").json() == {"reviews": {"1": "accepted"}}
        predict(folder, "002")
        refused(judge(None, "accepted"), 409, "run 002")


def test_the_second_server_is_told_the_port_of_the_first(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with started(folder) as (server, url):
        port = url.split(":")[2].split("/")[0]
        assert command_line(["studio", str(folder)]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert re.search(rf"in use by process {server.pid} on .*, port {port}; ", said)


@pytest.mark.slow
def test_a_restarted_server_has_the_address_of_the_one_before(folder: Path) -> None:
    with started(folder) as (_, first):
        pass
    path = folder / ".studio" / address.FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with started(folder) as (_, second):
        assert second == first
    path.chmod(0o640)  # others could have read the token
    with started(folder) as (_, third):
        assert third.split("#")[1] != first.split("#")[1]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("change", [{"host": "elsewhere"}, {"since": 0.0}, {"token": "short"}, {"port": 0}])
def test_an_address_of_another_machine_or_an_old_one_is_not_taken(tmp_path: Path, change: dict[str, object]) -> None:
    token = address.keep(tmp_path, 8123, None)
    before = address.kept(tmp_path)
    assert before is not None
    assert address.keep(tmp_path, 8123, before) == token
    path = tmp_path / address.FILE
    raw = json.loads(path.read_text())
    path.write_text(json.dumps(raw | change))
    assert address.kept(tmp_path) is None
    path.write_text(json.dumps(raw))
    assert address.keep(tmp_path, 8124, before) != token


def test_a_server_proves_that_it_knows_the_token_and_does_not_say_it(folder: Path) -> None:
    with client(folder) as page:
        told = page.get("/known/some-nonce", headers={"X-Token": ""})
        assert told.json() == {"proof": address.proof("right-token", "some-nonce")}
        assert told.json() != page.get("/known/other-nonce").json()
        refused(page.get(f"/known/{'x' * 65}"), 400, "nonce")


def test_who_holds_a_folder_is_said_in_one_line(tmp_path: Path) -> None:
    with held(tmp_path):
        tell_holder(tmp_path, "port 1")
        assert "port 1" in (tmp_path / ".lock.holder").read_text()
    assert not (tmp_path / ".lock.holder").exists()


@contextmanager
def started(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "maskmixadv", "studio", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server, server.stdout.readline().strip()
        finally:
            server.terminate()


def test_a_proposal_does_not_replace_a_verdict_that_was_not_seen(folder: Path) -> None:
    predict(folder)
    mask = np.zeros(SHAPE, np.uint8).tobytes()
    with client(folder) as page:
        page.put(f"{SLICE}/review", json={"verdict": "rejected"}).raise_for_status()
        unseen = page.put(f"{SLICE}/proposal?verdict=none&run=001", content=mask)
        refused(unseen, 409, "judged elsewhere", "rejected")
        refused(page.put(f"{SLICE}/proposal?verdict=rejected&run=", content=mask), 409, "run 001 has predicted")
        seen = page.put(f"{SLICE}/proposal?verdict=rejected&run=001", content=mask)
        assert seen.json() == {"reviews": {"1": "accepted"}}


def test_a_stroke_on_a_painted_slice_is_refused(folder: Path) -> None:
    with client(folder) as page:
        before = page.get(f"{SLICE}/scribble")
        page.put(f"{SLICE}/mask", content=np.zeros(SHAPE, np.uint8).tobytes()).raise_for_status()
        query = f"version={before.headers['x-version']}"
        refused(page.put(f"{SLICE}/scribble?{query}", content=strokes(2).tobytes()), 400, "painted", "discard the mask")
        assert page.get(f"{SLICE}/scribble").content == before.content
        again = page.put(f"{SLICE}/scribble?{query}", content=before.content)
        assert again.status_code == 200  # stored already: its first answer may have been lost
        page.delete(f"{SLICE}/mask").raise_for_status()
        assert page.put(f"{SLICE}/scribble?{query}", content=strokes(2).tobytes()).status_code == 200


@pytest.mark.parametrize(
    "body", [{"steps": True}, {"steps": 1, "goes_on": 1}, {"steps": False}], ids=["steps", "goes on", "no steps"]
)
def test_booleans_are_no_numbers(folder: Path, body: dict[str, object]) -> None:
    with client(folder) as page:
        refused(page.post("/api/train", json={"preset": "cpu", **body}), 400, "valid")
        assert page.get("/api/train").json()["state"] == "idle"


@pytest.mark.parametrize("what", ["proposal", "review"])
def test_a_mask_that_is_painted_meanwhile_counts(folder: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """Another page paints while this one waits for the case."""
    predict(folder)
    session, of, painted = Session(folder), Locks.of, tiny.volume()[2][1].tobytes()

    @contextmanager
    def after_another(locks: Locks, case: str) -> Iterator[None]:
        monkeypatch.setattr(Locks, "of", of)
        session.masks.correct("s0", 1, painted, 0.0)
        with of(locks, case):
            yield

    monkeypatch.setattr(Locks, "of", after_another)
    with pytest.raises(TakenError, match="somebody painted the mask of this slice"):
        _ = session.accept_proposal("s0", 1, painted) if what == "proposal" else session.review("s0", 1, "accepted")
    assert json.loads((folder / "studio.json").read_text())["cases"]["s0"]["reviews"] == {}


def test_classes_that_another_page_changed_are_not_changed_back(tmp_path: Path) -> None:
    """A second tab saved its dialog: a name of before came back, and a class that the first tab had added was gone."""
    with client(own.folder(tmp_path, scribbled=0, masked=1)) as page:
        seen = page.get("/api/folder").json()["classes"]
        rows = [{**each, "was": place} for place, each in enumerate(seen)]
        named = [*rows[:1], {**rows[1], "name": "lung"}, *rows[2:], {"name": "scar", "colour": "#112233", "was": None}]
        first = {"classes": named, "placed": True, "seen": seen}
        page.put("/api/classes", json=first).raise_for_status()
        held = page.get("/api/folder").json()
        assert page.put("/api/classes", json=first).status_code == 200  # sent again, as its answer was lost
        recoloured = {"classes": [*rows[:3], {**rows[3], "colour": "#445566"}], "placed": True, "seen": seen}
        refused(page.put("/api/classes", json=recoloured), 409, "another page")
        now = page.get("/api/folder").json()
        assert (now["classes"], now["coding"]) == (held["classes"], held["coding"])


def test_what_another_program_wrote_into_the_notes_is_not_lost(folder: Path) -> None:
    """Somebody puts a copy of the verdicts back while the studio is open; the next verdict wrote over it."""
    predict(folder)
    notes = folder / "studio.json"
    with client(folder) as page:
        page.put(f"{SLICE}/review", json={"verdict": "rejected"}).raise_for_status()
        notes.write_text(notes.read_text().replace('"rejected"', '"accepted"'))
        told = page.put("/api/cases/s0/slices/0/review", json={"verdict": "rejected"}).json()
        assert told["reviews"] == {"0": "rejected", "1": "accepted"}
        page.put("/api/cases/s1/slices/0/review", json={"verdict": "rejected"}).raise_for_status()
        assert notes.read_text().count('"accepted"') == 1
        notes.write_text("{")
        refused(page.put(f"{SLICE}/review", json={"verdict": "rejected"}), 400, "studio.json")
        assert notes.read_text() == "{"
        notes.unlink()
        told = page.put(f"{SLICE}/review", json={"verdict": None}).json()
        assert told["reviews"] == {"0": "rejected"}
