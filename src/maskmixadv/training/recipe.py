"""Recipes: what a run is made of, as plain values."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskmixadv.corpus.masks import Masks
from maskmixadv.methods.registry import method_from
from maskmixadv.runs.run import Run
from maskmixadv.runs.schedule import Changes
from maskmixadv.training.begin import begin


@dataclass(frozen=True)
class Recipe:
    """All that a run is made of, as plain values, which one process can hand to another.

    Attributes
    ----------
    corpus_root, prior_root
        Directory of the corpus to learn from, and of the corpus whose masks teach a critic; None: no such corpus.
    method
        The method's ``name``, and those of its fields that are not at their defaults.
    preset, changes
        The schedule: a preset's name, and what replaces its fields.
    scheme, fold
        Which patients are held out: the scheme's name, None for the corpus's first one, and the fold, counted from 1.
    enclosure
        Whether what lies beyond the hull of a slice's background stroke is taken as background.
    masks, masks_of
        Which dense masks are learnt from beside strokes, as `maskmixadv.corpus.masks.Masks` has it: ``auto``, ``none``,
        ``all`` or a number of ``patients`` or ``slices``.
    unlabelled
        Whether a method with a teacher learns from training slices without any annotation, too.
    start
        Directory of a run whose network this one begins with; None: begin with random weights.
    seed
        Seed of everything random.

    Examples
    --------
    >>> recipe = Recipe(Path("corpus"), {"name": "pce"}, "cpu", Changes(steps=300), seed=1)
    >>> recipe.command(Path("run"))
    'maskmixadv train corpus --out run --fold 1 --seed 1 --preset cpu --steps 300 pce'
    """

    corpus_root: Path
    method: dict[str, Any]
    preset: str
    changes: Changes = field(default_factory=Changes)
    prior_root: Path | None = None
    scheme: str | None = None
    fold: int = 1
    enclosure: bool = False
    masks: str = "auto"
    masks_of: str = "patients"
    unlabelled: bool = False
    start: Path | None = None
    seed: int = 0

    def begin(
        self,
        out: Path,
        *,
        device: str | None = None,
        command: str | None = None,
        write: bool = True,
        by_place: bool = False,
    ) -> Run:
        """Begin the run in directory `out`; the other parameters are those of `maskmixadv.training.begin.begin`."""
        return begin(
            self.corpus_root,
            out,
            method=method_from(self.method),
            schedule=self.changes.on(self.preset),
            preset=self.preset,
            fit_canvas=self.changes.fit_canvas(self.preset),
            scheme=self.scheme,
            fold=self.fold,
            prior_root=self.prior_root,
            enclosure=self.enclosure,
            masks=Masks(self.masks, self.masks_of),
            unlabelled=self.unlabelled,
            start=self.start,
            by_place=by_place,
            seed=self.seed,
            device=device,
            command=command,
            write=write,
        )

    @property
    def learnt_from(self) -> str:
        """A text that is the same for all runs that learn from the same slices and prior masks."""
        schedule = self.changes.on(self.preset)
        method = method_from(self.method).under(schedule)
        seed = self.seed if Masks(self.masks, self.masks_of).number else None
        prior = self.prior_root if method.wants_prior else None
        start = self.start if self.changes.fit_canvas(self.preset) else None  # its canvas is taken over
        return repr(
            (
                *(self.corpus_root, prior, self.scheme, self.fold, self.enclosure, self.masks, self.masks_of, seed),
                *(schedule.size, schedule.side, start, method.supervision, method.believes, method.corrections()),
                self.unlabelled and method.semi_supervised,
            )
        )

    def command(self, out: Path) -> str:
        """Return the command that begins the same run, for the record."""
        words = ["maskmixadv", "train", str(self.corpus_root), "--out", str(out), "--fold", str(self.fold)]
        words += ["--seed", str(self.seed), "--preset", self.preset]
        words += ["--folds", self.scheme] if self.scheme else []
        words += ["--prior", str(self.prior_root)] if self.prior_root else []
        words += ["--enclosure"] if self.enclosure else []
        words += ["--masks", self.masks] if self.masks != "auto" else []
        words += ["--masks-of", self.masks_of] if self.masks_of != "patients" else []
        words += ["--unlabelled"] if self.unlabelled and method_from(self.method).semi_supervised else []
        words += ["--start", str(self.start)] if self.start else []
        fields = {name: value for name, value in self.method.items() if name != "name"}
        return shlex.join([*words, *_options(self.changes.given()), self.method["name"], *_options(fields)])


def _options(values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            yield f"--{option}" if value else f"--no-{option}"
        else:
            yield from (f"--{option}", *map(str, value if isinstance(value, list) else (value,)))
