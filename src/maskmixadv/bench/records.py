"""What a table's finished runs left: cost and scores, read back and written as one row a run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from maskmixadv.bench.cells import RECORD, Cell
from maskmixadv.files import read_json
from maskmixadv.metrics import scores
from maskmixadv.metrics.masks import Score
from maskmixadv.tabular import csv_text
from maskmixadv.typed import as_type

MEASURES = ("dice", "hd95")


@dataclass(frozen=True)
class Finished:
    """A cell whose run is done.

    Attributes
    ----------
    cost
        Steps, seconds, peaks of memory.
    run
        Content of ``run.json``.
    scores
        One row a case and class.
    """

    cell: Cell
    cost: Mapping[str, Any]
    run: Mapping[str, Any]
    scores: tuple[scores.CaseScore, ...]

    @property
    def speed(self) -> float:
        """Steps a second, validation included."""
        return self.cost["steps"] / max(self.cost["seconds"], 1e-9)


def finished(cells: Iterable[Cell]) -> tuple[Finished, ...]:
    """Read those of `cells` that are done."""
    return tuple(
        Finished(cell, _json(cell, RECORD), _json(cell, "run.json"), scores.read(cell.folder / "scores.csv"))
        for cell in cells
        if cell.job.done
    )


def pooled(found: Sequence[Finished]) -> tuple[scores.CaseScore, ...]:
    """Rows of one method's runs as one: cases of all folds, each the mean over its seeds.

    What is undefined with one seed is undefined. Cases are named by fold, too.
    """
    by_case: dict[tuple[str, str], list[scores.CaseScore]] = {}
    for each in found:
        for row in each.scores:
            by_case.setdefault((f"fold{each.cell.fold}/{row.case}", row.score.class_name), []).append(row)
    return tuple(
        of[0]._replace(case=case, score=Score(label, *np.mean([row.score[1:] for row in of], axis=0).tolist()))
        for (case, label), of in by_case.items()
    )


def table(found: Iterable[Finished]) -> str:
    """Text of ``results.csv``: a line a run."""
    lines = [_line(each) for each in found]
    return csv_text(list(dict.fromkeys(key for line in lines for key in line)), lines)


def _line(each: Finished) -> dict[str, Any]:
    summary = scores.summarise(each.scores, {})
    cell, run, cost = each.cell, each.run, each.cost
    return {
        "row": cell.row.name,
        "method": cell.row.method,
        "fold": cell.fold,
        "seed": cell.seed,
        "identity": cost["identity"],
        "command": run["command"],
        "commit": run["commit"],
        "device": run["device"],
        "seconds": f"{cost['seconds']:.1f}",
        "steps_per_second": f"{each.speed:.3f}",
        "peak_mib": f"{cost['peak_mib']:.0f}",
        "gpu_peak_mib": f"{cost['gpu_peak_mib']:.0f}",
        **{
            f"{measure}_{label}": f"{getattr(result, measure).mean:.6g}"
            for measure in MEASURES
            for label, result in summary.results.items()
        },
        **{f"volume_ratio_{label}": f"{result.volume_ratio:.4g}" for label, result in summary.classes.items()},
    }


def _json(cell: Cell, name: str) -> dict[str, Any]:
    return as_type(read_json(cell.folder / name), dict[str, Any], str(cell.folder / name))
