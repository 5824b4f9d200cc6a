"""Slices with label maps drawn over them.

Figures are made without pyplot, so that no display is needed and nothing global changes.
"""

import colorsys
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from jaxtyping import Float, UInt8

from maskmixadv.errors import InputError
from maskmixadv.files import must_not_be_read, written
from maskmixadv.types import IGNORE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BACKGROUND: Final = "#c8c8c8"
FIRST: Final = ("#56b4e9", "#f0e442", "#d55e00", "#cc79a7", "#009e73", "#e69f00", "#0072b2")
"""Okabe and Ito's colours, which colour-blind people can tell apart; neighbours differ in lightness."""
MAKER: Final = "maskmixadv"
"""A PNG file that is written here names this as its software."""
PAPER = "#14161a"
"""Colour of the ground, which is dark, as medical images are black at their edges."""
INK = "#e8e8e8"
"""Colour of text."""
_CELL: Final = 2.0
"""Width of a slice in inches."""
_LINE, _MARK, _LETTER = 0.19, 0.55, 0.07
"""Inches that a legend takes: of a line's height; of a line's width its coloured mark and the space between two names,
and about a letter."""


def palette(count: int) -> tuple[str, ...]:
    """Return colours of `count` classes as ``#rrggbb``, the background's grey first.

    Examples
    --------
    >>> palette(3)
    ('#c8c8c8', '#56b4e9', '#f0e442')
    """
    # Turning the hue by the golden ratio keeps any number of further colours apart.
    further = (colorsys.hsv_to_rgb(number * 0.618 % 1, 0.55, 0.95) for number in range(count))
    coded = ("#" + "".join(f"{round(255 * part):02x}" for part in colour) for colour in further)
    return (BACKGROUND, *FIRST, *coded)[:count]


def overlay(
    axes: "Axes",
    image: Float[np.ndarray, "h w *c"],
    labels: UInt8[np.ndarray, "h w"] | None,
    classes: Sequence[str],
) -> None:
    """Draw a slice and, in each class's colour, its labels.

    The background is coloured only if `labels` leaves pixels out, as a scribble does.

    Parameters
    ----------
    axes
        Matplotlib's axes to draw in; their ticks are removed.
    image
        Intensities in [0, 1]; red, green and blue last where it has colours.
    labels
        Class indices or ``IGNORE``; None draws the slice alone.
    classes
        Names of the k classes, background first.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> axes = Figure().subplots()
    >>> overlay(axes, np.zeros((8, 6)), np.eye(8, 6, dtype=np.uint8), ["background", "LV"])
    >>> len(axes.images)  # the slice, and the LV over it
    2
    """
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    if labels is None:
        return
    sparse = bool((labels == IGNORE).any())
    drawn = [number for number in np.unique(labels).tolist() if number < len(classes) and (number > 0 or sparse)]
    if drawn:
        _draw(
            axes, labels, dict(zip(drawn, np.array(palette(len(classes)))[drawn], strict=True)), 0.8 if sparse else 0.3
        )


def _draw(axes: "Axes", labels: np.ndarray, colours: Mapping[int, str], opacity: float) -> None:
    """Colour and outline labels: one picture and one set of lines for all, as each costs ms to make and to draw."""
    import contourpy  # what matplotlib's own contours are found by
    from matplotlib.collections import PathCollection
    from matplotlib.colors import to_rgba
    from matplotlib.path import Path as Line

    coloured = np.zeros((*labels.shape, 4))
    lines = list[Line]()
    # A rim of zeros closes contours at the picture's edge. Just below a half, pixels that touch at corners have one
    # outline.
    high, wide = labels.shape
    x, y = np.arange(-1, wide + 1), np.arange(-1, high + 1)
    for label, colour in colours.items():
        mask = labels == label
        coloured[mask] = to_rgba(colour, opacity)
        rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        near = slice(rows[0], rows[-1] + 3), slice(columns[0], columns[-1] + 3)
        found = contourpy.contour_generator(
            x[near[1]], y[near[0]], np.pad(mask, 1)[near].astype(float), line_type=contourpy.LineType.ChunkCombinedCode
        ).lines(0.49)
        lines += [Line(points, codes) for points, codes in zip(*found, strict=True) if points is not None]
    axes.imshow(coloured, interpolation="nearest")
    edges = [to_rgba(colour) for colour in colours.values()]
    axes.add_collection(
        PathCollection(lines, facecolors="none", edgecolors=edges, linewidths=1.1, zorder=2), autolim=False
    )
    axes.set(xlim=(-0.5, wide - 0.5), ylim=(high - 0.5, -0.5))


def surroundings(labels: UInt8[np.ndarray, "d h w"], margin: float = 0.3) -> tuple[slice, slice]:
    """Return the rows and columns of a square round all structures of a volume.

    Parameters
    ----------
    labels
        Class indices or ``IGNORE``.
    margin
        Room on each side, as a fraction of the structures' extent.

    Returns
    -------
    Slices of rows and of columns, cut off at the image's edges; the whole image if there is no structure.

    Examples
    --------
    >>> labels = np.zeros((3, 100, 100), np.uint8)
    >>> labels[1, 40:60, 45:55] = 1
    >>> surroundings(labels)
    (slice(33, 66, None), slice(33, 66, None))
    """
    held = ((labels > 0) & (labels != IGNORE)).any(axis=0)
    if not held.any():
        return slice(0, held.shape[0]), slice(0, held.shape[1])
    spans = [np.flatnonzero(held.any(axis=axis))[[0, -1]] for axis in (1, 0)]
    half = (0.5 + margin) * max(last - first + 1 for first, last in spans)
    rows, columns = (
        slice(max(0, int((first + last) / 2 - half)), min(size, int((first + last) / 2 + half) + 1))
        for (first, last), size in zip(spans, held.shape, strict=True)
    )
    return rows, columns


def sheet(
    images: Sequence[Float[np.ndarray, "_ _ *c"]],
    columns: Mapping[str, Sequence[UInt8[np.ndarray, "_ _"]]],
    classes: Sequence[str],
    *,
    rows: Sequence[str] = (),
) -> "Figure":
    """Make a figure with a row for each slice: the slice alone, then with each of its label maps, and a legend below.

    Parameters
    ----------
    images
        Slices ``h w``, intensities in [0, 1]; their sizes may differ.
    columns
        Label maps by the title of their column, one for each of `images`: class indices or ``IGNORE``.
    classes
        Names of the k classes, background first.
    rows
        Texts left of the rows; none if empty.

    Returns
    -------
    A `matplotlib.figure.Figure`.

    Examples
    --------
    >>> labels = np.eye(8, 6, dtype=np.uint8)
    >>> figure = sheet([np.zeros((8, 6))], {"scribble": [labels], "dense": [labels]}, ["background", "LV"])
    >>> [axes.get_title() for axes in figure.axes]
    ['image', 'scribble', 'dense']
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    heights = [high / wide for high, wide in (image.shape[:2] for image in images)]
    width = _CELL * (1 + len(columns)) + (0.25 if rows else 0.0)
    across = _across(classes, width, most=2 * (1 + len(columns)))
    lines = -(-len(classes) // across)
    figure = Figure(
        figsize=(width, _CELL * sum(heights) + 0.65 + _LINE * max(0, lines - 2)),
        facecolor=PAPER,
        layout=ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, wspace=0, hspace=0),
    )
    grid = figure.subplots(len(images), 1 + len(columns), squeeze=False, height_ratios=heights)
    for column, (title, maps) in enumerate({"image": None, **columns}.items()):
        grid[0, column].set_title(verbatim(title), color=INK, fontsize=10)
        for row, image in enumerate(images):
            overlay(grid[row, column], image, None if maps is None else maps[row], classes)
    for axes, name in zip(grid[:, 0], rows, strict=False):
        axes.set_ylabel(verbatim(name), color=INK, fontsize=9)
    _legend(figure, classes, across=across)
    return figure


def _across(classes: Sequence[str], width: float, *, most: int) -> int:
    """Return how many names of classes fit side by side into `width` inches, at most `most`, and at least one."""
    return max(1, min(len(classes), most, int(width / (_MARK + _LETTER * max(map(len, classes))))))


def _legend(figure: "Figure", classes: Sequence[str], *, across: int) -> None:
    from matplotlib.patches import Patch

    named = zip(classes, palette(len(classes)), strict=True)
    figure.legend(
        handles=[Patch(color=colour, label=verbatim(name)) for name, colour in named],
        loc="outside lower center",
        ncols=across,
        frameon=False,
        labelcolor=INK,
        fontsize=9,
    )


def png(figure: "Figure", dots: int = 100) -> bytes:
    r"""Render a figure as the bytes of a PNG file, with `dots` pixels an inch.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> png(Figure(figsize=(1, 1)))[:4]
    b'\x89PNG'
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dots, metadata={"Software": MAKER})
    return buffer.getvalue()


def contact_sheet(
    path: Path,
    images: Sequence[Float[np.ndarray, "_ _ *c"]],
    columns: Mapping[str, Sequence[UInt8[np.ndarray, "_ _"]]],
    classes: Sequence[str],
    *,
    rows: Sequence[str] = (),
) -> None:
    """Write the figure that `sheet` makes of the same arguments as PNG file `path`, whole or not at all.

    Raises
    ------
    InputError
        If the file can't be written.

    Examples
    --------
    >>> labels = np.eye(8, 6, dtype=np.uint8)
    >>> contact_sheet(Path("sheet.png"), [np.zeros((8, 6))], {"dense": [labels]}, ["background", "LV"])
    >>> Path("sheet.png").is_file()
    True
    """
    picture = png(sheet(images, columns, classes, rows=rows))
    with written(path) as file:
        file.write(picture)


def must_be_free(path: Path) -> None:
    """Check that nothing is at `path`, or only a picture that this program made.

    Raises
    ------
    InputError
        If something else is there, such as a patient's image, or it would be read as an image later
        (`maskmixadv.files.must_not_be_read`).

    Examples
    --------
    >>> Path("mine.png").touch()
    >>> must_be_free(Path("mine.png"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: mine.png: is there already, and no picture of this program; name another file
    """
    must_not_be_read(path.parent)
    if os.path.lexists(path) and not _made_here(path):
        raise InputError(f"{path}: is there already, and no picture of this program; name another file")


def _made_here(path: Path) -> bool:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return picture.info.get("Software") == MAKER and not path.is_symlink()
    except Exception:  # whatever a decoder makes of what lies there
        return False


def verbatim(name: str) -> str:
    r"""Return `name` with its dollars escaped, as matplotlib sets text between two dollars as mathematics.

    Examples
    --------
    >>> print(verbatim("$x$"))
    \$x\$
    """
    return name.replace("$", r"\$")
