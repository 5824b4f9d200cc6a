"""Labels and beliefs of walks are made once and kept, whatever happens to what is kept."""

import hashlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

import tiny
from maskmixadv.corpus.case import Case
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Entry
from maskmixadv.errors import InputError
from maskmixadv.files import held
from maskmixadv.sampling.grid import Grid
from maskmixadv.sampling.loading import load_slices
from maskmixadv.strokes import walker
from maskmixadv.strokes.walker import Plan, load_beliefs, load_walked, walk_slice
from maskmixadv.types import IGNORE


@pytest.fixture(autouse=True)
def user_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    return tmp_path / "user" / "maskmixadv"


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the cases that were walked."""
    walked: list[str] = []
    walk: Callable[[Case, np.ndarray, Plan], np.ndarray] = walker.walk

    def counted(case: Case, seeds: np.ndarray, plan: Plan) -> np.ndarray:
        walked.append(case.name)
        return walk(case, seeds, plan)

    monkeypatch.setattr(walker, "walk", counted)
    return walked


def of_one(root: Path, case: Case) -> Corpus:
    return Corpus.write(root, [case], name="tiny", classes=tiny.CLASSES, folds={})


def walked(corpus: Corpus, entries: Sequence[Entry], *, enclosure: bool) -> dict[str, np.ndarray]:
    """Labels by case."""
    made = load_walked(corpus, entries, enclosure=enclosure)
    return {entry.name: labels for entry, labels in zip(entries, made, strict=True)}


def load(corpus: Corpus, *, enclosure: bool = False) -> dict[str, np.ndarray]:
    return walked(corpus, corpus.entries, enclosure=enclosure)


def files(corpus: Corpus) -> list[Path]:
    return sorted((corpus.root / "cache").glob("*.npz"))


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_labels_are_made_once(tmp_path: Path, count: list[str]) -> None:
    corpus = tiny.corpus(tmp_path / "c")
    first = load(corpus)
    assert sorted(count) == [f"p{number}" for number in range(6)]
    assert len(files(corpus)) == 6
    assert same(load(corpus), first)
    assert len(count) == 6
    for name, labels in first.items():
        image, scribble, _ = tiny.volume(int(name[1]))
        np.testing.assert_array_equal(labels, np.stack(list(map(walk_slice, image, scribble))))


def test_other_content_is_not_taken_for_the_same(
    tmp_path: Path, count: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = tiny.corpus(tmp_path / "c")
    load(corpus)
    load(corpus, enclosure=True)
    assert len(count) == 12
    monkeypatch.setattr(walker, "BETA", 50.0)
    load(corpus)
    assert len(count) == 18
    image, scribble, _ = tiny.volume()
    darker = tiny.case("p0", image=image / 2)
    redrawn = tiny.case("p0", scribble=np.where(scribble == 3, np.uint8(2), scribble))
    for name, case in (("darker", darker), ("redrawn", redrawn)):
        other = of_one(tmp_path / name, case)
        (other.root / "cache").symlink_to(corpus.root / "cache")
        load(other)
    assert len(count) == 20


def test_the_name_is_no_content(tmp_path: Path, count: list[str]) -> None:
    corpus = of_one(tmp_path / "c", tiny.case("a"))
    load(corpus)
    other = of_one(tmp_path / "d", tiny.case("b"))
    (other.root / "cache").symlink_to(corpus.root / "cache")
    assert np.array_equal(load(other)["b"], load(corpus)["a"])
    assert count == ["a"]


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(content)


def _reshape(path: Path) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, labels=np.zeros((1, 2, 3), np.uint8))


def _rename(path: Path) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, other=np.zeros((3, 40, 48), np.uint8))


def _empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [_cut, _flip, _reshape, _rename, _empty])
def test_damaged_labels_are_made_anew(tmp_path: Path, count: list[str], damage: Callable[[Path], None]) -> None:
    corpus = tiny.corpus(tmp_path / "c", [tiny.case(f"p{number}", number) for number in range(2)])
    first = load(corpus)
    damage(files(corpus)[0])
    assert same(load(corpus), first)
    assert len(count) == 3
    assert same(load(corpus), first)
    assert len(count) == 3


def test_a_corpus_that_cannot_be_written_is_cached_elsewhere(
    tmp_path: Path, count: list[str], user_cache: Path
) -> None:
    corpus = of_one(tmp_path / "c", tiny.case("a"))
    (corpus.root / "cache").write_text("a file, where the folder would have to be")
    first = load(corpus)
    assert len(list(user_cache.iterdir())) == 1
    assert same(load(corpus), first)
    assert count == ["a"]
    (user_cache.parent / "maskmixadv").rename(tmp_path / "gone")
    user_cache.write_text("here, too")
    assert same(load(corpus), first)
    assert count == ["a", "a"]


def test_nothing_is_left_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user_cache: Path) -> None:
    corpus = of_one(tmp_path / "c", tiny.case("a"))

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(walker.np, "savez_compressed", full)
    load(corpus)
    assert files(corpus) == []
    assert list(user_cache.iterdir()) == []


def test_slices_hold_what_the_walker_made(tmp_path: Path) -> None:
    """Through the door that training uses; dense masks are neither needed nor looked at."""
    scribbled, bare = tiny.case("p0", dense=None), tiny.case("p1", 1, scribble=None)
    corpus = tiny.corpus(tmp_path / "c", [scribbled, bare])
    for enclosure in (False, True):
        slices = load_slices(
            corpus, corpus.entries, grid=Grid(48), supervision="random_walker", enclosure=enclosure,
            device=torch.device("cpu"),
        )  # fmt: skip
        assert len(slices) == 3
        made = walked(corpus, [e for e in corpus.entries if e.scribble], enclosure=enclosure)
        assert torch.equal(slices.target, Grid(48).labels(torch.from_numpy(made["p0"]), scribbled.spacing))


def test_it_needs_scribbles(tmp_path: Path) -> None:
    corpus = of_one(tmp_path / "c", tiny.case("p0", scribble=None))
    with pytest.raises(InputError, match="no training case has a scribble annotation"):
        load_slices(
            corpus, corpus.entries, grid=Grid(48), supervision="random_walker", enclosure=False,
            device=torch.device("cpu"),
        )  # fmt: skip
    with pytest.raises(InputError, match="p0: has no scribble annotation"):
        load(corpus)


def test_what_fits_is_kept_under_the_names_that_it_had(tmp_path: Path) -> None:
    """Caches of earlier versions stay good; these names and labels are theirs."""
    corpus = of_one(tmp_path / "c", tiny.case("a"))
    beliefs = next(load_beliefs(corpus, corpus.entries, enclosure=True))
    labels = next(load_walked(corpus, corpus.entries, enclosure=True))
    assert [path.stem.removeprefix("walker-")[:16] for path in files(corpus)] == [
        "8fe54a0f3c858128",
        "f9279f5c2bfd0cb7",
    ]
    assert [hashlib.sha256(each.tobytes()).hexdigest()[:16] for each in (beliefs, labels)] == [
        "e61db2da040273a8",
        "7812ce3cde631239",
    ]


def test_coarser_walks_are_told_and_kept_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], count: list[str]
) -> None:
    corpus = tiny.corpus(tmp_path / "c", [tiny.case("p0"), tiny.case("p1", 1)])
    load(corpus)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(walker, "MOST", 1_000)
    for _ in range(2):
        load(corpus)
        (line,) = capsys.readouterr().err.splitlines()
        assert line == (
            f"{corpus.root}: random walks of 6 slices with more than 1,000 unknown pixels go over a grid 2 times "
            "as coarse"
        )
    assert len(files(corpus)) == len(count) == 4
    monkeypatch.setattr(walker, "free", lambda: 2_000 * walker.BYTES)
    monkeypatch.setattr(walker, "MOST", 500_000)
    assert Plan.of_free_memory().most == 1_500
    load(corpus)
    assert "more than 1,500 unknown pixels (all that memory holds) go over a grid 2" in capsys.readouterr().err


def test_slices_without_a_walk_are_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, scribble, _ = tiny.volume()
    scribble[1][scribble[1] != 2] = IGNORE
    monkeypatch.setattr(walker, "MOST", 1_000)
    load(of_one(tmp_path / "c", tiny.case("a", scribble=scribble)))
    assert "walks of 2 slices" in capsys.readouterr().err


# Two processes at once.

WALK = """
import sys
from pathlib import Path
from maskmixadv import memory
from maskmixadv.strokes import walker
from maskmixadv.corpus.corpus import Corpus
made, walk = [], walker.walk
walker.walk = lambda case, seeds, plan: made.append(case.name) or walk(case, seeds, plan)
corpus = Corpus.open(Path(sys.argv[1]))
labels = list(walker.load_walked(corpus, corpus.entries, enclosure=False))
print(len(labels), len(made))
"""


def test_two_processes_share_the_work(tmp_path: Path) -> None:
    corpus = tiny.corpus(tmp_path / "c", [tiny.case(f"p{number}", number) for number in range(12)])
    command = [sys.executable, "-c", WALK, str(corpus.root)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate(timeout=60)[0].split() for process in both]
    assert [labels for labels, _ in told] == ["12", "12"]
    assert sum(int(made) for _, made in told) == 12
    assert len(files(corpus)) == 12


def test_who_needs_nothing_made_does_not_wait(tmp_path: Path) -> None:
    corpus = of_one(tmp_path / "c", tiny.case("a"))
    first = load(corpus)
    with held(corpus.root / "cache"):
        assert same(load(corpus), first)


def test_one_process_may_make_labels_and_beliefs_at_once(tmp_path: Path) -> None:
    """Each takes the cache's lock, and neither waits for the other."""
    corpus = tiny.corpus(tmp_path / "c", [tiny.case(f"p{number}", number) for number in range(3)])
    both = zip(
        load_walked(corpus, corpus.entries, enclosure=True), load_beliefs(corpus, corpus.entries, enclosure=True),
        strict=False,
    )  # fmt: skip
    assert len(list(both)) == 3
    del both
    with held(corpus.root / "cache"):
        pass


def test_what_was_begun_and_left_gives_the_cache_back(tmp_path: Path) -> None:
    corpus = tiny.corpus(tmp_path / "c")
    begun = load_walked(corpus, corpus.entries, enclosure=False)
    next(begun)
    with pytest.raises(InputError, match="in use by"), held(corpus.root / "cache"):
        pass
    begun.close()  # pyright: ignore[reportAttributeAccessIssue]
    with held(corpus.root / "cache"):
        pass
