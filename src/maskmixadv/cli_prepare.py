"""The commands ``prepare`` for a user's own images."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

if TYPE_CHECKING:
    from maskmixadv.data.classes import Classes

Source = Annotated[Positional[Path], arg(metavar="SRC")]
NewCorpus = Annotated[Positional[Path], arg(metavar="CORPUS")]


@dataclass(frozen=True)
class PrepareFolder:
    """Make a corpus of your own images.

    SRC holds images/ and at least one of scribbles/ and masks/, with files of the same names: NIfTI, NRRD, MetaImage,
    PNG, JPEG (images only) or TIFF. SRC/classes.toml says what the codes in them mean.

    Attributes
    ----------
    source
        Folder with images/, scribbles/, masks/ and classes.toml.
    corpus
        Directory to make; must be new or empty.
    patient
        Regular expression whose first group, found in a file's name, names the patient, such as '^([^_]+)'. By
        default each image is another patient's.
    validate
        Patients with masks to validate on, as a number, or as a fraction below 1; what more has masks alone is for
        testing. By default those that have masks and no scribbles.
    axis
        Array axis of the files along which slices are cut; 0 is the last one of a NIfTI header. By default that of the
        largest spacing.
    yes
        Where classes.toml is missing: accept what is guessed from the codes.
    """

    source: Source
    corpus: NewCorpus
    patient: Annotated[str | None, arg(metavar="REGEX")] = None
    validate: Annotated[float | None, arg(metavar="PATIENTS")] = None
    axis: Literal[0, 1, 2] | None = None
    yes: bool = False

    def run(self) -> int:
        """Prepare; returns the exit code."""
        from maskmixadv.data import folder

        corpus = folder.prepare(
            self.source,
            self.corpus,
            patient=self.patient,
            validate=self.validate,
            axis=self.axis,
            confirm=_confirmer(self.yes),
        )
        return made(corpus)


@dataclass(frozen=True)
class PrepareNNUNet:
    """Make a corpus of an nnU-Net v2 raw dataset.

    SRC holds dataset.json, imagesTr/ and labelsTr/, and may hold splits_final.json, imagesTs/ and labelsTs/. Labels
    with pixels of the label 'ignore' are scribbles, others are dense masks.

    Attributes
    ----------
    source
        The dataset's folder, DatasetNNN_….
    corpus
        Directory to make; must be new or empty.
    patient
        Regular expression whose first group, found in a case's name, names the patient. By default each case is
        another patient's.
    axis
        Array axis of the files along which slices are cut; 0 is the last one of a NIfTI header. By default that of the
        largest spacing.
    """

    source: Source
    corpus: NewCorpus
    patient: Annotated[str | None, arg(metavar="REGEX")] = None
    axis: Literal[0, 1, 2] | None = None

    def run(self) -> int:
        """Prepare; returns the exit code."""
        from maskmixadv.data import nnunet

        return made(nnunet.prepare(self.source, self.corpus, patient=self.patient, axis=self.axis))


def made(corpus: Any) -> int:  # noqa: ANN401
    """Say what was made; returns the exit code."""
    slices = sum(entry.shape[0] for entry in corpus.entries)
    patients = len({entry.patient for entry in corpus.entries})
    print(f"{corpus.root}: {len(corpus.entries)} cases of {patients} patients, {slices} slices")
    return 0


def _confirmer(yes: bool) -> "Callable[[Classes], bool] | None":
    """Who says whether guessed classes are right: the flag, a person at the terminal, or nobody."""

    def accept(classes: "Classes") -> bool:
        print(f"classes, guessed: {classes}")
        return yes or input("Is this right? [y/N] ").strip().lower() in ("y", "yes")

    return accept if yes or sys.stdin.isatty() else None
