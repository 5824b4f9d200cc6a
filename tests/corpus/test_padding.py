"""Padding: a value far below all others takes no part in scaling, and other images stay as they are."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from maskmixadv.corpus.padding import padding, without_padding
from maskmixadv.corpus.scale import normalise
from maskmixadv.formats.dicom_pixels import SlicePixels, shown

RNG = np.random.default_rng(0)
ROWS, COLUMNS = np.mgrid[:64, :64]
OUTSIDE = np.broadcast_to(np.hypot(ROWS - 32, COLUMNS - 32) > 31, (6, 64, 64))
BODY = np.where(np.hypot(ROWS - 32, COLUMNS - 32) < 28, 50.0, -1000.0) + RNG.normal(0, 10, (6, 64, 64))
BODY = np.where(np.hypot(ROWS - 32, COLUMNS - 32) < 5, 1500.0, BODY).round().astype(np.float32)
"""A CT of a body with bone, in air."""


@pytest.mark.parametrize("value", [-2000, -2048, -3024, -9999, -32768])
def test_padding_takes_no_part_in_scaling(value: float, capsys: pytest.CaptureFixture[str]) -> None:
    padded = np.where(OUTSIDE, np.float32(value), BODY)
    air = np.where(OUTSIDE, BODY[~OUTSIDE].min(), BODY)
    np.testing.assert_array_equal(normalise(padded, where="ct.nii"), normalise(air, where="ct.nii"))
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert f"ct.nii: {OUTSIDE.sum()} voxels" in told[0]
    assert f"are {value}, far below" in told[0]


def test_a_line_is_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cases are read in threads: else lines of two of them would stand glued together."""
    writes: list[str] = []
    monkeypatch.setattr(sys, "stderr", SimpleNamespace(write=writes.append, flush=lambda: None))
    without_padding(np.where(OUTSIDE, np.float32(-3024), BODY), where="ct.nii")
    shown(Path("series"), [SlicePixels(BODY[0], OUTSIDE[0], 3)], invert=False)
    assert len(writes) == 3
    assert all(line.endswith("\n") and line.strip() for line in writes)


def test_two_kinds_of_padding() -> None:
    padded = np.where(OUTSIDE, np.float32(-3024), BODY)
    padded[:, :2] = -32768
    assert without_padding(padded, where="").min() == BODY[~OUTSIDE].min()


def test_a_mark_outside_of_a_scaled_mr_image_is_padding() -> None:
    image = np.where(OUTSIDE, -5.0, RNG.uniform(0, 1, OUTSIDE.shape)).astype(np.float32)
    assert padding(image) == -5


@pytest.mark.parametrize(
    "image",
    [
        np.where(OUTSIDE, -1000, BODY),  # air
        np.where(OUTSIDE, -1024, BODY),  # where a scanner cuts off
        np.where(OUTSIDE, 0, RNG.normal(900, 100, OUTSIDE.shape)),  # a skull-stripped brain
        np.where(OUTSIDE, -1.2, RNG.normal(0.5, 1, OUTSIDE.shape).clip(-1)),  # standardised
        np.where(OUTSIDE, -1, 1),
        np.where(OUTSIDE, -32768, RNG.integers(-32000, -28000, OUTSIDE.shape)),  # 16 bits with another sign
        RNG.integers(-4096, 4096, OUTSIDE.shape),  # phases
    ],
    ids=["air", "cut off", "brain", "standardised", "two values", "signed", "phases"],
)
def test_other_images_are_not_touched(image: np.ndarray) -> None:
    volume = image.astype(np.float32)
    assert padding(volume) is None
    assert without_padding(volume, where="") is volume


def test_a_few_voxels_are_no_padding() -> None:
    volume = BODY.copy()
    volume[0, 0, :3] = -4000
    assert padding(volume) is None
