import re
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
import pytest

import tiny
from maskmixadv.corpus.case import Case
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.errors import InputError
from maskmixadv.formats import nifti
from maskmixadv.sources import acdc, mscmr
from maskmixadv.types import IGNORE

AFFINE = np.array([[-1.5, 0, 0, 10], [0, -1.6, 0, 20], [0, 0, 8, -5], [0, 0, 0, 1.0]])


def coded(labels: np.ndarray) -> np.ndarray:
    return np.where(labels == IGNORE, 4, labels).astype(np.uint16)


def write_h5(path: Path, image: np.ndarray, scribble: np.ndarray, dense: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["image"], file["scribble"], file["label"] = image, coded(scribble), dense


def write_nifti(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array.T, affine), path)


def write_volumes(source: Path, patients: int = 5) -> None:
    for patient in range(1, patients + 1):
        for frame in (1, 12):
            write_h5(source / f"patient{patient:03d}_frame{frame:02d}.h5", *tiny.volume(patient + frame))


def arrays(corpus: Corpus) -> list[Case]:
    return list(corpus.load_all(corpus.entries))


def test_acdc_volumes(tmp_path: Path) -> None:
    write_volumes(tmp_path / "src" / "ACDC_training_volumes")
    corpus = acdc.prepare(tmp_path / "src", tmp_path / "c")
    assert [entry.phase for entry in corpus.entries[:2]] == ["ED", "ES"]
    assert {entry.spacing for entry in corpus.entries} == {None}
    assert corpus.nominal == (10.0, 1.0, 1.0)
    first = arrays(corpus)[0]
    for read, written in zip((first.image[0], first.scribble, first.dense), tiny.volume(2), strict=True):
        np.testing.assert_array_equal(read, written)


def test_acdc_slices_give_the_same_corpus(tmp_path: Path) -> None:
    write_volumes(tmp_path / "volumes")
    for path in (tmp_path / "volumes").iterdir():
        image, scribble, dense = acdc._read_h5(path)
        for k in range(len(image)):
            with h5py.File(_made(tmp_path / "slices" / f"{path.stem}_slice_{k}.h5"), "w") as file:
                file["image"], file["scribble"], file["label"] = image[k], scribble[k], dense[k]
    volumes, slices = (acdc.prepare(tmp_path / kind, tmp_path / f"c-{kind}") for kind in ("volumes", "slices"))
    assert volumes.hash() == slices.hash()


def test_acdc_nifti(tmp_path: Path) -> None:
    """The challenge's own files: clipped at the 99th percentile, scaled, with grid and spacing."""
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 900, (3, 40, 48)).astype(np.int16)
    _, scribble, dense = tiny.volume()
    folder = tmp_path / "src" / "patient001"
    write_nifti(folder / "patient001_frame01.nii.gz", raw)
    write_nifti(folder / "patient001_frame01_gt.nii.gz", dense)
    write_nifti(folder / "patient001_frame01_scribble.nii.gz", coded(scribble))
    case = arrays(acdc.prepare(tmp_path / "src", tmp_path / "c"))[0]
    high = np.percentile(raw, 99)
    np.testing.assert_allclose(case.image[0], np.clip((raw - raw.min()) / (high - raw.min()), 0, 1), atol=1e-6)
    np.testing.assert_array_equal(case.dense, dense)
    np.testing.assert_array_equal(case.scribble, scribble)
    assert case.spacing == pytest.approx((8.0, 1.6, 1.5))
    assert case.affine is not None
    np.testing.assert_allclose(case.affine, AFFINE)


def test_acdc_names_of_the_test_set_say_no_disease(tmp_path: Path) -> None:
    for patient in (100, 101):
        write_h5(tmp_path / "src" / f"patient{patient}_frame01.h5", *tiny.volume(patient))
    corpus = acdc.prepare(tmp_path / "src", tmp_path / "c")
    assert [entry.group for entry in corpus.entries] == ["RV", None]


RELEASES = pytest.mark.parametrize(
    ("reader", "image", "labels"),
    [
        (acdc, "patient001_frame01.nii.gz", "patient001_frame01_gt.nii.gz"),
        (acdc, "patient001_frame01.nii.gz", "patient001_frame01_scribble.nii.gz"),
        (mscmr, "train/images/s1_DE.nii.gz", "train/labels/s1_DE_manual.nii.gz"),
        (mscmr, "train/images/s1_DE.nii.gz", "train/labels/s1_DE_scribble.nii.gz"),
    ],
)


@RELEASES
def test_labels_that_run_the_other_way_are_turned(tmp_path: Path, reader: Any, image: str, labels: str) -> None:
    """A program may store labels along other directions than their image; a header says where each voxel lies."""
    grey, _, dense = tiny.volume()
    mirrored = AFFINE @ np.array([[-1, 0, 0, dense.shape[2] - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    for place, array, affine in (("as", dense, AFFINE), ("other", dense[..., ::-1], mirrored)):
        write_nifti(tmp_path / place / image, (grey * 1000).astype(np.int16))
        write_nifti(tmp_path / place / labels, array, affine)
    one, other = (arrays(reader.prepare(tmp_path / place, tmp_path / f"c-{place}"))[0] for place in ("as", "other"))
    for found, wanted in ((other.dense, one.dense), (other.scribble, one.scribble)):
        assert (found is None) == (wanted is None)
        np.testing.assert_array_equal(found, wanted)  # pyright: ignore[reportArgumentType]


@RELEASES
def test_labels_that_lie_elsewhere_are_refused(tmp_path: Path, reader: Any, image: str, labels: str) -> None:
    grey, _, dense = tiny.volume()
    moved = AFFINE.copy()
    moved[0, 3] += 3
    write_nifti(tmp_path / "src" / image, (grey * 1000).astype(np.int16))
    write_nifti(tmp_path / "src" / labels, dense, moved)
    with pytest.raises(InputError, match=rf"{labels}: its corners lie up to 3 mm from those of its image .*{image}"):
        reader.prepare(tmp_path / "src", tmp_path / "c")


def test_acdc_real_nifti_equals_hdf5(acdc_source: Path, tmp_path: Path) -> None:
    """Real volumes, written as NIfTI, come back with the same labels and nearly the same intensities."""
    (source,) = acdc_source.rglob("patient001_frame01.h5")
    image, scribble, dense = acdc._read_h5(source)
    write_nifti(tmp_path / "src" / "patient001_frame01.nii.gz", (image * 1000).astype(np.int16))
    write_nifti(tmp_path / "src" / "patient001_frame01_gt.nii.gz", dense)
    write_nifti(tmp_path / "src" / "patient001_frame01_scribble.nii.gz", scribble)
    case = arrays(acdc.prepare(tmp_path / "src", tmp_path / "c"))[0]
    np.testing.assert_array_equal(case.dense, dense)
    np.testing.assert_array_equal(case.scribble, np.where(scribble == 4, IGNORE, scribble))
    # The release is clipped at the 99th percentile already, so once more changes only what lies near it.
    assert np.abs(case.image[0] - image).mean() < 0.02


def test_acdc_folds_hold_out_whole_patients() -> None:
    patients = [f"patient{number:03d}" for number in range(1, 101)]
    folds = acdc.folds(patients)
    for splits in folds.values():
        for split in splits:
            assert sorted([*split.train, *split.val, *split.test]) == patients
    for scheme in ("paper", "stratified"):
        assert sorted(p for split in folds[scheme] for p in split.test) == patients
        assert {(len(s.train), len(s.val), len(s.test)) for s in folds[scheme]} == {(72, 8, 20)}
    assert folds["paper"][1].test == tuple(patients[20:40])
    groups = [{(int(p[-3:]) - 1) // 20 for p in split.test} for split in folds["stratified"]]
    assert groups == [{0, 1, 2, 3, 4}] * 5
    for kind, split in enumerate(folds["disease"]):
        assert split.test == folds["paper"][kind].test
        assert split.val == folds["paper"][(kind + 1) % 5].test
    (field,) = folds["field"]
    assert [len(part) for part in field] == [70, 15, 15]
    assert "patient005" in field.test
    assert "patient001" in field.val


@pytest.mark.parametrize("several", ["image", "labels"])
@pytest.mark.parametrize(
    ("reader", "image", "labels"),
    [
        (acdc, "patient001_frame01.nii.gz", "patient001_frame01_gt.nii.gz"),
        (mscmr, "train/images/s1_DE.nii.gz", "train/labels/s1_DE_manual.nii.gz"),
    ],
)
def test_one_of_several_volumes_is_not_chosen_unsaid(
    tmp_path: Path, reader: Any, image: str, labels: str, several: str
) -> None:
    _, _, dense = tiny.volume()
    grey = np.random.default_rng(0).integers(0, 900, dense.shape).astype(np.int16)
    for what, name, array in (("image", image, grey), ("labels", labels, dense)):
        write_nifti(tmp_path / "src" / name, np.stack((array, array)) if what == several else array)
    found = f"{image if several == 'image' else labels}: (the image has|labels have) 2 volumes"
    with pytest.raises(InputError, match=found):
        reader.prepare(tmp_path / "src", tmp_path / "c")


def test_mscmr(tmp_path: Path) -> None:
    image, scribble, dense = tiny.volume()
    for part, kind, labels in (
        ("train", "scribble", coded(scribble)),
        ("val", "manual", dense),
        ("TestSet", "manual", dense),
    ):
        write_nifti(tmp_path / "src" / part / "images" / f"subject_{part}_DE.nii.gz", (image * 1000).astype(np.int16))
        write_nifti(tmp_path / "src" / part / "labels" / f"subject_{part}_DE_{kind}.nii.gz", labels)
    corpus = mscmr.prepare(tmp_path / "src", tmp_path / "c")
    (split,) = corpus.folds["release"]
    assert split == (("subject_train",), ("subject_val",), ("subject_TestSet",))
    by_patient = {case.patient: case for case in arrays(corpus)}
    np.testing.assert_array_equal(by_patient["subject_train"].scribble, scribble)
    assert by_patient["subject_train"].dense is None
    np.testing.assert_array_equal(by_patient["subject_val"].dense, dense)


@pytest.mark.parametrize("reader", [acdc, mscmr])
def test_folders_without_a_case(reader: object, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for source, words in ((tmp_path / "empty", "no .* case found"), (tmp_path / "nowhere", "no such folder")):
        with pytest.raises(InputError, match=words):
            reader.prepare(source, tmp_path / "c")  # pyright: ignore[reportAttributeAccessIssue]
    assert not (tmp_path / "c").exists()


def test_bad_files_are_named(tmp_path: Path) -> None:
    source = tmp_path / "src"
    write_volumes(source, 2)
    bad = source / "patient002_frame12.h5"
    whole = bad.read_bytes()
    bad.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=re.escape(str(bad))):
        acdc.prepare(source, tmp_path / "c1")
    image, scribble, dense = tiny.volume()
    write_h5(bad, image, scribble, np.where(dense == 3, 7, dense))
    with pytest.raises(InputError, match=re.escape(str(bad)) + ": label 7 is not declared, allowed are 0, 1, 2, 3"):
        acdc.prepare(source, tmp_path / "c2")
    write_h5(bad, image, scribble[:, :-1], dense)
    with pytest.raises(InputError, match=r"patient002_frame12.*scribble has shape"):
        acdc.prepare(source, tmp_path / "c3")


def test_attributes_and_other_arrays_of_hdf5_are_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (1, 2):
        path = tmp_path / "src" / f"patient00{number}_frame01.h5"
        write_h5(path, *tiny.volume(number))
        with h5py.File(path, "r+") as file:
            file["image"].attrs["spacing"] = (10.0, 1.5, 1.5)
            file["image"].attrs["CLASS"] = "IMAGE"  # HDF5's own
            file.attrs["patient"] = "x"
            file["weights"] = np.ones(3)
    acdc.prepare(tmp_path / "src", tmp_path / "c")
    told = "image: spacing, patient, weights of 2 HDF5 files are not used, allowed are arrays image, scribble and label"
    assert f"{tmp_path / 'src'}: {told}\n" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "value", "fine"), [("scale_factor", 2.0, 1.0), ("add_offset", -1, 0)])
def test_numbers_of_hdf5_that_count_otherwise_are_refused(tmp_path: Path, name: str, value: float, fine: float) -> None:
    """Labels had other codes, and images other intensities."""
    path = tmp_path / "src" / "patient001_frame01.h5"
    write_h5(path, *tiny.volume())
    with h5py.File(path, "r+") as file:
        file["label"].attrs[name] = value
    with pytest.raises(InputError, match=rf"frame01\.h5: .*label has {name} {value}, allowed is {fine:g}"):
        acdc.prepare(tmp_path / "src", tmp_path / "c")
    with h5py.File(path, "r+") as file:
        file["label"].attrs[name] = fine
    assert len(acdc.prepare(tmp_path / "src", tmp_path / "c").entries) == 1


def test_links_inside_an_hdf5_file_are_followed(tmp_path: Path) -> None:
    """The line was that the array is none of this file."""
    path, other = tmp_path / "src" / "patient001_frame01.h5", tmp_path / "other.h5"
    for each in (path, other):
        write_h5(each, *tiny.volume())
    with h5py.File(path, "r+") as file:
        file.move("label", "truth")
        file["label"] = h5py.SoftLink("/truth")
    assert len(acdc.prepare(tmp_path / "src", tmp_path / "c").entries) == 1
    with h5py.File(path, "r+") as file:
        del file["label"], file["truth"]
        file["truth"] = h5py.ExternalLink(str(other), "/label")
        file["label"] = h5py.SoftLink("/truth")
    with pytest.raises(InputError, match="label lies in another file, allowed is an array of this one; copy it there"):
        acdc.prepare(tmp_path / "src", tmp_path / "d")


@pytest.mark.parametrize("name", ["image", "scribble", "label"])
def test_chunks_that_were_never_written_are_refused(tmp_path: Path, name: str) -> None:
    """HDF5 fills them: an image's slice would be black, and a mask's nothing but background."""
    path = tmp_path / "src" / "patient001_frame01.h5"
    write_h5(path, *tiny.volume())
    with h5py.File(path, "r+") as file:
        array: Any = file[name][()]  # pyright: ignore[reportIndexIssue]
        del file[name]
        chunked = file.create_dataset(name, array.shape, array.dtype, chunks=(1, *array.shape[1:]))
        chunked[:-1] = array[:-1]
    with pytest.raises(InputError, match=rf"frame01\.h5: .*{name} declares .* chunks, of which the file holds \d+"):
        acdc.prepare(tmp_path / "src", tmp_path / "c")
    with h5py.File(path, "r+") as file:
        file[name][-1] = array[-1]  # pyright: ignore[reportIndexIssue]
    assert len(acdc.prepare(tmp_path / "src", tmp_path / "c").entries) == 1


@pytest.mark.parametrize(("number", "words"), [("3", "is 2 after patient001_frame01_slice_1.h5"), ("01", "has the nu")])
def test_slices_are_numbered_without_gaps(tmp_path: Path, number: str, words: str) -> None:
    for name in ("0", "1", number):
        image, scribble, dense = (each[0] for each in tiny.volume())
        write_h5(tmp_path / "src" / f"patient001_frame01_slice_{name}.h5", image, scribble, dense)
    with pytest.raises(InputError, match=rf"{words}.*, allowed is each number once"):
        acdc.prepare(tmp_path / "src", tmp_path / "c")


def test_two_files_of_one_name(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_h5(tmp_path / "src" / folder / "patient001_frame01.h5", *tiny.volume())
    with pytest.raises(InputError, match=r"b/patient001_frame01\.h5: a case 'patient001_frame01' is in .*a too"):
        acdc.prepare(tmp_path / "src", tmp_path / "c")


def test_nifti_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    write_nifti(path, np.zeros((3, 4, 5), np.int16))
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match="not a readable NIfTI"):
        nifti.read(path)
    nib.save(nib.Nifti1Image(np.zeros((4, 5, 3, 5), np.int16), AFFINE), path)
    with pytest.raises(InputError, match=r"has 4 axes \(4, 5, 3, 5\)"):
        nifti.read(path)
    with pytest.raises(InputError, match="no such file"):
        nifti.read(tmp_path / "b.nii")


def test_labels_are_written_on_the_images_grid(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii.gz", np.zeros((3, 4, 5), np.float32))
    labels = np.arange(60).reshape(3, 4, 5).astype(np.uint8)
    nifti.write_labels(tmp_path / "b.nii.gz", labels, nifti.read(tmp_path / "a.nii.gz"))
    written: Any = nib.load(tmp_path / "b.nii.gz")
    np.testing.assert_allclose(written.affine, AFFINE, atol=1e-6)
    assert written.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(nifti.read(tmp_path / "b.nii.gz").array, labels)
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
