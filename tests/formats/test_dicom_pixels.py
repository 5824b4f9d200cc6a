"""Pixels of a DICOM series are as bright as they are shown, and what was never measured does not steer their scale."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataset import FileDataset

from dicoms import Change, pixels, write_series
from maskmixadv.corpus.scale import normalise
from maskmixadv.errors import InputError
from maskmixadv.formats import series

ARRAY = pixels()


def attributes(**values: Any) -> Change:
    """Set attributes of each slice."""

    def change(_: int, one: FileDataset) -> None:
        for name, value in values.items():
            setattr(one, name, value)

    return change


def signed(values: np.ndarray, **others: Any) -> Change:
    def change(number: int, one: FileDataset) -> None:
        one.PixelRepresentation, one.PixelData = 1, values[number].astype("<i2").tobytes()
        attributes(**others)(number, one)
        if others.get("PixelPaddingValue", 0) >= 2**15:
            one["PixelPaddingValue"].VR = "US"

    return change


def read(folder: Path, change: Change | None = None, array: np.ndarray = ARRAY) -> np.ndarray:
    return series.read(write_series(folder, array, change=change)).array


@pytest.mark.parametrize(
    ("stored", "change"),
    [
        (1000 - ARRAY, attributes(PhotometricInterpretation="MONOCHROME1")),
        (1000 - ARRAY, attributes(PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE")),
        (1000 - ARRAY, attributes(RescaleSlope=-1, RescaleIntercept=0)),
        (ARRAY, attributes(PhotometricInterpretation="MONOCHROME1", RescaleSlope=-2, RescaleIntercept=5)),
        (ARRAY, signed(500 - ARRAY.astype(int), PhotometricInterpretation="MONOCHROME1")),
    ],
)
def test_one_picture_is_the_same_however_it_is_stored(tmp_path: Path, stored: np.ndarray, change: Change) -> None:
    found = normalise(read(tmp_path / "s", change, stored), where="s")
    # From 0 up to the brightest: the 99th percentile, at which brightness is cut off, is that of what is shown.
    np.testing.assert_allclose(found, normalise(ARRAY, where="s"), atol=1e-5)


def test_codes_are_not_inverted(tmp_path: Path) -> None:
    codes = (ARRAY % 4).astype(np.uint16)
    change = attributes(PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0)
    folder = write_series(tmp_path / "s", codes, change=change)
    np.testing.assert_array_equal(series.read_labels(folder).array, codes)


@pytest.mark.parametrize("shown", ["PALETTE COLOR", "RGB", "YBR_FULL", "HSV", ""])
def test_colours_are_refused_by_name(tmp_path: Path, shown: str) -> None:
    write_series(tmp_path / "s", ARRAY, change=attributes(PhotometricInterpretation=shown))
    for call in (series.read, series.peek):
        with pytest.raises(InputError, match=f"PhotometricInterpretation is '{shown}', allowed are MONOCHROME1"):
            call(tmp_path / "s")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"PresentationLUTShape": "INVERSE"}, "PresentationLUTShape is 'INVERSE', but MONOCHROME2"),
        ({"PixelPaddingRangeLimit": 5}, "PixelPaddingRangeLimit without PixelPaddingValue"),
        ({"BitsStored": 12, "HighBit": 10}, "BitsStored 12 and HighBit 10 contradict"),
        ({"BitsAllocated": None}, "BitsAllocated missing or empty"),
        ({"RescaleSlope": 0, "RescaleIntercept": 5}, "RescaleSlope is 0, by which all pixels are 5"),
        ({"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 60000}, "each pixel has the PixelPaddingValue"),
    ],
)
def test_headers_that_contradict_themselves_are_refused(tmp_path: Path, values: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read(tmp_path / "s", attributes(**values))
    assert "\n" not in str(caught.value)


def test_slices_shown_otherwise_are_refused(tmp_path: Path) -> None:
    def change(number: int, one: FileDataset) -> None:
        one.PhotometricInterpretation = "MONOCHROME1" if number == 3 else "MONOCHROME2"

    with pytest.raises(InputError, match=r"PhotometricInterpretation is 'MONOCHROME\d', but 'MONOCHROME\d' in"):
        read(tmp_path / "s", change)


def padded(value: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels whose corners are padding, and where it is."""
    padding = np.zeros(ARRAY.shape, bool)
    padding[:, :2, :2] = True
    return np.where(padding, value, ARRAY.astype(int) + 100), padding


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (-32000, {"PixelPaddingValue": -32000}),
        (-2000, {"PixelPaddingValue": 63536}),  # the tag's type is that of an unsigned number
        (-2000, {"PixelPaddingValue": -32768, "PixelPaddingRangeLimit": -1500}),
        (-2000, {"PixelPaddingValue": -1500, "PixelPaddingRangeLimit": -32768}),
        (3000, {"PixelPaddingValue": 3000}),
    ],
)
@pytest.mark.parametrize("rescaled", [{}, {"RescaleSlope": 0.5, "RescaleIntercept": -1024}])
def test_padding_does_not_steer_the_scale(
    tmp_path: Path, value: int, said: dict[str, int], rescaled: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    stored, padding = padded(value)
    found = read(tmp_path / "s", signed(stored, **rescaled, **said))
    slope, intercept = rescaled.get("RescaleSlope", 1), rescaled.get("RescaleIntercept", 0)
    np.testing.assert_array_equal(found[~padding], stored[~padding] * slope + intercept)
    assert set(found[padding]) == {found[~padding].min()}
    line = (
        f"{tmp_path / 's'}: 20 of 140 pixels are padding (PixelPaddingValue); they get the lowest value of the others\n"
    )
    assert capsys.readouterr().err == line


def test_padding_is_dark_where_low_values_are_shown_bright(tmp_path: Path) -> None:
    stored, padding = padded(30000)
    found = read(tmp_path / "s", signed(stored, PixelPaddingValue=30000, PhotometricInterpretation="MONOCHROME1"))
    assert set(found[padding]) == {found[~padding].min()}
    assert np.corrcoef(found[~padding], stored[~padding])[0, 1] == pytest.approx(-1)


def test_padding_is_found_in_unsigned_pixels_whatever_the_tags_sign(tmp_path: Path) -> None:
    stored, padding = padded(63536)

    def change(number: int, one: FileDataset) -> None:
        one.PixelData = stored[number].astype("<u2").tobytes()
        one.add_new("PixelPaddingValue", "SS", -2000)

    assert read(tmp_path / "s", change).max() == stored[~padding].max()


def test_a_slice_of_padding_alone_takes_the_others_lowest_value(tmp_path: Path) -> None:
    stored = ARRAY.astype(int) + 100
    stored[2] = -9
    found = read(tmp_path / "s", signed(stored, PixelPaddingValue=-9))
    assert set(found[2].ravel()) == {np.delete(stored, 2, 0).min()}


@pytest.mark.parametrize("sign", [0, 1])
def test_bits_above_those_stored_are_cut_off(tmp_path: Path, sign: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Old files keep drawings in a pixel's upper bits."""
    values = ARRAY.astype(int) - 300 * sign
    drawn = np.zeros(ARRAY.shape, int)
    drawn[:, 3, 1:3] = 0x4000

    def change(number: int, one: FileDataset) -> None:
        one.BitsStored, one.HighBit, one.PixelRepresentation = 12, 11, sign
        one.PixelData = ((values[number] & 0xFFF) | drawn[number]).astype("<u2").tobytes()

    np.testing.assert_array_equal(read(tmp_path / "s", change), values)
    assert "of 140 pixels have bits above BitsStored, such as overlays" in capsys.readouterr().err


@pytest.mark.parametrize("high", [11, 15])
def test_bits_that_are_nothing_else_are_not_told(tmp_path: Path, high: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A line said of numbers that begin at another bit, or whose sign is not copied upwards, that bits are cut off."""
    array = pixels().astype(np.int64) % 4096 - 2048

    def change(number: int, one: FileDataset) -> None:
        one.PixelRepresentation, one.BitsStored, one.HighBit = 1, 12, high
        one.PixelData = ((array[number] & 0xFFF) << (high - 11)).astype(np.uint16).tobytes()

    read = series.read(write_series(tmp_path / "s", pixels(), change=change))
    np.testing.assert_array_equal(read.array, array)
    assert capsys.readouterr().err == ""


def test_bits_lie_where_the_header_says(tmp_path: Path) -> None:
    def change(number: int, one: FileDataset) -> None:
        one.BitsStored, one.HighBit = 12, 15
        one.PixelData = (ARRAY[number] << 4).astype("<u2").tobytes()

    np.testing.assert_array_equal(read(tmp_path / "s", change), ARRAY)


def test_a_table_of_modality_values_is_used(tmp_path: Path) -> None:
    table = Dataset()
    table.LUTDescriptor, table.ModalityLUTType = [1024, 0, 16], "US"
    table.LUTData = [(3 * value) ** 2 % 65536 for value in range(1024)]

    def change(_: int, one: FileDataset) -> None:
        one.ModalityLUTSequence = [table]
        one.ModalityLUTSequence[0]["LUTDescriptor"].VR = one.ModalityLUTSequence[0]["LUTData"].VR = "US"

    np.testing.assert_array_equal(read(tmp_path / "s", change), (3 * ARRAY.astype(int)) ** 2 % 65536)


def stated(folder: Path, change: Callable[[int, FileDataset], None], capsys: pytest.CaptureFixture[str]) -> str:
    read(folder, change)
    return capsys.readouterr().err


def test_windows_and_overlays_change_nothing_and_are_not_spoken_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stated(tmp_path / "s", attributes(WindowCenter=40, WindowWidth=80), capsys) == ""


@pytest.mark.parametrize(("name", "kind"), [("FloatPixelData", "f4"), ("DoubleFloatPixelData", "f8")])
def test_pixels_that_are_no_whole_numbers_are_read(tmp_path: Path, name: str, kind: str) -> None:
    """They were refused as they lack BitsStored, which DICOM has of whole numbers alone."""
    stored = ARRAY.astype(kind) / 7

    def change(number: int, one: FileDataset) -> None:
        for gone in ("PixelData", "BitsStored", "HighBit", "PixelRepresentation"):
            delattr(one, gone)
        one.BitsAllocated = stored.dtype.itemsize * 8
        setattr(one, name, stored[number].tobytes())

    np.testing.assert_allclose(read(tmp_path / "s", change), stored, rtol=1e-6)
