"""Charts as SVG for a page: in the page's text colour and without a background, so that they suit light and dark."""

import inspect
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from jaxtyping import Float, Int

from maskmixadv.metrics import clinical
from maskmixadv.metrics.clinical import Agreement, Measure, Record
from maskmixadv.metrics.excess import ALL, ByPhase, shown
from maskmixadv.metrics.scores import CaseScore
from maskmixadv.pictures import palette, verbatim
from maskmixadv.runs.course import read_course

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS: Final = 250
"""Most points that are drawn of a curve, each the mean of its share of the steps."""
LINE: Final = "#3d8fd1"
"""A blue that stands out from white and from black."""
BESIDE: Final = 44
"""Letters of all classes' names, at most, that fit beside each other below boxes; more stand one below the other."""
MOST: Final = 20_000
"""Points of a chart, at most: a page of more takes minutes to draw and to load."""
SPACED: Final = 20
"""Axes of a chart, at most, that are laid out by the texts round them, which takes longer than to draw them."""
_INK: Final = "#010203"
"""Stands for the page's text colour until the drawing is done."""


def logged_curves(path: Path) -> dict[str, Float[np.ndarray, "2 n"]]:
    r"""Read steps and values of each logged quantity, validation first, without the learning rate.

    Parameters
    ----------
    path
        A run's ``log.csv``.

    Raises
    ------
    InputError
        Where it is none.

    Examples
    --------
    >>> text = "step,seconds,lr,net/ce,val/dice\n20,1.5,0.01,0.8,\n40,3.0,0.01,0.6,\n40,3.9,,,0.7\n"
    >>> _ = Path("log.csv").write_text(text)
    >>> {name: curve.tolist() for name, curve in logged_curves(Path("log.csv")).items()}
    {'val/dice': [[40.0], [0.7]], 'net/ce': [[20.0, 40.0], [0.8, 0.6]]}
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for row in read_course(path):
        for name, value in row.values.items():
            if name != "lr":
                found.setdefault(name, []).append((float(row.step), value))
    ordered = sorted(found, key=lambda name: not name.startswith("val/"))
    return {name: np.array(found[name]).T for name in ordered}


def boxes(rows: Sequence[CaseScore], classes: Sequence[str]) -> "Markup":
    """Draw Dice and HD95 of each class: a box over the cases, and a point for each case for which they are defined.

    Boxes of many classes, or of long names, lie one below the other.

    Parameters
    ----------
    rows
        Scores of every case in every class.
    classes
        Names of the k classes, background first.

    Returns
    -------
    An ``<svg>`` element.

    Examples
    --------
    >>> from maskmixadv.metrics import scores
    >>> from maskmixadv.sources.phantoms import phantom
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> case = corpus.load(corpus.entries[0])
    >>> rows = scores.rows(case, case.dense, classes=corpus.classes, nominal=corpus.nominal)
    >>> boxes(rows, corpus.classes)[:4]
    Markup('<svg')
    """
    lying = sum(len(name) + 2 for name in classes[1:]) > BESIDE
    figure = _figure(8.0, 0.9 + 0.3 * len(classes) if lying else 3.2)
    unit = "mm" if all(row.source == "known" for row in rows) else "nominal mm"
    titles = {"dice": "Dice", "hd95": f"HD95 ({unit})"}
    for axes, (measure, title) in zip(figure.subplots(1, 2, sharey=lying), titles.items(), strict=True):
        values = [
            np.array([getattr(row.score, measure) for row in rows if row.score.class_name == name])
            for name in classes[1:]
        ]
        drawn = _box(axes, [of[~np.isnan(of)] for of in values], classes, lying=lying)
        axes.set_title(
            title if drawn == sum(np.isfinite(of).sum() for of in values) else f"{title}, points of {drawn} scores"
        )
        (axes.set_xlim if lying else axes.set_ylim)(0, 1.02 if measure == "dice" else None)
    if lying:
        figure.axes[0].set_yticks(range(1, len(classes)), [verbatim(name) for name in classes[1:]])  # both added theirs
        figure.axes[0].invert_yaxis()
    return _svg(figure, "boxes")


def curves(log: dict[str, Float[np.ndarray, "2 n"]]) -> "Markup":
    """Draw each logged quantity over the steps, in axes of its own.

    Parameters
    ----------
    log
        What `logged_curves` returns, not empty.

    Returns
    -------
    An ``<svg>`` element.

    Examples
    --------
    >>> curves({"net/ce": np.array([[20.0, 40.0], [0.8, 0.6]])})[:4]
    Markup('<svg')
    """
    across = min(3, len(log))
    down = -(-len(log) // across)
    figure = _figure(8.0, 2.0 * down)
    cells = figure.subplots(down, across, squeeze=False).flat
    for (name, curve), axes in zip(log.items(), cells, strict=False):
        steps, values = ([part.mean() for part in _parts(of)] for of in curve)
        axes.plot(steps, values, color=LINE, linewidth=1.4, marker="." if len(steps) < 20 else "")
        axes.set_title(verbatim(name))
        axes.grid(color=_INK, alpha=0.15)
    for axes in cells:
        axes.set_visible(False)
    return _svg(figure, "curves")


def agreement(measured: Sequence[Record]) -> "Markup":
    """Draw Bland and Altman's plot of each measure: a point a record, lines at the bias and the limits of agreement.

    Parameters
    ----------
    measured
        Records with truth, at least one.

    Returns
    -------
    An ``<svg>`` element.

    References
    ----------
    Bland and Altman, Statistical methods for assessing agreement between two methods of clinical measurement, The
    Lancet, 1986.

    Examples
    --------
    >>> from maskmixadv.metrics import scores
    >>> from maskmixadv.sources.phantoms import phantom
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> case = corpus.load(corpus.entries[0])
    >>> rows = scores.rows(case, case.dense, classes=corpus.classes, nominal=corpus.nominal)
    >>> agreement(clinical.records(scores.volumes(rows, corpus.nominal)))[:4]
    Markup('<svg')
    """
    pairs, agreements = clinical.pairs(measured), clinical.agreements(measured)
    across = min(5, len(pairs))
    down = -(-len(pairs) // across)
    figure = _figure(8.0, 2.15 * down, spaced=len(pairs) > SPACED)
    cells = figure.subplots(down, across, squeeze=False).flat
    for (measure, of), axes in zip(pairs.items(), cells, strict=False):
        _differences(axes, measure, np.array(of).T, agreements[measure], MOST // len(pairs))
    for axes in cells:
        axes.set_visible(False)
    return _svg(figure, "agreement")


def volumes(found: ByPhase, classes: Sequence[str]) -> "Markup":
    """Draw each class's predicted volume over its true one as a bar, by phase, and where that volume lies.

    Parameters
    ----------
    found
        Volumes by phase and class.
    classes
        Names of the k classes, background first.

    Returns
    -------
    An ``<svg>`` element.

    Examples
    --------
    >>> from maskmixadv.metrics.excess import Volumes
    >>> of = Volumes(20, 0.73, ratio=1.5, empty_slices=60, stray_slices=31, stray=0.19, beyond=0.44)
    >>> volumes({"ES": {"RV": of}}, ("background", "RV"))[:4]
    Markup('<svg')
    """
    rows = [row for row in shown(found) if np.isfinite(row[2].ratio)]
    figure = _figure(8.0, 0.9 + 0.3 * len(rows))
    axes = figure.subplots()
    colours = dict(zip(classes, palette(len(classes)), strict=True))
    for place, (name, _, of) in enumerate(rows):
        right = of.ratio - of.stray - of.beyond
        drawn = {"height": 0.7, "edgecolor": _INK, "linewidth": 0.6}
        axes.barh(place, right, color=(colours[name], 0.75), **drawn)
        axes.barh(place, of.beyond, left=right, color=(colours[name], 0.25), **drawn)
        axes.barh(place, of.stray, left=right + of.beyond, color="none", hatch="/////", **drawn)
    axes.axvline(1, color=_INK, linewidth=1.2, linestyle="--")
    axes.set_yticks(range(len(rows)), [verbatim(f"{name} {'' if phase == ALL else phase}") for name, phase, _ in rows])
    axes.invert_yaxis()
    axes.set_title("predicted over true volume")
    axes.set_xlim(left=0)
    return _svg(figure, "volumes")


def _differences(axes: "Axes", measure: Measure, of: Float[np.ndarray, "2 n"], agreed: Agreement, most: int) -> None:
    predicted, truth = of[:, _some(of[0] - of[1], most)]
    axes.axhline(0, color=_INK, alpha=0.25, linewidth=0.8)
    for place, style in ((agreed.bias, "-"), (agreed.low, "--"), (agreed.high, "--")):
        if np.isfinite(place):
            axes.axhline(place, color=LINE, linewidth=1.2, linestyle=style)
    axes.plot((predicted + truth) / 2, predicted - truth, ".", color=_INK, alpha=0.6, markersize=5)
    fewer = f"\n{predicted.size} of {of.shape[1]} points" if predicted.size < of.shape[1] else ""
    axes.set_title(verbatim(f"{measure.name} ({measure.unit})") + fewer)
    axes.margins(x=0.15, y=0.15)
    axes.locator_params(axis="x", nbins=3)


def _box(axes: "Axes", values: Sequence[Float[np.ndarray, "_"]], classes: Sequence[str], *, lying: bool) -> int:
    """Draw a box a class and its points; returns the number of points."""
    # Matplotlib of 3.10 on has another name for it.
    named = "orientation" in inspect.signature(axes.boxplot).parameters
    turned: dict[str, Any] = {"orientation": "horizontal"} if named else {"vert": False}
    lines = {"color": _INK, "linewidth": 1}
    drawn = axes.boxplot(
        values,
        tick_labels=[verbatim(name) for name in classes[1:]],
        widths=0.5,
        showfliers=False,
        patch_artist=True,
        boxprops={**lines},
        whiskerprops={**lines},
        capprops={**lines},
        medianprops={**lines, "linewidth": 2},
        **(turned if lying else {}),
    )
    # Points stand beside each other, always in the same places.
    aside = np.random.default_rng(0)
    count = 0
    filled = zip(drawn["boxes"], values, palette(len(classes))[1:], strict=True)
    for place, (box, of, colour) in enumerate(filled, 1):
        box.set_facecolor((colour, 0.55))
        points = np.stack([place + aside.uniform(-0.18, 0.18, of.size), of])[:, _some(of, MOST // len(values))]
        count += points.shape[1]
        axes.plot(*(points[::-1] if lying else points), ".", color=_INK, alpha=0.45, markersize=3)
    axes.grid(axis="x" if lying else "y", color=_INK, alpha=0.15)
    return count


def _some(values: Float[np.ndarray, "n"], most: int) -> Int[np.ndarray, "_"] | slice:
    """Return the places of at most some `most` values, spread from the least to the largest."""
    if values.size <= most:
        return slice(None)
    return np.argsort(values, kind="stable")[np.linspace(0, values.size - 1, most).round().astype(int)]


def _parts(values: Float[np.ndarray, "n"]) -> list[np.ndarray]:
    return np.array_split(values, min(POINTS, values.size))


def _figure(wide: float, high: float, *, spaced: bool = False) -> "Figure":
    """Return an empty figure, whose axes are laid out by what stands round them, or if `spaced` by the same inches."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    if not spaced:
        return Figure(figsize=(wide, high), layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
    figure = Figure(figsize=(wide, high))
    figure.subplots_adjust(0.55 / wide, 0.3 / high, 1 - 0.1 / wide, 1 - 0.4 / high, wspace=0.55, hspace=0.45)
    return figure


def _svg(figure: "Figure", name: str) -> "Markup":
    """Write a drawing as SVG without background or metadata; `name` keeps its ids apart from those of others."""
    from markupsafe import Markup
    from matplotlib import rc_context

    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[:].set_color(_INK)
        axes.tick_params(colors=_INK, labelsize=8)
        axes.title.set(color=_INK, fontsize=9)
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True)
    drawing = buffer.getvalue().replace(_INK, "currentColor")
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing[drawing.index("<svg") :], flags=re.DOTALL)
    # Matplotlib numbers every part; only hashed names are referred to.
    return Markup(re.sub(r' id="(?![a-z][0-9a-f]{10}")[^"]*"', "", drawing))
