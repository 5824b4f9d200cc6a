"""A picture of a corpus: some cases with their annotations."""

from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8

from maskmixadv.corpus.case import Case, structures
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.errors import InputError
from maskmixadv.pictures import contact_sheet, must_be_free
from maskmixadv.types import IGNORE

SHOWN: Final = 8
"""Cases in the picture, spread over the corpus."""
_LONGEST: Final = 22
"""Letters of a case's name beside its row."""


def draw(corpus: Corpus, path: Path) -> None:
    """Write a PNG file that shows up to 8 cases, each in the slice with most labelled pixels of structures.

    Raises
    ------
    InputError
        If no case has an annotation, or one can't be read; if the file can't be written, or exists and is no picture
        of this program.

    Examples
    --------
    >>> from maskmixadv.sources.phantoms import phantom
    >>> draw(phantom.prepare(Path("corpus"), cases=6, size=64), Path("sheet.png"))
    >>> Path("sheet.png").is_file()
    True
    """
    must_be_free(path)
    entries = [entry for entry in corpus.entries if entry.scribble or entry.dense]
    if not entries:
        raise InputError(f"{corpus.root}: no case has an annotation to show; draw some")
    count = min(SHOWN, len(entries))
    cases = [corpus.load(entries[place * len(entries) // count]) for place in range(count)]
    middles = [_fullest(case) for case in cases]
    drawn = {"scribble": [case.scribble for case in cases], "dense": [case.dense for case in cases]}
    columns = {
        kind: [_slice(case, labels, k) for case, labels, k in zip(cases, all_labels, middles, strict=True)]
        for kind, all_labels in drawn.items()
        if any(labels is not None for labels in all_labels)
    }
    contact_sheet(
        path,
        [case.picture[k] for case, k in zip(cases, middles, strict=True)],
        columns,
        corpus.classes,
        rows=[f"{_short(case.name)} {k + 1}" for case, k in zip(cases, middles, strict=True)],
    )


def _fullest(case: Case) -> int:
    labels = case.scribble if case.scribble is not None else case.dense
    if labels is None:
        return case.shape[0] // 2
    return int(structures(labels).sum(axis=(1, 2)).argmax())


def _slice(case: Case, labels: UInt8[np.ndarray, "d h w"] | None, k: int) -> UInt8[np.ndarray, "h w"]:
    return np.full(case.shape[1:], IGNORE, np.uint8) if labels is None else labels[k]


def _short(name: str) -> str:
    """Cut out the middle of a name that is longer than a row is high."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST // 2]}…{name[-_LONGEST // 2 + 1 :]}"
