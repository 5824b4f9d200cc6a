"""Validation: how a training goes, on patients that it does not learn from."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from torch import nn

from maskmixadv.corpus.case import Case
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Entry
from maskmixadv.errors import InputError, say
from maskmixadv.files import make_directory
from maskmixadv.inference.predictor import Predictor
from maskmixadv.metrics.scores import mean_dice_of
from maskmixadv.pictures import contact_sheet
from maskmixadv.runs.run import Run

HELD: Final = 10**9
"""Bytes of validation cases up to which they stay in memory."""
PICTURED: Final = 6
"""Slices in a picture of progress."""


@dataclass(frozen=True)
class Validation:
    """Densely labelled validation cases. They show how a training goes, and change no step of it.

    They are held in memory, unless they take more than `HELD` bytes.

    Attributes
    ----------
    run
        The run that is validated.
    cases
        Its validation patients' cases that have dense masks.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from pathlib import Path
    >>> from maskmixadv.methods.pce import PCE
    >>> from maskmixadv.runs.schedule import PRESETS
    >>> from maskmixadv.sources.phantoms import phantom
    >>> from maskmixadv.training.begin import begin
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> schedule = replace(PRESETS["demo"], size=64, window=32, steps=10)
    >>> run = begin(corpus.root, Path("run"), method=PCE(), schedule=schedule)
    >>> validation = Validation.load(corpus, run)
    >>> [case.name for case in validation.cases]
    ['phantom001_ED', 'phantom001_ES']
    >>> round(validation.dice(run.method.players(run.task)["net"], step=0), 1)   # untrained
    0.0
    >>> [path.name for path in Path("run/pictures").iterdir()]
    ['step_000000.png']
    """

    run: Run
    cases: Sequence[Case]

    @classmethod
    def load(cls, corpus: Corpus, run: Run) -> "Validation":
        """Load the validation cases of `run` from its corpus; there may be none."""
        entries = [entry for entry in corpus.of(run.learnt_from.val) if entry.dense]
        large = sum(entry.bytes for entry in entries) > HELD
        return cls(run, _Read(corpus, entries) if large else tuple(corpus.load_all(entries)))

    def dice(self, net: nn.Module, step: int) -> float | None:
        """Return the mean Dice of `net` as `evaluate` computes it, in [0, 1]; None without cases.

        A picture of the predictions is written into the run's directory, under the number of the step. Where it can't
        be, a line on stderr says so, and the training goes on.

        Raises
        ------
        InputError
            Where the run's directory is gone; it is not made again.
        """
        if not self.cases:
            return None
        classes = self.run.task.classes
        predictor = Predictor(net, self.run.grid, classes, channels=self.run.learnt_from.channels)
        pictures: list[_Middle] = []
        found = mean_dice_of(self._predicted(predictor, pictures), classes)
        self.run.check_there()
        try:
            self._picture(pictures, step)
        except InputError as error:  # a picture is worth no trained step
            say(f"{error}; the training goes on without this picture")
        return found if math.isfinite(found) else None

    def _predicted(self, predictor: Predictor, pictures: "list[_Middle]") -> Iterator[tuple[Case, np.ndarray]]:
        """Yield the cases with their predictions, and keep some of their middle slices."""
        every = max(1, len(self.cases) // PICTURED)
        for number, case in enumerate(self.cases):
            labels = predictor.labels(case.image, case.spacing)
            if number % every == 0 and len(pictures) < PICTURED and case.dense is not None:
                middle = len(labels) // 2
                pictures.append(_Middle(case.picture[middle].copy(), labels[middle], case.dense[middle].copy()))
            yield case, labels
            del case, labels  # else large ones would stay in memory while the next ones are made

    def _picture(self, pictures: "list[_Middle]", step: int) -> None:
        folder = self.run.root / "pictures"
        make_directory(folder)  # which deletes what a killed training left unfinished
        contact_sheet(
            folder / f"step_{step:06d}.png",
            [each.image for each in pictures],
            {"prediction": [each.labels for each in pictures], "truth": [each.truth for each in pictures]},
            self.run.task.classes,
        )


class _Middle(NamedTuple):
    """A case's middle slice: what a picture of progress shows."""

    image: np.ndarray
    labels: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class _Read(Sequence[Case]):
    """Cases that are read each time that they are wanted, one by one."""

    corpus: Corpus
    entries: Sequence[Entry]

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401
        return self.corpus.load(self.entries[index])
