"""Pictures of slices under labels, their colours, and sheets of them."""

import io
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from maskmixadv import pictures
from maskmixadv.errors import InputError
from maskmixadv.types import IGNORE
from scored import CLASSES


def drawn(labels: np.ndarray | None, *, size: int = 40) -> np.ndarray:
    """Render a dark slice under `labels`, a pixel a pixel, as RGB in [0, 1]."""
    from matplotlib.figure import Figure
    from matplotlib.image import imread

    figure = Figure(figsize=(size / 100, size / 100), dpi=100)
    pictures.overlay(figure.add_axes((0, 0, 1, 1)), np.zeros((size, size), dtype=np.float32), labels, CLASSES)
    return imread(io.BytesIO(pictures.png(figure)))[..., :3]


def test_overlay_colours_each_class() -> None:
    labels = np.zeros((40, 40), dtype=np.uint8)
    labels[:, 30:] = 2
    picture = drawn(labels)
    assert picture[:, :28].max() == 0
    red, green, blue = (int(pictures.palette(3)[2][at : at + 2], 16) / 255 for at in (1, 3, 5))
    assert picture[20, 36] == pytest.approx([0.3 * red, 0.3 * green, 0.3 * blue], abs=0.01)
    assert picture[10:30, 28:32].max() > 0.6  # the outline


def test_overlay_shows_background_strokes_alone() -> None:
    labels = np.full((40, 40), IGNORE, dtype=np.uint8)
    labels[:20, :20] = 0
    picture = drawn(labels)
    assert picture[10, 10].min() > 0.5
    assert picture[25:, 25:].max() == 0
    assert drawn(None).max() == 0


def test_palette_keeps_classes_apart() -> None:
    colours = pictures.palette(30)
    assert len(set(colours)) == 30
    assert all(re.fullmatch(r"#[0-9a-f]{6}", colour) for colour in colours)


def test_surroundings() -> None:
    labels = np.zeros((3, 100, 80), dtype=np.uint8)
    labels[0, 40:60, 30:34] = 1
    labels[1, :, :] = IGNORE
    rows, columns = pictures.surroundings(labels, margin=0.5)
    assert (rows.start, rows.stop) == (29, 70)
    assert (columns.start, columns.stop) == (11, 52)
    labels[2, 0, 0] = 2
    assert pictures.surroundings(labels)[0].start == 0
    assert pictures.surroundings(np.zeros_like(labels)) == (slice(0, 100), slice(0, 80))


def test_contact_sheet_takes_slices_of_any_size(tmp_path: Path) -> None:
    from matplotlib.image import imread

    images = [np.zeros(shape, dtype=np.float32) for shape in ((20, 40), (60, 40))]
    labels = [np.ones(image.shape, dtype=np.uint8) for image in images]
    pictures.contact_sheet(tmp_path / "sheet.png", images, {"prediction": labels, "truth": labels}, CLASSES)
    high, wide = imread(tmp_path / "sheet.png").shape[:2]
    assert wide == 600
    assert 400 < high < 500
    with pytest.raises(InputError, match="can't be written"):
        pictures.contact_sheet(tmp_path / "no" / "sheet.png", images, {}, CLASSES)


def test_sheet_gives_each_slice_the_same_width() -> None:
    images = [np.zeros(shape, dtype=np.float32) for shape in ((20, 40), (60, 40))]
    figure = pictures.sheet(images, {}, CLASSES, rows=["first", "second"])
    figure.draw_without_rendering()
    first, second = (axes.get_position() for axes in figure.axes)
    assert first.width == pytest.approx(second.width, rel=0.02)
    assert [axes.get_ylabel() for axes in figure.axes] == ["first", "second"]


@pytest.mark.parametrize("classes", [4, 100])
def test_slices_are_as_large_whatever_the_number_of_classes(classes: int) -> None:
    """The legend took the slices' room: with 100 classes nothing was left of them."""
    names = ["background", *(f"structure {number}" for number in range(1, classes))]
    labels = np.zeros((40, 40), np.uint8)
    figure = pictures.sheet([np.zeros((40, 40))] * 2, {"prediction": [labels] * 2, "truth": [labels] * 2}, names)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pictures.png(figure)
    shown = [axes.get_window_extent() for axes in figure.axes]
    assert min(box.width for box in shown) > 100
    legend = figure.legends[0].get_window_extent()
    assert legend.x0 >= 0
    assert legend.x1 <= figure.bbox.width
    assert legend.y1 <= min(box.y0 for box in shown)


def test_a_stroke_across_corners_of_pixels_is_one_line() -> None:
    """It fell apart into dashes where the report enlarged it."""
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    labels = np.where(np.eye(12, dtype=bool), 1, IGNORE).astype(np.uint8)
    pictures.overlay(axes, np.zeros((12, 12)), labels, ["background", "LV"])
    (outline,) = [path for drawn in axes.collections for path in drawn.get_paths()]
    assert len(outline.to_polygons(closed_only=False)) == 1


def test_many_classes_are_drawn_as_one_picture_and_one_set_of_lines() -> None:
    """One of each for every class took seconds a slice."""
    from matplotlib.colors import to_hex
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    names = ["background", *(f"organ {number}" for number in range(100))]
    labels = np.kron(np.arange(100).reshape(10, 10), np.ones((3, 3))).astype(np.uint8)
    pictures.overlay(axes, np.zeros((30, 30)), labels, names)
    slices, coloured = (picture.get_array() for picture in axes.images)
    assert slices is not None
    assert coloured is not None
    colours = pictures.palette(101)
    for label in (1, 50, 99):
        assert to_hex(np.unique(coloured[labels == label], axis=0)[0]) == colours[label]
    assert not coloured[labels == 0].any()
    (lines,) = axes.collections
    assert [to_hex(edge) for edge in np.asarray(lines.get_edgecolor())] == list(colours[1:100])
    extents = [path.get_extents().bounds for path in lines.get_paths()]
    assert extents[49] == pytest.approx((-0.49, 14.51, 2.98, 2.98), abs=0.05)
