"""The finished runs of a table: read from their folders, and written as ``results.csv``."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

import numpy as np

from maskmixadv.bench.cells import Cell
from maskmixadv.bench.filed import RECORD, CellRecord, text_hash
from maskmixadv.errors import InputError
from maskmixadv.files import read_json
from maskmixadv.metrics import scores
from maskmixadv.metrics.masks import Score
from maskmixadv.runs.origin import Facts
from maskmixadv.tabular import csv_text
from maskmixadv.typed import as_type, made

MEASURES: Final = ("dice", "hd95")
"""What a table shows, by the names that `Score` has for them."""


@dataclass(frozen=True)
class Finished:
    """A cell whose run is finished.

    Attributes
    ----------
    cell
        Which row, fold and seed.
    record
        What the run cost: steps, seconds, memory.
    facts
        How and where the run was made.
    scores
        One row for each case and class.
    """

    cell: Cell
    record: CellRecord
    facts: Facts
    scores: tuple[scores.CaseScore, ...]


def finished(cells: Iterable[Cell]) -> tuple[Finished, ...]:
    """Read the finished ones of `cells`.

    Raises
    ------
    InputError
        If a file of one is damaged or gone.
    """
    return tuple(
        _finished(cell, record)
        for cell in cells
        if cell.job.done and (record := CellRecord.read(cell.folder)) is not None
    )


def _finished(cell: Cell, record: CellRecord) -> Finished:
    path = cell.folder / "scores.csv"
    try:
        found = Finished(cell, record, _facts(cell.folder), scores.read(path))
        if record.scores not in ("", text_hash(path)):
            raise InputError(f"{path}: was changed since the run was scored, as {RECORD} says; put it back")
        return found
    except InputError as error:
        told = f"to score the run again, 'bench' does so once {cell.folder / RECORD} is deleted"
        raise InputError(f"{error}; {told}") from None


def pooled(found: Sequence[Finished]) -> tuple[scores.CaseScore, ...]:
    """Return the rows of one method's runs as if they were one run: the cases of all folds, each averaged over seeds.

    A measure that is undefined (NaN) with one seed is undefined in the mean. A case's name gets its fold before it.
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
    """Return the text of ``results.csv``, which has a line for each run."""
    lines = [_line(each) for each in found]
    return csv_text(list(dict.fromkeys(key for line in lines for key in line)), lines)


def _line(each: Finished) -> dict[str, Any]:
    summary = scores.summarise(each.scores, {})
    cell, facts, record = each.cell, each.facts, each.record
    return {
        "row": cell.row.name,
        "method": cell.row.method,
        "fold": cell.fold,
        "seed": cell.seed,
        "identity": record.identity,
        "command": facts.command,
        "commit": facts.commit,
        "device": facts.device,
        "seconds": f"{record.seconds:.1f}",
        "steps_per_second": f"{record.speed:.3f}",
        "peak_mib": f"{record.peak_mib:.0f}",
        "gpu_peak_mib": f"{record.gpu_peak_mib:.0f}",
        **{
            f"{measure}_{label}": f"{getattr(result, measure).mean:.6g}"
            for measure in MEASURES
            for label, result in summary.results.items()
        },
        **{f"volume_ratio_{label}": f"{result.volume_ratio:.4g}" for label, result in summary.classes.items()},
    }


def _facts(folder: Path) -> Facts:
    """Read the facts of a run from the ``run.json`` that was filed with its scores."""
    path = folder / "run.json"
    raw = as_type(read_json(path), dict[str, Any], str(path))
    return made(Facts, {field.name: raw.get(field.name) for field in fields(Facts)}, str(path))
