"""What codes of label files mean: any numbers, 0 for nothing drawn, names of segments, parts of the image's grid."""

import json
import re
import shutil
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from PIL import Image

import own
import tiny
from maskmixadv.cli.app import run
from maskmixadv.corpus.case import Case
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.errors import InputError, nearest
from maskmixadv.formats import image_files, nifti, several
from maskmixadv.metrics.scores import rows
from maskmixadv.sources import folder, nnunet, segments
from maskmixadv.sources.classes import Classes, channels, read
from maskmixadv.sources.labels import width
from maskmixadv.sources.opening import open_corpus
from maskmixadv.studio import palette
from maskmixadv.studio.layout import Layout
from maskmixadv.types import IGNORE

IMAGE, SCRIBBLE, DENSE = tiny.volume()
PLACE = np.array([[-1.5, 0, 0, 10], [0, 0, -8, 20], [0, -1.5, 0, -5], [0, 0, 0, 1.0]])
"""Of images; SimpleITK takes axes at right angles alone."""
OTHERS = np.array([0, 500, 200, -7], np.int16)
"""Codes of the four classes in no order."""


def declare(source: Path, *lines: str, codes: Sequence[int | None] = (None,) * 4) -> None:
    tables = [
        f'[[class]]\nname = "{name}"\n' + ("" if code is None else f"code = {code}\n")
        for name, code in zip(tiny.CLASSES, codes, strict=True)
    ]
    (source / "classes.toml").write_text("\n".join([*lines, *tables]))


def source_of(root: Path, scribble: np.ndarray | None = None, mask: np.ndarray | None = None) -> Path:
    own.write(root / "images" / "a.nii.gz", (IMAGE * 1000).astype(np.int16), PLACE)
    for part, labels in (("scribbles", scribble), ("masks", mask)):
        if labels is not None:
            own.write(root / part / "a.nii.gz", labels, PLACE)
    declare(root)
    return root


def made(source: Path, root: Path) -> Any:
    return own.by_name(folder.prepare(source, root))["a"]


# 0 means nothing drawn


def test_strokes_with_0_for_nothing_drawn_are_refused_with_what_to_write(tmp_path: Path) -> None:
    undrawn = np.where(SCRIBBLE == IGNORE, 0, SCRIBBLE).astype(np.uint8)
    source = source_of(tmp_path / "src", undrawn)
    with pytest.raises(InputError) as caught:
        folder.prepare(source, tmp_path / "c")
    told = str(caught.value)
    assert "\n" not in told
    assert re.search(r"scribbles/a.nii.gz: 0, background, is 9.*% of its pixels, 4, nothing drawn, is none", told)
    assert "write 'ignore = 0' at the top of classes.toml" in told
    assert "move a mask of all pixels to masks/" in told
    declare(source, "ignore = 255")  # a code that no file has does not make it right
    with pytest.raises(InputError, match="255, nothing drawn, is none"):
        folder.prepare(source, tmp_path / "c")
    declare(source, "ignore = 0")
    expected = np.where(SCRIBBLE == 0, IGNORE, SCRIBBLE)
    np.testing.assert_array_equal(made(source, tmp_path / "c").scribble, expected)


@pytest.mark.parametrize(("brush", "wide"), [(1, 2.0), (3, 2.9), (5, 4.6)])
def test_strokes_of_any_brush_and_without_any_are_seen(tmp_path: Path, brush: int, wide: float) -> None:
    drawn = np.zeros((3, 40, 48), np.uint8)
    drawn[:, 10 : 10 + brush, 8:40], drawn[1, 25 : 25 + brush, 8:40] = 1, 3
    with pytest.raises(InputError, match=f"lines are about {wide}"):
        folder.prepare(source_of(tmp_path / "src", drawn), tmp_path / "c")
    with pytest.raises(InputError, match="there are no lines"):
        folder.prepare(source_of(tmp_path / "none", drawn * 0), tmp_path / "c")


def test_strokes_of_the_background_with_the_code_for_nothing_drawn_are_seen(tmp_path: Path) -> None:
    """Code 4 is the background's strokes there, but would be nothing drawn here, and all that is 0 background."""
    drawn = np.where(SCRIBBLE == 0, 4, np.where(SCRIBBLE == IGNORE, 0, SCRIBBLE)).astype(np.uint8)
    with pytest.raises(InputError, match=r"4, nothing drawn, is \d.*%, and lines .*write 'ignore = 0'"):
        folder.prepare(source_of(tmp_path / "src", drawn), tmp_path / "c")


def test_dense_slices_beside_strokes_are_no_mistake(tmp_path: Path) -> None:
    mixed = np.where(SCRIBBLE == IGNORE, 4, SCRIBBLE).astype(np.uint8)
    mixed[:2] = 0
    mixed[:2, 20] = 1  # two slices that are known wholly, with a thin structure
    assert made(source_of(tmp_path / "src", mixed), tmp_path / "c").scribble is not None


def test_a_dense_mask_among_strokes_stays_one(tmp_path: Path) -> None:
    case = made(source_of(tmp_path / "src", DENSE), tmp_path / "c")
    np.testing.assert_array_equal(case.scribble, DENSE)
    assert width(DENSE, 0) > 8


def test_the_background_may_have_a_code_of_its_own(tmp_path: Path) -> None:
    own_code = np.where(SCRIBBLE == 0, 4, np.where(SCRIBBLE == IGNORE, 0, SCRIBBLE)).astype(np.uint8)
    source = source_of(tmp_path / "src", own_code, DENSE)
    declare(source, "ignore = 0")
    with pytest.raises(
        InputError, match=r"label 4 is not declared, .*the background's strokes need a code.*'code = 4'"
    ):
        folder.prepare(source, tmp_path / "c")
    declare(source, "ignore = 0", codes=(4, None, None, None))
    case = made(source, tmp_path / "c")
    np.testing.assert_array_equal(case.scribble, SCRIBBLE)
    np.testing.assert_array_equal(case.dense, DENSE)  # where 0 is background still


def test_nnunets_labels_may_have_0_for_nothing_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    undrawn = np.where(SCRIBBLE == IGNORE, 0, SCRIBBLE).astype(np.uint8)
    labels = {name: code for code, name in enumerate(tiny.CLASSES)}
    for name, more in (("silent", {}), ("said", {"ignore": 0})):
        source = tmp_path / name
        own.write(source / "imagesTr" / "a_0000.nii.gz", IMAGE)
        own.write(source / "labelsTr" / "a.nii.gz", undrawn)
        own.write(source / "imagesTs" / "t_0000.nii.gz", IMAGE)
        own.write(source / "labelsTs" / "t.nii.gz", DENSE)
        (source / "dataset.json").write_text(json.dumps({"labels": labels | more, "file_ending": ".nii.gz"}))
    nnunet.prepare(tmp_path / "silent", tmp_path / "c")
    assert "0 is learnt as background, although labels look like strokes" in capsys.readouterr().err
    cases = own.by_name(nnunet.prepare(tmp_path / "said", tmp_path / "d"))
    np.testing.assert_array_equal(cases["a"].scribble, np.where(SCRIBBLE == 0, IGNORE, SCRIBBLE))
    np.testing.assert_array_equal(cases["t"].dense, DENSE)
    assert "look like strokes" not in capsys.readouterr().err


# Any codes


def test_codes_are_what_they_are(tmp_path: Path) -> None:
    plain = made(source_of(tmp_path / "plain", own.coded(SCRIBBLE), DENSE), tmp_path / "c-plain")
    drawn = np.where(SCRIBBLE == IGNORE, -1, OTHERS[SCRIBBLE % 4]).astype(np.int16)
    source = source_of(tmp_path / "src", drawn, OTHERS[DENSE])
    declare(source, "ignore = -1", codes=OTHERS.tolist())
    own.same(made(source, tmp_path / "c"), plain)
    declare(source, "ignore = -1", codes=(0, 500, None, -7))
    with pytest.raises(InputError, match=r"label 200 is not declared, allowed are -7, -1, 0, 2, 500 \(0 background"):
        folder.prepare(source, tmp_path / "f")
    declare(source, "ignore = -1", codes=(0, 500, 3, 4))
    with pytest.raises(
        InputError, match=r"labels -7, 200 are not declared, allowed are .*; declare them, in a folder by 'code = -7'"
    ):
        folder.prepare(source, tmp_path / "f")


@pytest.mark.parametrize("codes", [(0, 255), (0, 500), (1, 0)])
def test_codes_of_two_classes(tmp_path: Path, codes: tuple[int, int]) -> None:
    path = tmp_path / "classes.toml"
    path.write_text("".join(f'[[class]]\nname = "c{code}"\ncode = {code}\n' for code in codes))
    classes = read(path)
    found = classes.indices(np.array(codes, np.uint16)[DENSE % 2], dense=True, where="")
    np.testing.assert_array_equal(found, DENSE % 2)


def test_a_guess_takes_codes_far_apart_for_what_they_are(tmp_path: Path) -> None:
    source = source_of(tmp_path / "src", mask=np.array([0, 255, 200, 600], np.uint16)[DENSE])
    (source / "classes.toml").unlink()
    guessed: list[Classes] = []
    corpus = folder.prepare(source, tmp_path / "c", confirm=lambda classes: not guessed.append(classes))
    assert guessed[0].codes == (0, 200, 255, 600)
    assert corpus.classes == ("background", "class200", "class255", "class600")


def test_nnunets_labels_may_have_gaps(tmp_path: Path) -> None:
    codes = np.array([0, 1, 7, 100, 200], np.uint8)
    own.write(tmp_path / "d" / "imagesTr" / "a_0000.nii.gz", IMAGE)
    own.write(tmp_path / "d" / "labelsTr" / "a.nii.gz", codes[np.where(SCRIBBLE == IGNORE, 4, SCRIBBLE)])
    (tmp_path / "d" / "dataset.json").write_text(
        '{"labels": {"ignore": 200, "LV": 100, "background": 0, "RV": 1, "Myo": 7}, "file_ending": ".nii.gz"}'
    )
    corpus = nnunet.prepare(tmp_path / "d", tmp_path / "c")
    assert corpus.classes == tiny.CLASSES
    np.testing.assert_array_equal(own.by_name(corpus)["a"].scribble, SCRIBBLE)


# Healthy cases


def healthy(root: Path) -> Path:
    """Write two cases with strokes and masks, a healthy one with strokes of the background, and one with a mask."""
    source = own.folder(root, scribbled=2, masked=1)
    for name in ("h0", "h1"):
        own.case(source, name, 7, scribble=False)
    background = np.full(SCRIBBLE.shape, 4, np.uint8)
    background[:, 5, 5:40] = 0
    own.write(source / "scribbles" / "h0.nii.gz", background)
    own.write(source / "masks" / "h1.nii.gz", np.zeros_like(DENSE))
    return source


def test_healthy_cases_are_kept_learnt_from_and_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["prepare", "folder", str(healthy(tmp_path / "src")), str(tmp_path / "c")]) == 0
    told = capsys.readouterr()
    assert "5 cases of 5 patients, 15 slices; 3 cases with scribbles, 2 with masks" in told.out
    assert "left out" not in told.err
    assert open_corpus(tmp_path / "c").folds["own"][0] == (("h0", "s0", "s1"), ("h1", "m0"), ())
    assert run(["check", str(tmp_path / "c")]) == 0
    how = ["--preset", "cpu", "--size", "48", "--window", "32", "--batch", "4", "--steps", "2"]
    assert run(["train", str(tmp_path / "c"), "--out", str(tmp_path / "run"), *how, "pce"]) == 0
    assert "learnt from: 3 patients, 9 slices; strokes: background 9" in capsys.readouterr().err
    assert run(["evaluate", str(tmp_path / "run"), "--split", "val"]) == 0
    assert "h1" in (tmp_path / "run" / "evaluation-val" / "scores.csv").read_text()


def test_what_is_predicted_in_a_healthy_case_counts(tmp_path: Path) -> None:
    corpus = folder.prepare(healthy(tmp_path / "src"), tmp_path / "c")
    found = {row.score.class_name: row for row in rows(
        own.by_name(corpus)["h1"], DENSE * (DENSE == 3), classes=corpus.classes, nominal=corpus.nominal
    )}  # fmt: skip
    assert found["LV"].score.dice == 0
    assert found["LV"].score.predicted_ml > 0
    assert np.isnan(found["RV"].score.dice), "neither there nor predicted"


def test_cases_without_any_structure_are_no_corpus(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="all labels are background or nothing drawn; at least one case must show RV"):
        folder.prepare(source_of(tmp_path / "src", mask=DENSE * 0), tmp_path / "c")


def test_healthy_cases_of_nnunet_are_counted(tmp_path: Path) -> None:
    source = tmp_path / "d"
    for name, labels in (("a", DENSE), ("h", DENSE * 0), ("none", DENSE * 0 + 4)):
        own.write(source / "imagesTr" / f"{name}_0000.nii.gz", IMAGE)
        own.write(source / "labelsTr" / f"{name}.nii.gz", labels)
    codes = {**{name: code for code, name in enumerate(tiny.CLASSES)}, "ignore": 4}
    (source / "dataset.json").write_text(json.dumps({"labels": codes, "file_ending": ".nii.gz"}))
    (source / "splits_final.json").write_text('[{"train": ["a", "none"], "val": ["h"]}]')
    corpus = nnunet.prepare(source, tmp_path / "c")
    assert [entry.name for entry in corpus.entries] == ["a", "h"]
    assert corpus.folds["splits"][0] == (("a",), ("h",), ()), "who is left out is not counted"


# 3D Slicer


def segmentation(
    path: Path, layers: np.ndarray, fields: dict[str, str], corner: tuple[int, int, int] = (0, 0, 0)
) -> None:
    """Write layers ``d h w l`` whose first voxel is voxel `corner` (d h w) of the image."""
    itk = pytest.importorskip("SimpleITK")
    image = itk.GetImageFromArray(layers if layers.shape[-1] > 1 else layers[..., 0], isVector=layers.shape[-1] > 1)
    like = itk.ReadImage(str(next((path.parent.parent / "images").iterdir())))
    image.SetSpacing(like.GetSpacing())
    image.SetDirection(like.GetDirection())
    image.SetOrigin(like.TransformIndexToPhysicalPoint(corner[::-1]))
    for key, text in fields.items():
        image.SetMetaData(key, text)
    path.parent.mkdir(parents=True, exist_ok=True)
    itk.WriteImage(image, str(path), useCompression=True)


def named(*names: str, values: Sequence[int] = (), layers: Sequence[int] = ()) -> dict[str, str]:
    fields = {f"Segment{number}_Name": name for number, name in enumerate(names)}
    for word, numbers in (("LabelValue", values), ("Layer", layers)):
        fields |= {f"Segment{number}_{word}": str(each) for number, each in enumerate(numbers)}
    return fields


CROP = (slice(None), slice(6, 34), slice(4, 40))


def test_slicers_segments_are_named_and_cropped(tmp_path: Path) -> None:
    source = source_of(tmp_path / "src")
    values = np.array([0, 9, 3, 4], np.uint8)[DENSE][CROP][..., None]
    drawn = np.array([5, 9, 3, 4] + [0] * 252, np.uint8)[SCRIBBLE][:, 4:37, 4:38][..., None]
    names = ("rv", "MYO", "LV")
    segmentation(source / "masks" / "a.seg.nrrd", values, named(*names, values=(9, 3, 4)), corner=(0, 6, 4))
    strokes = named(*names, "Background", values=(9, 3, 4, 5))
    segmentation(source / "scribbles" / "a.seg.nrrd", drawn, strokes, corner=(0, 4, 4))
    case = made(source, tmp_path / "c")
    np.testing.assert_array_equal(case.dense, DENSE)
    np.testing.assert_array_equal(case.scribble, SCRIBBLE)  # what is in no segment is not drawn


@pytest.mark.parametrize("name", ["Scar Tissue", "SCAR_TISSUE", "Narbe\u0308"])
def test_slicers_segments_may_be_spelled_in_any_way(tmp_path: Path, name: str) -> None:
    classes = ["background", "Narb\u00eb" if "Narbe" in name else "scar tissue"]
    image = SimpleITK.GetImageFromArray(np.eye(4, dtype=np.uint8)[None])
    image.SetMetaData("Segment0_Name", name)
    SimpleITK.WriteImage(image, tmp_path / "a.seg.nrrd")
    found = segments.read(tmp_path / "a.seg.nrrd", classes, around=0)
    assert found is not None
    np.testing.assert_array_equal(found[1], np.eye(4)[None])


def test_labels_as_nrrd_come_back_by_the_names_of_their_segments(tmp_path: Path) -> None:
    """3D Slicer showed numbers, and codes were taken for those of other classes. An empty segment has no extent."""
    classes = ("background", "RV", "Herz\\wand ä", "左心室", "scar")
    labels = DENSE.astype(np.uint8)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(IMAGE), tmp_path / "a.nrrd")
    image_files.write_labels(tmp_path / "b.nrrd", labels, image_files.read(tmp_path / "a.nrrd"), classes)
    turned = (classes[0], *classes[:0:-1])
    found = segments.read(tmp_path / "b.nrrd", turned, around=0)
    assert found is not None
    np.testing.assert_array_equal(found[1], np.array([0, 4, 3, 2, 1], np.uint8)[labels])
    told = SimpleITK.ReadImage(tmp_path / "b.nrrd")
    d, h, w = np.nonzero(labels == 2)
    box = (w.min(), w.max(), h.min(), h.max(), d.min(), d.max())
    assert told.GetMetaData("Segment1_Extent") == " ".join(map(str, box))
    assert told.GetMetaData("Segment3_Extent") == "0 -1 0 -1 0 -1"
    assert told.GetMetaData("Segment0_Color") == "0.290196 0.658824 1"


@pytest.mark.parametrize("names", [("T", "t"), ("left lung", "Left_Lung"), ("Narb\u00eb", "Narbe\u0308")])
def test_names_that_differ_in_spelling_alone_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    """They would share a column of clinical.csv, and one would take the other's segments."""
    path = tmp_path / "classes.toml"
    path.write_text("".join(f'[[class]]\nname = "{name}"\n' for name in ("background", *names)))
    told = f"classes '{names[0]}' and '{names[1]}' differ in spelling alone"
    with pytest.raises(InputError, match=told):
        read(path)
    path = tmp_path / "dataset.json"
    labels = {name: code for code, name in enumerate(("background", *names))}
    path.write_text(json.dumps({"labels": labels, "file_ending": ".nii.gz"}))
    with pytest.raises(InputError, match=told):
        nnunet.read(path)
    case = Case("a", "a", np.random.default_rng(0).random((1, 1, 8, 8)), dense=np.eye(8, dtype=np.uint8)[None])
    with pytest.raises(InputError, match=told):
        Corpus.write(tmp_path / "c", [case], name="c", classes=("background", *names), folds={})


@pytest.mark.parametrize("name", ["mean", "Mean"])
def test_a_class_that_is_called_as_the_mean_of_all_is_refused(tmp_path: Path, name: str) -> None:
    """Printed tables, the report and those of runs would show one of the two alone."""
    path = tmp_path / "classes.toml"
    path.write_text("".join(f'[[class]]\nname = "{each}"\n' for each in ("background", "scar", name)))
    with pytest.raises(InputError, match=f"class '{name}', by which tables call the mean over all classes; rename it"):
        read(path)


def test_slicers_layers_are_used(tmp_path: Path) -> None:
    source = source_of(tmp_path / "src")
    layers = np.stack([(DENSE == 1) + 2 * (DENSE == 3), DENSE == 2], -1).astype(np.uint8)
    fields = named("RV", "LV", "Myo", values=(1, 2, 1), layers=(0, 0, 1))
    segmentation(source / "masks" / "a.seg.nrrd", layers, fields)
    np.testing.assert_array_equal(made(source, tmp_path / "c").dense, DENSE)


@pytest.mark.parametrize(
    ("layers", "fields", "words"),
    [
        (
            [DENSE > 0, DENSE > 1],
            named("RV", "LV", values=(1, 1), layers=(0, 1)),
            "'RV' and 'LV' overlap in 768 voxels",
        ),
        ([DENSE > 0], named("tumour"), "segment 'tumour' is no class, allowed are background, RV, Myo, LV; rename it"),
        ([DENSE], named("RV", values=(0,)), "segment 'RV' has value 0, which is background; allowed is above 0"),
        ([DENSE], named("RV", "Myo"), "value 3 in layer 0 belongs to no segment, allowed are 0, 1, 2"),
        ([DENSE > 0], named("RV", layers=(1,)), "segment 'RV' is in layer 1, allowed are 0 to 0"),
        ([DENSE > 0], named("RV", values=(-1,)), "segment 'RV' has value -1 in layer 0, allowed are whole numbers"),
        ([DENSE > 0, DENSE > 1, DENSE > 2], {}, "has 3 layers without names of segments"),
        ([DENSE > 0, DENSE > 1], {}, "has 2 layers without names of segments"),
    ],
)
def test_segments_that_cannot_be_used_are_named(tmp_path: Path, layers: Any, fields: Any, words: str) -> None:
    source = source_of(tmp_path / "src")
    segmentation(source / "masks" / "a.seg.nrrd", np.stack(layers, -1).astype(np.uint8), fields)
    with pytest.raises(InputError, match=rf"masks/a\.seg\.nrrd: .*{words}"):
        folder.prepare(source, tmp_path / "c")


def test_of_many_names_refusals_tell_the_nearest(tmp_path: Path) -> None:
    """They listed 105 of them, in a line of 1,200 characters."""
    classes = ["background", *(f"organ {number}" for number in range(100)), "liver", "left_liver", "spleen"]
    path, told = source_of(tmp_path) / "masks" / "a.seg.nrrd", nearest("Livr", classes)
    segmentation(path, (DENSE > 0).astype(np.uint8)[..., None], named("Livr"))
    assert told == "liver, background, organ 0, organ 1, organ 2, organ 3, organ 4, organ 5 and 96 more"
    with pytest.raises(InputError, match=f"segment 'Livr' is no class, allowed are {told}; rename it"):
        segments.read(path, classes, 0)
    with pytest.raises(InputError, match=r"allowed are 0, 1, 2, .*, 7 and 96 more \(0 background, .* and 96 more\)"):
        Classes(tuple(classes), None).indices(np.full((1, 2, 2), 200, np.uint8), dense=True, where="a")


def test_a_part_without_names_is_pasted_where_it_lies(tmp_path: Path) -> None:
    source = source_of(tmp_path / "src")
    segmentation(source / "masks" / "a.nrrd", DENSE[CROP][..., None], {}, corner=(0, 6, 4))
    np.testing.assert_array_equal(made(source, tmp_path / "c").dense, DENSE)
    segmentation(source / "masks" / "a.nrrd", DENSE[CROP][..., None], {}, corner=(0, 20, 4))
    with pytest.raises(InputError, match=r"covers voxels \(0, 20, 4\) to \(3, 48, 40\) of its image .*\(3, 40, 48\)"):
        folder.prepare(source, tmp_path / "d")


# What says a picture's place


def test_labels_of_another_spacing_are_refused(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    for part, array in (("images", (IMAGE * 1000).astype(np.uint16)), ("masks", DENSE)):
        (tmp_path / "src" / part).mkdir(parents=True)
        tifffile.imwrite(tmp_path / "src" / part / "a.tif", array, photometric="minisblack")
    declare(tmp_path / "src")
    (tmp_path / "src" / "images" / "a.json").write_text('{"spacing": [8, 1.5, 1.5]}')
    corpus = open_corpus(tmp_path / "src")
    assert corpus.entries[0].spacing == (8.0, 1.5, 1.5)
    (tmp_path / "src" / "images" / "a.json").write_text('{"spacing": [1.5, 1.5, 10]}')
    turned: Corpus = open_corpus(tmp_path / "src")
    assert (turned.axis, turned.entries[0].spacing) == (2, (10.0, 1.5, 1.5)), "the JSON file is followed"
    (tmp_path / "src" / "masks" / "a.json").write_text('{"spacing": [8, 1.5, 1.5]}')
    with pytest.raises(InputError, match=r"masks/a\.tif: has spacing 8 × 1.5 × 1.5 mm, its image .* 1.5 × 1.5 × 10 mm"):
        open_corpus(tmp_path / "src")


def test_labels_of_masks_and_strokes_are_named_by_their_image() -> None:
    assert image_files.stem(Path("masks/c0.seg.nrrd")) == "c0"
    assert nifti.stem(Path("masks/c0.nii.gz")) == "c0"


# what is written in classes.toml


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ignore_label = 0\n{}", "has 'ignore_label', allowed are ignore, removed, class and channel"),
        ("{}label = 3\n", "class 'LV' has 'label', allowed are name, code and colour"),
        ("{}ignore = 0\n", "class 'LV' has 'ignore', allowed are .*; it belongs above the first table"),
        ('[[class]]\nname = "scar"\n{}', "class 1 is the background, allowed is the first; put its table there"),
    ],
)
def test_what_classes_toml_says_is_used_or_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "classes.toml"
    path.write_text(text.format(own.CLASSES))
    with pytest.raises(InputError, match=words):
        read(path)


# codes that are stored as fractions


def test_codes_may_be_rounded(tmp_path: Path) -> None:
    """As files with a slope, or of floating-point numbers, have them."""
    wanted = made(source_of(tmp_path / "src", own.coded(SCRIBBLE)), tmp_path / "c")
    source = source_of(tmp_path / "other", own.coded(SCRIBBLE).astype(np.float32) * np.float32(1 - 1e-6))
    own.same(made(source, tmp_path / "d"), wanted)
    (source / "classes.toml").unlink()
    asked: list[Classes] = []
    folder.prepare(source, tmp_path / "e", confirm=lambda guess: not asked.append(guess))
    assert (asked[0].ignore, len(asked[0].names)) == (4, 4)


@pytest.mark.parametrize("odd", [0.5, np.nan, np.inf])
@pytest.mark.parametrize("declared", [True, False])
def test_fractions_are_no_codes(tmp_path: Path, odd: float, declared: bool) -> None:
    drawn = own.coded(SCRIBBLE).astype(np.float32)
    drawn[0, 0, 0] = odd
    source = source_of(tmp_path / "src", drawn)
    if not declared:
        (source / "classes.toml").unlink()
    with pytest.raises(InputError, match=rf"labels {odd:g}, allowed are whole numbers; resample labels by nearest"):
        folder.prepare(source, tmp_path / "c", confirm=lambda _: True)


# names


def test_letters_may_be_stored_in_two_ways(tmp_path: Path) -> None:
    """MacOS stores an accent apart from its letter."""
    source = source_of(tmp_path / "src", own.coded(SCRIBBLE))
    apart, together = (unicodedata.normalize(form, "prüf.nii.gz") for form in ("NFD", "NFC"))
    assert apart != together
    (source / "images" / "a.nii.gz").rename(source / "images" / apart)
    (source / "scribbles" / "a.nii.gz").rename(source / "scribbles" / together)
    assert [entry.name for entry in folder.prepare(source, tmp_path / "c").entries] == ["prüf"]
    shutil.copy(source / "images" / apart, source / "images" / together)
    with pytest.raises(InputError, match="has this name too"):
        folder.prepare(source, tmp_path / "d")


# What nothing but a spacing says


def nrrd(path: Path, labels: np.ndarray, spacings: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = " ".join(map(str, labels.shape[::-1]))
    head = f"NRRD0004\ntype: uint8\ndimension: 3\nsizes: {sizes}\nspacings: {spacings}\nencoding: raw\n\n"
    path.write_bytes(head.encode() + labels.tobytes())
    return path


@pytest.mark.parametrize(("spacings", "fits"), [("1.5 1.5 8", True), ("1 1 1", True), ("3 3 8", False)])
def test_labels_that_lie_nowhere_have_their_images_spacing(tmp_path: Path, spacings: str, fits: bool) -> None:
    """1 mm along all axes is what programs write that know of none."""
    source = source_of(tmp_path / "src")
    nrrd(source / "masks" / "a.nrrd", DENSE, spacings)
    if fits:
        assert made(source, tmp_path / "corpus").dense is not None
        return
    with pytest.raises(InputError, match=r"a\.nrrd: has spacing 8 × 3 × 3 mm, its image .* has 8 × 1\.5 × 1\.5 mm"):
        made(source, tmp_path / "corpus")


def test_channels_that_lie_nowhere_have_one_spacing(tmp_path: Path) -> None:
    source, grey = source_of(tmp_path / "src"), (IMAGE * 200).astype(np.uint8)
    (source / "images" / "a.nii.gz").unlink()
    nrrd(source / "masks" / "a.nrrd", DENSE, "1.5 1.5 8")
    for number in range(2):
        nrrd(source / "images" / f"a_000{number}.nrrd", grey, "1.5 1.5 8")
    assert len(folder.prepare(source, tmp_path / "corpus").channels) == 2
    nrrd(source / "images" / "a_0001.nrrd", 0 * grey, "1.5 1.5 8")
    with pytest.raises(InputError, match="channel 'channel 1': image is constant"):
        folder.prepare(source, tmp_path / "another")
    nrrd(source / "images" / "a_0001.nrrd", grey, "3 3 8")
    with pytest.raises(InputError, match=r"a_0001\.nrrd: has spacing 8 × 3 × 3 mm, .*; channels have one grid"):
        folder.prepare(source, tmp_path / "another")


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        ("[[channel]]\nkind = 'CT'\npercentile = 99\n", "channel 'image' of kind CT has percentile 99"),
        ("[[channel]]\nkind = 'noNorm'\npercentile = 99\n", "channel 'image' of kind noNorm has percentile 99"),
        (
            "".join(f"[[channel]]\nname = '{top}'\nkind = 'RGB'\npercentile = {top}\n" for top in (99, 98.5, 99.9)),
            "channels of kind RGB have percentiles 99, 98.5, 99.9",
        ),
    ],
)
def test_a_scale_that_a_kind_makes_no_use_of_is_refused(tmp_path: Path, tables: str, told: str) -> None:
    path = tmp_path / "classes.toml"
    path.write_text(tables)
    with pytest.raises(InputError, match=rf"classes\.toml: {told}"):
        channels(path)


def test_names_of_slicers_segments_are_no_codes_to_guess(tmp_path: Path) -> None:
    """The guess was refused by a line that said to rename the segments class1 and class2."""
    source = source_of(tmp_path / "src")
    (source / "classes.toml").unlink()
    segmentation(source / "masks" / "a.seg.nrrd", DENSE[..., None], named("RV", "Myo", "LV"))
    told = r"classes\.toml: missing, and .*a\.seg\.nrrd names its segments \(RV, Myo, LV\); write a \[\[class\]\]"
    with pytest.raises(InputError, match=told):
        folder.prepare(source, tmp_path / "c", confirm=lambda _: True)
    with pytest.raises(InputError, match=told):
        palette.read(Layout.open(source))


def test_slicers_segments_of_one_name_are_one_class_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = source_of(tmp_path / "src")
    segmentation(source / "masks" / "a.seg.nrrd", DENSE[..., None], named("RV", "LV", "lv"))
    dense = made(source, tmp_path / "c").dense
    np.testing.assert_array_equal(dense, np.array([0, 1, 3, 3])[DENSE])
    assert "segments whose names are one, or differ in spelling alone, are one class: lv\n" in capsys.readouterr().err


# What is taken although it is not quite certain


@pytest.mark.parametrize(("voxels", "told"), [(0.0, ""), (0.01, ""), (0.4, "its corners lie 0.6 mm from those of its")])
def test_labels_beside_their_image_are_told(
    tmp_path: Path, voxels: float, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source, moved = source_of(tmp_path / "src"), PLACE.copy()
    moved[0, 3] += 1.5 * voxels
    own.write(source / "masks" / "a.nii.gz", DENSE, moved)
    made(source, tmp_path / "corpus")
    lines = [line for line in capsys.readouterr().err.splitlines() if "a.nii.gz: its corners" in line]
    assert [told in line for line in lines] == [True] * bool(told)


def test_a_part_beside_its_image_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, moved = source_of(tmp_path / "src"), PLACE.copy()
    moved[:3, 3] += PLACE[:3, :3] @ [2.4, 0, 0]
    own.write(tmp_path / "a.nii.gz", DENSE[..., 2:], moved)
    (source / "masks").mkdir()
    SimpleITK.WriteImage(SimpleITK.ReadImage(str(tmp_path / "a.nii.gz")), str(source / "masks" / "a.mha"))
    made(source, tmp_path / "corpus")
    assert "a.mha: its corners lie 0.6 mm from those of its image" in capsys.readouterr().err


def test_labels_that_say_not_where_they_lie_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = source_of(tmp_path / "src")
    nrrd(source / "masks" / "a.nrrd", DENSE, "1.5 1.5 8")
    made(source, tmp_path / "corpus")
    assert "a.nrrd: does not say where it lies, so its shape alone was compared" in capsys.readouterr().err


def test_channels_beside_each_other_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, moved = source_of(tmp_path / "src", mask=DENSE), PLACE.copy()
    (source / "images" / "a.nii.gz").unlink()
    moved[0, 3] += 0.6
    for number, place in enumerate((PLACE, moved)):
        own.write(source / "images" / f"a_000{number}.nii.gz", (IMAGE * 1000).astype(np.int16), place)
    folder.prepare(source, tmp_path / "corpus")
    assert "a_0001.nii.gz: its corners lie 0.6 mm from those of" in capsys.readouterr().err


def test_what_holds_for_one_channel_is_told_of_that_channel(tmp_path: Path) -> None:
    grey = Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8))
    opaque, files = grey.convert("LA"), [tmp_path / f"a_000{number}.png" for number in range(3)]
    told = "opacity (alpha) is left out"
    for first, second, said in ((grey, opaque, f"channels _0001, _0002: {told}"), (opaque, opaque, told),
                                (opaque, grey, f"channels _0000, _0002: {told}")):  # fmt: skip
        for path, picture in zip(files, (first, second, opaque), strict=True):
            picture.save(path)
        assert several.read(files).notes == (said,)


def test_layers_of_one_class_may_overlap(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They were refused, as if a voxel had two classes."""
    layers = np.zeros((3, 4, 5, 2), np.uint8)
    layers[1, 1:3, :, 0], layers[1, 2:, :, 1] = 1, 1
    image = SimpleITK.GetImageFromArray(layers, isVector=True)
    for number, name in enumerate(("organ", "Organ")):
        for field, value in (("Name", name), ("LabelValue", "1"), ("Layer", str(number))):
            image.SetMetaData(f"Segment{number}_{field}", value)
    SimpleITK.WriteImage(image, path := tmp_path / "a.seg.nrrd")
    found = segments.read(path, ("background", "organ"), around=0)
    assert found is not None
    np.testing.assert_array_equal(found[1], layers.max(-1))
    assert "are one class: organ\n" in capsys.readouterr().err
