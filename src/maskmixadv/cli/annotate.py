"""The commands ``annotate``; apart from the others, as what they draw with takes a while to import."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg, subcommand

from maskmixadv.strokes.annotate import Annotator, Points, Strokes, annotate


@dataclass(frozen=True, kw_only=True)
class FromCorpus:
    """A corpus with another annotation.

    Attributes
    ----------
    corpus
        Directory that 'maskmixadv prepare' made; it stays as it is.
    out
        Directory of the new corpus, which has the same cases; must be new or empty.
    origin
        What to draw from: the dense masks. A case without one is left without a scribble.
    """

    corpus: Annotated[Positional[Path], arg(metavar="CORPUS")]
    out: Annotated[Path, arg(metavar="NEWCORPUS")]
    origin: Annotated[Literal["dense"], arg(name="from")] = "dense"

    def _made(self, annotator: Annotator) -> int:
        from maskmixadv.sources.opening import open_corpus

        corpus = annotate(open_corpus(self.corpus), self.out, annotator)
        bare = sum(not entry.scribble for entry in corpus.entries)
        left = f"; {bare} without a dense mask have no scribble" if bare else ""
        print(f"{corpus.root}: {len(corpus.entries)} cases{left}; see 'maskmixadv check {corpus.root}'")
        return 0


@dataclass(frozen=True, kw_only=True)
class AnnotateScribbles(FromCorpus):
    """Make a corpus with scribbles drawn from the dense masks of another.

    Attributes
    ----------
    strokes
        How to draw.
    """

    strokes: Strokes = Strokes()  # noqa: RUF009

    def run(self) -> int:
        """Draw; returns the exit code."""
        return self._made(self.strokes)


@dataclass(frozen=True, kw_only=True)
class AnnotatePoints(FromCorpus):
    """Make a corpus with points drawn from the dense masks of another.

    Attributes
    ----------
    points
        How to draw.
    """

    points: Points = Points()  # noqa: RUF009

    def run(self) -> int:
        """Draw; returns the exit code."""
        return self._made(self.points)


Annotate = Annotated[AnnotateScribbles, subcommand("scribbles")] | Annotated[AnnotatePoints, subcommand("points")]
