"""The commands ``annotate``; in a module of their own, as the libraries that they draw with take long to import."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg, subcommand

from maskmixadv.strokes.annotate import Annotator, PointAnnotator, ScribbleAnnotator, annotate


@dataclass(frozen=True, kw_only=True)
class FromCorpus:
    """Options of both commands.

    Attributes
    ----------
    root
        Directory that 'maskmixadv prepare' made; it stays as it is.
    out
        Directory of the new corpus, which has the same cases; must be new or empty.
    origin
        What to draw from: the dense masks. A case without one gets no scribble.
    """

    root: Annotated[Positional[Path], arg(metavar="CORPUS")]
    out: Annotated[Path, arg(metavar="NEWCORPUS")]
    origin: Annotated[Literal["dense"], arg(name="from")] = "dense"

    def _made(self, annotator: Annotator) -> int:
        from maskmixadv.sources.opening import open_corpus

        corpus = annotate(open_corpus(self.root), self.out, annotator)
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

    strokes: ScribbleAnnotator = ScribbleAnnotator()  # noqa: RUF009

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

    points: PointAnnotator = PointAnnotator()  # noqa: RUF009

    def run(self) -> int:
        """Draw; returns the exit code."""
        return self._made(self.points)


Annotate = Annotated[AnnotateScribbles, subcommand("scribbles")] | Annotated[AnnotatePoints, subcommand("points")]
