"""A run that begins with another one's network: the same weights, the record of it, and what is refused."""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from maskmixadv.bench.cells import identity
from maskmixadv.corpus.channels import Channel, own
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Split
from maskmixadv.errors import InputError
from maskmixadv.methods.cyclemix import CycleMix
from maskmixadv.methods.maskmixadv import MaskMixAdv
from maskmixadv.methods.method import Method
from maskmixadv.methods.parts.pseudo import PseudoLabeller
from maskmixadv.methods.pce import PCE
from maskmixadv.methods.walk_teacher import WalkTeacher
from maskmixadv.methods.zscribbleseg import ZScribbleSeg
from maskmixadv.networks.unet import UNet, with_heads
from maskmixadv.runs.lineage import lineage, shared
from maskmixadv.runs.run import Run
from maskmixadv.runs.schedule import PRESETS, Changes
from maskmixadv.runs.start import otherwise, started_from
from maskmixadv.sampling.grid import Grid
from maskmixadv.sources.phantoms import phantom
from maskmixadv.training.begin import begin
from maskmixadv.training.fit import fit
from maskmixadv.training.loop import Loop
from maskmixadv.training.recipe import Recipe

SCHEDULE = replace(PRESETS["demo"], size=48, window=32, batch=2, steps=3, ema=0.9)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return phantom.prepare(tmp_path_factory.mktemp("start") / "corpus", cases=6, size=64)


@pytest.fixture(scope="module")
def first(corpus: Corpus) -> Run:
    run = begin(corpus.root, corpus.root.parent / "first", method=PCE(), schedule=SCHEDULE)
    assert fit(run, device="cpu")
    return run


def scored(run: Run) -> dict[str, torch.Tensor]:
    return run.load(torch.device("cpu"))["scored"]


def same(some: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(weight, others[name]) for name, weight in some.items())


@pytest.mark.parametrize(("fields", "batch", "told"), [
    ({}, 1, "whole: 0.5, of 1 sample a process none is shown in whole; 2 or more have one"),
    ({"whole": 1 / 49}, 2, "whole: 0.0204082, of 2 samples a process none is shown in whole; 50 or more have"),
    ({"patch": 32}, 2, "ratio: 0.5, of 1 cell of 32 pixels the first view shows none; a smaller patch or a larger win"),
    ({}, 2, ""), ({"whole": 0.0}, 1, ""), ({"perturbation": "cutmix"}, 1, ""),
])  # fmt: skip
def test_fractions_that_come_to_nothing_are_told(
    corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str], fields: dict[str, Any], batch: int, told: str
) -> None:
    schedule = replace(SCHEDULE, batch=batch)
    begin(corpus.root, tmp_path / "run", method=MaskMixAdv(adv=0.0, **fields), schedule=schedule)
    lines = [line for line in capsys.readouterr().err.splitlines() if "whole: " in line or "ratio: " in line]
    assert lines == [line for line in lines if f"maskmixadv: note: {tmp_path / 'run'}: {told}" in line]
    assert len(lines) == bool(told)


@pytest.mark.parametrize(("method", "told"), [
    (CycleMix(), "blocks: 8"), (ZScribbleSeg(), "blocks: 8"),
    (MaskMixAdv(adv=0.0, perturbation="mixup"), "perturbation: mixup"),
    (MaskMixAdv(adv=0.0, perturbation="co-mixup"), "perturbation: co-mixup"),
    (MaskMixAdv(adv=0.0, perturbation="cutout"), ""), (PCE(), ""),
])  # fmt: skip
def test_images_without_another_to_be_mixed_with_are_told(
    corpus: Corpus, tmp_path: Path, capsys: pytest.CaptureFixture[str], method: Method, told: str
) -> None:
    for batch in (1, 2):
        run = begin(corpus.root, tmp_path / str(batch), method=method, schedule=replace(SCHEDULE, batch=batch))
        lines = [line for line in capsys.readouterr().err.splitlines() if "mixed with" in line]
        wanted = f"{told}, of 1 sample a process each is mixed with itself; 2 or more are mixed with another"
        assert lines == ([f"maskmixadv: note: {run.root}: {wanted}"] if told and batch == 1 else [])


def test_its_patients_are_not_tested(
    corpus: Corpus, first: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of six cases fold 1 tests number 0, is validated on number 1, and learns from number 2; fold 2 tests number 1."""
    second = begin(corpus.root, tmp_path / "second", method=PCE(), schedule=SCHEDULE, start=first.root)
    assert fit(second, device="cpu")
    for start in (first, second):  # the second knows what the first one knew
        for fold in range(2, 1 + len(corpus.folds["paper"])):
            split = corpus.split("paper", fold)
            if tested := {*first.learnt_from.train, *first.learnt_from.val} & set(split.test):
                told = f"{start.root}: its network has learnt from, or was validated on, test patients of this fold: "
                with pytest.raises(InputError, match=re.escape(told + ", ".join(sorted(tested)))):
                    begin(
                        corpus.root,
                        tmp_path / "third",
                        method=PCE(),
                        schedule=SCHEDULE,
                        fold=fold,
                        start=start.root,
                    )
                break
        else:
            pytest.fail("no fold tests what the first run has seen")
    assert not (tmp_path / "third").exists()
    capsys.readouterr()


def test_validation_patients_whom_it_learnt_from_are_named(
    corpus: Corpus, first: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, val, test = first.learnt_from.split
    folds = {"turned": [Split(val, train, test)]}
    turned = Corpus.write(
        tmp_path / "turned", corpus.load_all(corpus.entries), name=corpus.name, classes=corpus.classes, folds=folds
    )
    begin(turned.root, tmp_path / "run", method=PCE(), schedule=SCHEDULE, start=first.root)
    told = f"{first.root}: its network has learnt from validation patients: {train[0]}; their scores are too good"
    assert told in capsys.readouterr().err


def test_images_under_other_names_are_known_again(
    corpus: Corpus, first: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seen: images that were drawn on anew for another patient's name were tested by a network that had learnt them."""
    train, _, test = first.learnt_from.split
    cases = [
        replace(case, name=f"new_{case.phase}", patient="new", dense=None if case.dense is None else 0 * case.dense)
        for case in corpus.load_all(corpus.of(train))
    ]
    folds = {"own": [Split(train, (), (*test, "new"))]}
    both = Corpus.write(
        tmp_path / "both", [*corpus.load_all(corpus.entries), *cases], name="x", classes=corpus.classes, folds=folds
    )
    assert shared(both, first.learnt_from, train) == {*train, "new"}
    alone = replace(both, entries=both.of(["new"]))
    assert shared(alone, first.learnt_from) == {"new"}
    begin(both.root, tmp_path / "run", method=PCE(), schedule=SCHEDULE)
    told = f"new_ED and {train[0]}_ED, new_ES and {train[0]}_ES have the same image, which is learnt from"
    assert told in capsys.readouterr().err
    with pytest.raises(InputError, match="has learnt from, or was validated on, test patients of this fold: new; "):
        begin(both.root, tmp_path / "second", method=PCE(), schedule=SCHEDULE, start=first.root)


def test_a_start_that_is_gone_is_named(
    corpus: Corpus, first: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(first.root, tmp_path / "first")
    second = begin(corpus.root, tmp_path / "second", method=PCE(), schedule=SCHEDULE, start=tmp_path / "first")
    shutil.rmtree(tmp_path / "first")
    assert lineage(second) == [second]
    assert "which patients it had seen is unknown" in capsys.readouterr().err


@pytest.mark.parametrize("method", [PCE(), WalkTeacher()])
def test_all_networks_begin_with_its_weights(corpus: Corpus, first: Run, tmp_path: Path, method: Method) -> None:
    run = begin(corpus.root, tmp_path / "run", method=method, schedule=SCHEDULE, start=first.root)
    seen: list[int] = []

    def watch(loop: Loop) -> None:
        if not seen:
            nets = [loop.nets["net"], loop.scored]
            nets += [net.net for net in loop.nets.values() if isinstance(net, PseudoLabeller)]
            assert all(same(net.state_dict(), with_heads(scored(first), net)) for net in nets)
            assert len(nets) == (3 if isinstance(method, WalkTeacher) else 2)
        seen.append(loop.step)

    assert fit(run, device="cpu", watch=watch)
    assert seen == [0, 1, 2, 3]
    assert not same(scored(run), scored(first))


def test_the_record_says_from_which_run(corpus: Corpus, first: Run, tmp_path: Path) -> None:
    run = begin(corpus.root, tmp_path / "run", method=PCE(), schedule=SCHEDULE, start=first.root)
    told = json.loads((run.root / "run.json").read_text())["start"]
    assert told["root"] == str(first.root)
    assert told["step"] == 3
    assert len(told["hash"]) == 64
    assert Run.open(run.root).start == run.start
    assert f"begun with {first.root}" in str(run)
    assert "start" not in json.loads((first.root / "run.json").read_text())


def test_a_network_that_has_changed_is_refused(corpus: Corpus, first: Run, tmp_path: Path) -> None:
    run = begin(corpus.root, tmp_path / "run", method=PCE(), schedule=SCHEDULE, start=first.root)
    assert run.start is not None
    with pytest.raises(InputError, match="has learnt on since"):
        fit(replace(run, start=replace(run.start, hash="0" * 64)), device="cpu")


def _other_method(corpus: Corpus) -> tuple[Path, Method]:
    return corpus.root, MaskMixAdv(adv=0.0)


def _other_classes(corpus: Corpus) -> tuple[Path, Method]:
    place = corpus.root.parent / "prostates"
    if not place.exists():
        phantom.prepare(place, cases=6, size=64, organ="prostate")
    return place, PCE()


@pytest.mark.parametrize(("other", "words"), [(_other_method, "another network"), (_other_classes, "has classes")])
def test_what_does_not_fit_is_refused_in_one_line(
    corpus: Corpus, first: Run, tmp_path: Path, other: Callable[[Corpus], tuple[Path, Method]], words: str
) -> None:
    root, method = other(corpus)
    with pytest.raises(InputError, match=words) as refusal:
        begin(root, tmp_path / "run", method=method, schedule=SCHEDULE, start=first.root)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "run").exists()


def test_of_many_classes_or_channels_the_first_that_differ_are_named(corpus: Corpus, first: Run) -> None:
    classes = ["background", *(f"c{number:03}" for number in range(1, 101))]
    many = replace(first, learnt_from=replace(first.learnt_from, classes=tuple(classes)))
    other = [*classes[:50], "liver", *classes[51:]]
    with pytest.raises(
        InputError, match=r"has classes 101 \(number 51 on: c050, c051, .*and 43 more\), and this"
    ) as told:
        started_from(many, method=PCE(), classes=other, channels=corpus.channels)
    assert len(str(told.value)) < 300
    channels = [Channel(f"echo {number}") for number in range(12)]
    with pytest.raises(
        InputError, match=r"has channels 1 \(number 1 on: image\), and this training has 12 \(number 1 "
    ):
        started_from(first, method=PCE(), classes=corpus.classes, channels=channels)


def test_a_recipe_says_it(corpus: Corpus, first: Run, tmp_path: Path) -> None:
    recipe = Recipe(corpus.root, {"name": "pce"}, "cpu", Changes(steps=3), start=first.root)
    assert f"--start {first.root}" in recipe.command(tmp_path / "run")
    begun = recipe.begin(tmp_path / "run", write=False)
    assert begun.start is not None
    assert begun.start.step == 3


def test_it_keeps_the_canvas_of_that_run(corpus: Corpus, first: Run, tmp_path: Path) -> None:
    """Whatever the strokes span by now: a network knows structures by their size in pixels."""
    small = begin(corpus.root, tmp_path / "a", method=PCE(), schedule=SCHEDULE, start=first.root, fit_canvas=True)
    assert small.grid == first.grid
    large = replace(SCHEDULE, size=144)
    assert begin(corpus.root, tmp_path / "b", method=PCE(), schedule=large, start=first.root, fit_canvas=True).grid == (
        first.grid
    )


def test_intensities_of_another_scale_are_refused(corpus: Corpus, first: Run) -> None:
    told = r"intensities up to percentile 99, and this training has 99\.9 \(knee 0\.8\); begin without it"
    with pytest.raises(InputError, match=told):
        started_from(first, method=PCE(), classes=corpus.classes, channels=own(corpus.channels))


def test_what_the_network_has_not_seen_so_is_told(
    corpus: Corpus, first: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seen: it went on with pixels of another size, or another window, without a word."""
    begin(corpus.root, tmp_path / "same", method=PCE(), schedule=SCHEDULE, start=first.root)
    assert "other slices" not in capsys.readouterr().err
    finer = replace(SCHEDULE, size=60)
    begin(corpus.root, tmp_path / "finer", method=PCE(), schedule=finer, start=first.root)
    told = f"{first.root}: its network goes on with other slices: a pixel is 4.01 mm, that of the run is 5.01 mm"
    assert told in capsys.readouterr().err
    ct = Channel("CT", "CT", window=(-160.0, 240.0))
    learnt = replace(first.learnt_from, channels=(ct,), radiological=True, across="left-right")
    told = otherwise(
        replace(first, learnt_from=learnt, grid=Grid(48)),
        replace(corpus, channels=(replace(ct, window=(-100.0, 240.0)),), across="inferior-superior"),
        Grid(60),
    )
    assert told == [
        "its slices lie as their files store them, the run learnt from slices in the radiological view",
        "its slices are cut along inferior-superior, those that the run learnt from along left-right",
        "the window of CT is -100 to 240, that of the run is -160 to 240",
        "a pixel is a 60th of a slice's longer side, that of the run is a 48th of a slice's longer side",
    ]


@pytest.fixture(scope="module")
def early(corpus: Corpus) -> Run:
    """A run of an early version, whose networks have biases that a norm subtracts, and whose record does not say so."""
    begun = begin(corpus.root, corpus.root.parent / "early", method=PCE(), schedule=SCHEDULE, write=False)
    run = replace(begun, biases=True)
    run.create()
    assert "biases" not in json.loads((run.root / "run.json").read_text())
    assert fit(Run.open(run.root), device="cpu")
    return run


def test_a_network_of_an_early_version_is_what_it_was(early: Run) -> None:
    net = Run.open(early.root).weights(torch.device("cpu"))
    assert isinstance(net, UNet)
    assert any(name.endswith("levels.0.0.bias") for name in net.state_dict())
    assert same(scored(early), net.state_dict())


def test_one_of_an_early_version_can_be_begun_with(corpus: Corpus, early: Run, tmp_path: Path) -> None:
    run = begin(corpus.root, tmp_path / "run", method=WalkTeacher(), schedule=SCHEDULE, start=early.root)
    assert run.biases
    assert fit(run, device="cpu")
    assert scored(run).keys() == scored(early).keys()


def test_a_run_of_an_early_version_is_gone_on_with_as_it_was_begun(corpus: Corpus, tmp_path: Path) -> None:
    begun = begin(corpus.root, tmp_path / "run", method=PCE(), schedule=SCHEDULE, write=False)
    replace(begun, biases=True).create()
    again = begin(corpus.root, tmp_path / "run", method=PCE(), schedule=SCHEDULE)
    assert (begun.biases, again.biases) == (False, True)
    assert identity(begun) == identity(again)
    other = replace(SCHEDULE, steps=4)
    with pytest.raises(InputError, match="already holds"):
        begin(corpus.root, tmp_path / "run", method=PCE(), schedule=other)


def test_a_run_whose_method_had_fewer_fields_is_gone_on_with_as_it_was_begun(corpus: Corpus, tmp_path: Path) -> None:
    """Seen: it would have gone on with other beliefs, and with another network."""
    begun = begin(corpus.root, tmp_path / "run", method=WalkTeacher(), schedule=SCHEDULE)
    path = begun.root / "run.json"
    record = json.loads(path.read_text())
    del record["method"]["appearance"], record["method"]["heads"]
    path.write_text(json.dumps(record))
    again = begin(corpus.root, tmp_path / "run", method=WalkTeacher(), schedule=SCHEDULE)
    assert again.method == WalkTeacher(appearance=0.0, heads="shared", every=4) == Run.open(begun.root).method
    with pytest.raises(InputError, match="already holds"):
        begin(corpus.root, tmp_path / "run", method=WalkTeacher(appearance=0.7), schedule=SCHEDULE)
    path.write_text(json.dumps(record | {"method": record["method"] | {"thin": "Myo"}}))
    with pytest.raises(InputError, match="already holds"):
        begin(corpus.root, tmp_path / "run", method=WalkTeacher(), schedule=SCHEDULE)
