import hashlib
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock

import numpy as np
import pytest
import torch
from skimage.segmentation import random_walker

import tiny
from maskmixadv import memory
from maskmixadv.corpus.case import Case
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Entry
from maskmixadv.errors import InputError
from maskmixadv.files import held
from maskmixadv.memory import Budget
from maskmixadv.sampling.grid import Grid
from maskmixadv.sampling.slices import load_slices
from maskmixadv.strokes import walker
from maskmixadv.strokes.enclosure import ENCLOSED, enclose
from maskmixadv.strokes.walker import SHARP, THRESHOLD, Plan, believe_slice, load_beliefs, load_walked, walk_slice
from maskmixadv.types import IGNORE


@pytest.fixture(autouse=True)
def user_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    return tmp_path / "user" / "maskmixadv"


def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    image, scribble, dense = tiny.volume()
    return image[0], scribble[0], dense[0]


def test_a_slice_is_labelled_as_scikit_image_does() -> None:
    image, scribble, _ = drawn()
    noisy = np.clip(image + np.random.default_rng(0).normal(0, 0.2, image.shape), 0, 1).astype(np.float32)
    markers = np.where(scribble == IGNORE, 0, scribble + 1.0).astype(int)
    scaled = -1 + 2 * (noisy.astype(np.float64) + 0.35) / (1.35 + 0.35)
    probs = random_walker(scaled, markers, beta=100, mode="bf", return_full_prob=True)
    labels = walk_slice(noisy, scribble)
    known = labels != IGNORE
    np.testing.assert_array_equal(known, probs.max(0) >= THRESHOLD)
    np.testing.assert_array_equal(labels[known], probs.argmax(0)[known])
    assert 0 < (~known).sum() < known.sum()


def test_a_walk_finds_the_edges() -> None:
    image, scribble, dense = drawn()
    labels = walk_slice(image, scribble)
    known = labels != IGNORE
    assert known.mean() > 0.95
    assert (labels == dense)[known].mean() > 0.95
    assert all((labels == label).sum() > (scribble == label).sum() for label in range(4))


@pytest.mark.parametrize("missing", [0, 1, 2, 3])
def test_a_class_without_a_stroke_is_nowhere_and_the_others_stay(missing: int) -> None:
    """Not even the codes may slip: those that are left are not consecutive."""
    image, scribble, dense = drawn()
    scribble[scribble == missing] = IGNORE
    labels = walk_slice(image, scribble)
    assert set(np.unique(labels)) - {IGNORE} == {0, 1, 2, 3} - {missing}
    known = (labels != IGNORE) & (dense != missing)
    assert (labels == dense)[known].mean() > 0.9


@pytest.mark.parametrize("label", [0, 2])
def test_one_class_alone_keeps_its_strokes_and_no_more(label: int) -> None:
    image, scribble, _ = drawn()
    scribble[scribble != label] = IGNORE
    np.testing.assert_array_equal(walk_slice(image, scribble), scribble)
    enclosed = enclose(scribble[None])[0]
    np.testing.assert_array_equal(walk_slice(image, enclosed), enclosed)


def test_where_nothing_can_be_found_nothing_changes() -> None:
    image, scribble, dense = drawn()
    empty = np.full_like(scribble, IGNORE)
    np.testing.assert_array_equal(walk_slice(image, empty), empty)
    np.testing.assert_array_equal(walk_slice(np.full_like(image, 0.5), scribble), scribble)
    np.testing.assert_array_equal(walk_slice(image, dense), dense)


def test_strokes_and_enclosure_stay() -> None:
    image, scribble, _ = drawn()
    seeds = enclose(scribble[None])[0]
    labels = walk_slice(image, seeds)
    np.testing.assert_array_equal(labels[seeds != IGNORE], seeds[seeds != IGNORE])
    assert not (labels[seeds == IGNORE] == ENCLOSED).any()
    assert set(np.unique(labels)) - {IGNORE} == {0, 1, 2, 3, ENCLOSED}


def test_what_is_enclosed_is_background_to_walks() -> None:
    """Four dots as background strokes: what lies beyond them says more."""
    image, scribble, _ = drawn()
    scribble[scribble == 0] = IGNORE
    for corner in ((5, 5), (5, 35), (35, 5), (35, 35)):
        scribble[corner] = 0
    even = np.full_like(image, 0.5)
    even[0, 0] = 1
    seeds = enclose(scribble[None])[0]
    inside = seeds != ENCLOSED
    labels = walk_slice(even, seeds)
    told = walk_slice(even, np.where(inside, seeds, np.uint8(0)))
    np.testing.assert_array_equal(labels[inside], told[inside])
    assert (labels[inside] != walk_slice(even, scribble)[inside]).sum() > 50


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


# Memory: as many at once as fit, and what does not on a coarser grid.


def big() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The slice, three times as large, with noise."""
    image, scribble, dense = (np.kron(each, np.ones((3, 3), each.dtype)) for each in drawn())
    noisy = np.clip(image + np.random.default_rng(0).normal(0, 0.05, image.shape), 0, 1).astype(np.float32)
    return noisy[:-2, :-1], scribble[:-2, :-1], dense[:-2, :-1]  # no multiple of anything


@pytest.mark.parametrize("beta", [walker.BETA, SHARP])
def test_a_coarser_walk_says_much_the_same(beta: float) -> None:
    image, seeds, dense = big()
    exact, coarse = (walker._solved(image, seeds, beta, Plan(most)) for most in (10**6, 3_000))
    assert Plan(3_000).factor(seeds) == 3
    assert exact is not None
    assert coarse is not None
    np.testing.assert_array_equal(coarse[0], exact[0])
    assert coarse[1].shape == exact[1].shape == (4, *image.shape)
    np.testing.assert_allclose(coarse[1].sum(0), 1, atol=1e-6)
    assert (coarse[1].argmax(0) == exact[1].argmax(0)).mean() > 0.95
    assert (coarse[1].argmax(0) == dense).mean() > 0.93


def test_coarser_walks_keep_strokes_and_what_is_enclosed() -> None:
    image, scribble, dense = big()
    seeds = enclose(scribble[None])[0]
    labels = walk_slice(image, seeds, Plan(1_000))
    belief = believe_slice(image, seeds, classes=4, plan=Plan(1_000))
    known = seeds != IGNORE
    np.testing.assert_array_equal(labels[known], seeds[known])
    np.testing.assert_array_equal(belief.argmax(0)[known], np.where(seeds == ENCLOSED, 0, seeds)[known])
    assert (belief.argmax(0) == dense).mean() > 0.9


def test_thin_strokes_are_seeds_of_coarser_walks() -> None:
    image, _, _ = big()
    seeds = np.full(image.shape, IGNORE, np.uint8)
    seeds[60, 70], seeds[20, 60], seeds[5, 5] = 3, 1, 0
    belief = believe_slice(image, seeds, classes=4, plan=Plan(500))
    assert all((belief.argmax(0) == label).sum() > 50 for label in (0, 1, 3))


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


def test_no_more_memory_is_taken_than_there_is() -> None:
    budget, using, most = Budget(100), [0], [0]
    guard = Lock()

    def work(amount: int) -> None:
        with budget.taken(amount):
            with guard:
                using[0] += amount
                most[0] = max(most[0], using[0])
            time.sleep(0.002)
            with guard:
                using[0] -= amount

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [40, 30, 30, 60] * 8))
        assert 60 < most[0] <= 100
        list(pool.map(work, [10, 500, 10]))  # more than there is, but alone
    assert most[0] == 500


@pytest.mark.skipif(sys.platform != "linux", reason="where address spaces can be limited")
def test_free_memory_heeds_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tell = f"{sys.executable} -c 'from maskmixadv.memory import free; print(free())'"
    command = ["bash", "-c", f"ulimit -v 3000000; {tell}"]  # of 1,024 bytes
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 10**8 < int(told.stdout) < 3_072_000_000
    before = memory.free()
    (tmp_path / "memory.max").write_text("300000000\n")
    (tmp_path / "memory.stat").write_text("anon 100000000\nfile 5000\n")
    monkeypatch.setattr(memory, "_GROUP", tmp_path)
    assert memory.free() == min(before, 200_000_000)
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free() > 200_000_000


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
