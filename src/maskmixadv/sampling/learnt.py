"""Counts of what a training learns from, and of what is lost on the way to it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from maskmixadv.corpus.entry import Entry
from maskmixadv.corpus.masks import NOTHING, Taught
from maskmixadv.errors import InputError, counted, listed
from maskmixadv.sampling.grid import Placed
from maskmixadv.strokes.regrid import Strokes
from maskmixadv.types import Annotation

_NAMED: Final = 5
"""The most patients that a line names."""
_THIN: Final = "thinner than a pixel, none left for it"
_CUT: Final = "beyond the canvas"
_SHORT: Final = "partly beyond the canvas"
_STROKE, _MASK = "stroke", "mask"
_Loss = tuple[str, str, int]
_NUMBERS: Final = ("slices", "bare", "unlabelled", "dense", "unenclosed", "contradicted", "kept")
_BY_CLASS: Final = ("seen", "masked")
_BY_LOSS: Final = ("lost", "touched")
_REMEDY: Final = {
    _THIN: "draw with a wider brush, or train with a larger --size",
    _CUT: "cut the image to what is annotated, or train on images of one field of view",
}


@dataclass
class Learnt:
    """Counts over the training slices. In a dense slice, each structure is counted as one mask.

    Attributes
    ----------
    classes
        Names of the k classes, background first.
    size
        Side of the canvas in pixels.
    drawn
        The annotation that the method learns from; dense slices come to strokes.
    benchmark
        Whether masks that are not learnt from are a matter of course, as they are there to score with.
    patients
        Number of patients that are learnt from.
    left
        Training patients of whom nothing is learnt; the value says whether they have the other annotation.
    cases
        Number of cases of which nothing is learnt, of patients with other cases.
    slices, bare
        Number of slices with a label, which are learnt from, and of slices without one, which are not.
    unlabelled
        Number of slices without a label that are learnt from all the same.
    unannotated
        Number of patients of whom such slices alone are learnt from.
    dense
        Number of dense slices among those that are learnt from, if the method learns from strokes.
    unenclosed
        Number of slices with strokes in which enclosure was asked for, and labels no pixel.
    seen, masked
        Number of strokes, and of structures in dense slices, that are learnt from, by class.
    lost
        Number of strokes and of structures that are lost, wholly or in part: by ``stroke`` or ``mask``, what happened,
        and class.
    touched
        Number of slices in which that happened, by the same.
    contradicted
        Number of pixels in which a mask that is learnt from contradicts the strokes.
    kept
        Number of slices whose masks are not learnt from.

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
    benchmark: bool = False
    patients: int = 0
    left: dict[str, bool] = field(default_factory=dict)
    cases: int = 0
    slices: int = 0
    bare: int = 0
    unlabelled: int = 0
    unannotated: int = 0
    dense: int = 0
    unenclosed: int = 0
    seen: Counter[int] = field(default_factory=Counter)
    masked: Counter[int] = field(default_factory=Counter)
    lost: Counter[_Loss] = field(default_factory=Counter)
    touched: Counter[_Loss] = field(default_factory=Counter)
    contradicted: int = 0
    kept: int = 0

    def annotated(self, entry: Entry, taught: Taught) -> bool:
        """Whether a case has strokes or a mask that are learnt from."""
        return entry.name in taught or (self.drawn == "scribble" and entry.scribble)

    def chosen(
        self, entries: Sequence[Entry], taught: Taught = NOTHING, unlabelled: Sequence[Entry] = ()
    ) -> list[Entry]:
        """Return those of the training cases' `entries` that have an annotation to learn from, and count the others.

        Parameters
        ----------
        entries
            The training cases.
        taught
            The masks that are learnt from.
        unlabelled
            Those of the other cases that are learnt from without annotation.
        """
        kept = [entry for entry in entries if self.annotated(entry, taught)]
        names = {entry.name for entry in (*kept, *unlabelled)}
        known = {entry.patient for entry in kept}
        self.patients = len(known)
        self.unannotated = len({entry.patient for entry in unlabelled} - known)
        for entry in entries:
            if entry.name in names:
                continue
            if entry.patient not in known:
                other = entry.dense if self.drawn == "scribble" else entry.scribble
                self.left[entry.patient] = self.left.get(entry.patient, False) or other
            else:
                self.cases += 1
        return kept

    def count(
        self, strokes: Sequence[Strokes], placed: Placed, labelled: Sequence[bool], unlabelled: Sequence[bool]
    ) -> None:
        """Count a case.

        Parameters
        ----------
        strokes
            The strokes of each slice, as drawn.
        placed
            Where they came to lie.
        labelled
            Whether each slice carries a label on the canvas.
        unlabelled
            Whether each slice carries none, and is learnt from all the same.
        """
        self.slices += sum(labelled)
        self.unlabelled += sum(unlabelled)
        for drawn, resampled, held, kept, without in zip(
            strokes, placed.resampled, placed.held, labelled, unlabelled, strict=True
        ):
            self.bare += not kept and not without and not len(drawn)
            mask = drawn.whole and self.drawn == "scribble"
            self.dense += mask and kept
            (self.masked if mask else self.seen).update(drawn.label[held > 0].tolist())
            cut = held < resampled
            for what, lost in ((_THIN, resampled == 0), (_CUT, cut & (held == 0)), (_SHORT, cut & (held > 0))):
                gone = Counter((_MASK if mask else self._drawn, what, label) for label in drawn.label[lost].tolist())
                self.lost.update(gone)
                self.touched.update(gone.keys())

    def compare(self, *, contradicted: int, kept: int, unenclosed: int = 0) -> None:
        """Count pixels of a case in which mask and strokes differ, slices whose masks are not learnt from, and more.

        `unenclosed` are those slices with strokes in which enclosure labels nothing.
        """
        self.contradicted += contradicted
        self.kept += kept
        self.unenclosed += unenclosed

    def counts(self) -> dict[str, Any]:
        """Return what was counted of cases, as plain values for JSON."""
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        return {**numbers, **{name: sorted(getattr(self, name).items()) for name in (*_BY_CLASS, *_BY_LOSS)}}

    def add(self, counts: dict[str, Any]) -> None:
        """Add the `counts` of other cases, which may come out of JSON."""
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + counts[name])
        for name in _BY_CLASS:
            getattr(self, name).update(dict(counts[name]))
        for name in _BY_LOSS:
            getattr(self, name).update({(kind, what, label): number for (kind, what, label), number in counts[name]})

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
        for (kind, what, label), number in sorted(self.lost.items()):
            if not self._shown(label):
                raise InputError(
                    f"{where}: class {label} ({self._name(label)}): {counted(number, kind)} lost "
                    f"({self._why(what)}), none is left; {_REMEDY[what]}"
                )
        if not self.slices:
            raise InputError(f"{where}: no slice of the training cases carries a label, at least one is needed")

    def told(self) -> str:
        """Return lines for people: what is learnt from, what is not, and how far masks contradict strokes."""
        lines = [f"learnt from: {counted(self.patients, 'patient')}, {counted(self.slices, 'slice')}{self._seen()}"]
        lost = [*self._left(), *self._lost()]
        lines += ["not learnt from: " + "; ".join(lost)] if lost else []
        if absent := [name for label, name in enumerate(self.classes) if label and not self._shown(label)]:
            they = "it is" if len(absent) == 1 else "they are"
            lines.append(f"no training case shows {listed(absent)}: {they} not learnt, and will hardly be predicted")
        if self.drawn == "scribble" and not self.dense and not self._shown(0):
            lines.append(
                f"no stroke of class 0 ({self._name(0)}): predictions will leave hardly a pixel to it; draw "
                "some, best a loop round the structures in each slice"
            )
        if self.contradicted:
            lines.append(f"mask and strokes differ in {counted(self.contradicted, 'pixel')}: the mask is learnt from")
        return "\n".join(lines)

    def _seen(self) -> str:
        told = (f", {self.dense} of them dense" if self.dense else "") + self._unlabelled()
        if self.seen or not self.dense:
            told += f"; {self._drawn}s: {self._by_class(self.seen, 0 if self._drawn == _STROKE else 1)}"
        return told + (f"; masks: {self._by_class(self.masked, 1)}" if self.dense else "")

    def _shown(self, label: int) -> bool:
        return bool(self.seen[label] or self.masked[label])

    def _unlabelled(self) -> str:
        if not self.unlabelled:
            return ""
        alone = f" ({counted(self.unannotated, 'patient')} without any)" if self.unannotated else ""
        return f", {self.unlabelled:,} {'slice' if self.unlabelled == 1 else 'slices'} without annotation{alone}"

    def _by_class(self, counts: Counter[int], first: int) -> str:
        return ", ".join(f"{name} {counts[label]}" for label, name in enumerate(self.classes) if label >= first)

    @property
    def _drawn(self) -> str:
        return _STROKE if self.drawn == "scribble" else _MASK

    def _left(self) -> list[str]:
        told = []
        if self.left:
            shown = ", ".join([*sorted(self.left)[:_NAMED], *(["…"] if len(self.left) > _NAMED else [])])
            other = sum(self.left.values())
            has = f"; {other} with {self._other}" if other else ""
            told.append(
                f"{len(self.left)} of {counted(len(self.left) + self.patients, 'training patient')}, without "
                f"{self._wanted} ({shown}{has})"
            )
        if self.cases:
            told.append(f"{counted(self.cases, 'case')} more without {self._wanted}")
        if self.bare:
            told.append(f"{counted(self.bare, 'slice')} without a label")
        if self.kept and not self.benchmark:
            told.append(f"masks of {counted(self.kept, 'slice')}, kept for scoring (--masks all learns from them)")
        return told

    @property
    def _other(self) -> str:
        if self.drawn == "scribble":
            return "masks, from which --masks all learns"
        return "another annotation, which this method does not learn from"

    @property
    def _wanted(self) -> str:
        return "scribble" if self.drawn == "scribble" else "dense mask to learn from"

    def _lost(self) -> list[str]:
        return [
            f"{counted(number, kind)} of {self._name(label)} in "
            f"{counted(self.touched[kind, what, label], 'slice')} ({self._why(what)})"
            for (kind, what, label), number in sorted(self.lost.items())
        ]

    def _why(self, what: str) -> str:
        return what if what == _THIN else f"{what} of {self.size} pixels"

    def _name(self, label: int) -> str:
        return self.classes[label] if label < len(self.classes) else str(label)
