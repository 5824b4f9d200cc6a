"""nnU-Net's layout: in without loss, out as nnU-Net wants it, and back."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

import own
import tiny
from maskmixadv.cli.app import run
from maskmixadv.corpus.channels import Channel
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Split
from maskmixadv.corpus.scale import normalise
from maskmixadv.errors import InputError
from maskmixadv.formats import nifti
from maskmixadv.sources import mscmr, nnunet
from maskmixadv.sources.nnunet_export import export
from maskmixadv.sources.opening import open_corpus
from maskmixadv.types import IGNORE

LABELS = {**{name: code for code, name in enumerate(tiny.CLASSES)}, "ignore": 4}


def describe(source: Path, labels: dict[str, Any] = LABELS, **more: Any) -> Path:
    source.mkdir(parents=True, exist_ok=True)
    raw = {"channel_names": {"0": "MRI"}, "labels": labels, "numTraining": 2, "file_ending": ".nii.gz", **more}
    (source / "dataset.json").write_text(json.dumps(raw))
    return source


def dataset(source: Path, scribbled: int = 2, masked: int = 1) -> Path:
    """Write cases s0, s1, … with strokes and m0, m1, … with masks."""
    kinds = [*(("s", number) for number in range(scribbled)), *(("m", number) for number in range(masked))]
    for kind, number in kinds:
        image, scribble, dense = tiny.volume(number)
        own.write(source / "imagesTr" / f"{kind}{number}_0000.nii.gz", (image * 1000).astype(np.int16))
        own.write(source / "labelsTr" / f"{kind}{number}.nii.gz", own.coded(scribble) if kind == "s" else dense)
    return describe(source, numTraining=len(kinds))


@pytest.mark.slow
def test_mscmr_comes_in_as_by_its_own_reader(
    mscmr_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maskmixadv.corpus.channels.TOP", 99.0)  # as MSCMR's own reader has it
    monkeypatch.setattr("maskmixadv.corpus.channels.KNEE", 0.0)
    part, source = tmp_path / "part", tmp_path / "Dataset001_MSCMR"
    for folder, word in (("train", "scribble"), ("val", "manual")):
        for image in sorted((mscmr_source / folder / "images").iterdir())[:2]:
            name = nifti.stem(image)
            labels = image.parent.parent / "labels" / f"{name}_{word}.nii.gz"
            for path, target in (
                (image, part / folder / "images" / image.name),
                (labels, part / folder / "labels" / labels.name),
                (image, source / "imagesTr" / f"{name}_0000.nii.gz"),
                (labels, source / "labelsTr" / f"{name}.nii.gz"),
            ):
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
    describe(source, {**{name: code for code, name in enumerate(mscmr.CLASSES)}, "ignore": 4})
    theirs, ours = mscmr.prepare(part, tmp_path / "theirs"), nnunet.prepare(source, tmp_path / "ours")
    assert ours.classes == theirs.classes
    assert len(ours.entries) == 4
    for name, case in own.by_name(ours).items():
        own.same(case, own.by_name(theirs)[name])
    (split,) = ours.folds["own"]
    assert (sorted(split.train), sorted(split.val)) == (
        ["subject13_DE", "subject14_DE"],
        ["subject1_DE", "subject29_DE"],
    )


def test_splits_and_test_cases_are_kept(tmp_path: Path) -> None:
    source = dataset(tmp_path / "Dataset002_Tiny")
    image, _, dense = tiny.volume(9)
    own.write(source / "imagesTs" / "t0_0000.nii.gz", image)
    own.write(source / "labelsTs" / "t0.nii.gz", dense)
    (source / "splits_final.json").write_text(json.dumps([{"train": ["s0", "s1"], "val": ["m0"]}]))
    corpus = nnunet.prepare(source, tmp_path / "c")
    assert corpus.name == "Dataset002_Tiny"
    assert next(iter(corpus.folds)) == "splits"
    assert corpus.folds["splits"] == corpus.folds["own"] == (Split(("s0", "s1"), ("m0",), ("t0",)),)
    assert [(entry.name, entry.scribble, entry.dense) for entry in corpus.entries] == [
        ("m0", False, True), ("s0", True, False), ("s1", True, False), ("t0", False, True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"a": 1, "b": 2}, "labels are a 1, b 2; allowed are one called 'background' or of code 0"),
        ({"background": 0, "a": 2, "b": 2}, "code 2 is that of 'a' and of 'b'"),
        ({"background": 0, "a": 2, "ignore": 2}, "ignore = 2, which is the code of 'a'"),
        ({"background": 0, "a": [1, 2]}, r"label 'a' is \[1, 2\], allowed is one whole number"),
        (None, "malformed"),
    ],
)
def test_wrong_labels_are_named(tmp_path: Path, labels: Any, words: str) -> None:
    source = describe(dataset(tmp_path / "d"), labels)
    with pytest.raises(InputError, match=rf"dataset\.json: .*{words}"):
        nnunet.prepare(source, tmp_path / "c")


@pytest.mark.parametrize("spelled", ["IGNORE", "Ignore "])
def test_another_spelling_of_ignore_is_no_structure(tmp_path: Path, spelled: str) -> None:
    """Whatever nobody labelled would be learnt as a structure of this name."""
    source = describe(tmp_path / "src", {"background": 0, "LV": 1, spelled: 2})
    with pytest.raises(InputError, match=f"label '{spelled}', allowed is 'ignore' for what is not labelled"):
        nnunet.read(source / "dataset.json")


def test_the_background_is_what_is_called_so(tmp_path: Path) -> None:
    """Also where a structure has code 0 and comes first."""
    source = describe(tmp_path / "src", {"liver": 0, "Background": 1, "tumour": 2})
    classes = nnunet.read(source / "dataset.json").classes
    assert (classes.names, classes.codes) == (("Background", "liver", "tumour"), (1, 0, 2))


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"dataset\.json: missing"):
        nnunet.prepare(tmp_path, tmp_path / "c")
    source = dataset(tmp_path / "d")
    image = source / "imagesTr" / "s0_0000.nii.gz"
    shutil.copy(image, second := source / "imagesTr" / "s0_0001.nii.gz")
    with pytest.raises(
        InputError, match=r"_0000\.nii\.gz: has 2 channels \(channel 0, channel 1\), .*dataset\.json says 1 \(MRI\)"
    ):
        nnunet.prepare(source, tmp_path / "c")
    second.unlink()
    (source / "splits_final.json").write_text(json.dumps([{"train": ["s0", "x"], "val": []}]))
    with pytest.raises(InputError, match=r"splits_final\.json: fold 0: no case 'x'"):
        nnunet.prepare(source, tmp_path / "c")
    (source / "splits_final.json").unlink()
    image.unlink()
    with pytest.raises(InputError, match=r"s0\.nii\.gz: its image .*s0_0000\.nii\.gz is missing"):
        nnunet.prepare(source, tmp_path / "c")
    unignored = describe(dataset(tmp_path / "e"), {name: code for name, code in LABELS.items() if name != "ignore"})
    with pytest.raises(InputError, match=r"s0\.nii\.gz: label 4 is not declared, allowed are 0, 1, 2, 3"):
        nnunet.prepare(unignored, tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_what_goes_out_comes_back(tmp_path: Path) -> None:
    """Labels, grid and folds exactly; intensities but for the cut at the 99th percentile, which is made twice."""
    affine = own.AFFINE
    cases = [tiny.case(f"p{number}", number, affine=affine) for number in range(6)]
    cases = [replace(case, image=normalise(case.image[0], where="")[None]) for case in cases]
    corpus = tiny.corpus(tmp_path / "c", [*cases[:5], replace(cases[5], scribble=None)])
    assert export(corpus, tmp_path / "Dataset003_Tiny") == 6
    raw = json.loads((tmp_path / "Dataset003_Tiny" / "dataset.json").read_text())
    assert raw["labels"] == LABELS
    assert list(raw["labels"].values()) == [0, 1, 2, 3, 4], "ignore is the highest"
    assert raw["numTraining"] == 6
    splits = json.loads((tmp_path / "Dataset003_Tiny" / "splits_final.json").read_text())
    assert splits == [{"train": ["p0", "p1", "p2", "p3"], "val": ["p4"]}], "who is tested is in neither"
    back = nnunet.prepare(tmp_path / "Dataset003_Tiny", tmp_path / "back", axis=0)
    assert back.folds["splits"] == (Split(("p0", "p1", "p2", "p3"), ("p4",), ()),)
    before, after = own.by_name(corpus), own.by_name(back)
    for name, case in after.items():
        if name == "p5":
            assert case.scribble is None
            np.testing.assert_array_equal(case.dense, before[name].dense)
        else:
            np.testing.assert_array_equal(case.scribble, before[name].scribble)
        np.testing.assert_allclose(case.image, before[name].image, atol=0.01)
        assert case.affine is not None
        np.testing.assert_allclose(case.affine, affine, atol=1e-6)


def test_dense_masks_alone_have_no_ignore(tmp_path: Path) -> None:
    corpus = tiny.corpus(tmp_path / "c", [tiny.case(f"p{number}", number, affine=None) for number in range(3)])
    export(corpus, tmp_path / "out", annotation="dense")
    raw = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert "ignore" not in raw["labels"]
    volume = nifti.read(tmp_path / "out" / "labelsTr" / "p0.nii.gz")
    assert IGNORE not in volume.array
    assert volume.spacing == (8.0, 1.5, 1.5)


def test_what_does_not_go_out_is_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = [tiny.case(f"p{number}", number, affine=None) for number in range(3)]
    corpus = tiny.corpus(tmp_path / "c", [replace(cases[0], dense=None), replace(cases[1], spacing=None), cases[2]])
    export(corpus, tmp_path / "out")
    assert capsys.readouterr().err.splitlines() == [
        f"{tmp_path}/c: of 2 cases with strokes and a mask the masks are not written (--annotation dense writes them)",
        f"{tmp_path}/c: spacing of 1 case is unknown; their files say {mm(corpus)} mm, as is assumed",
    ]
    export(corpus, tmp_path / "dense", annotation="dense")
    assert "of 2 cases with strokes and a mask the strokes are not written" in capsys.readouterr().err


def mm(corpus: Corpus) -> str:
    return " × ".join(f"{size:g}" for size in corpus.nominal)


def renamed(root: Path, *names: str) -> Corpus:
    """Write a corpus and call its classes otherwise."""
    corpus = tiny.corpus(root)
    index = json.loads((root / "corpus.json").read_text())
    (root / "corpus.json").write_text(json.dumps({**index, "classes": names}))
    return open_corpus(corpus.root)


def test_the_first_class_is_background_there(tmp_path: Path) -> None:
    export(renamed(tmp_path / "c", "Hintergrund", "RV", "Myo", "LV"), tmp_path / "out")
    labels = json.loads((tmp_path / "out" / "dataset.json").read_text())["labels"]
    assert labels == {"background": 0, "RV": 1, "Myo": 2, "LV": 3, "ignore": 4}


@pytest.mark.parametrize("name", ["ignore", "background", "Ignore"])
def test_a_name_that_means_something_else_there_is_refused(tmp_path: Path, name: str) -> None:
    for annotation in ("scribble", "dense"):
        corpus = renamed(tmp_path / annotation, "Hintergrund", "RV", name, "LV")
        with pytest.raises(InputError, match=f"class 2 is called '{name}'"):
            export(corpus, tmp_path / "out", annotation=annotation)
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("names", "odd"), [(["CT"], "CT"), (["nonorm"], "nonorm"), (["R", "g", "B"], "R")])
def test_a_channel_that_means_another_scale_there_is_refused(tmp_path: Path, names: list[str], odd: str) -> None:
    image = np.stack([tiny.volume()[0]] * len(names))
    folds = {"paper": [Split(("p0",), (), ())]}
    channels = [Channel(name) for name in names]
    cases = [tiny.case("p0", image=image)]
    corpus = Corpus.write(tmp_path / "c", cases, name="c", classes=tiny.CLASSES, folds=folds, channels=channels)
    with pytest.raises(InputError, match=f"channel '{odd}' is of kind MR, and nnU-Net takes it by its name as"):
        export(corpus, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = dataset(tmp_path / "Dataset002_Tiny")
    assert run(["prepare", "nnunet", str(source), str(tmp_path / "c")]) == 0
    assert run(["export", "nnunet", str(tmp_path / "c"), str(tmp_path / "out")]) == 0
    assert "3 cases; nnU-Net finds it under a name like Dataset101_Heart" in capsys.readouterr().out
    assert run(["export", "nnunet", str(tmp_path / "c"), str(tmp_path / "out2"), "--folds", "mine"]) == 2
    assert "no folds named 'mine', allowed are own" in capsys.readouterr().err
    assert run(["export", "nnunet", str(tmp_path / "c"), str(tmp_path / "out")]) == 2
    assert "already holds" in capsys.readouterr().err
    assert run(["export", "onnx", str(tmp_path / "c"), str(tmp_path / "out3")]) == 2


@pytest.mark.slow
def test_nnunet_itself_accepts_what_goes_out(tmp_path: Path) -> None:
    """In an environment of its own, with nnU-Net's planner and its check of the data."""
    cases = [tiny.case(f"p{number}", number, affine=own.AFFINE) for number in range(6)]
    export(tiny.corpus(tmp_path / "c", cases), tmp_path / "raw" / "Dataset101_Tiny")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    bin_ = tmp_path / "venv" / "bin"
    for words in (["torch==2.13.0"], ["nnunetv2"]):  # the same torch first, as nnU-Net would take any
        subprocess.run([bin_ / "python", "-m", "pip", "install", "--quiet", *words], check=True)
    folders = {f"nnUNet_{name}": str(tmp_path / name) for name in ("raw", "preprocessed", "results")}
    command = [bin_ / "nnUNetv2_plan_and_preprocess", "-d", "101", "--verify_dataset_integrity", "-c", "2d", "-np", "1"]
    done = subprocess.run(command, env={**os.environ, **folders}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "verify_dataset_integrity Done" in done.stdout
    assert (tmp_path / "preprocessed" / "Dataset101_Tiny" / "nnUNetPlans.json").is_file()


def test_a_case_left_without_annotation_stays_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = tiny.case("p1", 1, scribble=None, dense=None)
    corpus: Corpus = tiny.corpus(tmp_path / "c", [tiny.case("p0"), bare, tiny.case("p2")])
    assert export(corpus, tmp_path / "out") == 2
    assert f"{corpus.root}: 1 case has no annotation, and is not written\n" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out" / "labelsTr").iterdir()].count("p1.nii.gz") == 0


def test_a_fold_without_a_case_to_validate_on_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """nnU-Net stops with NumPy's words that 'a' cannot be empty."""
    cases = [tiny.case("p0"), tiny.case("p1", 1, scribble=None, dense=None), tiny.case("p2", 2)]
    folds = {"paper": [Split(("p0",), ("p2",), ()), Split(("p0", "p2"), ("p1",), ()), Split(("p2",), (), ())]}
    corpus = Corpus.write(tmp_path / "c", cases, name="c", classes=tiny.CLASSES, folds=folds)
    export(corpus, tmp_path / "out")
    said = "folds 1, 2 of 'paper' have no annotated case to validate on, at which nnU-Net stops; draw in one, or give"
    assert f"{corpus.root}: {said} nnU-Net the fold 'all'\n" in capsys.readouterr().err


def test_axes_that_are_not_quite_at_right_angles_are_read_by_itk(tmp_path: Path) -> None:
    """nnU-Net reads by ITK, which refused such a case."""
    affine = np.diag([1.5, 1.5, 8.0, 1.0])
    affine[0, 1] = 0.01
    corpus = tiny.corpus(tmp_path / "c", [tiny.case(f"p{number}", number, affine=affine) for number in range(3)])
    export(corpus, tmp_path / "out")
    for path in (tmp_path / "out" / "imagesTr" / "p0_0000.nii.gz", tmp_path / "out" / "labelsTr" / "p0.nii.gz"):
        np.testing.assert_allclose(SimpleITK.ReadImage(str(path)).GetSpacing(), (1.5, 1.5, 8.0), rtol=1e-4)
        np.testing.assert_allclose(np.asarray(nifti.read(path).affine, float), affine, atol=1e-6)


@pytest.mark.parametrize(("said", "told"), [(3, ""), (4, "4"), ("3", "'3'"), (None, "")])
def test_another_number_of_cases_than_the_file_says_is_told(
    tmp_path: Path, said: object, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = describe(dataset(tmp_path / "d"), numTraining=said)
    assert len(nnunet.prepare(source, tmp_path / "corpus").entries) == 3
    line = f"{source / 'dataset.json'}: numTraining is {told}, but labelsTr has 3 files *.nii.gz\n"
    assert capsys.readouterr().err == (line if told else "")


def test_what_is_left_out_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = dataset(tmp_path / "d")
    for part, name in (("labelsTr", "s1.nrrd"), ("imagesTr", "notes.txt"), ("labelsTr", "._s0.nii.gz")):
        (source / part / name).touch()
    (source / "labelsTr" / "s1.nii.gz").unlink()
    assert "s1" not in [entry.name for entry in nnunet.prepare(source, tmp_path / "c").entries]
    assert capsys.readouterr().err == (
        f"{source}/dataset.json: numTraining is 3, but labelsTr has 2 files *.nii.gz\n"
        f"{source}/labelsTr: passed over, as dataset.json says .nii.gz: s1.nrrd\n"
        f"{source}: left out, as there is no scribble and no mask of s1_0000.nii.gz\n"
    )


def test_files_that_are_listed_elsewhere_are_refused(tmp_path: Path) -> None:
    """nnU-Net reads them from there, and not from imagesTr."""
    source = dataset(tmp_path / "d")
    raw = json.loads((source / "dataset.json").read_text())
    (source / "dataset.json").write_text(json.dumps(raw | {"dataset": {}}))
    with pytest.raises(InputError, match="lists files under 'dataset', allowed are imagesTr and labelsTr"):
        nnunet.prepare(source, tmp_path / "c")


def test_channels_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"
    names = {str(number): f"T{number}" for number in (10, 2, 1, 0)}
    raw = {"labels": {"background": 0, "a": 1}, "file_ending": ".nii.gz", "channel_names": names}
    path.write_text(json.dumps(raw))
    assert [each.name for each in nnunet.read(path).channels] == ["T0", "T1", "T2", "T10"]


@pytest.mark.parametrize("key", ["channel_names", "modality"])
def test_channels_that_are_said_in_another_way_are_used_or_refused(tmp_path: Path, key: str) -> None:
    path = tmp_path / "dataset.json"

    def write(told: Any) -> None:
        others = {"channel_names": None} if key == "modality" else {}
        raw = {"labels": {"background": 0, "a": 1}, "file_ending": ".nii.gz", key: told, **others}
        path.write_text(json.dumps(raw))

    write(["T1", "CT"])
    assert [(each.name, each.kind) for each in nnunet.read(path).channels] == [("T1", "MR"), ("CT", "CT")]
    for wrong in ({"CT": "0"}, {"CT": 0}, "CT", {"1": "CT"}, {"0": "CT", "00": "T1"}, {"0": 1}):
        write(wrong)
        with pytest.raises(InputError, match=rf"dataset\.json: {key} is .*, allowed are names by numbers from 0 on"):
            nnunet.read(path)


@pytest.mark.parametrize(
    ("folds", "told"),
    [([{"train": "s0", "val": ["m0"]}], "fold 0: train: 's0', must be a list"), ([], "has no folds, at least one")],
)
def test_folds_that_name_nobody_are_refused(tmp_path: Path, folds: Any, told: str) -> None:
    """A text was taken for its letters, which may be cases, too."""
    source = dataset(tmp_path / "src")
    (source / "splits_final.json").write_text(json.dumps(folds))
    with pytest.raises(InputError, match=rf"splits_final\.json: {told}"):
        nnunet.prepare(source, tmp_path / "corpus")


def decathlon(source: Path, names: dict[str, str], **more: Any) -> Path:
    """Write a data set as nnU-Net v1 and the Medical Segmentation Decathlon describe it: names by codes, no suffix."""
    pairs = [{"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"} for name in names]
    for seed, (name, image) in enumerate(names.items()):
        pixels, _, dense = tiny.volume(seed)
        own.write(source / "imagesTr" / f"{image}.nii.gz", (pixels * 1000).astype(np.int16))
        own.write(source / "labelsTr" / f"{name}.nii.gz", dense)
    for part in ("imagesTr", "labelsTr"):
        (source / part / "._la_1.nii.gz").write_bytes(bytes(64))  # as macOS leaves them in archives
    labels = {str(code): name for code, name in enumerate(tiny.CLASSES)}
    raw = {"modality": {"0": "CT"}, "labels": labels, "numTraining": len(names), "training": pairs, **more}
    (source / "dataset.json").write_text(json.dumps(raw))
    return source


def test_data_sets_of_version_1_and_of_the_decathlon_come_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = decathlon(tmp_path / "Task02", {"la_1": "la_1", "la_2": "la_2_0000"})
    (source / "imagesVa").mkdir()
    corpus = nnunet.prepare(source, tmp_path / "c")
    assert [entry.name for entry in corpus.entries] == ["la_1", "la_2"]
    assert (corpus.classes, corpus.channels[0].kind) == (tiny.CLASSES, "CT")
    assert capsys.readouterr().err == (
        f"{source}: passed over, as images are read from imagesTr, labelsTr, imagesTs, labelsTs alone: imagesVa/\n"
    )


def test_volumes_that_the_decathlon_names_are_channels_whatever_their_headers_say(tmp_path: Path) -> None:
    """Task01 and Task05 have their channels in one file, whose header says seconds."""
    names = {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"}
    source = decathlon(tmp_path / "Task01", {"la_1": "la_1"}, modality=names)
    for path in (source / "imagesTr" / "la_1.nii.gz", source / "imagesTs" / "la_2.nii.gz"):
        pixels = np.stack([tiny.volume(0)[0].T * (10 + k) for k in range(4)], -1).astype(np.float32)
        image = nib.Nifti1Image(pixels, own.AFFINE)
        image.header.set_xyzt_units("mm", "sec")
        path.parent.mkdir(exist_ok=True)
        nib.save(image, path)
    corpus = nnunet.prepare(source, tmp_path / "c")
    assert [channel.name for channel in corpus.channels] == list(names.values())
    read = nifti.read(source / "imagesTs" / "la_2.nii.gz")  # by predict
    assert read.channels is not None
    assert read.channels.T.tolist() == pixels.tolist()
    assert read.notes == (
        "the last axis, of 4, is taken as channels, as dataset.json names them; by pixdim[4] is 1, and xyzt_units says "
        "seconds it would be time",
    )
    for wrong in ("[]", "{", json.dumps({"modality": {"0": "MR"}}), json.dumps({"modality": [1, 2, 3, 4]})):
        (source / "dataset.json").write_text(wrong)
        with pytest.raises(InputError, match="could be time: pixdim"):
            nifti.read(source / "imagesTr" / "la_1.nii.gz")


def test_a_list_of_pairs_with_other_names_is_refused(tmp_path: Path) -> None:
    """Files are paired by their names, so that a list that pairs them otherwise would be passed over."""
    pair = {"image": "./imagesTr/la_1.nii.gz", "label": "./labelsTr/la_2.nii.gz"}
    source = decathlon(tmp_path, {"la_1": "la_1", "la_2": "la_2"}, training=[pair])
    with pytest.raises(InputError, match=r"training lists image '\./imagesTr/la_1.* one name for both"):
        nnunet.read(source / "dataset.json")


def test_a_suffix_that_nobody_says_is_that_of_all_labels(tmp_path: Path) -> None:
    source = decathlon(tmp_path, {"la_1": "la_1"}, labels={"0": "background", "1": "LV", "2": "LV"})
    with pytest.raises(InputError, match=r"labels 1 and 2 are both 'LV', allowed is one"):
        nnunet.read(source / "dataset.json")
    decathlon(source, {"la_1": "la_1"})
    (source / "labelsTr" / "la_2.png").touch()
    with pytest.raises(InputError, match=r"and in labelsTr files end with \.nii\.gz, \.png; allowed"):
        nnunet.read(source / "dataset.json")
