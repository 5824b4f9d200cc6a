"""Masks and strokes with one file a class, in a folder of their case's name."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import own
import tiny
from maskmixadv.errors import InputError
from maskmixadv.sources import folder
from maskmixadv.sources.opening import open_corpus
from maskmixadv.types import IGNORE


def parted(source: Path, *parts: str) -> Path:
    """Write a folder, and the files of `parts` with one file for each class in them."""
    own.folder(source, scribbled=1, masked=2)
    kept = {"m0": tiny.volume(10)[2], "m1": tiny.volume(11)[2], "s0": tiny.volume(0)[1]}
    for part in parts:
        (source / f"{part}.nii.gz").unlink()
        labels = kept[part.rpartition("/")[2]]
        for code, name in enumerate(tiny.CLASSES):
            if code or part.startswith("scribbles"):
                own.write(source / part / f"{name}.nii.gz", (labels == code).astype(np.uint8) * 255)
    return source


def test_one_file_a_class_is_one_mask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = parted(tmp_path / "src", "masks/m0", "scribbles/s0")
    own.write(source / "masks" / "m0" / "rib.nii.gz", np.zeros_like(tiny.volume(10)[2]))
    (source / "masks" / "m0" / "LV.nii.gz").unlink()
    found = own.by_name(open_corpus(source))
    dense = tiny.volume(10)[2]
    np.testing.assert_array_equal(found["m0"].dense, np.where(dense == tiny.CLASSES.index("LV"), 0, dense))
    np.testing.assert_array_equal(found["s0"].scribble, tiny.volume(0)[1])
    assert (found["s0"].scribble == IGNORE).any()
    assert capsys.readouterr().err == (
        f"{source}: left out, as they are of no class: files rib\n"
        f"{source}: taken as absent, as there is no file of the class, in m0 (LV)\n"
    )


def test_classes_are_those_that_files_name(tmp_path: Path) -> None:
    source = parted(tmp_path / "src", "masks/m0", "masks/m1", "scribbles/s0")
    (source / "classes.toml").unlink()
    corpus = folder.prepare(source, tmp_path / "c", confirm=bool)
    assert corpus.classes == ("background", *sorted(tiny.CLASSES[1:], key=str.casefold))
    mixed = parted(tmp_path / "mixed", "masks/m0")
    (mixed / "classes.toml").unlink()
    with pytest.raises(InputError, match=r"masks/m0 has one file a class, and .* codes; write a \[\[class\]\]"):
        folder.prepare(mixed, tmp_path / "d", confirm=bool)


@pytest.mark.parametrize(
    ("name", "codes", "words"),
    [
        ("RV", lambda labels: labels, r"RV\.nii\.gz: labels 1, 2, 3, allowed in a file of one class are 0 and one"),
        ("RV", lambda labels: labels > 1, r"RV\.nii\.gz: overlaps .*\.nii\.gz in \d+ voxels, allowed is one class"),
        ("rv", lambda labels: labels == 1, r"rv\.nii\.gz: RV\.nii\.gz is of this class, too, allowed is one file"),
        ("RV", lambda labels: labels[1:] == 1, r"RV\.nii\.gz: has shape .*, its image .*m0\.nii\.gz has"),
    ],
)
def test_what_is_no_part_is_named(
    tmp_path: Path, name: str, codes: Callable[[np.ndarray], np.ndarray], words: str
) -> None:
    source = parted(tmp_path / "src", "masks/m0")
    own.write(source / "masks" / "m0" / f"{name}.nii.gz", codes(tiny.volume(10)[2]).astype(np.uint8))
    with pytest.raises(InputError, match=words):
        folder.prepare(source, tmp_path / "c")


def test_a_folder_without_a_class_is_refused(tmp_path: Path) -> None:
    source = parted(tmp_path / "src", "masks/m0")
    for path in (source / "masks" / "m0").iterdir():
        path.rename(path.with_name(f"x{path.name}"))
    with pytest.raises(InputError, match=r"masks/m0: no file in it is of a class, allowed are background, RV"):
        folder.prepare(source, tmp_path / "c")
