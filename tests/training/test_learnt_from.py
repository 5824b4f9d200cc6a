"""What is drawn is what is learnt from: on large images, in wide fields of view; what is lost is said."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

import mixed
import tiny
from maskmixadv.corpus.case import Case
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Entry, Split
from maskmixadv.corpus.masks import AUTO, Masks
from maskmixadv.errors import InputError
from maskmixadv.methods import PCE, Method
from maskmixadv.methods.random_walker import RandomWalker
from maskmixadv.methods.supervised import Supervised
from maskmixadv.runs.schedule import PRESETS
from maskmixadv.sampling.grid import Grid, _centre
from maskmixadv.sampling.learnt import Learnt
from maskmixadv.sampling.loading import load_masks, load_slices
from maskmixadv.sampling.slices import Slices
from maskmixadv.strokes.enclosure import ENCLOSED
from maskmixadv.strokes.regrid import DEFAULT
from maskmixadv.training.begin import _grid, begin
from maskmixadv.training.fit import fit
from maskmixadv.types import IGNORE, Supervision

CPU = torch.device("cpu")


def large(*, dots: bool, side: int = 600) -> tuple[np.ndarray, np.ndarray]:
    """Strokes of one pixel, or dots, on a large image."""
    scribble = np.full((1, side, side), IGNORE, np.uint8)
    if dots:
        scribble[0, 301, 301], scribble[0, 450, 451], scribble[0, 31, 31] = 1, 2, 0
    else:
        scribble[0, 301, 200:400], scribble[0, 100:500, 91], scribble[0, 450, 450:455] = 1, 0, 2
    image = np.random.default_rng(0).random((1, side, side)).astype(np.float32)
    return image, scribble


def of(root: Path, *cases: Case, classes: tuple[str, ...] = tiny.CLASSES[:3]) -> Corpus:
    patients = tuple(dict.fromkeys(each.patient for each in cases))
    return Corpus.write(
        root, cases, name="c", classes=classes, folds={"all": [Split(patients, (), ())]}
    )  # fmt: skip


def loaded(corpus: Corpus, grid: Grid, *, supervision: Supervision = "scribble", enclosure: bool = False) -> Slices:
    return load_slices(
        corpus, corpus.entries, grid=grid, supervision=supervision, enclosure=enclosure, device=CPU
    )  # fmt: skip


@pytest.mark.parametrize("dots", [False, True])
@pytest.mark.parametrize("spacing", [None, (1.0, 1.0, 1.0)])
def test_thin_strokes_on_large_images_are_learnt_from(
    tmp_path: Path, dots: bool, spacing: tuple[float, float, float] | None
) -> None:
    image, scribble = large(dots=dots)
    corpus = of(tmp_path / "c", Case("a", "a", image[None], scribble, spacing=spacing))
    slices = loaded(corpus, _grid(48, corpus.entries))
    for label in range(3):
        assert (slices.target == label).any()
    assert slices.learnt is not None
    assert slices.learnt.seen == {0: 1, 1: 1, 2: 1}
    assert not slices.learnt.lost


def in_a_corner(seed: int = 0, *, side: int = 160) -> Case:
    """The small volume in the lower left of a wide field of view."""
    image, scribble, dense = (np.zeros((3, side, side), a.dtype) for a in tiny.volume())
    scribble[:] = IGNORE
    for whole, part in zip((image, scribble, dense), tiny.volume(seed), strict=True):
        whole[:, side - 42 : side - 2, 1:49] = part
    return tiny.case("wide", image=image, scribble=scribble, dense=dense)


@pytest.mark.parametrize("supervision", ["scribble", "random_walker", "dense"])
@pytest.mark.parametrize("enclosure", [False, True])
def test_the_canvas_holds_what_is_annotated(
    tmp_path: Path, supervision: Supervision, enclosure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The organ near the edge of a wide field of view, as it is in a small one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    small = of(tmp_path / "small", tiny.case("small"), classes=tiny.CLASSES)
    corner = of(tmp_path / "corner", in_a_corner(), classes=tiny.CLASSES)
    one, other = (
        loaded(corpus, Grid(48, 1.5), supervision=supervision, enclosure=enclosure) for corpus in (small, corner)
    )
    for label in range(1, 4):
        held = (other.target == label).sum()
        assert held > 100 if supervision == "random_walker" else held == (one.target == label).sum() > 0
    if supervision == "random_walker":  # whose labels depend on all that is seen
        return
    # The image moves with its labels.
    structures = (one.target > 0) & (one.target < ENCLOSED)
    there = (other.target > 0) & (other.target < ENCLOSED)
    torch.testing.assert_close(other.image[:, 0][there], one.image[:, 0][structures])


def test_beliefs_move_with_the_canvas(tmp_path: Path) -> None:
    corpus = of(tmp_path / "c", in_a_corner(), classes=tiny.CLASSES)
    slices = load_slices(
        corpus, corpus.entries, grid=Grid(48, 1.5), supervision="scribble", enclosure=True, device=CPU, beliefs=True
    )
    drawn = slices.target < ENCLOSED
    assert torch.equal(slices.image[:, 1:].argmax(1)[drawn], slices.target[drawn].long())


def test_unpaired_masks_are_on_the_canvas_too(tmp_path: Path) -> None:
    corpus = of(tmp_path / "c", in_a_corner(), classes=tiny.CLASSES)
    masks = load_masks(corpus, corpus.entries, grid=Grid(48, 1.5), device=CPU)
    assert torch.equal(masks.target.flatten(1).count_nonzero(1), torch.full((3,), 24**2))


def test_unpaired_masks_are_of_whole_slices(tmp_path: Path) -> None:
    corpus = tiny.corpus(tmp_path / "c", [mixed.case(f"p{k}") for k in range(3)])
    assert len(load_masks(corpus, corpus.entries, grid=Grid(48, 1.5), device=CPU)) == 3
    bitten = tiny.volume()[2]
    bitten[:, 0, 0] = IGNORE
    none = of(tmp_path / "d", tiny.case("a", dense=bitten), classes=tiny.CLASSES)
    with pytest.raises(InputError, match="no mask knows a whole slice"):
        load_masks(none, none.entries, grid=Grid(48, 1.5), device=CPU)


def test_where_nothing_is_lost_nothing_changes() -> None:
    """As it was: nearest neighbours, cut in the middle."""
    drawn = torch.from_numpy(tiny.volume(h=96, w=80)[1])
    for grid, spacing in ((Grid(48), None), (Grid(200), None), (Grid(76, 1.2), (8.0, 1.0, 1.0))):
        near = F.interpolate(drawn[:, None].float(), grid.resized((96, 80), spacing), mode="nearest-exact")[:, 0].byte()
        middle = _centre(near, (grid.size, grid.size), IGNORE)
        assert torch.equal(grid.labels(drawn, spacing), middle)
        assert (middle == 0).any()


def test_what_does_not_fit_the_canvas_is_counted(tmp_path: Path) -> None:
    image, scribble = large(dots=True)
    scribble[0, 320, 300] = 0
    corpus = of(tmp_path / "c", Case("a", "a", image[None], scribble, spacing=(1.0, 1.0, 1.0)))
    learnt = loaded(corpus, Grid(200, 1.0)).learnt
    assert learnt is not None
    assert learnt.told() == (
        "learnt from: 1 patient, 1 slice; strokes: background 1, RV 1, Myo 1\n"
        "not learnt from: 1 stroke of background in 1 slice (beyond the canvas of 200 pixels)"
    )


def test_what_is_cut_short_is_counted(tmp_path: Path) -> None:
    image, scribble = large(dots=False)
    corpus = of(tmp_path / "c", Case("a", "a", image[None], scribble, spacing=(1.0, 1.0, 1.0)))
    learnt = loaded(corpus, Grid(380, 1.0)).learnt
    assert learnt is not None
    assert learnt.told().splitlines()[1] == (
        "not learnt from: 1 stroke of background in 1 slice (partly beyond the canvas of 380 pixels)"
    )


def test_a_class_of_which_nothing_is_left_is_one_line(tmp_path: Path) -> None:
    image, scribble = large(dots=True)
    corpus = of(tmp_path / "c", Case("a", "a", image[None], scribble, spacing=(1.0, 1.0, 1.0)))
    with pytest.raises(InputError, match=r"class 0 \(background\): 1 stroke lost \(beyond the canvas of 200") as caught:
        loaded(corpus, Grid(200, 1.0))
    assert "\n" not in str(caught.value)
    scribble[0, 301, 301:304] = (0, 1, 2)
    scribble[0, 450, 451] = scribble[0, 31, 31] = IGNORE
    crowded = of(tmp_path / "d", Case("a", "a", image[None], scribble))
    with pytest.raises(InputError, match=r"1 stroke lost \(thinner than a pixel, none left for it\)"):
        loaded(crowded, Grid(16))


def test_dense_masks_may_lose_all(tmp_path: Path) -> None:
    image, _ = large(dots=True)
    dense = np.zeros(image.shape, np.uint8)
    dense[0, 301, 301] = 1
    corpus = of(tmp_path / "c", Case("a", "a", image[None], dense=dense))
    with pytest.raises(InputError, match="class 1"):
        loaded(corpus, Grid(16), supervision="dense")
    with pytest.raises(InputError, match="no mask shows a structure on a canvas of 16 pixels"):
        load_masks(corpus, corpus.entries, grid=Grid(16), device=CPU)


@pytest.mark.parametrize("method", [PCE(), RandomWalker(), Supervised()], ids=str)
def test_training_begins_with_what_it_learns_from(
    tmp_path: Path, method: Method, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three of five patients have no scribble; a slice of another one has no stroke."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    bare = tiny.case("p0")
    assert bare.scribble is not None
    assert bare.dense is not None
    bare.scribble[1], bare.dense[1] = IGNORE, IGNORE
    cases = [bare, tiny.case("p1", 1), *(tiny.case(f"p{k}", k, scribble=None) for k in (2, 3, 4))]
    more = [tiny.case("p5", 5), tiny.case("p6", 6)]
    corpus = tiny.corpus(tmp_path / "c", [*cases, *more])
    masks = Masks("all" if isinstance(method, Supervised) else "none")
    assert fit(begin(corpus.root, tmp_path / "run", method=method, schedule=tiny.SCHEDULE, masks=masks))
    told = capsys.readouterr().err.splitlines()
    run = tmp_path / "run"
    if isinstance(method, Supervised):
        assert told[:2] == [
            f"{run}: learnt from: 5 patients, 14 slices; masks: RV 14, Myo 14, LV 14",
            f"{run}: not learnt from: 1 slice without a label",
        ]
    else:
        assert told[:2] == [
            f"{run}: learnt from: 2 patients, 5 slices; strokes: background 5, RV 5, Myo 5, LV 5",
            f"{run}: not learnt from: 3 of 5 training patients, without scribble (p2, p3, p4; 3 with masks, from which "
            "--masks all learns); 1 slice without a label; masks of 5 slices, kept for scoring (--masks all learns "
            "from them)",
        ]


def test_a_background_without_strokes_is_told(tmp_path: Path) -> None:
    """Nothing would be said otherwise, and all that is predicted were structures."""
    image, scribble, dense = tiny.volume()
    bare = np.where(scribble == 0, IGNORE, scribble)
    told = "no stroke of class 0 (background): predictions will leave hardly a pixel to it"
    for name, drawn, mask, said in (("a", bare, None, True), ("b", scribble, None, False), ("c", None, dense, False)):
        case = Case(name, name, image[None], drawn, mask)
        corpus = of(tmp_path / name, case, classes=tiny.CLASSES)
        learnt = loaded(
            corpus, _grid(48, corpus.entries), supervision="dense" if mask is not None else "scribble"
        ).learnt
        assert learnt is not None
        assert (told in learnt.told()) is said


def test_strokes_and_dense_slices_are_counted_apart(tmp_path: Path) -> None:
    wrong = tiny.case("p1", 1, dense=mixed.only(tiny.volume(1)[2], [1]))
    assert wrong.scribble is not None
    wrong.scribble[1, 0, 0:3] = 3  # the mask says background
    cases = [mixed.case("p0"), wrong, tiny.case("p2", 2, scribble=None), tiny.case("p3", 3)]
    corpus = tiny.corpus(tmp_path / "c", [*cases, tiny.case("p4"), tiny.case("p5")])
    learnt = mixed.loaded(corpus, masks=AUTO).learnt
    assert learnt is not None
    assert learnt.told().splitlines() == [
        "learnt from: 4 patients, 11 slices, 5 of them dense; strokes: background 6, RV 6, Myo 6, LV 6; "
        "masks: RV 5, Myo 5, LV 5",
        "not learnt from: 1 slice without a label; masks of 3 slices, kept for scoring (--masks all learns from them)",
        "mask and strokes differ in 3 pixels: the mask is learnt from",
    ]
    chosen = mixed.loaded(corpus, masks=Masks("2", "slices")).learnt
    assert chosen is not None
    assert chosen.dense == 2
    everything = mixed.loaded(corpus, masks=Masks("all")).learnt
    assert everything is not None
    assert (everything.dense, everything.kept) == (8, 0)


def test_a_benchmark_s_masks_are_kept_without_a_word(tmp_path: Path) -> None:
    corpus = tiny.corpus(tmp_path / "c")
    told = [mixed.loaded(replace(corpus, source=source)).learnt for source in ("own images", "maskmixadv's phantoms")]
    assert ["kept for scoring" in each.told() for each in told if each] == [True, False]


def test_what_is_left_out_is_listed_briefly() -> None:
    corpus = [tiny.case(f"p{k}", scribble=None, dense=None) for k in range(9)]
    learnt = Learnt(tiny.CLASSES, 48, "scribble")
    entries = [Entry(case.name, case.patient, (3, 40, 48), None, False, False, "") for case in corpus]
    there = Entry("q_1", "q", (3, 40, 48), None, True, False, "")
    assert learnt.chosen([*entries, there, replace(there, name="q_2", scribble=False)]) == [there]
    assert learnt.told().splitlines()[1] == (
        "not learnt from: 9 of 10 training patients, without scribble (p0, p1, p2, p3, p4, …); "
        "1 case more without scribble"
    )


def test_the_coarsest_canvas_is_known() -> None:
    assert min(preset.size for name, preset in PRESETS.items() if name != "demo") == DEFAULT
