"""The commands ``annotate``; in a module of their own, as the libraries that they draw with take long to import."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg, subcommand

from maskmixadv.errors import counted, say, word
from maskmixadv.strokes.annotate import (
    Annotator,
    KeptAnnotator,
    PointAnnotator,
    ScribbleAnnotator,
    annotate,
)
from maskmixadv.strokes.imperfect import PERFECT, Imperfection

_LACKS = {"dense": "without a dense mask have no scribble", "scribble": "have no strokes to keep"}


@dataclass(frozen=True, kw_only=True)
class FromCorpus:
    """Options of all three commands.

    Attributes
    ----------
    root
        Directory that 'maskmixadv prepare' made; it stays as it is.
    out
        Directory of the new corpus, which has the same cases; must be new or empty.
    imperfection
        What is left out, and what is wrong.
    """

    root: Annotated[Positional[Path], arg(metavar="CORPUS")]
    out: Annotated[Path, arg(metavar="NEWCORPUS")]
    imperfection: Imperfection = PERFECT

    def _made(self, annotator: Annotator) -> int:
        from maskmixadv.sources.opening import open_corpus

        source = open_corpus(self.root)
        corpus = annotate(source, self.out, annotator, self.imperfection)
        lacking = sum(not getattr(entry, annotator.source) for entry in source.entries)
        told = [counted(len(corpus.entries), "case")]
        told += [f"{lacking} {_LACKS[annotator.source]}"] if lacking else []
        if self.imperfection.patients < 1:
            kept = len({entry.patient for entry in corpus.entries if entry.scribble})
            told.append(f"scribbles of {kept} of {len({entry.patient for entry in corpus.entries})} patients")
        if not annotator.closed_background:
            note = "nothing is drawn round the organs: train without --enclosure, whose hull would cut them"
            say(f"{corpus.root}: {note}")
        print(f"{corpus.root}: {'; '.join(told)}; see 'maskmixadv check {word(corpus.root)}'")
        return 0


@dataclass(frozen=True, kw_only=True)
class FromMasks(FromCorpus):
    """Options of the commands that draw.

    Attributes
    ----------
    origin
        What to draw from: the dense masks. A case without one gets no scribble.
    """

    origin: Annotated[Literal["dense"], arg(name="from")] = "dense"


@dataclass(frozen=True, kw_only=True)
class AnnotateScribbles(FromMasks):
    """Make a corpus with scribbles drawn from the dense masks of another.

    Attributes
    ----------
    strokes
        How to draw.
    """

    strokes: ScribbleAnnotator = ScribbleAnnotator()  # noqa: RUF009

    def run(self) -> int:
        """Draw; returns the exit code."""
        return self._made(self.strokes)


@dataclass(frozen=True, kw_only=True)
class AnnotatePoints(FromMasks):
    """Make a corpus with points drawn from the dense masks of another.

    Attributes
    ----------
    points
        How to draw.
    """

    points: PointAnnotator = PointAnnotator()  # noqa: RUF009

    def run(self) -> int:
        """Draw; returns the exit code."""
        return self._made(self.points)


@dataclass(frozen=True, kw_only=True)
class AnnotateKept(FromCorpus):
    """Make a corpus with fewer or wrong strokes of those that another has.

    Attributes
    ----------
    kept
        How to choose.
    """

    kept: KeptAnnotator = KeptAnnotator()  # noqa: RUF009

    def run(self) -> int:
        """Choose; returns the exit code."""
        return self._made(self.kept)


Annotate = (
    Annotated[AnnotateScribbles, subcommand("scribbles")]
    | Annotated[AnnotatePoints, subcommand("points")]
    | Annotated[AnnotateKept, subcommand("kept")]
)
