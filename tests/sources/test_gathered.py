"""Images and annotations side by side, or in folders of other names, as public data sets have them."""

from pathlib import Path

import numpy as np
import pytest

import dicoms
import own
import tiny
from maskmixadv.errors import InputError, say
from maskmixadv.formats import image_files
from maskmixadv.inference import outputs
from maskmixadv.sources import folder
from maskmixadv.sources.layouts import advice, gathered
from maskmixadv.sources.opening import open_corpus


def write(source: Path, images: str, masks: str, cases: int = 2, channels: int = 1) -> Path:
    """Write cases, with their numbers in the names, and a ``classes.toml``."""
    source.mkdir()
    (source / "classes.toml").write_text(own.CLASSES)
    for number in range(cases):
        image, _, dense = tiny.volume(number)
        for channel in range(channels):
            name = images.format(number, channel=channel)
            own.write(source / name, (image * 1000).astype(np.int16) + 100 * channel)
        own.write(source / masks.format(number), dense)
    return source


@pytest.mark.parametrize(
    ("images", "masks", "names"),
    [
        ("case_{:05d}/imaging.nii.gz", "case_{:05d}/segmentation.nii.gz", ["case_00000", "case_00001"]),
        (
            "patient{0:03d}/patient{0:03d}_sa.nii.gz",
            "patient{0:03d}/patient{0:03d}_sa_gt.nii.gz",
            ["patient000", "patient001"],
        ),
        ("volume-{}.nii", "segmentation-{}.nii", ["volume-0", "volume-1"]),
        ("Case{:02d}.nii.gz", "Case{:02d}_segmentation.nii.gz", ["Case00", "Case01"]),
        ("img/img{:04d}.nii.gz", "label/label{:04d}.nii.gz", ["img0000", "img0001"]),
        ("Images/{}.nii.gz", "GroundTruth/{}.nii.gz", ["0", "1"]),
        ("Part1_TrainingInput/a_{}.nii.gz", "Part1_TrainingGroundTruth/a_{}_mask.nii.gz", ["a_0", "a_1"]),
    ],
)
def test_what_lies_in_other_ways_comes_in(
    tmp_path: Path, images: str, masks: str, names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(tmp_path / "src", images, masks)
    found = own.by_name(folder.prepare(source, tmp_path / "c"))
    for number, case in enumerate(found.values()):
        assert case.dense is not None
        np.testing.assert_array_equal(case.dense, tiny.volume(number)[2])
    told = capsys.readouterr().err
    assert "paired by what names have in common" in told or f"{source}: read are images from Images/" in told
    assert list(found) == names


def test_the_images_of_a_case_are_its_channels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "src", "b{0}/b{0}_t{channel}.nii.gz", "b{0}/b{0}_seg.nii.gz", channels=2)
    (source / "b0" / "b0.mnc").touch()
    corpus = folder.prepare(source, tmp_path / "c")
    assert [(entry.name, entry.dense) for entry in corpus.entries] == [("b0", True), ("b1", True)]
    assert len(corpus.channels) == 2
    assert capsys.readouterr().err == (
        f"{source}: passed over, as they are no images: b0/b0.mnc\n"
        f"{source}: the images of each folder are taken as channels of one, in this order: t0, t1\n"
    )
    (source / "b1" / "b1_t1.nii.gz").rename(source / "b1" / "b1_t2.nii.gz")
    with pytest.raises(InputError, match=r"b1: has images t0, t2, .*b0 has t0, t1; allowed are the same channels"):
        folder.prepare(source, tmp_path / "d")


def test_one_file_a_class_lies_in_a_folder_of_the_case(tmp_path: Path) -> None:
    source = write(tmp_path / "src", "s{}/ct.nii.gz", "s{}/segmentations/x.nii.gz")
    for number in range(2):
        (source / f"s{number}" / "segmentations" / "x.nii.gz").unlink()
        for code, name in enumerate(tiny.CLASSES[1:], start=1):
            part = (tiny.volume(number)[2] == code).astype(np.uint8)
            own.write(source / f"s{number}" / "segmentations" / f"{name}.nii.gz", part)
    found = own.by_name(folder.prepare(source, tmp_path / "c"))
    np.testing.assert_array_equal(found["s1"].dense, tiny.volume(1)[2])


def test_several_images_of_a_folder_may_be_of_one_patient(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "src", "p/p_{}.nii.gz", "p/p_{}_gt.nii.gz")
    corpus = folder.prepare(source, tmp_path / "c", patient="^(p)")
    assert {entry.patient for entry in corpus.entries} == {"p"}
    told = "1 folder with several images, such as p_0, p_1: each counts as another patient; give --patient where they"
    assert told in capsys.readouterr().err


def test_acdc_by_files_alone_is_told_which_command_takes_more(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("patient00{0}/patient00{0}_frame01.nii.gz", "patient00{0}/patient00{0}_frame01_gt.nii.gz")
    source = write(tmp_path / "src", *names)
    (source / "patient000" / "Info.cfg").write_text("ED: 1\n")
    folder.prepare(source, tmp_path / "c")
    told = "'maskmixadv prepare acdc' takes ACDC with its patients, phases and folds"
    assert f"{source}: {told}" in capsys.readouterr().err


def test_a_mask_is_not_paired_with_another_folders_image(tmp_path: Path) -> None:
    """Names that are made of folder and file may be those of another folder's file."""
    source = write(tmp_path / "src", "a/a_b_{}.nii.gz", "a_b/a_b_{}_mask.nii.gz")
    with pytest.raises(
        InputError, match=r"a_b_0_mask\.nii\.gz: has the name of .*a/a_b_0\.nii\.gz, which lies in anoth"
    ):
        folder.prepare(source, tmp_path / "c")


def test_masks_of_several_kinds_are_refused(tmp_path: Path) -> None:
    source = write(tmp_path / "src", "p{}/ct.nii.gz", "p{}/liver_mask.nii.gz")
    for number in range(2):
        own.write(source / f"p{number}" / "lung_mask.nii.gz", tiny.volume(number)[2])
    with pytest.raises(
        InputError, match=r"liver_mask\.nii\.gz: no image has its name .* masks/NAME/, one file a class"
    ):
        folder.prepare(source, tmp_path / "c")


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ("dataset.json labelsTr/a.nii.gz imagesTr/a.nii.gz", "'maskmixadv prepare nnunet' takes data sets with"),
        ("train/images/a.nii.gz TestSet/images/b.nii.gz", "'maskmixadv prepare mscmr' takes"),
        ("patient001/patient001_frame01.nii.gz", "'maskmixadv prepare acdc' takes"),
        ("a.png b.png", "put the 2 images in it into images/, and strokes"),
        ("notes.txt", "put the images there"),
        ("train_images/a.png test_labels/a.png", r"images lie in test_labels/ \(1\), train_images/ \(1\): call"),
        ("x/a.png y/a.png", r"images lie in x/ \(1\), y/ \(1\): call the folder of images images/"),
        ("a/1/1.png a/2/1.png b/1/1.png b/2/1.png c/1/1.png", "images lie in 5 folders, such as a/1/: put images"),
    ],
)
def test_the_way_to_take_a_folder_is_told(tmp_path: Path, files: str, words: str) -> None:
    for name in files.split():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=f"no folder images/ in it; {words}"):
        folder.find(tmp_path)


@pytest.mark.parametrize(
    ("files", "taken"),
    [
        ("a.png a_mask.png", "prepare folder"),
        ("p0/image.nii.gz p0/seg.nii.gz p1/image.nii.gz p1/seg.nii.gz", "prepare folder"),
        ("BraTS_0/BraTS_0_t1.nii.gz BraTS_0/BraTS_0_t2.nii.gz BraTS_0/BraTS_0_seg.nii.gz", "prepare folder"),
        ("img/a.png label/a.png", "prepare folder"),
        ("dataset.json labelsTr/a.nii.gz imagesTr/a.nii.gz", "prepare nnunet"),
        ("patient001/patient001_frame01.nii.gz", "prepare acdc"),
        ("a.png b.png", ""),
        ("a.png b_mask.png", ""),
        ("notes.txt", ""),
    ],
)
def test_who_opens_a_folder_is_told_which_command_takes_it(
    tmp_path: Path, files: str, taken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in files.split():
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    told = f"nor a folder with images/; 'maskmixadv {taken}" if taken else "make one with 'maskmixadv prepare'$"
    with pytest.raises(InputError, match=told):
        open_corpus(tmp_path)
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mask/a.gif", r"further images lie in mask/ \(1\): call the folder of masks masks/"),
        ("images/a.json", "outlines, as in images/a.json, are not read: save them as pictures of class codes"),
        ("images/notes.txt", "draw some"),
    ],
)
def test_what_may_be_meant_as_annotations_is_told(tmp_path: Path, name: str, words: str) -> None:
    for each in ("images/a.png", name):
        (tmp_path / each).parent.mkdir(exist_ok=True)
        (tmp_path / each).touch()
    with pytest.raises(InputError, match=f"none of 1 images has a file in scribbles/ or masks/; {words}"):
        folder.find(tmp_path)


def test_a_table_beside_masks_in_other_folders_is_compared(tmp_path: Path) -> None:
    source = write(tmp_path / "src", "img/{}.nii.gz", "label/{}.nii.gz")
    (source / "label" / "labels.txt").write_text('1 255 0 0 1 1 1 "LV"\n')
    with pytest.raises(InputError, match=r"labels\.txt: calls code 1 'LV', which classes\.toml calls 'RV'"):
        folder.prepare(source, tmp_path / "c")


def test_a_case_that_is_left_out_is_named_by_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "src", "p{}/image.nii.gz", "p{}/mask.nii.gz", cases=4)
    for number in range(2):
        (source / f"p{number}" / "mask.nii.gz").unlink()
    folder.prepare(source, tmp_path / "c")
    assert "no scribble and no mask of p0/image.nii.gz, p1/image.nii.gz\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("images", "masks"), [("dicom/case{}", "labels/case{}.nii.gz"), ("case{}/dcm", "case{}/mask.nii.gz")]
)
def test_images_of_other_layouts_may_be_series(tmp_path: Path, images: str, masks: str) -> None:
    (source := tmp_path / "src").mkdir()
    (source / "classes.toml").write_text(own.CLASSES)
    for number in range(2):
        array, _, dense = tiny.volume(number)
        series = dicoms.write_series(source / images.format(number), (array * 900).astype(np.uint16))
        affine = image_files.header(series).affine
        assert affine is not None
        own.write(source / masks.format(number), dense, affine)
    found = own.by_name(folder.prepare(source, tmp_path / "c"))
    assert list(found) == ["case0", "case1"]
    assert all(case.dense is not None for case in found.values())


def test_predictions_are_no_masks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They may lie in ``labels``, as the guide calls their folder."""
    source = write(tmp_path / "src", "img/{}.nii.gz", "labels/{}.nii.gz")
    assert outputs.RECORD == gathered.WRITTEN
    (source / "labels" / gathered.WRITTEN).write_text("{}")
    with pytest.raises(InputError, match="no folder images/ in it"):
        folder.prepare(source, tmp_path / "c")
    assert capsys.readouterr().err == f"{source}: passed over, as predictions were written into it: labels/\n"


def test_what_others_say_during_a_search_for_advice_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It held back the whole process's stderr, other threads' lines included."""
    for name in ("1.png", "1_mask.png"):
        (tmp_path / name).touch()
    find = gathered.find
    monkeypatch.setattr(gathered, "find", lambda *given: (say("another thread's"), find(*given))[1])
    assert "prepare folder" in advice.taker(tmp_path)
    assert capsys.readouterr().err == "another thread's\n"
