import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny
from maskmixadv.corpus.case import recode
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.scale import normalise
from maskmixadv.errors import InputError
from maskmixadv.files import claim
from maskmixadv.types import IGNORE


def test_a_case_comes_back_as_it_went_in(tmp_path: Path) -> None:
    affine = np.diag([1.5, 1.5, 8.0, 1.0])
    whole = tiny.case("a_ED", affine=affine, phase="ED", group="NOR")
    bare = tiny.case("b_ED", dense=None, spacing=None)
    corpus = tiny.corpus(tmp_path / "c", [whole, bare, tiny.case("c_ED"), tiny.case("d_ED")])
    opened = Corpus.open(corpus.root)
    assert opened == corpus
    read = opened.load(opened.entries[0])
    assert (read.name, read.patient, read.phase, read.group) == ("a_ED", "a", "ED", "NOR")
    assert read.spacing == whole.spacing
    for key in ("image", "scribble", "dense", "affine"):
        np.testing.assert_array_equal(getattr(read, key), getattr(whole, key))
    second = opened.load(opened.entries[1])
    assert second.dense is None
    assert second.spacing is None


@pytest.mark.parametrize("name", ["P0", "p0"])
def test_cases_whose_files_some_systems_take_for_one_are_refused(tmp_path: Path, name: str) -> None:
    """Where upper and lower case are one, the second case's file replaced the first one's."""
    told = "cases 'p0' and 'P0' differ in upper and lower case alone" if name == "P0" else "two cases are named 'p0'"
    with pytest.raises(InputError, match=told):
        tiny.corpus(tmp_path / "c", [tiny.case("p0"), tiny.case(name, patient="b"), tiny.case("p2")])
    assert not (tmp_path / "c").exists()


def test_the_hash_names_the_content(tmp_path: Path) -> None:
    cases = [tiny.case(f"p{number}", number) for number in range(4)]
    one, same = (tiny.corpus(tmp_path / name, cases) for name in ("one", "same"))
    other = tiny.corpus(tmp_path / "other", [*cases[:3], tiny.case("p3", 9)])
    assert one.hash() == same.hash() != other.hash()


def test_nothing_is_written_over(tmp_path: Path) -> None:
    corpus = tiny.corpus(tmp_path / "c")
    before = corpus.hash()
    with pytest.raises(InputError, match=r"already holds 'c"):
        tiny.corpus(tmp_path / "c")
    assert Corpus.open(tmp_path / "c").hash() == before


def test_a_half_written_corpus_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'same'"):
        tiny.corpus(tmp_path / "c", [tiny.case("same"), tiny.case("same")])
    with pytest.raises(InputError, match="not a corpus"):
        Corpus.open(tmp_path / "c")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"scribble": np.zeros((3, 40, 47), np.uint8)},
            r"scribble has shape \(3, 40, 47\), image has \(3, 40, 48\)",
        ),
        ({"dense": np.full((3, 40, 48), IGNORE, np.uint8)}, "nothing is labelled in the dense mask"),
        ({"scribble": np.full((3, 40, 48), IGNORE, np.uint8)}, "nothing is labelled in the scribble"),
        ({"image": np.full((3, 40, 48), np.nan, np.float32)}, "NaN"),
        ({"image": np.full((3, 40, 48), 0.5, np.float32)}, r"constant \(0.5\)"),
    ],
)
def test_wrong_cases_are_refused(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        tiny.corpus(tmp_path / "c", [tiny.case("p0", **change), tiny.case("p1")])


def test_damage_is_named(tmp_path: Path) -> None:
    corpus = tiny.corpus(tmp_path / "c")
    path = corpus.root / "cases" / "p0.npz"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"p0\.npz: missing or damaged"):
        corpus.load(corpus.entries[0])


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"format": 99}', '{"format": 1}'])
def test_a_malformed_index_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "corpus.json").write_text(text)
    with pytest.raises(InputError, match=r"corpus\.json"):
        Corpus.open(tmp_path)


def test_folds_that_are_not_there(tmp_path: Path) -> None:
    corpus = tiny.corpus(tmp_path / "c")
    with pytest.raises(InputError, match="no fold 2 in 'paper', allowed are 1 to 1"):
        corpus.split("paper", 2)
    with pytest.raises(InputError, match="no folds named 'mine', allowed are paper"):
        corpus.split("mine", 1)


def test_index_is_plain_json(tmp_path: Path) -> None:
    stored = json.loads((tiny.corpus(tmp_path / "c").root / "corpus.json").read_text())
    assert stored["classes"] == list(tiny.CLASSES)
    assert stored["cases"][0]["sha256"]


def test_recode() -> None:
    codes = np.array([[0, 1], [3, 4]], np.uint16)
    np.testing.assert_array_equal(recode(codes, classes=4, ignore=4, where="x"), [[0, 1], [3, IGNORE]])
    with pytest.raises(InputError, match=r"f\.h5: label 4 is not declared, allowed are 0, 1, 2, 3"):
        recode(codes, classes=4, ignore=None, where="f.h5")
    with pytest.raises(InputError, match=r"label 0\.5 is not declared"):
        recode(np.array([0.5]), classes=4, ignore=4, where="f")
    with pytest.raises(InputError, match=r"label 2\.9999998 is not declared, allowed are 0, 1, 2, 3, 4"):
        recode(np.array([2.9999998]), classes=4, ignore=4, where="f")


def test_normalise_clips_at_the_99th_percentile() -> None:
    volume = np.arange(1000, dtype=np.int16).reshape(10, 10, 10)
    scaled = normalise(volume, where="x")
    assert scaled.min() == 0.0
    assert scaled.max() == 1.0
    assert (scaled == 1.0).sum() == 10
    assert scaled.ravel()[495] == pytest.approx(495 / np.percentile(volume, 99))
    with pytest.raises(InputError, match="constant"):
        normalise(np.ones((2, 2, 2)), where="x")


def test_claim_needs_room(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here first")
    with pytest.raises(InputError, match="already holds 'file'"):
        claim(tmp_path)
    with pytest.raises(InputError, match="can't be made a directory"):
        claim(tmp_path / "file")
