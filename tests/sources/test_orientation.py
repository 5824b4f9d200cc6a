"""A scan comes in as the same arrays, however its file stores it."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

import own
import tiny
import turned
from maskmixadv.cli.app import run
from maskmixadv.corpus.case import Case
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.errors import InputError
from maskmixadv.sources import dicom, folder, mscmr, nnunet
from maskmixadv.sources.opening import open_corpus

NAMED = {codes.lower(): codes for codes in turned.WAYS}
SPACINGS = pytest.mark.parametrize("spacing", [turned.THICK, turned.EVEN], ids=["thick", "even"])


def same(one: Case, other: Case) -> None:
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.scribble, other.scribble)  # pyright: ignore[reportArgumentType]
    assert one.spacing == other.spacing
    assert one.affine is not None
    assert other.affine is not None
    np.testing.assert_allclose(one.affine, other.affine, atol=1e-4)


@SPACINGS
@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha", ""], ids=["nifti", "nrrd", "mha", "dicom"])
def test_a_scan_comes_in_alike_however_it_is_stored(tmp_path: Path, suffix: str, spacing: tuple[float, ...]) -> None:
    source = turned.folder(tmp_path / "src", NAMED, suffix=suffix, spacing=spacing)
    corpus = folder.prepare(source, tmp_path / "c")
    assert corpus.radiological
    assert (corpus.across, corpus.slicing.thickest) == ("inferior-superior", spacing == turned.THICK)
    assert open_corpus(corpus.root) == corpus
    cases = own.by_name(corpus)
    _, scribble, _ = tiny.volume()
    np.testing.assert_array_equal(cases["lps"].scribble, scribble)  # pyright: ignore[reportArgumentType]
    assert cases["lps"].spacing == spacing[::-1]
    assert cases["lps"].affine is not None
    np.testing.assert_allclose(cases["lps"].affine[:3, :3], np.diag(spacing) * [-1, -1, 1], atol=1e-5)
    for case in cases.values():
        same(case, cases["lps"])


@SPACINGS
def test_an_oblique_scan_comes_in_alike(tmp_path: Path, spacing: tuple[float, ...]) -> None:
    oblique = turned.folder(tmp_path / "src", NAMED, spacing=spacing, rotation=turned.R20)
    straight = turned.folder(tmp_path / "straight", {"lps": "LPS"}, spacing=spacing)
    (plain,) = own.by_name(folder.prepare(straight, tmp_path / "one")).values()
    cases = own.by_name(folder.prepare(oblique, tmp_path / "c"))
    for case in cases.values():
        np.testing.assert_array_equal(case.image, plain.image)
        same(case, cases["lps"])


def test_strokes_may_be_stored_otherwise_than_their_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    strokes = dict(zip(NAMED, turned.WAYS[::-1], strict=True))
    source = turned.folder(tmp_path / "src", NAMED, strokes=strokes)
    cases = own.by_name(folder.prepare(source, tmp_path / "c"))
    for case in cases.values():
        same(case, cases["lps"])
    assert "note" not in capsys.readouterr().err
    # Those of another place are still refused.
    moved = turned.stored(turned.scan(own.coded(tiny.volume()[1])), "RAS")
    moved.SetOrigin((-30.0, 0.0, 0.0))
    turned.write(source / "scribbles" / "lps.nii.gz", moved)
    with pytest.raises(InputError, match=r"lps\.nii\.gz: its corners lie up to .* half a voxel; save it on the image"):
        folder.prepare(source, tmp_path / "d")


@pytest.mark.parametrize("across", ["coronal", "sagittal"])
def test_other_slices_have_their_radiological_view(tmp_path: Path, across: str) -> None:
    """Coronal: patient's left on the right, head up. Sagittal: anterior on the left, head up."""
    place, wanted = {"coronal": (1, "LIP"), "sagittal": (0, "PIL")}[across]
    spacing = [1.5, 1.5, 1.5]
    spacing[place] = 8.0
    source = turned.folder(tmp_path / "src", NAMED, spacing=tuple(spacing))
    cases = own.by_name(folder.prepare(source, tmp_path / "c"))
    for case in cases.values():
        assert case.affine is not None
        assert "".join(nib.orientations.aff2axcodes(case.affine)) == wanted
        same(case, cases["lps"])


def test_a_single_slice_lies_as_its_volume(tmp_path: Path) -> None:
    """A slice of one voxel along whatever axis of the file."""
    source = turned.folder(tmp_path / "src", {})
    image, scribble, _ = tiny.volume(d=1)
    for codes in turned.WAYS:
        for part, array in (("images", (1000 * image).astype(np.int16)), ("scribbles", own.coded(scribble))):
            turned.write(source / part / f"{codes}.nii.gz", turned.stored(turned.scan(array), codes))
    cases = own.by_name(folder.prepare(source, tmp_path / "c"))
    np.testing.assert_array_equal(cases["RAS"].scribble, scribble)  # pyright: ignore[reportArgumentType]
    for case in cases.values():
        same(case, cases["LPS"])


def test_files_without_a_place_stay_as_they_are(tmp_path: Path) -> None:
    image, scribble, _ = tiny.volume()
    source = turned.folder(tmp_path / "src", {})
    for part, array in (("images", (1000 * image).astype(np.int16)), ("scribbles", own.coded(scribble))):
        stored: Any = nib.Nifti1Image(array.T, np.diag([1.5, 1.5, 8.0, 1.0]))
        stored.set_qform(None, 0)
        stored.set_sform(None, 0)
        (source / part).mkdir(parents=True)
        nib.save(stored, source / part / "a.nii.gz")
    corpus = folder.prepare(source, tmp_path / "c")
    np.testing.assert_array_equal(own.by_name(corpus)["a"].scribble, scribble)  # pyright: ignore[reportArgumentType]
    assert not corpus.radiological
    assert "radiological" not in (corpus.root / "corpus.json").read_text()


def test_the_other_sources_turn_as_well(tmp_path: Path) -> None:
    """A data set of nnU-Net, MSCMR's layout with strokes stored otherwise, and DICOM series."""
    image, scribble, dense = tiny.volume()
    for codes in ("LPS", "LAS"):
        files = {
            "nn/imagesTr/{}_0000.nii.gz": (1000 * image).astype(np.int16),
            "nn/labelsTr/{}.nii.gz": dense,
            "ms/train/images/{}_DE.nii.gz": (1000 * image).astype(np.int16),
            "dicom/{}": (1000 * image).astype(np.uint16),
        }
        for path, array in files.items():
            turned.write(tmp_path / path.format(codes), turned.stored(turned.scan(array), codes))
        strokes = turned.stored(turned.scan(own.coded(scribble)), "PSR")
        turned.write(tmp_path / f"ms/train/labels/{codes}_DE_scribble.nii.gz", strokes)
    (tmp_path / "nn" / "dataset.json").write_text(
        '{"labels": {"background": 0, "RV": 1, "Myo": 2, "LV": 3}, "file_ending": ".nii.gz"}'
    )
    for module, name in ((nnunet, "nn"), (mscmr, "ms"), (dicom, "dicom")):
        corpus: Corpus = module.prepare(tmp_path / name, tmp_path / f"c-{name}")
        assert corpus.radiological
        one, other = own.by_name(corpus).values()
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_allclose(one.image[0], np.clip(image - image.min(), 0, 1) / one.image.max(), atol=0.2)
        for kind, wanted in (("scribble", scribble), ("dense", dense)):
            for labels in (getattr(one, kind), getattr(other, kind)):
                assert labels is None or np.array_equal(labels, wanted)


def test_a_corpus_of_before_stays_as_it_was(tmp_path: Path) -> None:
    corpus = tiny.corpus(tmp_path / "c")
    assert not corpus.radiological
    assert not corpus.slicing.radiological


def test_prepare_and_check_say_what_is_assumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = own.folder(tmp_path / "src", scribbled=2, masked=1)
    image, scribble, _ = tiny.volume(d=1)
    own.write(source / "images" / "flat.png", (255 * np.clip(image, 0, 1)).astype(np.uint8))
    own.write(source / "scribbles" / "flat.png", own.coded(scribble))
    line = "no spacing in 1 of 4 cases; 1 × 1 × 1 mm are assumed for distances in them"
    for command in (["prepare", "folder", str(source), str(tmp_path / "c")], ["check", str(tmp_path / "c")]):
        assert run(command) == 0
        (told,) = [each for each in capsys.readouterr().err.splitlines() if "spacing" in each]
        assert line in told


@pytest.mark.slow
def test_real_scans_have_one_view(mscmr_source: Path, tmp_path: Path) -> None:
    """MSCMR's files store their axes in two ways; the network sees the patients' feet below in all of them."""
    for path in sorted((mscmr_source / "train").rglob("*.nii.gz")):
        if path.name.split("_")[0] in ("subject13", "subject14", "subject15", "subject17", "subject18"):
            (tmp_path / "ms" / path.relative_to(mscmr_source)).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "ms" / path.relative_to(mscmr_source)).symlink_to(path)
    corpus = mscmr.prepare(tmp_path / "ms", tmp_path / "c")
    assert corpus.radiological
    for entry in corpus.entries:
        affine = corpus.load(entry).affine
        assert affine is not None
        assert nib.orientations.aff2axcodes(affine) in (("L", "I", "P"), ("P", "I", "L"))
