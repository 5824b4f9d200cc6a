"""Annotations whose names differ from their images' in one way, as public data sets have them."""

import re
from pathlib import Path

import pytest

import own
from maskmixadv.errors import InputError
from maskmixadv.sources import folder
from maskmixadv.sources.layouts.naming import of_images


def paired(images: str, labels: str) -> dict[str, str] | None:
    """Return the images' names by labels' names; None where labels keep their own."""
    names = {name: Path(f"{name}.nii.gz") for name in labels.split()}
    found = of_images(Path("masks"), names, {name: Path(f"{name}.png") for name in images.split()})
    return None if found == names else {path.name.removesuffix(".nii.gz"): image for image, path in found.items()}


@pytest.mark.parametrize(
    ("images", "labels", "key"),
    [
        ("ISIC_01 ISIC_02 ISIC_11", "ISIC_01_segmentation ISIC_11_segmentation", r"\d+"),
        ("img0001 img0002 img0010", "label0001 label0010", r"\d+"),
        ("volume-1 volume-11 volume-0", "segmentation-1 segmentation-11 segmentation-0", r"\d+"),
        ("21_training 22_training", "21_manual1 22_manual1", r"\d+"),
        ("k1 k10", "k10_mask", r"\d+"),
        ("a b", "mask_a mask_b", r"\b[ab]\b|(?<=_)[ab]"),
        ("sub-01_T2w sub-02_T2w", "sub-01_T2w_seg-GM_mask sub-02_T2w_seg-GM_mask", r"sub-\d+"),
        ("anna anton bob", "anna_seg anton_seg", r"^[a-z]+"),
    ],
)
def test_names_that_differ_in_one_word_are_paired(images: str, labels: str, key: str) -> None:
    found = paired(images, labels)
    assert found is not None
    assert sorted(found) == sorted(labels.split())
    for label, image in found.items():
        assert re.findall(key, label)[0] == re.findall(key, image)[0]


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("a b", "a_mask b_seg"),
        ("a b", "a b_mask"),
        ("case1 case3", "case1_2_mask"),
        ("case1 case2", "case12"),
        ("k1 k2", "k10_mask"),
        ("b1_flair b1_t1", "b1_seg"),
        ("1 2 3", "11 12 13"),
        ("a", "b_mask"),
        ("Image_01L Image_01R", "Image_01L_1stHO Image_01R_1stHO"),
        ("c1_pre c2_pre", "c1_post c2_post"),
        ("c1_pre c2_pre", "c1_post_mask c2_post_mask"),
        ("A1 A2", "B1 B2"),
        ("a b", "a_post b_post"),
        ("a b", "a_mask a_mask_1"),
        ("frame01 frame02", "frame01_gt frame03_gt"),
    ],
)
def test_what_may_be_another_images_keeps_its_name(images: str, labels: str) -> None:
    assert paired(images, labels) is None


def test_what_may_be_of_two_images_is_refused() -> None:
    with pytest.raises(InputError, match=r"^a_b_mask\.nii\.gz: may be of a\.png or of a_b\.png; give annotations"):
        paired("a a_b", "a_b_mask")


def test_a_folder_with_other_names_comes_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = own.folder(tmp_path / "src", scribbled=1, masked=2)
    for path in sorted((source / "masks").iterdir()):
        path.rename(path.with_name(path.name.replace(".nii.gz", "_mask.nii.gz")))
    corpus = folder.prepare(source, tmp_path / "c")
    assert [(entry.name, entry.dense) for entry in corpus.entries] == [("m0", True), ("m1", True), ("s0", False)]
    told = "paired by what names have in common: m0_mask.nii.gz of m0.nii.gz, m1_mask.nii.gz of m1.nii.gz"
    assert capsys.readouterr().err == f"{source / 'masks'}: {told}\n"


def test_images_that_may_be_channels_are_named(tmp_path: Path) -> None:
    for name in ("images/p1_T1.nii.gz", "images/p1_T2.nii.gz", "masks/p1.nii.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"\(if p1_T1\.nii\.gz, p1_T2\.nii\.gz are its channels, call them p1_0000"):
        folder.find(tmp_path)
