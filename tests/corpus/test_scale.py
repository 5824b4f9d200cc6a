"""Scaling of intensities: the range of most voxels, and of the few that are much brighter."""

import numpy as np
import pytest

from maskmixadv.corpus.scale import measured, normalise, unscaled
from maskmixadv.errors import InputError
from maskmixadv.inference import standalone


def volume(tail: float, share: float = 0.005) -> np.ndarray:
    """Intensities from 0 to 1, and a share of them up to `tail`."""
    found = np.random.default_rng(0).random((4, 50, 50))
    found.ravel()[: int(share * found.size)] = np.linspace(1, tail, int(share * found.size))
    return found


@pytest.mark.parametrize("tail", [1.0, 1.2, 3.0, 50.0])
@pytest.mark.parametrize("knee", [0.0, 0.8, 1.0])
def test_an_exported_model_scales_as_a_training_does(tail: float, knee: float) -> None:
    ours = normalise(volume(tail), where="", percentile=99.9, knee=knee)
    np.testing.assert_allclose(standalone.scale(volume(tail), 99.9, knee), ours, atol=1e-6)


def test_a_knee_is_the_least_that_the_99th_percentile_becomes() -> None:
    for tail in (3.0, 50.0):
        bent = normalise(volume(tail), where="", percentile=99.9, knee=0.8)
        assert np.percentile(bent, 99) == pytest.approx(0.8, abs=1e-4)
        assert bent.max() == 1
        assert len(np.unique(bent[bent > 0.8])) > 10, "what is brighter is not cut off"
    short = normalise(volume(1.2), where="", percentile=99.9, knee=0.8)
    assert np.array_equal(short, normalise(volume(1.2), where="", percentile=99.9)), "nothing to bend"


def test_with_a_knee_of_1_the_brightest_hundredth_is_cut_off() -> None:
    at_once = normalise(volume(3.0), where="", percentile=99.0)
    np.testing.assert_allclose(normalise(volume(3.0), where="", percentile=99.9, knee=1.0), at_once, atol=1e-6)


def test_a_volume_with_hardly_anything_in_it_is_not_bent() -> None:
    empty = np.zeros((4, 50, 50))
    empty[0, :3, :20] = np.linspace(1, 5, 60).reshape(3, 20)
    assert np.array_equal(
        normalise(empty, where="", percentile=99.9, knee=0.8), normalise(empty, where="", percentile=99.9)
    )


def test_a_number_beyond_32_bits_is_refused_without_a_warning() -> None:
    large = volume(3.0)
    large[0, 0, 0] = 1e300
    with pytest.raises(InputError, match="numbers of 32 bits"):
        measured(large, where="a.nii.gz")
    with pytest.raises(ValueError, match="numbers of 32 bits"):
        standalone.measured(large, pytest.fail)
    with pytest.raises(InputError, match=r"a\.nii\.gz: intensities are .* to 1e\+300"):
        unscaled(large, where="a.nii.gz")


def test_a_range_beyond_numbers_of_32_bits_is_refused() -> None:
    """Differences would be infinite, and NaN would be learnt from."""
    wide = np.linspace(-3e38, 3e38, 1_000).reshape(10, 10, 10)
    with pytest.raises(InputError, match=r"^a: intensities are -3e\+38 to 3e\+38, allowed is a range"):
        normalise(wide, where="a")
    with pytest.raises(ValueError, match=r"^intensities are -3e\+38 to 3e\+38"):
        standalone.scale(wide, 99.0)


@pytest.mark.parametrize(("offset", "kind"), [(1e9, np.float64), (2**40, np.int64)])
def test_what_32_bits_do_not_tell_apart_is_told(
    offset: float, kind: type[np.generic], capsys: pytest.CaptureFixture[str]
) -> None:
    image = np.random.default_rng(0).integers(0, 200, (2, 16, 16))
    measured(image.astype(kind), where="a.nii")
    assert capsys.readouterr().err == ""
    measured((image + int(offset)).astype(kind), where="a.nii")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"a.nii: intensities are {offset:.10g} to {offset + 199:.10g}, which numbers of 32 bits tell "
    )
    assert line.endswith(f"finer differences are lost, subtract {offset:.10g} from the image before")
    told = list[str]()
    standalone.measured((image + int(offset)).astype(kind), told.append)
    assert [f"a.nii: {each}" for each in told] == [line]
    measured(np.full((1, 2, 2), offset).astype(kind), where="a.nii")
    assert capsys.readouterr().err == "", "nothing is lost of a constant one"
