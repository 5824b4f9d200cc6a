"""Files and series of several volumes are split into files of one volume each, in order, on the same grid."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom import Dataset
from pydicom.dataset import FileDataset
from pydicom.uid import RLELossless

import dicom_pictures
import dicoms
import enhanced
from maskmixadv.cli.app import run
from maskmixadv.errors import InputError
from maskmixadv.formats import image_files, nifti, series
from maskmixadv.sources import film

FRAMES = np.random.default_rng(0).integers(0, 900, (6, 3, 7, 4)).astype(np.uint16)
"""Volumes ``v d h w``."""
Say = Callable[[FileDataset, int, int], None]


def write_nifti(path: Path, frames: np.ndarray = FRAMES, **fields: Any) -> Path:
    image = nib.Nifti1Image(frames.T, np.array([[0, -1.5, 0, 7], [1.2, 0, 0, 0], [0, 0, 8, -3], [0, 0, 0, 1.0]]))
    for name, value in fields.items():
        image.header[name] = value
    nib.save(image, path)
    return path


def write_itk(path: Path, *, components: bool = False) -> Path:
    if components:
        image = SimpleITK.GetImageFromArray(np.moveaxis(FRAMES, 0, -1), isVector=True)
    else:
        image = SimpleITK.JoinSeries([SimpleITK.GetImageFromArray(frame) for frame in FRAMES])
    image.SetSpacing((1.5, 1.2, 8.0, 1.0)[: image.GetDimension()])
    SimpleITK.WriteImage(image, path)
    return path


def write_cine(folder: Path, say: Say, frames: np.ndarray = FRAMES) -> Path:
    """Write the slices of all volumes as one series, in files of random names; `say` gets volume and slice."""
    volumes, count = frames.shape[:2]
    normal = np.cross(*dicoms.OBLIQUE)

    def change(number: int, one: FileDataset) -> None:
        volume, at = divmod(number, count)
        one.ImagePositionPatient = (np.array([-31.0, 12.5, 40.0]) + 6.0 * at * normal).tolist()
        say(one, volume, at)

    return dicoms.write_series(folder, frames.reshape(volumes * count, *frames.shape[2:]), change=change)


def at_times(one: FileDataset, volume: int, at: int) -> None:
    one.TriggerTime = 33 * volume + 7 * at  # each slice has a breath-hold of its own


def in_series(one: FileDataset, volume: int, at: int) -> None:
    """A scanner that makes a series of each slice's phases."""
    at_times(one, volume, at)
    one.SeriesInstanceUID = f"1.2.{at}"


def flow(one: FileDataset, volume: int, at: int) -> None:  # noqa: ARG001
    """Magnitude and phase at each of three times."""
    one.ComplexImageComponent = ("MAGNITUDE", "PHASE")[volume // 3]
    one.TriggerTime = 33 * (volume % 3)


def echoes(one: FileDataset, volume: int, at: int) -> None:  # noqa: ARG001
    one.EchoTime = 120 - 20 * volume


def write_multi_frame(folder: Path) -> Path:
    write_cine(folder / "classic", at_times)
    slices = enhanced.classic(folder / "classic")

    def frame(at: int, group: Any) -> None:
        enhanced.within(
            group, "CardiacSynchronizationSequence", NominalCardiacTriggerDelayTime=float(slices[at].TriggerTime)
        )

    return enhanced.write_enhanced(folder / "cine.dcm", slices, frame=frame)


FILMS: dict[str, Callable[[Path], Path]] = {
    "nifti": lambda folder: write_nifti(folder / "cine.nii.gz"),
    "nifti, times": lambda folder: write_nifti(
        folder / "cine.nii", pixdim=(1, 1.2, 1.5, 8, 33, 1, 1, 1), xyzt_units=18
    ),
    "nifti, vectors": lambda folder: write_nifti(folder / "cine.nii", FRAMES[:, None]),
    "nrrd": lambda folder: write_itk(folder / "cine.nrrd"),
    "mha, components": lambda folder: write_itk(folder / "cine.mha", components=True),
    "phases": lambda folder: write_cine(folder / "cine", at_times),
    "a series a slice": lambda folder: write_cine(folder / "cine", in_series),
    "flow": lambda folder: write_cine(folder / "cine", flow),
    "multi-frame": write_multi_frame,
}


@pytest.mark.parametrize("kind", FILMS)
def test_each_volume_becomes_a_file(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = FILMS[kind](tmp_path)
    assert run(["split", str(source), str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'out'}: 6 volumes, cine_v01.nii.gz to cine_v06.nii.gz")
    written = [nifti.read(path) for path in sorted((tmp_path / "out").iterdir())]
    assert len(written) == len(FRAMES)
    for frame, volume in zip(FRAMES, written, strict=True):
        np.testing.assert_array_equal(volume.array, frame)


@pytest.mark.parametrize("kind", ["phases", "nifti, times", "nrrd"])
def test_volumes_lie_where_the_film_did(kind: str, tmp_path: Path) -> None:
    source = FILMS[kind](tmp_path)
    film.write(film.read(source), tmp_path / "out")
    grid = SimpleITK.ReadImage(tmp_path / "out" / "cine_v04.nii.gz")
    if kind == "phases":
        first = {name: getattr(enhanced.classic(source)[0], name) for name in ("ImagePositionPatient", "PixelSpacing")}
        np.testing.assert_allclose(grid.GetOrigin(), first["ImagePositionPatient"], atol=1e-3)
        np.testing.assert_allclose(grid.GetSpacing(), (*first["PixelSpacing"][::-1], 6.0), atol=1e-3)
    else:
        whole = SimpleITK.ReadImage(source)
        np.testing.assert_allclose(grid.GetOrigin(), whole.GetOrigin()[:3], atol=1e-5)
        np.testing.assert_allclose(grid.GetSpacing(), whole.GetSpacing()[:3], atol=1e-5)
        turned = np.reshape(whole.GetDirection(), (4, 4))[:3, :3]
        np.testing.assert_allclose(np.reshape(grid.GetDirection(), (3, 3)), turned, atol=1e-5)


def test_volumes_go_by_echo_time(tmp_path: Path) -> None:
    found = film.read(write_cine(tmp_path / "mapping", echoes))
    np.testing.assert_array_equal(found.frames, FRAMES[::-1])
    assert found.told == "EchoTime 20 to EchoTime 120"


def test_numbers_with_a_slope_keep_their_values(tmp_path: Path) -> None:
    path = tmp_path / "scaled.nii"
    image = nib.Nifti1Image(FRAMES.T.astype(np.int16), np.eye(4))
    image.header.set_slope_inter(0.5, -100)
    nib.save(image, path)
    with path.open("r+b") as file:  # nibabel stores 1 and 0 where an array is given
        file.seek(112)
        file.write(np.array([0.5, -100], np.float32).tobytes())
    film.write(film.read(path), tmp_path)
    np.testing.assert_allclose(nifti.read(tmp_path / "scaled_v06.nii.gz").array, FRAMES[5] * 0.5 - 100)


def dynamic(one: FileDataset, volume: int, at: int) -> None:
    """What CT perfusion says: images are numbered on, and times alone tell them apart."""
    one.AcquisitionNumber, one.AcquisitionDate = 1 + volume * 3 + at, "20200101" if volume < 3 else "20200102"
    one.AcquisitionTime = ("235950", "235955.5", "235959", "000003", "000008", "000013.250")[volume]


def pet(one: FileDataset, volume: int, at: int) -> None:
    one.FrameReferenceTime = f"{1200000.5 + volume / 4 + 90000 * at}"  # beds follow one another


def siemens(one: FileDataset, volume: int, at: int) -> None:  # noqa: ARG001
    block = one.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "IS", 800 if volume else 0)
    if volume:
        block.add_new(0x0E, "FD", [volume / 8, 0.0, 0.5])


def ge(one: FileDataset, volume: int, at: int) -> None:  # noqa: ARG001
    one.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x39, "IS", [800 if volume else 0, 8, 0, 0])
    block = one.private_block(0x0019, "GEMS_ACQU_01", create=True)
    for element, value in ((0xBB, f"{volume / 8}"), (0xBC, "0"), (0xBD, "0.5")):
        block.add_new(element, "DS", value)


def philips(one: FileDataset, volume: int, at: int) -> None:  # noqa: ARG001
    one.private_block(0x2001, "Philips Imaging DD 001", create=True).add_new(0x03, "FL", 800.0 if volume else 0.0)
    block = one.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
    for element, value in ((0xB0, volume / 8), (0xB1, 0.0), (0xB2, 0.5)):
        block.add_new(element, "FL", value)


def named(name: str, values: Sequence[Any]) -> Say:
    def say(one: FileDataset, volume: int, at: int) -> None:  # noqa: ARG001
        setattr(one, name, values[volume])

    return say


SAID: dict[str, tuple[Say, str]] = {
    "times of a day": (dynamic, "AcquisitionTime 20200101 235950"),
    "PET": (pet, "FrameReferenceTime 1200000.5"),
    "Siemens": (siemens, "DiffusionBValue 0 no DiffusionGradientOrientation"),
    "GE": (ge, "DiffusionBValue 0 DiffusionGradientOrientation [0.0, 0.0, 0.5]"),
    "Philips": (philips, "DiffusionBValue 0 DiffusionGradientOrientation [0.0, 0.0, 0.5]"),
    "cardiac CT": (
        named("NominalPercentageOfCardiacPhase", range(0, 60, 10)),
        "NominalPercentageOfCardiacPhase 0",
    ),
    "4D CT": (named("NominalPercentageOfRespiratoryPhase", range(6)), "NominalPercentageOfRespiratoryPhase 0"),
    "numbers of echoes": (named("EchoNumbers", range(1, 7)), "EchoNumbers 1"),
    "sequences": (named("SequenceName", [f"ep_b800#{at}" for at in range(6, 12)]), "SequenceName ep_b800#6"),
}
"""What scanners say of slices at one place, and what is told of the first volume."""


@pytest.mark.parametrize("kind", SAID)
def test_what_scanners_say_tells_volumes_apart(kind: str, tmp_path: Path) -> None:
    say, first = SAID[kind]
    found = film.read(write_cine(tmp_path / "cine", say))
    np.testing.assert_array_equal(found.frames, FRAMES)
    assert found.labels[0] == first
    with pytest.raises(
        InputError, match=f"({first.split()[0]}|AcquisitionNumber) is "
    ):  # who can't read it says what differs
        series.read(tmp_path / "cine")


def said_in_frames(name: str, key: str) -> Callable[[int, Any], None]:
    return lambda at, group: enhanced.within(
        group, name, **{key: [1.0 + at // 3, 0.0, 0.0] if "Di" in key else at // 3}
    )


def counted_alone(at: int, group: Any) -> None:
    enhanced.within(group, "FrameContentSequence", DimensionIndexValues=[1 + at % 3, 1 + at // 3])


IN_FRAMES: dict[str, tuple[Callable[[int, Any], None], str]] = {
    "the file's count": (counted_alone, "dimension 2 (phase) 1 to dimension 2 (phase) 6"),
    "cardiac CT": (
        said_in_frames("CardiacSynchronizationSequence", "NominalPercentageOfCardiacPhase"),
        "NominalPercentageOfCardiacPhase 0 to NominalPercentageOfCardiacPhase 5",
    ),
    "4D CT": (
        said_in_frames("RespiratorySynchronizationSequence", "NominalPercentageOfRespiratoryPhase"),
        "NominalPercentageOfRespiratoryPhase 0 to NominalPercentageOfRespiratoryPhase 5",
    ),
    "flow": (
        said_in_frames("MRVelocityEncodingSequence", "VelocityEncodingDirection"),
        "VelocityEncodingDirection [1.0, 0.0, 0.0] to VelocityEncodingDirection [6.0, 0.0, 0.0]",
    ),
    "times": (
        said_in_frames("TemporalPositionSequence", "TemporalPositionTimeOffset"),
        "TemporalPositionTimeOffset 0 to TemporalPositionTimeOffset 5",
    ),
    "numbers of acquisitions": (
        said_in_frames("FrameContentSequence", "FrameAcquisitionNumber"),
        "FrameAcquisitionNumber 0 to FrameAcquisitionNumber 5",
    ),
}


@pytest.mark.parametrize("kind", IN_FRAMES)
def test_what_frames_say_tells_volumes_apart(kind: str, tmp_path: Path) -> None:
    frame, told = IN_FRAMES[kind]

    def whole(made: FileDataset) -> None:
        made.DimensionIndexSequence = [Dataset(), Dataset()]
        made.DimensionIndexSequence[0].DimensionIndexPointer = 0x00209057
        made.DimensionIndexSequence[1].DimensionDescriptionLabel = "phase"

    write_cine(tmp_path / "classic", named("InstanceNumber", range(1, 7)))
    slices = sorted(enhanced.classic(tmp_path / "classic"), key=lambda one: int(one.InstanceNumber))
    found = film.read(enhanced.write_enhanced(tmp_path / "cine.dcm", slices, frame=frame, whole=whole))
    np.testing.assert_array_equal(found.frames, FRAMES)
    assert found.told == told


def test_each_volume_is_told_where_the_first_and_the_last_do_not_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["split", str(write_cine(tmp_path / "cine", flow)), str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"{tmp_path / 'out'}: 6 volumes, cine_v01.nii.gz to cine_v06.nii.gz"
    assert lines[2] == "cine_v02.nii.gz: ComplexImageComponent MAGNITUDE TriggerTime 33"
    assert len(lines) == 8


def long_axes(one: FileDataset, at: int) -> None:
    """A slice with another direction beside the ones of a short axis."""
    one.ImageOrientationPatient, one.ImagePositionPatient = [0.0, 0.6, -0.8, 0.0, -0.8, -0.6], [-5.0, 40.0, 70.0 + at]


def above(one: FileDataset, at: int) -> None:  # noqa: ARG001
    """A slice of the same direction, far from the others, which the header calls another stack."""
    one.ImagePositionPatient = (np.array([-31.0, 12.5, 40.0]) + 60 * np.cross(*dicoms.OBLIQUE)).tolist()


@pytest.mark.parametrize("place", [long_axes, above])
def test_stacks_of_one_series_are_told_apart(
    place: Callable[[FileDataset, int], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def say(one: FileDataset, volume: int, at: int) -> None:
        at_times(one, volume, at)
        one.StackID = "2" if at == 2 else "10"
        if at == 2:
            place(one, 0)

    source = write_cine(tmp_path / "cine", say)
    with pytest.raises(InputError, match="split the series, as 'maskmixadv split' does"):
        series.read(source)
    with pytest.raises(InputError, match="holds 2 stacks of slices, allowed is one; 'maskmixadv split' saves them"):
        film.read(source)
    assert run(["split", str(source), str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "cine_v01.nii.gz: StackID 2: TriggerTime 14"
    assert lines[12] == "cine_v12.nii.gz: StackID 10: TriggerTime 165"
    for at, frame in enumerate([*FRAMES[:, 2:], *FRAMES[:, :2]], 1):
        grid = SimpleITK.ReadImage(tmp_path / "out" / f"cine_v{at:02d}.nii.gz")
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(grid), frame)
        one = FileDataset("x", {})
        place(one, 0)
        origin = one.ImagePositionPatient if at <= 6 else (-31.0, 12.5, 40.0)
        np.testing.assert_allclose(grid.GetOrigin(), origin, atol=1e-3)


def lacking(folder: Path) -> Path:
    path = write_cine(folder / "cine", at_times)
    next(path.iterdir()).unlink()
    return path


def silent(one: FileDataset, volume: int, at: int) -> None:
    """Nothing says which phase a slice is of."""


def series_by_turns(one: FileDataset, volume: int, at: int) -> None:
    at_times(one, volume, at)
    one.SeriesInstanceUID = f"1.2.{at % 2}"


def two_series(one: FileDataset, volume: int, at: int) -> None:
    at_times(one, volume, at)
    one.SeriesInstanceUID = f"1.2.{volume}"


def contrasts_by_place(one: FileDataset, volume: int, at: int) -> None:
    one.TriggerTime, one.EchoTime = 33 * volume, (2, 40, 2)[at]


def timeless_once(one: FileDataset, volume: int, at: int) -> None:
    if (volume, at) != (0, 1):
        one.TriggerTime = 33 * volume


def two_by_three(one: FileDataset, volume: int, at: int) -> None:  # noqa: ARG001
    one.EchoTime, one.TemporalPositionIdentifier = 10 * (1 + volume // 3), volume % 3


def without(*gone: tuple[int, int], say: Say = at_times) -> Callable[[Path], Path]:
    """Write a film of which slices, each a volume's and a place's number, are missing: as many at each place."""

    def write(folder: Path) -> Path:
        path, numbers = folder / "cine", dict[int, tuple[int, int]]()

        def keep(one: FileDataset, volume: int, at: int) -> None:
            say(one, volume, at)
            numbers[int(one.InstanceNumber)] = volume, at

        write_cine(path, keep)
        for number, place in numbers.items():
            if place in gone:
                (path / f"IM{number - 1:04d}").unlink()
        return path

    return write


REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "one volume": (lambda folder: write_nifti(folder / "a.nii", FRAMES[0]), "a.nii: holds one volume, allowed are sev"),
    "one series": (lambda folder: dicoms.write_series(folder / "a", FRAMES[0]), "a: holds one volume, allowed are"),
    "five axes": (
        lambda folder: write_nifti(folder / "a.nii", FRAMES[None].repeat(2, 0)),
        "has 5 axes .* along a four",
    ),
    "another format": (lambda folder: folder / "a.png", "a.png: no such file or folder, or of another format; allowed"),
    "layers": (
        lambda folder: write_itk(folder / "a.seg.nrrd", components=True),
        "a.seg.nrrd: no such .* another format",
    ),
    "no images": (lambda folder: folder, "holds no DICOM image series; allowed are NIfTI"),
    "a slice lacks": (lacking, "5 slices at its place, but 6 at that of .*; add what is missing"),
    "not said": (lambda folder: write_cine(folder / "a", silent), "6 slices lie at its place, and nothing in the head"),
    "each place lacks another time": (without((1, 0), (3, 1), (4, 2)), "TriggerTime goes from 0 to 66 after it, but f"),
    "a place lacks its first": (
        without((0, 0), (5, 1), (5, 2), say=lambda one, volume, _: setattr(one, "TriggerTime", 33 * volume)),
        "TriggerTime begins with 33 at its place, but with 0 at that of .*; add what is missing",
    ),
    "each place lacks another time of a day": (
        without((1, 0), (3, 1), (4, 2), say=dynamic),
        "AcquisitionTime goes from 2020010. [0-9.]+ to 2020010. [0-9.]+ after it, but from 2020.*; add what is missing",
    ),
    "each place lacks another echo": (
        without((1, 0), (3, 1), (4, 2), say=two_by_three),
        "[23] slices at its place with EchoTime .0, but [23] at that of .*; add what is missing",
    ),
    "each place lacks another time of an echo": (
        without((1, 0), (5, 0), (2, 1), (4, 1), (1, 2), (5, 2), say=two_by_three),
        "[13] slices? at its place with|follows by its EchoTime, TemporalPositionIdentifier: EchoTime .*; add what is",
    ),
    "a slice lacks its time": (
        lambda folder: write_cine(folder / "a", timeless_once),
        "lacks TriggerTime, which .* ha",
    ),
    "contrasts by place": (lambda folder: write_cine(folder / "a", contrasts_by_place), "EchoTime is 2, 40 in its sl"),
    "series by turns": (
        lambda folder: write_cine(folder / "a", series_by_turns),
        "lies between slices of another series, as .*; sort series apart",
    ),
    "two series": (lambda folder: write_cine(folder / "a", two_series), "does, of another series; sort series apart"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_can_not_be_split_is_refused(kind: str, tmp_path: Path) -> None:
    write, words = REFUSED[kind]
    with pytest.raises(InputError, match=words):
        film.read(write(tmp_path))


def test_numbers_that_change_in_the_middle_of_a_film_do_not_sort_it(tmp_path: Path) -> None:
    def say(one: FileDataset, volume: int, at: int) -> None:
        at_times(one, volume, at)
        one.AcquisitionNumber = 1 if volume < (2, 3, 3)[at] else 2

    np.testing.assert_array_equal(film.read(write_cine(tmp_path / "cine", say)).frames, FRAMES)


def test_fewer_volumes_than_the_header_counts_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def say(one: FileDataset, volume: int, at: int) -> None:
        at_times(one, volume, at)
        one.CardiacNumberOfImages = 6

    assert len(film.read(without((5, 0), (5, 1), (5, 2), say=say)(tmp_path)).frames) == 5
    assert "CardiacNumberOfImages is 6, but 5 slices lie at each place" in capsys.readouterr().err


def test_no_file_is_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_nifti(tmp_path / "cine.nii.gz")
    mine = tmp_path / "out" / "cine_v03.nii.gz"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    assert run(["split", str(source), str(mine.parent)]) == 2
    assert "cine_v03.nii.gz: exists, allowed is a name that is free" in capsys.readouterr().err
    assert [path.read_bytes() for path in mine.parent.iterdir()] == [b"mine"]


@pytest.mark.parametrize("name", ["cine_v003.nii.gz", "CINE_v1.nii.gz"])
def test_names_are_checked_before_anything_is_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_nifti(tmp_path / "cine.nii.gz")
    (tmp_path / name).touch()
    monkeypatch.setattr(film, "_read", lambda _: pytest.fail("it was read"))
    with pytest.raises(InputError, match=f"{name}: exists, allowed is a name that is free"):
        film.split(source, tmp_path)


@pytest.mark.parametrize("kind", ["nifti", "nifti, times", "nrrd", "mha, components", "phases", "flow", "multi-frame"])
def test_who_refuses_a_film_names_the_command(kind: str, tmp_path: Path) -> None:
    source = FILMS[kind](tmp_path)
    with pytest.raises(InputError, match="as 'maskmixadv split' does"):
        (series if source.is_dir() else image_files).read(source)


@pytest.mark.parametrize("suffix", [".dcm", ""])
@pytest.mark.parametrize("coloured", [False, True])
def test_frames_without_a_place_become_pictures(coloured: bool, suffix: str, tmp_path: Path) -> None:
    shape = (3, 8, 10, 3) if coloured else (3, 8, 10)
    frames = np.random.default_rng(1).integers(0, 255, shape).astype(np.uint8)
    source = dicom_pictures.write_picture(tmp_path / f"us{suffix}", frames, uid=dicom_pictures.CINE, change=in_cm)
    names, _ = film.split(source, tmp_path / "out")
    assert names == ["us_v01.dcm", "us_v02.dcm", "us_v03.dcm"]
    for name, frame in zip(names, frames, strict=True):
        read = image_files.read(tmp_path / "out" / name)
        shown = read.array[0] if read.channels is None else np.moveaxis(read.channels[:, 0], 0, -1)
        np.testing.assert_array_equal(shown, frame)
        assert read.spacing == (1.0, 0.2, 0.3)
        assert pydicom.dcmread(tmp_path / "out" / name).SOPClassUID == dicom_pictures.US


def in_cm(one: FileDataset) -> None:
    dicom_pictures.region(one, tall=0.02, wide=0.03)


def test_a_compressed_film_is_unpacked(tmp_path: Path) -> None:
    frames = np.random.default_rng(1).integers(0, 255, (3, 16, 20)).astype(np.uint8)
    source = dicom_pictures.write_picture(tmp_path / "xa.dcm", frames, uid=dicom_pictures.XA)
    packed = pydicom.dcmread(source)
    packed.compress(RLELossless)
    packed.save_as(source)
    names, _ = film.split(source, tmp_path)
    np.testing.assert_array_equal([image_files.read(tmp_path / name).array[0] for name in names], frames)


def test_a_palette_in_the_other_order_of_bytes_stays_as_it_is(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(0, 2**16, 256).astype("<u2")

    def change(one: FileDataset) -> None:
        for name in ("Red", "Green", "Blue"):
            setattr(one, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 16])
            one[f"{name}PaletteColorLookupTableDescriptor"].VR = "US"
            setattr(one, f"{name}PaletteColorLookupTableData", values.tobytes())

    frames = np.random.default_rng(2).integers(0, 255, (2, 8, 10)).astype(np.uint8)
    source = dicom_pictures.write_picture(
        tmp_path / "us.dcm", frames, uid=dicom_pictures.CINE, shown="PALETTE COLOR", change=change
    )
    names, _ = film.split(dicom_pictures.most_significant_first(source), tmp_path)
    for name, frame in zip(names, frames, strict=True):
        read = image_files.read(tmp_path / name)
        assert read.channels is not None
        np.testing.assert_array_equal(read.channels[0, 0], values[frame])


def test_a_single_picture_is_no_film(tmp_path: Path) -> None:
    source = dicom_pictures.write_picture(tmp_path / "us.dcm", dicom_pictures.grey(), uid=dicom_pictures.US)
    with pytest.raises(InputError, match=r"us.dcm: holds one picture, allowed are several"):
        film.split(source, tmp_path)
