"""Gets a lot's runs ready in worker processes: corpora, random walks, ``run.json``, training slices."""

import itertools
import shlex
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import working
from lot import Lot, Piece
from maskmixadv.corpus.masks import Masks
from maskmixadv.errors import one_line
from maskmixadv.sampling.slices import PriorMasks, Slices
from maskmixadv.sources.opening import open_corpus
from maskmixadv.training.recipe import Recipe
from maskmixadv.training.together import handed

PARTS = 16
"""Parts in which the walks of a corpus are computed, and its slices."""
UNREAD = 24
"""Groups whose slices may lie on the disk at a time."""

Ready = tuple[Slices, PriorMasks | None]


@dataclass
class _Group:
    """Runs that learn from the same slices."""

    number: int
    pieces: list[Piece]
    begun: dict[str, "Future[None]"] = field(default_factory=dict)
    slices: "Future[float] | None" = None
    there: Ready | None = None
    told: str = ""


class Readying:
    """Gets runs ready in the lot's order; `poll` lets it go on, and never waits.

    Parameters
    ----------
    lot, pieces, work
        The lot, its runs and the working folder.
    pool
        Workers.
    device
        Name of the device that trains, for the record.
    """

    def __init__(self, lot: Lot, pieces: list[Piece], work: Path, pool: Executor, device: str) -> None:
        self._work, self._pool, self._device = work, pool, device
        self._unmade = list(lot.corpora)
        self._corpora: dict[str, Future[float]] = {}
        self._walks: dict[tuple[Path, bool], list[Future[float]]] = {}
        self._kept: dict[str, list[Future[float]]] = {}
        self._pieces = pieces
        self._groups: dict[str, _Group] = {}
        for piece in pieces:
            self._groups.setdefault(piece.shared, _Group(len(self._groups), [])).pieces.append(piece)
        self.waiting = list(pieces)
        """Runs that are not begun yet, in order."""
        self.failed: dict[str, str] = {}
        """Why runs can't be trained, by name."""

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds of work by stage, over all processes."""
        walks, kept = ([future for futures in of.values() for future in futures] for of in (self._walks, self._kept))
        slices = [group.slices for group in self._groups.values() if group.slices is not None]
        stages = {"corpora": [*self._corpora.values()], "walks": walks, "kept": kept, "slices": slices}
        return {
            stage: round(sum(future.result() for future in futures if _done(future)), 1)
            for stage, futures in stages.items()
        }

    def poll(self) -> None:
        """Hand out what can be done next."""
        self._make_corpora()
        unread = sum(group.slices is not None and group.there is None for group in self._groups.values())
        for group in self._groups.values():
            if not any(piece in self.waiting for piece in group.pieces):
                group.there = None  # the device's memory is for others
            elif group.slices is None and unread < UNREAD:
                unread += self._go_on(group)

    def take(self, fits: int | None, device: torch.device) -> tuple[Piece, Ready] | None:
        """Return the first run that is ready and has at most so many steps; None where there is none."""
        for piece in self.waiting:
            group = self._groups[piece.shared]
            begun = group.begun.get(piece.name)
            if begun is None or not begun.done() or group.slices is None or not group.slices.done():
                continue
            if fits is not None and piece.steps > fits:
                continue
            self.waiting.remove(piece)
            try:
                begun.result()
                return piece, self._loaded(group, piece, device)
            except Exception as error:
                self._fail(piece, error)
                return None
        return None

    def _make_corpora(self) -> None:
        """Make corpora as soon as those are done that stand before them in the file and in their commands."""
        for number, of in reversed([*enumerate(self._unmade)]):
            words = {word for command in of.commands for word in shlex.split(command)}
            made = [future for name, future in self._corpora.items() if name in words]
            if all(future.done() for future in made) and not words & {other.name for other in self._unmade[:number]}:
                self._corpora[of.name] = self._pool.submit(working.make_corpus, of, self._work)
                del self._unmade[number]

    def _go_on(self, group: _Group) -> bool:
        """Bring a group one stage further; returns whether its slices are being made now."""
        first = group.pieces[0]
        name = first.recipe.corpus_root.name
        corpus = self._corpora.get(name)
        if any(of.name == name for of in self._unmade) or (corpus is not None and not corpus.done()):
            return False
        try:
            if corpus is not None:
                corpus.result()
            walks = self._walked(first) if first.believes else []
        except Exception as error:
            for piece in group.pieces:
                if piece in self.waiting:
                    self.waiting.remove(piece)
                    self._fail(piece, error)
            return False
        if not group.begun:
            group.begun = {piece.name: self._pool.submit(working.begin, piece, self._device) for piece in group.pieces}
        begun = group.begun[first.name]
        if not begun.done() or not all(walk.done() for walk in walks):
            return False
        if begun.exception() is None and not all(part.done() for part in self._in_cache(first)):
            return False
        # Where a walk or a part has failed, the slices' own process tries again, and says why.
        group.slices = self._pool.submit(working.slices, first, self._file(group))
        return True

    def _in_cache(self, of: Piece) -> "list[Future[float]]":
        """Slices that runs of several folds learn from alike, made once; none where the seed chooses masks."""
        if Masks(of.recipe.masks, of.recipe.masks_of).number is not None:
            return []
        if of.alike not in self._kept:
            patients = self._patients([piece.recipe for piece in self._pieces if piece.alike == of.alike])
            parts = min(PARTS, len(patients))
            self._kept[of.alike] = [
                self._pool.submit(working.keep, of, patients, part=(part, parts)) for part in range(parts)
            ]
        return self._kept[of.alike]

    def _patients(self, recipes: list[Recipe]) -> list[str]:
        """The training patients of recipes on one corpus."""
        corpus = open_corpus(recipes[0].corpus_root)
        folds = {(each.scheme, each.fold) for each in recipes}
        splits = [corpus.split(scheme or next(iter(corpus.folds)), fold) for scheme, fold in folds]
        return sorted({*itertools.chain.from_iterable(split.train for split in splits)})

    def _walked(self, of: Piece) -> "list[Future[float]]":
        """The walks of all cases that runs of the lot want of a corpus."""
        root, enclosure = of.recipe.corpus_root, of.recipe.enclosure
        if (root, enclosure) not in self._walks:
            believing = [piece.recipe for piece in self._pieces if piece.believes]
            alike = [each for each in believing if (each.corpus_root, each.enclosure) == (root, enclosure)]
            patients = self._patients(alike)
            aside = self._work / "aside" / f"{root.name}-{int(enclosure)}"
            parts = min(PARTS, len(patients))
            self._walks[root, enclosure] = [
                self._pool.submit(
                    working.walk, root, patients, enclosure=enclosure, part=(part, parts), aside=aside / str(part)
                )
                for part in range(parts)
            ]
        return self._walks[root, enclosure]

    def _loaded(self, group: _Group, piece: Piece, device: torch.device) -> Ready:
        if group.there is None:
            assert group.slices is not None
            group.slices.result()
            slices, prior, group.told = handed(self._file(group), device)
            group.there = (slices, prior)
            self._file(group).unlink()
        with (piece.root / working.OUTPUT).open("a") as file:
            file.writelines(f"{piece.name}: {line}\n" for line in group.told.splitlines())
        return group.there

    def _file(self, group: _Group) -> Path:
        return self._work / f"slices-{group.number}.pt"

    def _fail(self, piece: Piece, error: Exception) -> None:
        self.failed[piece.name] = one_line(str(error))[:300]
        print(f"{piece.name}: can't be trained: {self.failed[piece.name]}", flush=True)


def _done(future: "Future[Any]") -> bool:
    return future.done() and not future.cancelled() and future.exception() is None
