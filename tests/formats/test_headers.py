"""What headers say of the grid: units, signs, two forms, axes of one voxel, axes that are not at right angles."""

import gzip
import struct
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from maskmixadv.errors import InputError
from maskmixadv.formats import image_files, nifti
from maskmixadv.formats.slicing import View
from maskmixadv.inference import standalone_files

RNG = np.random.default_rng(0)
ARRAY = RNG.integers(0, 900, (5, 7, 3)).astype(np.int16)
"""In the file's order, x y z."""
CODES = RNG.integers(0, 4, ARRAY.T.shape).astype(np.uint8)
PLACE = np.array([[-1.5, 0, 0, 10], [0, -2, 0, 20], [0, 0, 8, -5], [0, 0, 0, 1.0]])


def write(path: Path, array: np.ndarray = ARRAY, affine: np.ndarray | None = PLACE, **fields: Any) -> Path:
    """Write a NIfTI file, and then set fields of its header, right or wrong."""
    image = nib.Nifti1Image(array, affine)
    nib.save(image, path)
    raw = path.read_bytes()
    header: Any = nib.Nifti1Header(raw[:348], check=False)
    for name, value in fields.items():
        header[name] = value
    path.write_bytes(header.binaryblock + raw[348:])
    return path


@pytest.mark.parametrize(("unit", "mm"), [("meter", 1000.0), ("micron", 0.001), ("mm", 1.0), ("unknown", 1.0)])
def test_lengths_of_nifti_come_in_as_millimetres(tmp_path: Path, unit: str, mm: float) -> None:
    image = nib.Nifti1Image(ARRAY, np.diag([1 / mm, 1 / mm, 1 / mm, 1]) @ PLACE)
    header: Any = image.header
    header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "a.nii")
    volume = image_files.read(tmp_path / "a.nii")
    assert volume.spacing == pytest.approx((8.0, 2.0, 1.5))
    assert volume.affine is not None
    np.testing.assert_allclose(volume.affine, PLACE, rtol=1e-6)
    assert image_files.peek(tmp_path / "a.nii") == ((3, 7, 5), volume.spacing)
    # Labels lie on the file's own grid, in its own unit.
    image_files.write_labels(tmp_path / "b.nii", CODES, volume)
    labels: Any = nib.load(tmp_path / "b.nii")
    np.testing.assert_allclose(labels.affine, np.asarray(image.affine))
    assert labels.header.get_xyzt_units()[0] == unit


@pytest.mark.parametrize("wrong", [0.0, np.nan, np.inf, 1500.0])
def test_a_voxel_without_a_size_is_refused_by_its_field(tmp_path: Path, wrong: float) -> None:
    path = write(tmp_path / "a.nii", sform_code=0, qform_code=1, pixdim=[1, 1.5, wrong, 8, 0, 0, 0, 0])
    for look in (image_files.read, image_files.peek, image_files.header):
        with pytest.raises(InputError, match=r"a\.nii: pixdim.*a voxel of 1.5 × "):
            look(path)


@pytest.mark.parametrize(
    ("sizes", "fine"),
    [((1e-4, 1.5, 8), False), ((1.5, 1.5, 1e-4), False), ((2e-4, 2e-4, 5), True), ((1, 0.03, 1), True)],
)
def test_a_voxel_of_a_shape_that_no_image_has_is_refused(
    tmp_path: Path, sizes: tuple[float, float, float], fine: bool
) -> None:
    nifti_file, itk_file = write(tmp_path / "a.nii", affine=np.diag([*sizes, 1])), tmp_path / "a.mha"
    image = SimpleITK.GetImageFromArray(ARRAY.T)
    image.SetSpacing(sizes)
    SimpleITK.WriteImage(image, str(itk_file))
    for path in (nifti_file, itk_file):
        for ask in (image_files.read, image_files.header):
            if fine:
                assert ask(path).spacing == pytest.approx(sizes[::-1])
                continue
            with pytest.raises(
                InputError, match=r"of which one side is 1\d+ times shorter than the others, allowed is"
            ):
                ask(path)


def test_micrometres_that_do_not_say_so_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", affine=np.diag([1500.0, 1500, 8000, 1]))
    with pytest.raises(InputError, match=r"a voxel of 1500 × 1500 × 8000 mm, .*header"):
        image_files.read(path)


@pytest.mark.parametrize("form", ["sform", "qform"])
def test_signs_of_pixel_sizes_change_nothing(tmp_path: Path, form: str) -> None:
    codes: dict[str, Any] = {f"{name}_code": int(name == form) for name in ("sform", "qform")}
    plain = image_files.read(write(tmp_path / "a.nii", **codes))
    right: Any = nib.load(tmp_path / "a.nii")
    sizes = right.header["pixdim"] * [1, -1, 1, -1, 1, 1, 1, 1]
    negative = image_files.read(write(tmp_path / "b.nii", pixdim=sizes, **codes))
    assert negative.spacing == plain.spacing == (8.0, 2.0, 1.5)
    assert plain.affine is not None
    assert negative.affine is not None
    np.testing.assert_allclose(negative.affine, plain.affine)


def test_a_sform_of_another_size_than_pixdim_counts(tmp_path: Path) -> None:
    """A registration scaled the sform alone."""
    volume = image_files.read(write(tmp_path / "a.nii", qform_code=0, pixdim=[1, 1, 1, 1, 0, 0, 0, 0]))
    assert volume.spacing == pytest.approx((8.0, 2.0, 1.5))


@pytest.mark.parametrize(
    "shape", [(1, 5, 7), (5, 1, 7), (5, 7, 1), (5, 7), (5, 7, 1, 1), (1, 5, 7, 1), (5, 7, 1, 1, 1)]
)
def test_a_single_slice_keeps_its_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = ARRAY[:, :, 0].reshape(shape)
    path = write(
        tmp_path / "a.nii", array, np.eye(4), pixdim=[1, *[1 if n > 1 else 0 for n in (*shape, 1)[:3]], *[0] * 4]
    )
    volume = image_files.read(path)
    axis = volume.header.single
    assert axis is not None
    slices = volume.seen(View.along(axis)).array
    assert slices.shape in ((1, 7, 5), (1, 5, 7))
    assert image_files.header(path).single == axis
    codes = (volume.array > 400).astype(np.uint8)
    image_files.write_labels(tmp_path / "b.nii", codes, volume)
    labels: Any = nib.load(tmp_path / "b.nii")
    assert labels.shape == shape
    np.testing.assert_array_equal(np.asarray(labels.dataobj), array > 400)


def test_labels_keep_both_forms(tmp_path: Path) -> None:
    moved = PLACE.copy()
    moved[:3, 3] += 12, -7, 3
    image = nib.Nifti1Image(ARRAY, None)
    image.set_qform(PLACE, 1)
    image.set_sform(moved, 2)
    nib.save(image, tmp_path / "a.nii")
    volume = image_files.read(tmp_path / "a.nii")
    assert list(volume.geometry.other_affines()) == ["qform"]
    image_files.write_labels(tmp_path / "b.nii", CODES, volume)
    labels: Any = nib.load(tmp_path / "b.nii")
    for name, (form, code) in {"qform": (PLACE, 1), "sform": (moved, 2)}.items():
        found, said = getattr(labels, f"get_{name}")(coded=True)
        np.testing.assert_allclose(found, form, atol=1e-5)
        assert said == code


def test_tilted_axes_are_refused_or_the_qform_counts(tmp_path: Path) -> None:
    tilted = PLACE.copy()
    tilted[1, 2] = 4.0  # about 27 degrees
    with pytest.raises(InputError, match=r"sform: axes are 26\.6° from right angles \(tilt\)"):
        image_files.read(write(tmp_path / "a.nii", affine=tilted, qform_code=0))
    image = nib.Nifti1Image(ARRAY, None)
    image.set_qform(PLACE, 1)
    image.set_sform(tilted, 2)
    nib.save(image, tmp_path / "b.nii")
    volume = image_files.read(tmp_path / "b.nii")
    assert volume.affine is not None
    np.testing.assert_allclose(volume.affine, PLACE, atol=1e-5)
    theirs = SimpleITK.ReadImage(str(tmp_path / "b.nii"))
    np.testing.assert_allclose(
        theirs.TransformIndexToPhysicalPoint((1, 2, 2)), (PLACE @ [1, 2, 2, 1])[:3] * [-1, -1, 1]
    )


def nrrd(path: Path, *lines: str) -> Path:
    head = ["NRRD0004", "type: int16", "dimension: 3", "sizes: 5 7 3", "endian: little", "encoding: raw", *lines]
    path.write_bytes(("\n".join(head) + "\n\n").encode() + ARRAY.T.tobytes())
    return path


def mha(path: Path, *lines: str) -> Path:
    head = ["ObjectType = Image", "NDims = 3", "BinaryData = True", "BinaryDataByteOrderMSB = False", *lines]
    tail = ["DimSize = 5 7 3", "ElementType = MET_SHORT", "ElementDataFile = LOCAL"]
    path.write_bytes(("\n".join([*head, *tail]) + "\n").encode() + ARRAY.T.tobytes())
    return path


GRID = ("space: left-posterior-superior", "space directions: (1500,0,0) (0,2000,0) (0,0,8000)", "space origin: (1,2,3)")


def test_lengths_of_nrrd_and_metaimage_come_in_as_millimetres(tmp_path: Path) -> None:
    for path in (
        nrrd(tmp_path / "a.nrrd", *GRID, 'space units: "um" "um" "um"'),
        nrrd(tmp_path / "b.nrrd", "spacings: 1500 2000 8000", 'units: "microns" "microns" "microns"'),
        mha(tmp_path / "c.mha", "ElementSpacing = 1500 2000 8000", "DistanceUnits = um"),
        mha(tmp_path / "d.mha", "ElementSpacing = 0.15 0.2 0.8", "DistanceUnits = cm"),
        mha(tmp_path / "e.mha", "ElementSize = 1.5 2 8"),
    ):
        volume = image_files.read(path)
        assert volume.spacing == pytest.approx((8.0, 2.0, 1.5))
        np.testing.assert_array_equal(volume.array, ARRAY.T)
        out = tmp_path / f"out-{path.name}"
        image_files.write_labels(out, CODES, volume)
        # Labels lie on their image for who heeds the unit, and for ITK, which does not.
        labels = image_files.read(out)
        assert labels.spacing == pytest.approx((8.0, 2.0, 1.5))
        theirs, other = (SimpleITK.ReadImage(str(file)) for file in (path, out))
        assert other.GetSpacing() == pytest.approx(theirs.GetSpacing())
        assert other.GetOrigin() == pytest.approx(theirs.GetOrigin())
        if volume.geometry.placed:
            assert volume.affine is not None
            assert labels.affine is not None
            np.testing.assert_allclose(labels.affine, volume.affine)


@pytest.mark.parametrize(
    ("make", "lines", "told"),
    [
        (nrrd, (*GRID, 'space units: "inch" "inch" "inch"'), "space units 'inch'"),
        (nrrd, (*GRID, 'space units: "mm" "mm" "um"'), "units 'mm, um'"),
        (nrrd, GRID, "a voxel of 1500 × 2000 × 8000 mm"),
        (nrrd, (GRID[0], "space directions: (2,0,0) (0,3,0) (0,2,4)"), "26.6° from right angles"),
        (nrrd, ("spacings: nan nan 8",), "spacings: nan nan 8, allowed is a number"),
        (mha, ("ElementSpacing = 1 1 5", "TransformMatrix = 1 0 0 0 1 0 0 .5 .8"), "from right angles"),
        (mha, ("ElementSpacing = 1 1 5", "AnatomicalOrientation = LPS"), "AnatomicalOrientation LPS"),
        (mha, ("ElementSpacing = 1 1 5", "ElementToIntensityFunctionSlope = 0"), "ElementToIntensityFunctionSlope"),
    ],
)
def test_what_is_not_used_is_refused_by_its_field(tmp_path: Path, make: Any, lines: tuple[str, ...], told: str) -> None:
    path = make(tmp_path / f"a.{make.__name__}", *lines)
    with pytest.raises(InputError) as raised:
        image_files.read(path)
    assert told in str(raised.value)


def test_spacings_that_nrrd_does_not_know_are_not_millimetres(tmp_path: Path) -> None:
    assert image_files.read(nrrd(tmp_path / "a.nrrd", "spacings: nan nan nan")).spacing is None
    assert image_files.read(nrrd(tmp_path / "b.nrrd", "spacings: NaN NaN NaN")).spacing is None
    assert image_files.read(nrrd(tmp_path / "c.nrrd", "spacings: 2 3 4")).spacing == (4.0, 3.0, 2.0)


def test_metaimages_intensities_are_scaled(tmp_path: Path) -> None:
    lines = ("ElementToIntensityFunctionSlope = 2", "ElementToIntensityFunctionOffset = -1000")
    np.testing.assert_allclose(image_files.read(mha(tmp_path / "a.mha", *lines)).array, ARRAY.T * 2.0 - 1000)


@pytest.mark.parametrize(("space", "signs"), [("LPS", (1, 1)), ("RAS", (-1, -1)), ("LAS", (1, -1))])
def test_nrrds_spaces(tmp_path: Path, space: str, signs: tuple[int, int]) -> None:
    path = nrrd(
        tmp_path / "a.nrrd", f"space: {space}", "space directions: (2,0,0) (0,3,0) (0,0,4)", "space origin: (1,2,3)"
    )
    affine = image_files.read(path).affine
    assert affine is not None
    lps = np.array([1 + 2 * 1, 2 + 3 * 2, 3 + 4 * 2]) * [*signs, 1]
    np.testing.assert_allclose((affine @ [1, 2, 2, 1])[:3], lps * [-1, -1, 1])


@pytest.mark.parametrize("slope", [0.0, np.nan])
def test_a_slope_that_is_not_set_scales_nothing(tmp_path: Path, slope: float) -> None:
    path = write(tmp_path / "a.nii", scl_slope=slope, scl_inter=5.0)
    np.testing.assert_array_equal(image_files.read(path).array, ARRAY.T)


def test_slope_and_intercept_scale(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nii", scl_slope=2.0, scl_inter=-1000.0)
    np.testing.assert_allclose(image_files.read(path).array, ARRAY.T * 2.0 - 1000)
    with pytest.raises(InputError, match="invalid intercept"):
        image_files.read(write(tmp_path / "b.nii", scl_slope=2.0, scl_inter=np.nan))


@pytest.mark.parametrize("slope", [0.0, np.nan])
@pytest.mark.parametrize("intercept", [-1024.0, 0.0, np.nan])
def test_an_intercept_without_a_slope_is_told(
    tmp_path: Path, slope: float, intercept: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """NIfTI has it that nothing is scaled; ITK adds it all the same."""
    image_files.read(write(tmp_path / "a.nii", scl_slope=slope, scl_inter=intercept))
    told = f"a.nii: scl_slope is {slope:g}, so scl_inter -1024 is not added; look whether values are right"
    assert (told in capsys.readouterr().err) == (intercept == -1024)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"scl_slope": np.inf}, "scl_slope is inf, allowed are finite numbers"),
        ({"scl_slope": -np.inf}, "scl_slope is -inf, allowed are finite numbers"),
        ({"sform_code": 9}, "sform_code is 9, allowed are 0 to 5"),
        ({"qform_code": -1}, "qform_code is -1, allowed are 0 to 5"),
        ({"bitpix": 32}, r"bitpix is 32, and voxels of datatype 4 \(int16\) have 16"),
        ({"datatype": 2}, r"bitpix is 16, and voxels of datatype 2 \(uint8\) have 8"),
    ],
)
def test_what_nibabel_takes_for_not_said_is_refused(tmp_path: Path, fields: dict[str, Any], told: str) -> None:
    path = write(tmp_path / "a.nii", **fields)
    for ask in (image_files.read, image_files.header):
        with pytest.raises(InputError, match=rf"a\.nii: {told}"):
            ask(path)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_the_first_bytes_say_whether_a_file_is_packed(tmp_path: Path, name: str) -> None:
    """Files are renamed without being packed or unpacked."""
    plain = write(tmp_path / "plain.nii").read_bytes()
    path = tmp_path / name
    path.write_bytes(plain if name.endswith(".gz") else gzip.compress(plain))
    np.testing.assert_array_equal(image_files.read(path).array, ARRAY.T)
    assert image_files.peek(path) == image_files.peek(tmp_path / "plain.nii")
    np.testing.assert_array_equal(nifti.read_slice(path, 1), ARRAY.T[1])


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_voxels_lie_behind_the_header_where_it_says_nothing(tmp_path: Path, kind: Any) -> None:
    """As ITK reads such files; nibabel takes the header's bytes for voxels."""
    image = kind(ARRAY, PLACE)
    raw = image.to_bytes()
    header: Any = type(image.header)(raw[: image.header.sizeof_hdr], check=False)
    header["vox_offset"] = 0
    (tmp_path / "a.nii").write_bytes(header.binaryblock + raw[image.header.sizeof_hdr :])
    np.testing.assert_array_equal(image_files.read(tmp_path / "a.nii").array, ARRAY.T)
    np.testing.assert_array_equal(nifti.read_slice(tmp_path / "a.nii", 1), ARRAY.T[1])


@pytest.mark.parametrize(
    ("damaged", "fields"),
    [("qform", {"quatern_b": 0.9, "quatern_c": 0.9}), ("sform", {"srow_x": 0, "srow_y": 0, "srow_z": 0})],
)
def test_a_damaged_form_is_not_used_where_the_other_is_whole(
    tmp_path: Path, damaged: str, fields: dict[str, Any]
) -> None:
    volume = image_files.read(write(tmp_path / "a.nii", qform_code=1, sform_code=1, **fields))
    assert volume.notes == (f"{damaged} is damaged, and not used",)
    assert volume.affine is not None
    np.testing.assert_allclose(volume.affine, PLACE, atol=1e-5)
    image_files.write_labels(tmp_path / "b.nii", CODES, volume)
    np.testing.assert_array_equal(image_files.read_labels(tmp_path / "b.nii").array, CODES)
    alone: dict[str, Any] = {f"{damaged}_code": 1, f"{'sform' if damaged == 'qform' else 'qform'}_code": 0}
    with pytest.raises(InputError, match=rf"c\.nii: {damaged} is no.*; save it again"):
        image_files.read(write(tmp_path / "c.nii", **alone, **fields))


def test_what_nrrd_and_metaimage_do_not_say_is_not_known(tmp_path: Path) -> None:
    """ITK takes voxels of 1 mm, and its own axes."""
    for path in (nrrd(tmp_path / "a.nrrd"), mha(tmp_path / "a.mha")):
        volume = image_files.read(path)
        assert (volume.spacing, volume.geometry.placed) == (None, False)
        assert image_files.header(path) == ((3, 7, 5), None, None)
        assert image_files.peek(path) == ((3, 7, 5), None)
        image_files.write_labels(path, CODES, volume)
        np.testing.assert_array_equal(image_files.read_labels(path).array, CODES)
    for space in ((), ("space dimension: 3",), ("space: scanner-xyz",)):
        vectors = (
            ("space directions: (2,0,0) (0,3,0) (0,0,4)", "space origin: (1,2,3)") if space else ("spacings: 2 3 4",)
        )
        volume = image_files.read(nrrd(tmp_path / "b.nrrd", *space, *vectors))
        assert volume.spacing == (4.0, 3.0, 2.0)
        assert not volume.geometry.placed


@pytest.mark.parametrize("note", ["MultiVolume.NumberOfFrames:=2", "axis 0 index type:=numeric", "DWMRI_b-value:=1000"])
def test_frames_of_slicers_sequences_are_no_channels(tmp_path: Path, note: str) -> None:
    path = tmp_path / "a.nrrd"
    lines = ["NRRD0005", "type: short", "dimension: 4", "sizes: 2 5 7 3", "encoding: raw", "endian: little", note]
    path.write_bytes(("\n".join([*lines, "kinds: list domain domain domain", "", ""])).encode() + bytes(2 * 2 * 105))
    with pytest.raises(InputError, match="has 2 frames of a sequence, allowed are channels"):
        image_files.read(path)


def test_an_axis_that_is_no_space_is_refused(tmp_path: Path) -> None:
    """As tracked ultrasound is stored: each slice is a frame."""
    with pytest.raises(InputError, match="kinds: domain domain list: allowed are axes of space"):
        image_files.read(mha(tmp_path / "a.mha", "ElementSpacing = 1 1 1", "Kinds = domain domain list"))


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"intent_code": 2001}, r"intent_code is 2001 \(time series\)"),
        ({"xyzt_units": 32 + 2}, r"pixdim\[4\] is 1, and xyzt_units says hertz"),
        ({"xyzt_units": 40 + 2}, r"pixdim\[4\] is 1, and xyzt_units says parts per million"),
    ],
)
def test_a_fourth_axis_of_times_or_frequencies_is_no_channels(
    tmp_path: Path, fields: dict[str, Any], told: str
) -> None:
    """Of up to four of them, each was a channel."""
    path = write(tmp_path / "a.nii", np.stack([ARRAY, ARRAY], -1), **fields)
    with pytest.raises(InputError, match=rf"of which the last could be time: {told}; allowed are channels"):
        nifti.read(path)
    with pytest.raises(ValueError, match=rf"the fourth axis could be time \({told}\), allowed are channels"):
        standalone_files.load_nifti(path)
    assert nifti.read(write(tmp_path / "b.nii", **fields)).notes == ()


def test_an_unknown_unit_of_time_does_not_matter(tmp_path: Path) -> None:
    assert nifti.read(write(tmp_path / "a.nii", xyzt_units=56 + 2)).spacing == (8.0, 2.0, 1.5)


@pytest.mark.parametrize("kind", ["HSV-color", "XYZ-color"])
def test_other_colours_than_red_green_and_blue_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.nrrd"
    head = ["NRRD0004", "type: uint8", "dimension: 4", "sizes: 3 5 7 3", "encoding: raw"]
    head.append(f"kinds: {kind} domain domain domain")
    path.write_bytes(("\n".join(head) + "\n\n").encode() + bytes(range(105)) * 3)
    for look in (image_files.read, image_files.channels):
        with pytest.raises(InputError, match=rf"a\.nrrd: kinds: {kind.lower()}: allowed are colours as red, green"):
            look(path)


@pytest.mark.parametrize(("slope", "intercept"), [(2.0, 0.0), (1.0, 5.0), (0.0, 5.0), (2.0, np.nan)])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_colours_of_nifti_have_no_slope(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pack: Any, slope: float, intercept: float
) -> None:
    voxels = np.zeros(ARRAY.shape, [(letter, "u1") for letter in "RGB"])
    voxels["R"], path = ARRAY % 251, tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(voxels, PLACE), path)
    content = path.read_bytes()
    path.write_bytes(pack(content[:112] + struct.pack("<ff", slope, intercept) + content[120:]))
    channels = image_files.read(path).channels
    assert channels is not None
    np.testing.assert_array_equal(channels, [voxels[letter].T for letter in "RGB"])
    said = f"scl_slope is {slope:g} and scl_inter {intercept:g}, which are not used, as NIfTI has none for colours"
    assert capsys.readouterr().err == f"{path}: {said}\n"


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("letters", ["RGB", "RGBA"])
def test_colours_of_nifti_are_channels(tmp_path: Path, suffix: str, letters: str) -> None:
    voxels = np.zeros(ARRAY.shape, [(letter, "u1") for letter in letters])
    voxels["R"], voxels["B"] = ARRAY % 251, 7
    nib.save(nib.Nifti1Image(voxels, PLACE), path := tmp_path / f"a{suffix}")
    volume = image_files.read(path)
    assert volume.channels is not None
    assert volume.notes == (() if letters == "RGB" else ("opacity (alpha) is left out",))
    assert (volume.colours, volume.coloured, volume.spacing) == (True, True, (8.0, 2.0, 1.5))
    for channel, letter in zip(volume.channels, "RGB", strict=True):
        np.testing.assert_array_equal(channel, voxels[letter].T)
    assert (image_files.channels(path), image_files.coloured(path), nifti.read_slice(path, 1)) == (1, True, None)
    with pytest.raises(InputError, match="labels are colours, allowed are class codes"):
        image_files.read_labels(path)
    voxels["G"] = voxels["B"] = voxels["R"] = ARRAY % 4
    nib.save(nib.Nifti1Image(voxels, PLACE), path)
    assert not image_files.coloured(path)
    np.testing.assert_array_equal(image_files.read_labels(path).array, ARRAY.T % 4)
    image_files.write_labels(tmp_path / "b.nii", CODES, image_files.read(path))
    np.testing.assert_array_equal(image_files.read_labels(tmp_path / "b.nii").array, CODES)
    nib.save(nib.Nifti1Image(np.stack([voxels] * 2, 3), PLACE), path)
    with pytest.raises(InputError, match="has 2 volumes in colour, allowed is one"):
        image_files.read(path)


def test_labels_are_written_as_they_lie_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files have the axes the other way round: two copies of a slide of 4000 × 4000 took a third of a second."""
    labels, saved = np.ones((3, 7, 5), np.uint8), list[np.ndarray]()

    def save(image: Any, path: Path) -> None:
        saved.append(image.dataobj)
        Path(path).touch()

    monkeypatch.setattr(nib, "save", save)
    for header in (nib.Nifti1Header(), nib.Nifti1Image(np.zeros((5, 7, 3, 1), np.uint8), np.eye(4)).header):
        nifti.NiftiGeometry(header).write_labels(tmp_path / "a.nii", labels)
    assert [array.shape for array in saved] == [(5, 7, 3), (5, 7, 3, 1)]
    assert all(np.shares_memory(array, labels) for array in saved)
