"""The finished runs of a table as Markdown: Dice, distances and cost, each row tested against the reference."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from maskmixadv.bench.paired import Paired, columns
from maskmixadv.bench.records import MEASURES, Finished, pooled
from maskmixadv.bench.table import Table, TableRow
from maskmixadv.corpus.masks import AUTO, Masks
from maskmixadv.corpus.names import MEAN
from maskmixadv.errors import counted
from maskmixadv.metrics import scores

TITLES: Final = {"dice": "Dice", "hd95": "HD95"}
DIGITS: Final = {"dice": 3, "hd95": 1}
SIGNIFICANT: Final = 0.05
NONE: Final = "–"


def render(table: Table, found: Sequence[Finished], tested: Iterable[Paired]) -> str:
    """Return the page. A row without a finished run shows its published figures only."""
    shown = columns(table, found)
    made = {(each.row, each.measure, each.column): each for each in tested}
    parts = [headed(table), _caption(table, found, shown, made.values())]
    for measure in MEASURES:
        lines = [_line(table, row, measure, shown, found, made) for row in table.rows]
        last = "volume ratio" if measure == "dice" else "no distance"
        difference = f"difference from {_plain(table.reference)} [95 %]"
        header = ["row", "runs", *map(_plain, shown), last, difference, "p", "published"]
        parts += [f"## {TITLES[measure]}", _markdown(header, lines)]
    header = ["row", "minutes", "steps/s", "peak MiB", "GPU peak MiB", "device", "commit"]
    parts += ["## Cost of a run", _markdown(header, [_cost(row, found) for row in table.rows])]
    return "\n\n".join(parts) + "\n"


def headed(table: Table) -> str:
    """Return the page's first line, which has the table's title."""
    return f"# {_plain(table.title)}"


def _caption(table: Table, found: Sequence[Finished], shown: Sequence[str], tested: Iterable[Paired]) -> str:
    total = len(table.rows) * len(table.folds) * len(table.seeds)
    spacing = {row.source for each in found for row in each.scores}
    millimetres = "mm" if spacing <= {"known"} else "nominal mm"
    return (
        f"{len(found)} of {total} runs are done: {counted(len(table.rows), 'row')}, folds {_list(table.folds)}, "
        f"seeds {_list(table.seeds)}, split {table.split}, {_conditions(table)}. "
        "Mean ± standard deviation over volumes, each the mean over "
        f"its seeds; distances in {millimetres}, where they are defined. Of the last checkpoint; of "
        "structures that a run found in one piece, the largest piece alone; with the odds of classes that masks of "
        "validation patients gave. "
        f"*Published*: {' / '.join(map(_plain, shown))}, as in the paper, whose protocol may differ. "
        f"*p*: paired Wilcoxon signed-rank test of the means by patient against {_plain(table.reference)}, "
        f"Holm-corrected over the rows; * marks classes with p < {SIGNIFICANT}. "
        "*[95 %]*: bootstrap interval of the mean difference over patients. *Volume ratio*: predicted over true, by "
        "class. *No distance*: structures that were not found at all."
        f"{_left_out(table, found)}{_unpaired(table, tested)}"
    )


def _left_out(table: Table, found: Sequence[Finished]) -> str:
    """Say for each row how often a class has no Dice, because neither prediction nor truth has it; or nothing."""
    counts: dict[str, int] = {}
    for name in (row.name for row in table.rows):
        rows = pooled([each for each in found if each.cell.row.name == name])
        counts[name] = sum(bool(np.isnan(row.score.dice)) for row in rows)
    told = _list(f"{_plain(name)} {count}" for name, count in counts.items() if count)
    absent = " Classes in neither prediction nor truth of a volume have no Dice and are left out of means and pairs: "
    return f"{absent}{told}." if told else ""


def _unpaired(table: Table, tested: Iterable[Paired]) -> str:
    """Say of each row how many values the reference lacks, or has alone, which no pair can have; or nothing."""
    counts = ((each.row, TITLES[each.measure], each.left_out) for each in tested if each.column == MEAN)
    told = _list(f"{_plain(row)} {count} of {measure}" for row, measure, count in counts if count)
    alone = (
        f" Where the row or {_plain(table.reference)} alone has a class's value, pairs and their mean are without it"
    )
    return f"{alone}: {told}." if told else ""


def _conditions(table: Table) -> str:
    enclosed = {row.enclosure for row in table.rows}
    enclosure = "enclosure by row" if len(enclosed) > 1 else "with enclosure" if enclosed.pop() else "without enclosure"
    taught = {str(Masks(row.masks, row.masks_of)) for row in table.rows}
    masks = [] if taught == {str(AUTO)} else ["masks by row" if len(taught) > 1 else f"masks {taught.pop()}"]
    unlabelled = {row.unlabelled for row in table.rows}
    bare = ["slices without annotation " + ("by row" if len(unlabelled) > 1 else "too")] if any(unlabelled) else []
    presets = _list(dict.fromkeys(row.preset for row in table.rows))
    return _list(
        [
            f"preset {presets}",
            *(f"{name} {value}" for name, value in table.changes.given().items()),
            enclosure,
            *masks,
            *bare,
        ]
    )


def _line(
    table: Table,
    row: TableRow,
    measure: str,
    shown: Sequence[str],
    found: Sequence[Finished],
    made: Mapping[tuple[str, str, str], Paired],
) -> list[str]:
    of = [each for each in found if each.cell.row.name == row.name]
    runs = f"{len(of)}/{len(table.folds) * len(table.seeds)}"
    published = _published(row, measure, shown)
    if not of:
        return [_plain(row.name), runs, *[NONE] * (len(shown) + 3), published]
    summary = scores.summarise(pooled(of), {})
    means = [_mean(summary.results[c], measure, made.get((row.name, measure, c))) for c in shown]
    ratios = " / ".join(f"{result.volume_ratio:.2f}" for result in summary.classes.values())
    undefined = str(sum(len(result.no_distance) for result in summary.classes.values()))
    test = made.get((row.name, measure, MEAN))
    last = ratios if measure == "dice" else undefined
    return [_plain(row.name), runs, *means, last, _difference(test, measure), _p(test), published]


def _mean(result: scores.Result, measure: str, test: Paired | None) -> str:
    spread: scores.Spread = getattr(result, measure)
    star = "*" if test and test.column != MEAN and test.p_holm < SIGNIFICANT else ""
    if np.isnan(spread.mean):
        return NONE
    return f"{spread.mean:.{DIGITS[measure]}f} ± {spread.std:.{DIGITS[measure]}f}{star}"


def _difference(test: Paired | None, measure: str) -> str:
    if test is None or not test.comparison.n:
        return NONE
    each, digits = test.comparison, DIGITS[measure]
    interval = "" if np.isnan(each.low) else f" [{each.low:+.{digits}f}, {each.high:+.{digits}f}]"
    return f"{each.difference:+.{digits}f}{interval}"


def _p(test: Paired | None) -> str:
    if test is None or np.isnan(test.p_holm):
        return NONE
    return f"{test.p_holm:.3f}" if test.p_holm >= 0.001 else "< 0.001"


def _published(row: TableRow, measure: str, shown: Sequence[str]) -> str:
    figures = row.published.get(measure, {})
    told = [f"{figures[c]:.{DIGITS[measure]}f}" if c in figures else NONE for c in shown]
    return " / ".join(told) if figures else NONE


def _cost(row: TableRow, found: Sequence[Finished]) -> list[str]:
    of = [each for each in found if each.cell.row.name == row.name]
    if not of:
        return [_plain(row.name), *[NONE] * 6]
    minutes, speed, peak, gpu = (
        float(np.mean(values))
        for values in zip(
            *((e.record.seconds / 60, e.record.speed, e.record.peak_mib, e.record.gpu_peak_mib) for e in of),
            strict=True,
        )
    )
    devices = _list(dict.fromkeys(each.facts.device for each in of))
    commits = _list(dict.fromkeys(each.facts.commit for each in of))
    return [_plain(row.name), f"{minutes:.1f}", f"{speed:.2f}", f"{peak:.0f}", f"{gpu:.0f}", devices, commits]


def _markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *lines))


def _plain(text: str) -> str:
    """Return a name in one line, with a backslash before each sign that Markdown or HTML would take for its own."""
    return re.sub(r"([\\`*|<])", r"\\\1", " ".join(text.split()))


def _list(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))
