"""A case: one volume of one patient, with its annotations. Nothing here imports torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from maskmixadv.corpus.arrays import SpacingLike, as_channels, as_labels, as_spacing
from maskmixadv.corpus.channels import COLOURS, ONE, Channel, check_channels, named, own, ranged, shown
from maskmixadv.corpus.scale import like_ct
from maskmixadv.errors import InputError, counted, listed
from maskmixadv.typed import whole
from maskmixadv.types import IGNORE, Spacing


@dataclass(frozen=True)
class Case:
    """One volume of one patient.

    Attributes
    ----------
    name
        Unique in its corpus; also the file's name.
    patient
        Whose volume it is; folds are made by patient.
    image
        Intensities in [0, 1], ``(c, d, h, w)``: channels, slices, rows, columns. Until a corpus is written, which
        finds the window of all CTs, these are in Hounsfield units.
    scribble, dense
        Class indices ``(d, h, w)`` (`validate` checks that), ``IGNORE`` where nothing was drawn. Either may be None.
    spacing
        Millimetres between voxels along d, h, w; None if the source does not say.
    affine
        Matrix from voxel (x, y, z, 1) to the world (mm, RAS), as in NIfTI; None if the source does not say.
    phase
        Time in the cardiac cycle, such as ``ED`` or ``ES``.
    group
        What folds are stratified by, such as a disease.
    like_ct
        Whether its intensities looked like Hounsfield units, and were scaled by the volume's own range all the same.

    Examples
    --------
    >>> image = np.random.default_rng(0).random((1, 8, 64, 64), dtype=np.float32)
    >>> scribble = np.full(image.shape[1:], IGNORE, np.uint8)
    >>> scribble[3, 30:34, 30] = 1
    >>> Case(name="anna_ED", patient="anna", image=image, scribble=scribble, spacing=(8.0, 1.5, 1.5), phase="ED")
    Case(name='anna_ED', patient='anna', shape=(8, 64, 64), spacing=(8, 1.5, 1.5), phase='ED', scribble)
    """

    name: str
    patient: str
    image: Float[np.ndarray, "c d h w"]
    scribble: UInt8[np.ndarray, "_ _ _"] | None = None
    dense: UInt8[np.ndarray, "_ _ _"] | None = None
    spacing: Spacing | None = None
    affine: Float[np.ndarray, "4 4"] | None = None
    phase: str | None = None
    group: str | None = None
    like_ct: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along d, h, w."""
        d, h, w = self.image.shape[1:]
        return d, h, w

    @property
    def bytes(self) -> int:
        """Bytes that its arrays take in memory."""
        return sum(array.nbytes for array in (self.image, self.scribble, self.dense) if array is not None)

    @property
    def shown(self) -> Float[np.ndarray, "d h w"]:
        """The image as grey: the brightness of colours, else the first channel."""
        return shown(self.image)

    @property
    def picture(self) -> Float[np.ndarray, "d h w *c"]:
        """The image as people see it: colours last where there are three channels, else the first channel alone."""
        return np.moveaxis(self.image, 0, -1) if len(self.image) == len(COLOURS) else self.image[0]

    @classmethod
    def from_arrays(
        cls,
        image: np.ndarray,
        *,
        name: str,
        scribble: np.ndarray | None = None,
        dense: np.ndarray | None = None,
        spacing: SpacingLike | None = None,
        patient: str | None = None,
        phase: str | None = None,
        group: str | None = None,
        ignore: int = IGNORE,
        channels: Sequence[Channel] = (),
    ) -> "Case":
        """Make a case of NumPy arrays of one shape ``(d, h, w)``: slices, rows, columns.

        A network sees one slice ``(h, w)`` at a time. The first axis is the one along which the patient was cut into
        slices, as a rule the one of the largest spacing. What nibabel reads is ``(x, y, z)``: hand over ``array.T``
        and ``zooms[::-1]``.

        Parameters
        ----------
        image
            Intensities as the scanner gives them, in any unit and number type. They are scaled to [0, 1], as
            `normalise` does. Several channels come as ``(c, d, h, w)``. Of all arrays the case has copies.
        name
            The case's name; a corpus has it once.
        scribble
            What was drawn, sparsely: class indices, 0 where the background was drawn, `ignore` where nothing was.
        dense
            A full mask: class indices, `ignore` where nothing is known.
        spacing
            Millimetres between voxels along d, h, w; None where unknown.
        patient
            Whose volume it is; None: `name`. Cases of one patient are never split between training and testing.
        phase
            Time in the cardiac cycle, such as ``ED`` or ``ES``.
        group
            What the patient belongs to, such as a disease.
        ignore
            The arrays' code for "nothing drawn", 0 to 255.
        channels
            What the image's channels are, the same as for `maskmixadv.make_corpus`. None given: each is scaled by
            its own range.

        Raises
        ------
        InputError
            Where a word is no text, the channels are not those of the image, an array has another number of axes or
            shape, the image is not finite or constant, a label is no whole number from 0 to 255, a scribble covers each
            voxel, or the spacing is not above 0.

        Examples
        --------
        >>> image = np.random.default_rng(0).normal(300.0, 40.0, (8, 64, 64))  # raw intensities
        >>> scribble = np.full(image.shape, 255)                               # nothing drawn yet
        >>> scribble[3, 5, 5:60], scribble[3, 30:34, 30] = 0, 1                # background, structure
        >>> Case.from_arrays(image, name="anna", scribble=scribble, spacing=(8, 1.5, 1.5))
        Case(name='anna', patient='anna', shape=(8, 64, 64), spacing=(8, 1.5, 1.5), scribble)
        """
        _check_words(name, {"patient": patient, "phase": phase, "group": group}, ignore)
        volumes = as_channels(image, f"{name}: image")
        known = own(channels or (ONE if len(volumes) == 1 else [Channel(str(k)) for k in range(len(volumes))]))
        check_channels(known, name)
        if len(known) != len(volumes):
            raise InputError(
                f"{name}: image has {counted(len(volumes), 'channel')}, allowed are {len(known)} ({named(known)})"
            )
        scaled = ranged(volumes, known, name)
        drawn = None if scribble is None else _ignored(scribble, ignore, f"{name}: scribble")
        if drawn is not None and not (drawn == IGNORE).any():
            raise InputError(f"{name}: scribble has no voxel of {ignore}, nothing drawn; a full mask is dense=…")
        made = cls(
            name=name,
            patient=name if patient is None else patient,
            image=scaled,
            scribble=drawn,
            dense=None if dense is None else _ignored(dense, ignore, f"{name}: dense mask"),
            spacing=None if spacing is None else as_spacing(spacing, name),
            phase=phase,
            group=group,
            like_ct=any(each.kind == "MR" and like_ct(part) for each, part in zip(known, volumes, strict=True)),
        )
        _check_shapes(made, name)
        return made

    def __repr__(self) -> str:
        """Say what it is, without its arrays."""
        said = [f"name={self.name!r}", f"patient={self.patient!r}", f"shape={self.shape}"]
        said += [f"channels={len(self.image)}"] if len(self.image) > 1 else []
        said += [] if self.spacing is None else [f"spacing=({', '.join(f'{mm:.4g}' for mm in self.spacing)})"]
        said += [f"{key}={value!r}" for key in ("phase", "group") if (value := getattr(self, key)) is not None]
        said += [kind for kind in ("scribble", "dense") if getattr(self, kind) is not None]
        return f"Case({', '.join(said)})"


def not_declared(codes: Sequence[float | int]) -> str:
    """Say of codes that they are not declared, for an error's text.

    Examples
    --------
    >>> not_declared([7]), not_declared([50, 100])
    ('label 7 is not declared', 'labels 50, 100 are not declared')
    """
    shown = listed([f"{code:.9g}" for code in codes], 5)
    return f"labels {shown} are not declared" if len(codes) > 1 else f"label {shown} is not declared"


def recode(labels: np.ndarray, *, classes: int, ignore: int | None, where: str) -> UInt8[np.ndarray, "..."]:
    """Turn a file's codes into class indices and ``IGNORE``.

    Parameters
    ----------
    labels
        Codes as the file has them, of any shape and number type.
    classes
        Number of classes; codes from 0 to ``classes - 1`` stay.
    ignore
        The file's code for "unlabelled"; None if it has none.
    where
        The file, for the error's text.

    Raises
    ------
    InputError
        If the file has any other code.

    Examples
    --------
    >>> recode(np.array([0, 1, 4]), classes=4, ignore=4, where="a.nii.gz")
    array([  0,   1, 255], dtype=uint8)
    """
    allowed = [*range(classes), *([] if ignore is None else [ignore])]
    stray = np.setdiff1d(np.unique(labels), allowed)
    if stray.size:
        shown = not_declared(stray.tolist())
        raise InputError(f"{where}: {shown}, allowed are {listed(allowed)}")
    coded = labels.astype(np.uint8)
    if ignore is not None:
        coded[labels == ignore] = IGNORE
    return coded


def validate(case: Case, *, classes: int, where: str) -> Case:
    """Return `case` unchanged if a method can learn from it, or be scored on it.

    Parameters
    ----------
    case
        Any case.
    classes
        Number of classes, with the background. Background alone is an annotation, too: that of a healthy patient.
    where
        Beginning of the error's text.

    Raises
    ------
    InputError
        If shapes differ, the image is not finite or constant, or nothing is labelled in an annotation.

    Examples
    --------
    >>> nothing = np.full((1, 4, 4), IGNORE, np.uint8)
    >>> case = Case("a", "p", image=np.random.default_rng(0).random((1, 1, 4, 4)), scribble=nothing)
    >>> validate(case, classes=4, where="a.nii.gz")
    Traceback (most recent call last):
    maskmixadv.errors.InputError: a.nii.gz: nothing is labelled in the scribble, at least one pixel must be
    """
    if case.image.ndim != 4 or 0 in case.image.shape:
        raise InputError(f"{where}: image has shape {case.image.shape}, allowed are channels of a volume: 4 axes")
    if not all(np.isfinite(part).all() for channel in case.image for part in channel):
        raise InputError(f"{where}: image holds NaN or infinity, allowed are finite numbers")
    if case.image.min() == case.image.max():
        raise InputError(f"{where}: image is constant ({case.image.flat[0]:g}), allowed is one with contrast")
    _check_shapes(case, where)
    for kind, labels in (("scribble", case.scribble), ("dense mask", case.dense)):
        if labels is None:
            continue
        codes = set(np.unique(labels).tolist())
        if not codes & set(range(classes)):
            raise InputError(f"{where}: nothing is labelled in the {kind}, at least one pixel must be")
    return case


def whole_slices(labels: UInt8[np.ndarray, "d h w"]) -> Bool[np.ndarray, "d"]:
    """Return whether each slice is a dense slice: one of which every pixel is labelled.

    Examples
    --------
    >>> whole_slices(np.array([[[0, 1]], [[IGNORE, 1]]], np.uint8))
    array([ True, False])
    """
    return (labels != IGNORE).all(axis=(1, 2))


def structures(labels: UInt8[np.ndarray, "*dhw"]) -> Bool[np.ndarray, "*dhw"]:
    """Return which pixels have the label of a structure: neither background nor ``IGNORE``.

    Examples
    --------
    >>> structures(np.array([[0, 1, IGNORE]], np.uint8))
    array([[False,  True, False]])
    """
    return (labels > 0) & (labels != IGNORE)


def _check_shapes(case: Case, where: str) -> None:
    for kind, labels in (("scribble", case.scribble), ("dense mask", case.dense)):
        if labels is not None and labels.shape != case.shape:
            raise InputError(f"{where}: {kind} has shape {labels.shape}, image has {case.shape}; must be equal")


def _ignored(labels: np.ndarray, ignore: int, where: str) -> UInt8[np.ndarray, "_ _ _"]:
    """Return `labels` with ``IGNORE`` in place of the code `ignore`; with another one, ``IGNORE`` means nothing."""
    coded = as_labels(labels, where)
    if ignore == IGNORE:
        return np.array(coded) if coded is labels else coded  # the next case may be drawn in the same array
    if (coded == IGNORE).any():
        raise InputError(f"{where}: label {IGNORE} is of no class, and ignore is {ignore}; allowed are codes below it")
    return np.where(coded == ignore, np.uint8(IGNORE), coded)


def _check_words(name: str, words: Mapping[str, object], ignore: int) -> None:
    """Refuse a name or another word of a case that is no text, and a code that labels can't have."""
    for what, word in {"name": name, **words}.items():
        if not isinstance(word, str) and (word is not None or what == "name"):
            raise InputError(f"case {name!r:.60}: {what} is a {type(word).__name__}, allowed is a text")
    if not 0 <= whole(ignore, f"{name}: ignore") <= IGNORE:
        raise InputError(f"{name}: ignore {ignore}, allowed are codes from 0 to {IGNORE}")
