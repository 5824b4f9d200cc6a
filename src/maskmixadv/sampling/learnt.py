"""Counts of what a training learns from, and of what is lost on the way to it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from maskmixadv.corpus.entry import Entry
from maskmixadv.errors import InputError
from maskmixadv.sampling.grid import Placed
from maskmixadv.strokes.regrid import Strokes
from maskmixadv.types import Annotation

_NAMED: Final = 5
"""Patients that a line names at most."""
_THIN: Final = "thinner than a pixel, none left for it"
_CUT: Final = "beyond the canvas"
_SHORT: Final = "partly beyond the canvas"
_REMEDY: Final = {
    _THIN: "draw with a wider brush, or train with a larger --size",
    _CUT: "cut the image to what is annotated, or train on images of one field of view",
}


@dataclass
class Learnt:
    """Counts over the training slices; in a dense mask, each structure of a slice counts as one stroke.

    Attributes
    ----------
    classes
        Names of the k classes, background first.
    size
        Side of the canvas in pixels.
    drawn
        The annotation that is learnt from.
    patients
        Number of patients that are learnt from.
    left
        Training patients without the annotation; the value says whether they have the other one.
    cases
        Number of cases without the annotation, of patients that have it in other cases.
    slices, bare
        Number of slices that are learnt from, and of slices without a label.
    seen
        Number of strokes that are learnt from, by class.
    lost
        Number of strokes that are lost, wholly or in part, by what happened and class.
    touched
        Number of slices in which that happened, by the same.

    Examples
    --------
    >>> from maskmixadv.sampling.learnt import Learnt
    >>> learnt = Learnt(("background", "liver"), size=64, drawn="scribble", patients=3, slices=12)
    >>> learnt.seen.update({0: 12, 1: 9})
    >>> print(learnt.told())
    learnt from: 3 patients, 12 slices; strokes: background 12, liver 9
    """

    classes: tuple[str, ...]
    size: int
    drawn: Annotation
    patients: int = 0
    left: dict[str, bool] = field(default_factory=dict)
    cases: int = 0
    slices: int = 0
    bare: int = 0
    seen: Counter[int] = field(default_factory=Counter)
    lost: Counter[tuple[str, int]] = field(default_factory=Counter)
    touched: Counter[tuple[str, int]] = field(default_factory=Counter)

    def chosen(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return those of the training cases' `entries` that carry the annotation, and count the others."""
        kept = [entry for entry in entries if getattr(entry, self.drawn)]
        known = {entry.patient for entry in kept}
        self.patients = len(known)
        for entry in entries:
            if entry.patient not in known:
                self.left[entry.patient] = self.left.get(entry.patient, False) or entry.dense or entry.scribble
            elif not getattr(entry, self.drawn):
                self.cases += 1
        return kept

    def count(self, strokes: Sequence[Strokes], placed: Placed, labelled: Sequence[bool]) -> None:
        """Count a case.

        Parameters
        ----------
        strokes
            The strokes of each slice, as drawn.
        placed
            Where they came to lie.
        labelled
            Whether each slice carries a label on the canvas.
        """
        self.slices += sum(labelled)
        for drawn, resampled, held, kept in zip(strokes, placed.resampled, placed.held, labelled, strict=True):
            self.bare += not kept and not len(drawn)
            self.seen.update(drawn.label[held > 0].tolist())
            cut = held < resampled
            for what, lost in ((_THIN, resampled == 0), (_CUT, cut & (held == 0)), (_SHORT, cut & (held > 0))):
                gone = Counter((what, label) for label in drawn.label[lost].tolist())
                self.lost.update(gone)
                self.touched.update(gone.keys())

    def check(self, where: str) -> None:
        """Check that something is left to learn from.

        Parameters
        ----------
        where
            Names the corpus in messages.

        Raises
        ------
        InputError
            Where no slice is left, or no pixel of a class that was drawn.
        """
        for (what, label), number in sorted(self.lost.items()):
            if not self.seen[label]:
                raise InputError(
                    f"{where}: class {label} ({self._name(label)}): {_counted(number, self._strokes[:-1])} lost "
                    f"({self._why(what)}), none is left; {_REMEDY[what]}"
                )
        if not self.slices:
            raise InputError(f"{where}: no slice of the training cases carries a label, at least one is needed")

    def told(self) -> str:
        """Return a line for people, or two: what is learnt from, and what is not."""
        seen = ", ".join(f"{name} {self.seen[label]}" for label, name in enumerate(self.classes) if self._shown(label))
        line = f"learnt from: {_counted(self.patients, 'patient')}, {_counted(self.slices, 'slice')}"
        lost = [*self._left(), *self._lost()]
        return f"{line}; {self._strokes}: {seen}" + ("\nnot learnt from: " + "; ".join(lost) if lost else "")

    @property
    def _strokes(self) -> str:
        return "strokes" if self.drawn == "scribble" else "masks"

    def _shown(self, label: int) -> bool:
        return self.drawn == "scribble" or label > 0

    def _left(self) -> list[str]:
        told = []
        if self.left:
            shown = ", ".join([*sorted(self.left)[:_NAMED], *(["…"] if len(self.left) > _NAMED else [])])
            other = sum(self.left.values())
            has = f"; {other} with another annotation, which this method does not learn from" if other else ""
            told.append(
                f"{len(self.left)} of {_counted(len(self.left) + self.patients, 'training patient')}, without "
                f"{self._wanted} ({shown}{has})"
            )
        if self.cases:
            told.append(f"{_counted(self.cases, 'case')} more without {self._wanted}")
        if self.bare:
            told.append(f"{_counted(self.bare, 'slice')} without a label")
        return told

    @property
    def _wanted(self) -> str:
        return "scribble" if self.drawn == "scribble" else "dense mask"

    def _lost(self) -> list[str]:
        return [
            f"{_counted(number, self._strokes[:-1])} of {self._name(label)} in "
            f"{_counted(self.touched[what, label], 'slice')} ({self._why(what)})"
            for (what, label), number in sorted(self.lost.items())
        ]

    def _why(self, what: str) -> str:
        return what if what == _THIN else f"{what} of {self.size} pixels"

    def _name(self, label: int) -> str:
        return self.classes[label] if label < len(self.classes) else str(label)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
