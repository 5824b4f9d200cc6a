"""Along which axis slices are cut: each image's own header says it, by one rule."""

from itertools import permutations

import numpy as np
import pytest
import SimpleITK

from maskmixadv.errors import InputError
from maskmixadv.formats.slicing import ACROSS, Header, Slicing, View, check_across, common

THICK = (8.0, 1.5, 1.5)


def stored(codes: str, zooms: tuple[float, float, float], shape: tuple[int, int, int] = (20, 30, 40)) -> Header:
    """The header of a scan stored along x, y, z as `codes` say, such as SAL; `zooms` and `shape` are along R, A, S."""
    affine, sizes, lengths = np.zeros((4, 4)), [], []
    for column, letter in enumerate(codes):
        world = next(place for place, pair in enumerate(("LR", "PA", "IS")) if letter in pair)
        affine[world, column] = zooms[world] * (1 if letter in "RAS" else -1)
        sizes.append(zooms[world])
        lengths.append(shape[world])
    affine[3, 3] = 1
    return Header(tuple(lengths[::-1]), (sizes[2], sizes[1], sizes[0]), affine)


WAYS = ["".join(letters) for letters in permutations("RAS")] + ["SAL", "LPS", "PIR"]


@pytest.mark.parametrize("codes", WAYS)
def test_one_scan_is_cut_along_one_axis_however_it_is_stored(codes: str) -> None:
    place = 2 - next(place for place, letter in enumerate(codes) if letter in "IS")
    for slicing in (Slicing(0, thickest=True), Slicing(0, across="inferior-superior")):
        header = stored(codes, (1.0, 1.0, 8.0))
        assert slicing.of(header).axis == place
        assert header.across(place) == "inferior-superior"
    even = stored(codes, (1.0, 1.0, 1.0))
    assert Slicing(0, thickest=True, across="inferior-superior").of(even).axis == place
    assert Slicing(1).of(even) == View.along(1), "nothing else is known"


@pytest.mark.parametrize("codes", WAYS)
def test_the_patients_axis_is_itks(codes: str) -> None:
    image = SimpleITK.DICOMOrient(SimpleITK.Image(4, 5, 6, SimpleITK.sitkUInt8), codes)
    directions = np.abs(np.reshape(image.GetDirection(), (3, 3)))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3))
    header = Header((6, 5, 4), (1.0, 1.0, 1.0), affine)
    for column in range(3):
        assert header.across(2 - column) == ACROSS[int(directions[:, column].argmax())]


def test_most_images_choose() -> None:
    axial, sagittal, even = (stored("RAS", zooms) for zooms in ((1.0, 1.0, 5.0), (5.0, 1.0, 1.0), (1.0, 1.0, 1.0)))
    assert common([axial, axial, sagittal]) == Slicing(0, True, "inferior-superior", True)
    assert common([axial, even]) == Slicing(0, False, "inferior-superior", True)
    assert common([stored("SAL", (1.0, 1.0, 1.0))] * 2 + [even]) == Slicing(0, False, "left-right", True)
    assert common([Header((1, 64, 64)), Header((64, 64, 1))]) == Slicing()
    assert common([]) == Slicing()


@pytest.mark.parametrize("single", range(3))
def test_a_single_slice_is_cut_across_itself(single: int) -> None:
    shape = [64, 64, 64]
    shape[single] = 1
    header = Header(tuple(shape), THICK)
    assert Slicing(2, thickest=True).of(header).axis == single


def test_an_axis_without_name_is_refused() -> None:
    check_across("", "x")
    with pytest.raises(InputError, match="x: across 'z', allowed are left-right"):
        check_across("z", "x")
