"""The volumes of all cases as CSV, with how much of each a person looked at."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from maskmixadv.files import write_text
from maskmixadv.studio.answers import ClinicalAnswer, SliceCounts
from maskmixadv.studio.export.folders import renewed
from maskmixadv.studio.export.masks import CaseMask
from maskmixadv.tabular import csv_text

VOLUMES, HEARTS = "volumes.csv", "hearts.csv"
PLACE: Final = ("case", "unit")
SHARE: Final = "share_looked_at"
COUNTS: Final = ("slices", "looked_at", "accepted", "corrected", "rejected")
HEART: Final = ("patient", "edv", "esv", "sv", "ef", "mass")


def counted(mask: CaseMask) -> SliceCounts:
    """Count the slices of a case by what people did with them."""
    states = Counter(mask.states)
    return SliceCounts(len(mask.states), len(mask.looked), states["accepted"], states["corrected"], states["rejected"])


def write_volumes(
    folder: Path, measures: ClinicalAnswer, classes: Sequence[str], problems: list[str]
) -> tuple[Path, int]:
    """Write ``volumes.csv``, and ``hearts.csv`` if there are measures of hearts, in place of both files of before.

    A line is appended to `problems` for a file that stays.

    Returns
    -------
    The file of the volumes, and the number of files.

    Raises
    ------
    TakenError
        If something else is in the place of the files.
    InputError
        If they can't be written.
    """
    columns = _columns(classes[1:])
    rows = [
        {
            "case": each.case,
            "unit": "ml" if each.spacing_known else "voxels",
            **{columns[name]: volume for name, volume in each.volumes.items()},
            **_looks(measures.slices[each.case]),
        }
        for each in measures.cases
    ]
    with renewed(folder, problems, among=(VOLUMES, HEARTS)) as new:
        write_text(new.place / VOLUMES, csv_text([*PLACE, *columns.values(), *COUNTS, SHARE], rows))
        if measures.heart:
            write_text(new.place / HEARTS, csv_text(HEART, map(asdict, measures.heart)))
    return folder / VOLUMES, new.files


def _columns(classes: Sequence[str]) -> dict[str, str]:
    """Return each class's column; a class that is called as another column gets a longer name."""
    columns = dict[str, str]()
    for name in classes:
        column = name
        while (
            column in (*PLACE, *COUNTS, SHARE) or (column != name and column in classes) or column in columns.values()
        ):
            column += " (class)"
        columns[name] = column
    return columns


def _looks(slices: SliceCounts) -> Mapping[str, object]:
    return {**asdict(slices), SHARE: round(slices.looked_at / slices.slices, 3)}
