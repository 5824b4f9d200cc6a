"""A lot: a TOML file with the runs to train together, in order of worth, and the corpora that they need."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from maskmixadv.corpus.masks import Masks
from maskmixadv.errors import InputError
from maskmixadv.files import check_name, read_toml
from maskmixadv.methods.registry import method_from
from maskmixadv.runs.schedule import OFFERED, Changes
from maskmixadv.training.recipe import Recipe
from maskmixadv.typed import made

Split = Literal["val", "test"]


@dataclass(frozen=True)
class CorpusOf:
    """A corpus, which lies in the working folder.

    Attributes
    ----------
    name
        Name of its folder.
    commands
        Commands of ``maskmixadv``, without that word, that make it; they run one after another in the working folder.
        None: it is there already.
    """

    name: str
    commands: tuple[str, ...] = ()


@dataclass(frozen=True)
class Runs:
    """One run, repeated over seeds and folds; the fields are those of `Recipe`, and these.

    Attributes
    ----------
    name
        Beginning of the names of its folders.
    corpus, prior
        Names of corpora in the working folder.
    splits
        Which patients are scored.
    largest
        Whether to score once more with the largest component of each structure alone.
    keep
        Whether to hand out the scored network's weights, too.
    """

    name: str
    method: dict[str, Any]
    corpus: str = "acdc"
    prior: str | None = None
    preset: str = "cpu"
    changes: Changes = field(default_factory=Changes)
    scheme: str | None = None
    folds: tuple[int, ...] = (1,)
    seeds: tuple[int, ...] = (0,)
    enclosure: bool = False
    masks: str = "auto"
    masks_of: str = "patients"
    unlabelled: bool = True
    splits: tuple[Split, ...] = ("test",)
    largest: bool = False
    keep: bool = False

    def pieces(self, work: Path) -> "Iterator[Piece]":
        """Yield its runs: all folds of the first seed, then of the next."""
        check_name(self.name, "runs: name")
        for seed in self.seeds:
            for fold in self.folds:
                recipe = Recipe(
                    corpus_root=work / self.corpus,
                    method=self.method,
                    preset=self.preset,
                    changes=self.changes,
                    prior_root=None if self.prior is None else work / self.prior,
                    scheme=self.scheme,
                    fold=fold,
                    enclosure=self.enclosure,
                    masks=self.masks,
                    masks_of=self.masks_of,
                    unlabelled=self.unlabelled,
                    seed=seed,
                )
                name = f"{self.name}-fold{fold}-seed{seed}"
                yield Piece(name, work / "runs" / name, recipe, self.splits, self.largest, self.keep)


@dataclass(frozen=True)
class Piece:
    """One run of a lot, which lies in `root`; the other fields are those of `Runs`."""

    name: str
    root: Path
    recipe: Recipe
    splits: tuple[Split, ...]
    largest: bool
    keep: bool

    def __post_init__(self) -> None:
        if self.recipe.preset not in OFFERED:
            raise InputError(f"{self.name}: preset {self.recipe.preset!r}, allowed are {', '.join(OFFERED)}")
        method = method_from(self.recipe.method).under(self.recipe.changes.on(self.recipe.preset))
        if method.wants_prior and self.recipe.prior_root is None:
            raise InputError(f"{self.name}: its critic needs the masks of a prior, name the corpus that has them")
        Masks(self.recipe.masks, self.recipe.masks_of)

    @property
    def steps(self) -> int:
        """How many steps it has."""
        return self.recipe.changes.on(self.recipe.preset).steps

    @property
    def believes(self) -> bool:
        """Whether its method learns from random walks' beliefs."""
        schedule = self.recipe.changes.on(self.recipe.preset)
        return method_from(self.recipe.method).under(schedule).believes

    @property
    def shared(self) -> str:
        """A text that is the same for all runs that learn from the same slices and prior masks."""
        return self.recipe.learnt_from

    @property
    def alike(self) -> str:
        """A text that is the same for all runs whose slices are made alike, of whichever patients."""
        return replace(self.recipe, prior_root=None, scheme=None, fold=1).learnt_from

    @property
    def evaluations(self) -> list[tuple[Split, bool]]:
        """Which patients are scored, and whether with largest components alone."""
        return [(split, largest) for split in self.splits for largest in (False, *([True] if self.largest else []))]


PHANTOMS = tuple(
    CorpusOf(name, (f"prepare phantom {name} --cases 6 --size 64 --seed {seed}",))
    for seed, name in enumerate(("phantoms", "others"))
)
"""What a lot is tried on, and the prior's masks."""


def _tiny(runs: Runs) -> Runs:
    return replace(
        runs,
        corpus=PHANTOMS[0].name,
        prior=None if runs.prior is None else PHANTOMS[1].name,
        changes=replace(runs.changes, steps=2, size=48, window=32, validate_every=2),
        scheme=None,
        folds=(1,),
        seeds=runs.seeds[:1],
        masks_of="slices" if runs.masks.isdigit() else runs.masks_of,  # phantoms have few patients
    )


@dataclass(frozen=True)
class Lot:
    """What a lot's file says.

    Attributes
    ----------
    runs
        What is trained together, in order of worth.
    corpora
        What is made before.
    commands
        What Python runs first, one after another in the working folder: ``-m maskmixadv …``, or a script of this
        checkout. ``bare.py`` gives them.
    tries
        Commands that are given instead where a lot is only tried.
    hand_out
        Files and folders of the working folder, which these commands make and ``bare.py`` hands out.
    """

    runs: tuple[Runs, ...] = ()
    corpora: tuple[CorpusOf, ...] = ()
    commands: tuple[str, ...] = ()
    tries: tuple[str, ...] = ()
    hand_out: tuple[str, ...] = ()

    @classmethod
    def read(cls, path: Path) -> "Lot":
        """Read a file; what is wrong in it raises an `InputError`."""
        return made(cls, read_toml(path), str(path))

    def tiny(self) -> "Lot":
        """The same lot, to try it: each run for two steps on phantoms, with one fold and one seed; no commands."""
        return replace(self, runs=tuple(map(_tiny, self.runs)), corpora=PHANTOMS, commands=(), tries=(), hand_out=())

    def pieces(self, work: Path) -> list[Piece]:
        """All runs, in the file's order."""
        pieces = [piece for runs in self.runs for piece in runs.pieces(work)]
        names = [piece.name for piece in pieces]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"runs: the names {', '.join(twice)} come twice, each is needed once")
        return pieces
