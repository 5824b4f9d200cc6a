"""Own images as a corpus: what comes in comes in exactly, what is wrong is named."""

import math
import os
import re
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

import own
import tiny
from maskmixadv.corpus.channels import KNEE, TOP
from maskmixadv.corpus.entry import Split
from maskmixadv.corpus.scale import normalise
from maskmixadv.errors import InputError
from maskmixadv.formats import nifti
from maskmixadv.sources import folder, mscmr
from maskmixadv.sources.classes import Classes
from maskmixadv.sources.opening import open_corpus
from maskmixadv.types import IGNORE

MSCMR = "".join(f'[[class]]\nname = "{name}"\n' for name in mscmr.CLASSES)


def layout(source: Path, root: Path, subjects: int = 2) -> Path:
    """Write some of MSCMR's subjects as a folder of own images."""
    for part, kind, place in (("train", "scribble", "scribbles"), ("val", "manual", "masks")):
        for image in sorted((source / part / "images").iterdir())[:subjects]:
            name = nifti.stem(image)
            labels = image.parent.parent / "labels" / f"{name}_{kind}.nii.gz"
            for path, target in ((image, root / "images"), (labels, root / place)):
                target.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target / f"{name}.nii.gz")
    (root / "classes.toml").write_text(f"{MSCMR}[[channel]]\npercentile = 99\n")  # as MSCMR's own reader has it
    return root


@pytest.mark.slow
def test_mscmr_comes_in_as_by_its_own_reader(mscmr_source: Path, tmp_path: Path) -> None:
    source = layout(mscmr_source, tmp_path / "own")
    part = tmp_path / "part"
    for path in source.glob("images/*"):
        name, kind = nifti.stem(path), "train" if (source / "scribbles" / path.name).exists() else "val"
        word = "scribble" if kind == "train" else "manual"
        for place in ("images", "labels"):
            (part / kind / place).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, part / kind / "images" / path.name)
        shutil.copy(mscmr_source / kind / "labels" / f"{name}_{word}.nii.gz", part / kind / "labels")
    theirs = own.by_name(mscmr.prepare(part, tmp_path / "theirs"))
    corpus = folder.prepare(source, tmp_path / "ours", patient="^(subject[0-9]+)")
    ours = own.by_name(corpus)
    assert ours.keys() == theirs.keys()
    assert len(ours) == 4
    assert corpus.axis == 0
    for name, case in ours.items():
        own.same(case, theirs[name])
        assert case.patient == theirs[name].patient
    (split,) = corpus.folds["own"]
    assert sorted(split.train) == ["subject13", "subject14"]
    assert sorted(split.val) == ["subject1", "subject29"]


def test_images_without_annotation_are_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = own.folder(tmp_path / "src")
    own.case(source, "bare", 5, scribble=False)
    own.case(source, "begun", 6)
    own.write(source / "scribbles" / "begun.nii.gz", np.full((3, 40, 48), 4, np.uint8))
    corpus = folder.prepare(source, tmp_path / "c")
    assert [entry.name for entry in corpus.entries] == ["m0", "m1", "s0", "s1", "s2"]
    assert corpus.folds["own"] == (Split(("s0", "s1", "s2"), ("m0", "m1"), ()),)
    told = capsys.readouterr().err
    assert "no scribble and no mask of bare.nii.gz" in told
    assert "nothing is drawn in begun.nii.gz" in told
    assert open_corpus(corpus.root) == corpus


def test_slices_are_cut_along_the_largest_spacing(tmp_path: Path) -> None:
    """A volume whose thick axis is stored last comes in as one whose thick axis is stored first."""
    image, scribble, _ = tiny.volume()
    turned = own.AFFINE[:, [2, 0, 1, 3]]  # thick along x: array axis w is the last one
    for name, move, affine in (("plain", False, own.AFFINE), ("turned", True, turned)):
        source = tmp_path / name
        for part, array in (("images", (image * 1000).astype(np.int16)), ("scribbles", own.coded(scribble))):
            stored = np.moveaxis(array, 0, 2) if move else array
            own.write(source / part / "a.nii.gz", stored, affine)
        (source / "classes.toml").write_text(own.CLASSES)
    plain, other = (folder.prepare(tmp_path / name, tmp_path / f"c-{name}") for name in ("plain", "turned"))
    assert (plain.axis, other.axis) == (0, 2)
    assert open_corpus(other.root).axis == 2
    own.same(own.by_name(plain)["a"], own.by_name(other)["a"])
    # Any axis may be asked for; a voxel's place in the patient stays where it was.
    asked = own.by_name(folder.prepare(tmp_path / "turned", tmp_path / "asked", axis=1))["a"]
    raw = nifti.read(tmp_path / "turned" / "images" / "a.nii.gz")
    assert asked.affine is not None
    assert raw.affine is not None
    place = np.array([3, 7, 1])  # d h w of the file
    view = raw.header.radiological(1)
    marked = np.zeros(raw.array.shape, bool)
    marked[tuple(place)] = True
    (moved,) = np.argwhere(view.seen(marked))
    assert asked.image[0][tuple(moved)] == normalise(raw.array, where="", percentile=TOP, knee=KNEE)[tuple(place)]
    np.testing.assert_allclose(asked.affine @ [*moved[::-1], 1], raw.affine @ [*place[::-1], 1])
    assert asked.spacing is not None
    assert raw.spacing is not None
    assert asked.spacing == tuple(raw.spacing[axis] for axis in view.order)


def turned_copy(path: Path, codes: str) -> None:
    """Store a NIfTI file along other axes; each voxel stays where it is in the patient."""
    image: Any = nib.load(path)
    way = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(image.affine), nib.orientations.axcodes2ornt(codes)
    )
    nib.save(image.as_reoriented(way), path)


@pytest.mark.parametrize("zooms", [(1.5, 1.5, 8.0), (1.5, 1.5, 1.5)], ids=["thick", "even"])
def test_one_scan_stored_along_other_axes_is_cut_alike(
    tmp_path: Path, zooms: tuple[float, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """The header of each image says which axis that is: the thick one, or the same one of the patient."""
    source = own.folder(tmp_path / "src", scribbled=3, masked=0)
    for path in source.rglob("*.nii.gz"):
        stored: Any = nib.load(path)
        nib.save(nib.Nifti1Image(np.asarray(stored.dataobj), np.diag([*zooms, 1])), path)
    straight = folder.prepare(source, tmp_path / "straight")
    assert capsys.readouterr().err == ""
    for part in ("images", "scribbles"):
        turned_copy(source / part / "s1.nii.gz", "SAR")
    mixed = folder.prepare(source, tmp_path / "mixed")
    assert (
        "another array axis than the others, as their headers or the studio say: s1 (2, the others 0)"
        in capsys.readouterr().err
    )
    assert (mixed.axis, mixed.across) == (0, "inferior-superior")
    assert mixed.slicing == straight.slicing
    assert mixed.slicing.thickest == (zooms[2] > 2)
    assert open_corpus(mixed.root) == mixed
    one, other = (own.by_name(each)["s1"] for each in (straight, mixed))
    np.testing.assert_array_equal(other.image, one.image)
    assert other.spacing == one.spacing
    np.testing.assert_array_equal(other.scribble, one.scribble)  # pyright: ignore
    by_number = folder.prepare(source, tmp_path / "asked", axis=0)
    assert own.by_name(by_number)["s1"].shape[0] == one.shape[2]


@pytest.mark.parametrize("axis", range(3))
def test_a_single_slice_may_lie_across_any_axis(tmp_path: Path, axis: int) -> None:
    source = own.folder(tmp_path / "src", scribbled=1, masked=0)
    for path in source.rglob("*.nii.gz"):
        stored: Any = nib.load(path)
        flat = np.moveaxis(np.asarray(stored.dataobj)[:, :, 1:2], 2, axis)
        nib.save(nib.Nifti1Image(flat, np.diag([1.5, 1.5, 1.5, 1])), path)
    for asked in (None, 2 - axis):
        corpus = folder.prepare(source, tmp_path / f"c{asked}", axis=asked)
        assert corpus.entries[0].shape[0] == 1
        assert min(corpus.entries[0].shape[1:]) > 1


def test_labels_that_fit_either_form_are_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A registration moved the sform; programs on ITK save labels by the qform."""
    source = own.folder(tmp_path / "src", scribbled=2, masked=0)
    place = np.diag([1.5, 1.5, 8.0, 1.0])
    moved = place.copy()
    moved[:3, 3] += 12, -7, 3
    for name in ("s0", "s1"):
        path = source / "images" / f"{name}.nii.gz"
        stored: Any = nib.load(path)
        image = nib.Nifti1Image(np.asarray(stored.dataobj), None)
        image.set_qform(place, 1)
        image.set_sform(moved, 2)
        nib.save(image, path)
        drawn = source / "scribbles" / f"{name}.nii.gz"
        labels: Any = nib.load(drawn)
        if name == "s0":
            saved = SimpleITK.GetImageFromArray(np.ascontiguousarray(np.asarray(labels.dataobj).T))
            saved.CopyInformation(SimpleITK.ReadImage(str(path)))
            SimpleITK.WriteImage(saved, str(drawn))
        else:
            nib.save(nib.Nifti1Image(np.asarray(labels.dataobj), moved), drawn)
    folder.prepare(source, tmp_path / "c")
    (line,) = capsys.readouterr().err.splitlines()
    assert "s0.nii.gz: is taken, as it lies on its image" in line
    assert "by the image's qform" in line
    moved[:3, 3] += 12, -7, 3
    nib.save(nib.Nifti1Image(np.asarray(labels.dataobj), moved), drawn)
    with pytest.raises(InputError, match=r"corners lie up to 14\.2 mm .*not on its qform.*grid"):
        folder.prepare(source, tmp_path / "d")


def test_an_image_without_forms_is_compared_by_its_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = own.folder(tmp_path / "src", scribbled=1, masked=0)
    path = source / "images" / "s0.nii.gz"
    stored: Any = nib.load(path)
    image = nib.Nifti1Image(np.asarray(stored.dataobj), None)
    image.header.set_zooms((1.5, 1.5, 8.0))
    nib.save(image, path)
    folder.prepare(source, tmp_path / "c")
    (line,) = capsys.readouterr().err.splitlines()
    assert "has no sform and no qform, so their shapes alone were compared" in line


def test_isotropic_volumes_keep_their_first_axis(tmp_path: Path) -> None:
    source = own.folder(tmp_path / "src", scribbled=0, masked=0)
    image, scribble, _ = tiny.volume()
    affine = np.diag([0.8, 0.82, 0.7, 1])
    own.write(source / "images" / "a.nii.gz", image, affine)
    own.write(source / "scribbles" / "a.nii.gz", own.coded(scribble), affine)
    assert folder.prepare(source, tmp_path / "c").axis == 0


def test_folds_hold_out_patients_with_masks(tmp_path: Path) -> None:
    source = own.folder(tmp_path / "src", scribbled=2, masked=3)
    for number in range(3):
        own.case(source, f"both{number}", 20 + number, mask=True)
    corpus = folder.prepare(source, tmp_path / "c")
    (split,) = corpus.folds["own"]
    assert split == (("both0", "both1", "both2", "s0", "s1"), ("m0", "m1", "m2"), ())
    tested = [patient for fold in corpus.folds["five"] for patient in fold.test]
    assert sorted(tested) == ["both0", "both1", "both2", "m0", "m1", "m2"]
    for fold in corpus.folds["five"]:
        assert sorted([*fold.train, *fold.val, *fold.test]) == sorted([*tested, "s0", "s1"])
        assert {"s0", "s1"} <= set(fold.train)
    for fold, name in zip(corpus.folds["one-out"], sorted(tested), strict=True):
        assert fold.test == (name,)
        assert {*fold.train, *fold.val} == {*tested, "s0", "s1"} - {name}
    (fewer,) = folder.prepare(source, tmp_path / "fewer", validate=1.0).folds["own"]
    assert (fewer.val, fewer.test) == (("m0",), ("m1", "m2"))
    (more,) = folder.prepare(source, tmp_path / "more", validate=4.0).folds["own"]
    assert (more.train, more.val) == (("both1", "both2", "s0", "s1"), ("both0", "m0", "m1", "m2"))
    for wrong in (7.0, 1.5, 0.0, math.nan, math.inf):
        with pytest.raises(InputError, match=f"--validate {wrong:g}.*allowed"):
            folder.prepare(source, tmp_path / "wrong", validate=wrong)
    with pytest.raises(InputError, match=r"--validate 0.05: is none of 6 patients with masks, allowed are 1 to 6"):
        folder.prepare(source, tmp_path / "wrong", validate=0.05)
    shutil.rmtree(source / "masks")
    with pytest.raises(InputError, match=r"--validate 0.5: no patient has a mask of a whole volume"):
        folder.prepare(source, tmp_path / "wrong", validate=0.5)
    assert not (tmp_path / "wrong").exists()


def test_a_patient_may_have_several_images(tmp_path: Path) -> None:
    source = own.folder(tmp_path / "src", scribbled=0, masked=0)
    for name in ("p1_rest", "p1_stress", "p2_rest"):
        own.case(source, name)
    corpus = folder.prepare(source, tmp_path / "c", patient="^([^_]+)")
    assert corpus.folds["own"][0].train == ("p1", "p2")
    for pattern in ("_x(.)", "p1", "("):
        with pytest.raises(InputError, match="--patient"):
            folder.prepare(source, tmp_path / "d", patient=pattern)


def test_classes_are_guessed_and_confirmed(tmp_path: Path) -> None:
    source = own.folder(tmp_path / "src")
    (source / "classes.toml").unlink()
    with pytest.raises(InputError, match=r"classes\.toml: missing; codes look like 0 background, 1 class1, .*--yes"):
        folder.prepare(source, tmp_path / "c")
    asked: list[Classes] = []
    with pytest.raises(InputError, match="declined"):
        folder.prepare(source, tmp_path / "c", confirm=lambda classes: bool(asked.append(classes)))
    assert asked == [Classes(("background", "class1", "class2", "class3"), 4)]
    guessed = folder.prepare(source, tmp_path / "c", confirm=lambda _: True)
    (source / "classes.toml").write_text(own.CLASSES)
    assert [e.sha256 for e in folder.prepare(source, tmp_path / "d").entries] == [e.sha256 for e in guessed.entries]


def test_a_zero_that_may_mean_unlabelled_is_not_guessed(tmp_path: Path) -> None:
    source = own.folder(tmp_path / "src", masked=0)
    (source / "classes.toml").unlink()
    _, scribble, _ = tiny.volume()
    for name in ("s0", "s1", "s2"):
        own.write(source / "scribbles" / f"{name}.nii.gz", np.where(scribble == IGNORE, 0, scribble + 1))
    with pytest.raises(
        InputError, match=r"0 is the most frequent of .* codes 0, 1, .*classes\.toml, with 'ignore = 0'"
    ):
        folder.prepare(source, tmp_path / "c", confirm=lambda _: True)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[class]", "not readable TOML"),
        ('[[class]]\nname = "background"\n', "has 1 .*allowed are 2"),
        ('[[class]]\nname = "a"\n[[class]]\nname = "a"\n', "two classes are named 'a'"),
        ('[[class]]\nname = "a"\n[[class]]\ncolour = "#fff"\n', "class 1 has name None"),
        ('ignore = 1\n[[class]]\nname = "a"\n[[class]]\nname = "b"\n', "ignore = 1, which is the code of 'b'"),
        ('[[class]]\nname = "a"\n[[class]]\nname = "b"\ncode = 0\n', "code 0 is that of 'a' and of 'b'"),
        ('[[class]]\nname = "a"\n[[class]]\nname = "b"\ncode = 1.5\n', "class 'b': code = 1.5, allowed is a whole"),
        ('[[class]]\nname = "a"\n[[class]]\nname = "b"\ncode = true\n', "class 'b': code = True, allowed is a whole"),
    ],
)
def test_wrong_classes_are_named(tmp_path: Path, text: str, words: str) -> None:
    source = own.folder(tmp_path / "src")
    (source / "classes.toml").write_text(text)
    with pytest.raises(InputError, match=rf"classes\.toml: .*{words}"):
        folder.prepare(source, tmp_path / "c")


def test_what_is_wrong_is_named(tmp_path: Path) -> None:
    """File, value and remedy in one line; nothing is left behind."""
    image, scribble, dense = tiny.volume()
    shifted = own.AFFINE.copy()
    shifted[0, 3] += 3
    flipped = own.AFFINE @ np.diag([-1, 1, 1, 1])
    wrong: list[tuple[str, Any, str]] = [
        ("scribbles/s0.nii.gz", own.coded(scribble, 9), "label 9 is not declared, allowed are 0, 1, 2, 3, 4"),
        ("masks/m0.nii.gz", own.coded(scribble), "has unlabelled pixels in each slice, allowed is a mask that knows"),
        ("scribbles/s0.nii.gz", own.coded(scribble[:, 1:]), r"has shape \(3, 39, 48\), its image .*s0.nii.gz has"),
        ("scribbles/s0.nii.gz", (own.coded(scribble), shifted), "corners lie up to 3 mm from"),
        ("masks/m0.nii.gz", (dense, flipped), "save it on the image's grid"),
        ("images/s0.nii.gz", np.full(image.shape, np.nan, np.float32), "NaN"),
        ("images/s0.nii.gz", np.ones(image.shape, np.int16), r"constant \(1\)"),
        ("images/s0.xyz", None, "not a known image format, allowed are .nii.gz"),
        ("images/s0.nii", image, "s0.nii.gz has this name too|s0.nii has this name too"),
        ("images/dicom/1", None, "is a folder"),
        ("scribbles/other.nii.gz", own.coded(scribble), "no image of this name"),
    ]
    for number, (name, content, words) in enumerate(wrong):
        source = own.folder(tmp_path / f"src{number}")
        if content is None:
            (source / name).parent.mkdir(exist_ok=True)
            (source / name).write_text("")
        else:
            own.write(source / name, *(content if isinstance(content, tuple) else (content,)))
        place = re.escape(str(source / name)) if "folder" not in words and "name too" not in words else ""
        with pytest.raises(InputError, match=rf"{place}.*({words})") as caught:
            folder.prepare(source, tmp_path / "c")
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "c").exists()
    assert not list(tmp_path.glob("*partial*"))


def test_labels_that_say_nothing_of_their_place_lie_on_their_image(tmp_path: Path) -> None:
    source = own.folder(tmp_path / "src")
    path = source / "scribbles" / "s0.nii.gz"
    drawn: Any = nib.load(path)
    bare = nib.Nifti1Image(np.asarray(drawn.dataobj), None)
    nib.save(bare, path)
    np.testing.assert_array_equal(own.by_name(folder.prepare(source, tmp_path / "c"))["s0"].scribble, tiny.volume()[1])


def test_a_folder_is_a_corpus(tmp_path: Path) -> None:
    source = own.folder(tmp_path / "src")
    own.case(source, "bare", 5, scribble=False)
    prepared, opened = folder.prepare(source, tmp_path / "c"), open_corpus(source)
    assert opened.hash() == prepared.hash()
    assert opened.name == prepared.name == "src"
    assert opened.folds == prepared.folds
    assert opened.root.parent == source / ".corpus"
    assert open_corpus(source) == opened == open_corpus(opened.root)


def test_a_folder_that_has_changed_is_prepared_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = own.folder(tmp_path / "src")
    own.case(source, "bare", 5, scribble=False)
    before = open_corpus(source)
    read: list[str] = []
    monkeypatch.setattr(folder.pairs.image_files, "read", lambda path: (read.append(path.name), nifti.read(path))[1])
    capsys.readouterr()
    assert open_corpus(source) == before
    assert not read
    assert not capsys.readouterr().err
    drawn = tiny.volume()[1]
    drawn[0, 0, 0] = 0
    own.write(source / "scribbles" / "s1.nii.gz", own.coded(drawn))
    own.case(source, "s9", 9)
    after = open_corpus(source)
    assert set(read) == {"s1.nii.gz", "s9.nii.gz"}, "only what has changed is read"
    assert [entry.name for entry in after.entries] == ["m0", "m1", "s0", "s1", "s2", "s9"]
    np.testing.assert_array_equal(own.by_name(after)["s1"].scribble, drawn)
    own.same(own.by_name(after)["s0"], own.by_name(before)["s0"])
    kept = "cases/m0.npz"
    assert (after.root / kept).samefile(before.root / kept)
    assert open_corpus(before.root).hash() == before.hash(), "a run that learnt from it can be scored still"
    (source / "scribbles" / "s9.nii.gz").unlink()
    assert [entry.name for entry in open_corpus(source).entries] == ["m0", "m1", "s0", "s1", "s2"]
    stat = (source / "classes.toml").stat()
    (source / "classes.toml").write_text(own.CLASSES.replace("RV", "rv"))
    os.utime(source / "classes.toml", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert open_corpus(source).classes[1] == "rv"


def test_a_folder_that_cannot_be_prepared_says_why(tmp_path: Path) -> None:
    source = own.folder(tmp_path / "src")
    (source / "classes.toml").unlink()
    with pytest.raises(InputError, match=r"classes\.toml: missing"):
        open_corpus(source)
    (source / "classes.toml").write_text(own.CLASSES)
    own.write(source / "scribbles" / "s0.nii.gz", own.coded(tiny.volume()[1], 9))
    with pytest.raises(InputError, match="label 9"):
        open_corpus(source)
    assert {path.name for path in (source / ".corpus").iterdir()} <= {".lock"}, "nothing half-made stays"
    shutil.rmtree(source / "scribbles")
    shutil.rmtree(source / "masks")
    with pytest.raises(InputError, match="none of 5 images"):
        open_corpus(source)


def test_old_states_are_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskmixadv.sources.follow.KEPT", 2)
    source = own.folder(tmp_path / "src", scribbled=1, masked=0)
    states = []
    for number in range(4):
        own.case(source, f"t{number}", number)
        states.append(open_corpus(source).root)
    assert [root.exists() for root in states] == [False, False, True, True]


def test_folders_that_are_not_read_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = own.folder(tmp_path / "src")
    for part in ("Masks", "labels", "other"):
        (source / part).mkdir()
    for name in ("Masks/s0.nii.gz", "labels/m0.nrrd", "other/x.nii.gz"):
        (source / name).touch()
    folder.prepare(source, tmp_path / "c")
    told = f"{source}: files of images' names are read from scribbles/ and masks/, and not from Masks/, labels/\n"
    assert capsys.readouterr().err == told


def test_a_file_with_the_name_that_channels_share_is_refused(tmp_path: Path) -> None:
    source = own.folder(tmp_path / "src")
    shutil.copy(source / "images" / "s0.nii.gz", source / "images" / "s0_0000.nii.gz")
    with pytest.raises(
        InputError, match=r"s0_0000\.nii\.gz: s0\.nii\.gz is image 's0', too, allowed is one; rename it"
    ):
        folder.prepare(source, tmp_path / "c")
