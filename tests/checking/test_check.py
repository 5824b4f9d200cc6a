"""What prepare cannot refuse, check says: by case and slice, with what to do."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import own
import tiny
from maskmixadv.checking.check import check
from maskmixadv.checking.sheet import draw
from maskmixadv.cli.app import run
from maskmixadv.corpus.case import Case, structures
from maskmixadv.types import IGNORE


def notes(root: Path, *cases: Case) -> list[str]:
    told, problems = check(tiny.corpus(root, [*cases, tiny.case("p8", 8), tiny.case("p9", 9)]))
    assert not problems
    return [line.removeprefix("note: ") for line in told.splitlines() if line.startswith("note: ")]


def test_nothing_is_said_of_what_is_fine(tmp_path: Path) -> None:
    assert notes(tmp_path / "c", tiny.case("p0")) == []


def test_an_image_under_two_patients_names(tmp_path: Path) -> None:
    """Also with other strokes, which make other files; two cases of one patient are no leak."""
    again = tiny.case("p1", scribble=None)
    (note,) = notes(tmp_path / "a", tiny.case("p0"), again)
    assert note == (
        "p0 and p1: have one image, under the names of two patients; a fold may learn from one and test the other"
    )
    assert notes(tmp_path / "b", tiny.case("p0"), tiny.case("p0_again", scribble=None)) == []


def test_a_person_whose_cases_are_taken_for_several_patients_is_told(tmp_path: Path) -> None:
    names = ["sub-01_ses-a", "sub-01_ses-b", "sub-1_a", "patient2_x", "patient2_y", "patient3", "heart_1", "heart_2"]
    cases = [tiny.case(name, number, patient=name) for number, name in enumerate(names)]
    (note,) = notes(tmp_path / "a", *cases)
    assert note == (
        "patient2_x, patient2_y (and so 1 other): named as of one patient, and taken for several; a fold may learn "
        "from one and test the other, prepare with --patient"
    )
    assert notes(tmp_path / "b", *(tiny.case(name, n, patient="anna") for n, name in enumerate(names))) == []


def test_constant_slices(tmp_path: Path) -> None:
    image = tiny.volume()[0]
    image[1] = 0.25
    assert notes(tmp_path / "c", tiny.case("p0", image=image)) == ["p0: slice 2 is constant; remove it, or its strokes"]
    image[2] = 0.5
    told = ["p0: slices 2, 3 are constant; remove them, or their strokes"]
    assert notes(tmp_path / "d", tiny.case("p0", image=image)) == told


def test_strokes_on_an_empty_margin(tmp_path: Path) -> None:
    image, scribble, _ = tiny.volume()
    image[:, 38:] = 0
    image[2, :4] = 0
    assert notes(tmp_path / "a", tiny.case("p0", image=image)) == [], "no stroke lies there"
    scribble[2, 2, 10] = 0
    (note,) = notes(tmp_path / "b", tiny.case("p0", image=image, scribble=scribble))
    assert note == "p0: strokes on the empty margin round the image in slice 3; erase them there"


def test_background_strokes_that_do_not_enclose(tmp_path: Path) -> None:
    _, scribble, dense = tiny.volume()
    scribble[1, 2, 2] = 2
    (note,) = notes(tmp_path / "a", tiny.case("p0", scribble=scribble))
    assert note.startswith("p0: a structure's stroke lies beyond the hull of the background's in slice 2; redraw")
    dense[2, 37, 37] = 1
    (note,) = notes(tmp_path / "b", tiny.case("p0", dense=dense))
    assert note.startswith("p0: the dense mask reaches beyond the hull of the background stroke in slice 3; redraw")


def test_spacings_and_missing_annotation(tmp_path: Path) -> None:
    bare = tiny.case("p0", scribble=None, dense=None, spacing=(1.0, 1.0, 1.0))
    told = notes(tmp_path / "c", bare, tiny.case("p1", 1, spacing=None))
    assert [note.split(":")[0] for note in told] == ["p0", "p0"]
    assert "exactly 1 × 1 × 1 mm" in told[0]
    assert "neither scribble nor dense mask" in told[1]


def strokeless(number: int, *slices: int) -> Case:
    scribble = tiny.volume()[1]
    scribble[list(slices)] = 255
    return tiny.case(f"p{number}", number, scribble=scribble)


def test_slices_without_strokes_are_counted_in_one_note(tmp_path: Path) -> None:
    assert notes(tmp_path / "a", strokeless(0, 1), strokeless(1, 0, 2)) == [
        "no stroke in 3 of 12 slices of scribbled cases (p0 slice 2; p1 slice 1, 3)"
    ]
    (note,) = notes(tmp_path / "b", *(strokeless(number, 1) for number in range(10, 20)))
    assert note.startswith("no stroke in 10 of 36 slices of scribbled cases (p10 slice 2; ")
    assert note.endswith("p17 slice 2, and 2 more cases)")


def test_strokes_are_counted_a_slice_that_has_some(tmp_path: Path) -> None:
    _, scribble, _ = tiny.volume()
    scribble[1:] = IGNORE
    told, _ = check(tiny.corpus(tmp_path / "c", [tiny.case(f"p{n}", n, scribble=scribble) for n in range(3)]))
    rows = [line.split() for line in told.splitlines() if line.endswith(".00")]
    assert [row[1] for row in rows] == list(tiny.CLASSES)
    assert {row[-1] for row in rows} == {"1.00"}


def test_what_cannot_be_learnt_from_is_wrong(tmp_path: Path) -> None:
    bare = tiny.corpus(tmp_path / "a", [tiny.case(f"p{k}", k, scribble=None, dense=None) for k in range(3)])
    (problem,) = check(bare)[1]
    assert "no case has a stroke or a dense mask" in problem
    _, scribble, _ = tiny.volume()
    scribble[scribble == 2] = 255
    without = tiny.corpus(tmp_path / "b", [tiny.case(f"p{k}", k, scribble=scribble) for k in range(3)])
    (problem,) = check(without)[1]
    assert "no stroke of class 2 (Myo) in any case" in problem


def test_a_sheet_lands_on_nothing_but_a_sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = str(tiny.corpus(tmp_path / "c").root)
    image = own.write(tmp_path / "image.png", np.zeros((1, 9, 9), np.uint8))
    before = image.read_bytes()
    assert run(["check", root, "--sheet", str(image)]) == 2
    told = capsys.readouterr()
    assert "image.png: is there already, and no picture of this program" in told.err
    assert (told.out, image.read_bytes()) == ("", before)
    for _ in range(2):
        assert run(["check", root, "--sheet", str(tmp_path / "sheet.png")]) == 0


def test_names_with_dollars_are_no_mathematics(tmp_path: Path) -> None:
    corpus = tiny.corpus(tmp_path / "c", [tiny.case(f"p$_{{$ {k}", k) for k in range(3)])
    assert run(["check", str(corpus.root), "--sheet", str(tmp_path / "sheet.png")]) == 0


def test_strokes_too_thin_for_the_canvas(tmp_path: Path) -> None:
    """One line for all cases; a stroke that is seen is none of them."""
    image = np.random.default_rng(0).random((1, 600, 600)).astype(np.float32)
    scribble = np.full(image.shape, IGNORE, np.uint8)
    scribble[0, 301, 100:300], scribble[0, 3, 3], scribble[0, 400:420, 400:420] = 1, 0, 2
    scribble[0, 500:520, 500:520] = 3
    told = notes(
        tmp_path / "c",
        *(Case(f"p{k}", f"p{k}", image[None] / (1 + k), scribble, spacing=(8.0, 0.12, 0.12)) for k in (0, 1)),
    )
    assert told == [
        "p0, p1: 4 strokes are thinner than a pixel of a canvas of 144 (train --preset cpu) and learnt from as single "
        "pixels; draw with a wider brush, or train with a larger --size"
    ]


def test_images_without_annotation_make_no_stroke_thin(tmp_path: Path) -> None:
    """A training's grid is that of the cases that it learns from."""
    image = np.random.default_rng(0).random((1, 1, 144, 144)).astype(np.float32)
    scribble = np.full((1, 144, 144), IGNORE, np.uint8)
    scribble[0, 41, 40:104], scribble[0, 100, 50], scribble[0, 80, 52] = 0, 1, 2
    wide = [Case(f"p{k}", f"p{k}", image / (1 + k), spacing=(8.0, 9.0, 9.0)) for k in range(1, 6)]
    told = notes(tmp_path / "c", Case("p0", "p0", image, scribble, spacing=(8.0, 1.0, 1.0)), *wide)
    assert not [each for each in told if "thinner" in each]


EXCHANGED = np.arange(256, dtype=np.uint8)
EXCHANGED[[1, 3]] = 3, 1
UNLIKE: dict[str, tuple[Callable[[np.ndarray, np.ndarray], dict[str, Any]], str]] = {
    "swapped": (
        lambda _, scribble: {"scribble": EXCHANGED[scribble]},
        "strokes of RV are brighter than those of LV, in all other cases darker; are the classes exchanged?",
    ),
    "mirrored": (
        lambda image, scribble: {"image": image[..., ::-1], "scribble": scribble[..., ::-1]},
        "strokes of RV are left of those of LV, in all other cases right; is the image mirrored, or are the "
        "classes exchanged?",
    ),
    "turned": (
        lambda image, scribble: {"image": image[:, ::-1], "scribble": scribble[:, ::-1]},
        "strokes of RV are above those of LV, in all other cases below; is the image upside down, or are the classes "
        "exchanged?",
    ),
    "scale": (
        lambda *_: {"spacing": (8.0, 15.0, 15.0)},
        "pixels of 15 × 15 mm, the median of all cases is 1.5 mm; correct the spacing if it is wrong",
    ),
}


@pytest.mark.parametrize("kind", UNLIKE)
def test_a_case_unlike_all_others_is_told(tmp_path: Path, kind: str) -> None:
    """RV lies on the right, below and dark, LV on the left, above and bright."""
    changed, told = UNLIKE[kind]

    def lying(number: int) -> tuple[np.ndarray, np.ndarray]:
        image, scribble = np.full((1, 40, 48), 0.1, np.float32), np.full((1, 40, 48), IGNORE, np.uint8)
        for label, row, column in ((1, 30, 40), (2, 18, 20), (3, 8, 6)):
            image[0, row - 2 : row + 4, column - 2 : column + 8] = label / 4
            scribble[0, row : row + 2, column : column + 4] = label
        return image + np.random.default_rng(number).uniform(0, 0.05, image.shape).astype(np.float32), scribble

    def case(number: int, changes: Callable[..., dict[str, Any]] = lambda *_: {}) -> Case:
        image, scribble = lying(number)
        fields = {"image": image, "scribble": scribble, "dense": None, "spacing": (8.0, 1.5, 1.5)}
        return tiny.case(f"q{number}", number, **{**fields, **changes(image, scribble)})

    others = [case(number) for number in range(6)]
    assert not check(tiny.corpus(tmp_path / "a", others))[0].count("\nnote: q")
    found = check(tiny.corpus(tmp_path / "b", [*others, case(6, changed)]))[0].splitlines()
    assert [line for line in found if line.startswith("note: q")] == [f"note: q6: {told}"]


def test_classes_that_a_fold_does_not_teach_are_told(tmp_path: Path) -> None:
    _, scribble, _ = tiny.volume()
    without = np.where(scribble == 3, np.uint8(IGNORE), scribble)
    cases = [tiny.case(f"p{n}", n, scribble=scribble if n == 2 else without) for n in range(3)]
    told = "note: LV: no training patient shows it in fold paper 1; it is not learnt there, draw it in more patients"
    assert told in check(tiny.corpus(tmp_path / "c", cases))[0].splitlines()


def test_many_notes_are_cut_short(tmp_path: Path) -> None:
    image = tiny.volume()[0]
    image[0] = 0
    told = notes(tmp_path / "c", *(tiny.case(f"q{number:02d}", image=image / (1 + number)) for number in range(25)))
    assert len(told) == 21
    assert told[-1] == "and 5 more"


def test_a_sheet_shows_strokes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = own.folder(tmp_path / "src")
    assert run(["check", str(source), "--sheet", str(tmp_path / "sheet.png")]) == 0
    assert "5 cases" in capsys.readouterr().out
    pixels = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB")).reshape(-1, 3).astype(int)
    coloured = np.ptp(pixels, axis=1) > 60
    assert coloured.mean() > 0.01, "structures' colours are seen"
    assert run(["check", str(source), "--sheet", str(tmp_path / "none" / "sheet.png")]) == 2
    assert "can't be written" in capsys.readouterr().err


def test_slices_that_teach_without_annotation_are_counted(tmp_path: Path) -> None:
    """Two slices of a case, and a case without strokes, whose mask teaches where it is no benchmark's."""
    cases = [strokeless(0, 0, 2), tiny.case("p1", 1, scribble=None), *(tiny.case(f"p{k}", k) for k in (2, 3))]
    own = tiny.corpus(tmp_path / "c", cases)
    learnt = "with --unlabelled, methods with a teacher, such as walk-teacher, learn from them"
    line = f"  slices without annotation {{}}: {learnt}"
    assert line.format(2) in check(own)[0].splitlines()
    assert line.format(5) in check(dataclasses.replace(own, source="ACDC (MICCAI 2017)"))[0].splitlines()
    assert "slices without annotation" not in check(tiny.corpus(tmp_path / "d"))[0]


@pytest.mark.parametrize("millimetres", [1.5e-3, 1.5e3])
def test_a_spacing_in_another_unit_is_an_error(tmp_path: Path, millimetres: float) -> None:
    cases = [tiny.case("p0", spacing=(8.0, millimetres, millimetres)), *(tiny.case(f"p{k}", k) for k in range(1, 6))]
    _, problems = check(tiny.corpus(tmp_path / "c", cases))
    (problem,) = problems
    assert "c: p0: pixels of" in problem
    assert "correct the unit or the spacing" in problem


def test_the_sheet_counts_slices_from_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the report and the studio do."""
    told: list[str] = []
    monkeypatch.setattr("maskmixadv.checking.sheet.contact_sheet", lambda *_, rows: told.extend(rows))
    corpus = tiny.corpus(tmp_path / "c", [tiny.case(f"p{number}", number) for number in range(3)])
    draw(corpus, tmp_path / "sheet.png")
    fullest = [
        int(structures(case.scribble).sum((1, 2)).argmax())
        for case in map(corpus.load, corpus.entries)
        if case.scribble is not None
    ]
    assert told == [f"p{number} {k + 1}" for number, k in enumerate(fullest)]
