"""The server's answers, with the fields that the page reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from maskmixadv.studio.images.readable import Use
from maskmixadv.studio.images.volumes import ShownChannel
from maskmixadv.studio.learning.readiness import Further, Want
from maskmixadv.studio.palette import PaletteClass
from maskmixadv.studio.review.heart import CaseVolumes, HeartMeasures
from maskmixadv.studio.review.reviews import Verdict


@dataclass(frozen=True)
class MaskAnswer:
    """What holds in a case of its masks.

    Attributes
    ----------
    corrected
        Slices of which somebody painted the mask.
    given
        Whether a mask of the case came with the folder.
    looked
        Slices that a person looked at: at what the latest run predicted, or they judged or corrected them.
    use
        What the dense slices are for.
    reviews
        Verdicts by slice.
    """

    corrected: Sequence[int]
    given: bool
    looked: Sequence[int]
    use: Use
    reviews: Mapping[int, Verdict]


@dataclass(frozen=True)
class PaintedAnswer(MaskAnswer):
    """What holds in a case after a slice's mask was painted or discarded.

    Attributes
    ----------
    version
        Of the slice's mask (`maskmixadv.studio.versions`).
    """

    version: str


@dataclass(frozen=True)
class CaseAnswer:
    """A case in the list of cases.

    Attributes
    ----------
    shape, spacing
        Of the image, with the slices' axis first; in voxels and in mm. `spacing` is None if the image has none.
    edges
        The patient's sides (letters such as R or HA) at the first and the last slice, row and column; None if the file
        does not say where it lies.
    channels
        What can be shown of the image.
    coloured
        Whether it is a picture in colour, of which slices have red, green and blue.
    notes
        What reading its file tells, such as that its spacing is that at an X-ray's detector.
    scribbled
        Slices with strokes.
    reviews
        Verdicts by slice.
    masks
        What holds of its masks.
    predicted
        Whether the latest run has predicted it.
    seconds
        How long people drew in it.
    changed
        When its files last changed, as a text: another one means that the page must read the image again.
    """

    name: str
    shape: Sequence[int]
    spacing: Sequence[float] | None
    edges: Sequence[tuple[str, str]] | None
    channels: Sequence[ShownChannel]
    coloured: bool
    notes: Sequence[str]
    scribbled: Sequence[int]
    reviews: Mapping[int, Verdict]
    masks: MaskAnswer
    predicted: bool
    seconds: float
    changed: str


@dataclass(frozen=True)
class DrawAnswer:
    """What holds after strokes were drawn: the case's slices with strokes, its verdicts, and the strokes' version."""

    scribbled: Sequence[int]
    reviews: Mapping[int, Verdict]
    version: str


@dataclass(frozen=True)
class MethodAnswer:
    """A method that can be trained, and what it does, in a sentence."""

    name: str
    about: str


@dataclass(frozen=True)
class ReadyAnswer:
    """What a training would lack, and about how many seconds each preset takes on the processor; none with a GPU.

    `further` has the steps and seconds of trainings that go on from the latest run. `anew` says why they begin anew
    all the same, for each method that does, and `renamed` which classes that run knows by other names.
    """

    wants: Sequence[Want]
    seconds: Mapping[str, float]
    further: Mapping[str, Further]
    anew: Mapping[str, str]
    renamed: Sequence[str]


@dataclass(frozen=True)
class RunAnswer:
    """The latest run with predictions."""

    name: str


@dataclass(frozen=True)
class FolderAnswer:
    """Everything that the list of cases shows.

    Attributes
    ----------
    coding
        What labels mean (`Palette.coding`): a page sends it with what is drawn on it.
    spacing_known
        Whether every image has a spacing.
    problems
        A line for each file that can't be used.
    presets, methods
        The choices for a training.
    run
        The latest run with predictions, or None.
    """

    name: str
    classes: Sequence[PaletteClass]
    coding: str
    spacing_known: bool
    cases: Sequence[CaseAnswer]
    problems: Sequence[str]
    presets: Sequence[str]
    methods: Sequence[MethodAnswer]
    run: RunAnswer | None


@dataclass(frozen=True)
class SliceCounts:
    """How many slices a case has, and how many of them a person looked at, accepted, corrected and rejected."""

    slices: int
    looked_at: int
    accepted: int
    corrected: int
    rejected: int


@dataclass(frozen=True)
class ClinicalAnswer:
    """Clinical measures of the predictions.

    Attributes
    ----------
    cases
        Volumes of each case.
    slices
        By case, what people did with its slices.
    heart
        Measures of each patient with both phases; None if the classes are not those of a heart.
    problems
        A line for each slice or case that could not be measured.
    """

    cases: Sequence[CaseVolumes]
    slices: Mapping[str, SliceCounts]
    heart: Sequence[HeartMeasures] | None
    problems: Sequence[str]


@dataclass(frozen=True)
class ExportAnswer:
    """An export: its directory, the number of its files, and a line for each case or slice that is not in it."""

    path: str
    files: int
    problems: Sequence[str]
