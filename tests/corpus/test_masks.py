"""Which masks are learnt from: by rule, or by a number that the seed chooses."""

from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest

import mixed
import tiny
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.masks import AUTO, NONE, Masks, taught
from maskmixadv.errors import InputError


def chosen(corpus: Corpus, masks: Masks, seed: int = 0) -> dict[str, tuple[int, ...] | None]:
    return dict(taught(corpus, corpus.entries, masks, supervision="scribble", seed=seed))


def test_by_default_masks_that_are_no_reference_teach(tmp_path: Path) -> None:
    cases = [mixed.case("partly"), tiny.case("alone", scribble=None), tiny.case("both"), tiny.case("bare", dense=None)]
    corpus = tiny.corpus(tmp_path / "c", cases)
    assert chosen(corpus, AUTO) == {"partly": None, "alone": None}
    assert chosen(corpus, NONE) == {}
    assert set(chosen(corpus, Masks("all"))) == {"partly", "alone", "both"}
    for masks in (NONE, AUTO, Masks("all")):
        assert set(taught(corpus, corpus.entries, masks, supervision="dense", seed=0)) == {"partly", "alone", "both"}


def test_the_index_says_which_masks_are_partly(tmp_path: Path) -> None:
    corpus = tiny.corpus(tmp_path / "c", [mixed.case("partly"), tiny.case("whole"), tiny.case("bare", dense=None)])
    assert {entry.name: (entry.partly, entry.masked) for entry in Corpus.open(corpus.root).entries} == {
        "bare": (False, False), "partly": (True, False), "whole": (False, True),
    }  # fmt: skip
    assert (corpus.root / "corpus.json").read_text().count('partly":') == 1  # others are written as ever


def test_patients_are_chosen_by_the_seed(tmp_path: Path) -> None:
    cases = [tiny.case(f"p{k}_{phase}", k) for k in range(6) for phase in ("ED", "ES")]
    corpus = tiny.corpus(tmp_path / "c", cases)
    by_seed = [chosen(corpus, Masks("2"), seed) for seed in range(4)]
    assert all(len(each) == 4 and len({name[:2] for name in each}) == 2 for each in by_seed)
    assert len({tuple(each) for each in by_seed}) > 1
    assert by_seed[0] == chosen(corpus, Masks("2"))
    assert set(by_seed[0]) < set(chosen(corpus, Masks("3")))  # the fewer are among the more
    assert by_seed[0] == dict(taught(corpus, corpus.entries, Masks("2"), supervision="dense", seed=0))
    with pytest.raises(InputError, match="masks: 7, but only 6 training patients have masks"):
        chosen(corpus, Masks("7"))


def test_slices_are_spread_over_patients(tmp_path: Path) -> None:
    cases = [tiny.case(f"p{k}_{phase}", k) for k in range(4) for phase in ("ED", "ES")]
    first = cases[0].dense
    assert first is not None
    first[0] = 0  # shows no structure
    corpus = tiny.corpus(tmp_path / "c", cases)
    for number in (3, 4, 6, 23):
        found = chosen(corpus, Masks(str(number), "slices"))
        counts = Counter({name: len(slices or ()) for name, slices in found.items()})
        patients = Counter[str]()
        for name, count in counts.items():
            patients[name[:2]] += count
        assert sum(patients.values()) == number
        assert max(patients.values()) - min(patients[f"p{k}"] for k in range(4)) <= 1
    assert 0 not in (chosen(corpus, Masks("23", "slices"))["p0_ED"] or ())
    with pytest.raises(InputError, match="masks: 24, but only 23 slices that show a structure have training masks"):
        chosen(corpus, Masks("24", "slices"))


@pytest.mark.parametrize(
    ("which", "of", "told"),
    [("some", "patients", "masks: 'some'"), ("0", "patients", "masks: '0'"), ("-1", "patients", "masks: '-1'"),
     ("all", "slices", "masks_of: slices"), ("3", "cases", "masks_of: 'cases'")],
)  # fmt: skip
def test_other_settings_are_one_line(which: str, of: str, told: str) -> None:
    with pytest.raises(InputError, match=told) as caught:
        Masks(which, of)
    assert "\n" not in str(caught.value)


def test_a_run_records_what_its_setting_comes_to(tmp_path: Path) -> None:
    corpus = tiny.corpus(tmp_path / "c", [tiny.case("a"), tiny.case("b", scribble=None), tiny.case("c")])
    both, alone, _ = corpus.entries
    assert AUTO.settled(corpus, [both], "scribble") == NONE  # as in runs of earlier versions
    assert AUTO.settled(corpus, [both, alone], "scribble") == AUTO
    assert AUTO.settled(corpus, [alone], "dense") == Masks("all").settled(corpus, [alone], "dense") == NONE
    assert asdict(Masks("3").settled(corpus, [alone], "dense")) == {"which": "3", "of": "patients"}
    with pytest.raises(InputError, match="masks: none"):
        NONE.settled(corpus, [alone], "dense")


def test_a_benchmark_s_masks_do_not_teach_unasked(tmp_path: Path) -> None:
    """Even where strokes were drawn for some patients alone, as `annotate` may do."""
    corpus = tiny.corpus(tmp_path / "c", [mixed.case("a"), tiny.case("b", scribble=None), tiny.case("c")])
    benchmark = replace(corpus, source="ACDC (Bernard et al. 2018)")
    assert (len(chosen(corpus, AUTO)), chosen(benchmark, AUTO)) == (2, {})
    assert AUTO.settled(benchmark, benchmark.entries, "scribble") == NONE
    assert len(chosen(benchmark, Masks("all"))) == len(chosen(benchmark, Masks("3"))) == 3
