"""The commands ``prepare``: a corpus of a public data set, of a user's own images, or of synthetic patients."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg, subcommand

from maskmixadv.errors import counted, say

if TYPE_CHECKING:
    from maskmixadv.corpus.corpus import Corpus
    from maskmixadv.sources.classes import Classes

SourceFolder = Annotated[Positional[Path], arg(metavar="SRC")]
NewCorpus = Annotated[Positional[Path], arg(metavar="CORPUS")]


@dataclass(frozen=True)
class FromSource:
    """Options of the commands for a public release.

    Attributes
    ----------
    source
        Folder of the release, in the layout that is named above.
    root
        Directory to make; must be new or empty.
    download
        Fetch the public pre-processed release into SRC first. SRC is made if it is missing; files that are already
        in it are kept.
    """

    source: SourceFolder
    root: NewCorpus
    download: bool = False


@dataclass(frozen=True)
class PrepareACDC(FromSource):
    """Make a corpus of ACDC, short-axis cine MRI.

    SRC has the layout of the pre-processed HDF5 release (patientXXX_frameYY.h5 volumes or …_slice_K.h5 slices) or that
    of the challenge (patientXXX/patientXXX_frameYY.nii.gz beside …_gt.nii.gz and …_scribble.nii.gz).
    """

    def run(self) -> int:
        """Prepare; returns the exit code."""
        from maskmixadv.sources import acdc, download

        if self.download:
            download.download(download.ACDC, self.source)
        return made(acdc.prepare(self.source, self.root))


@dataclass(frozen=True)
class PrepareMSCMR(FromSource):
    """Make a corpus of MSCMR, late-gadolinium MRI.

    SRC has the folders train, val and TestSet, of which one may be missing, each with images and labels.
    """

    def run(self) -> int:
        """Prepare; returns the exit code."""
        from maskmixadv.sources import download, mscmr

        if self.download:
            download.download(download.MSCMR, self.source)
        return made(mscmr.prepare(self.source, self.root))


@dataclass(frozen=True)
class PreparePhantom:
    """Make a corpus of synthetic hearts, or other organs, with known truth.

    Attributes
    ----------
    root
        Directory to make; must be new or empty.
    organ
        heart: RV, Myo and LV. prostate: its two zones. kidney: both kidneys, with a tumour in one.
    cases
        Volumes to make, at least 5; each heart has two, end-diastole and end-systole.
    seed
        The same seed makes the same patients.
    size
        About the side of a slice in pixels; at least 64.
    """

    root: NewCorpus
    organ: Literal["heart", "prostate", "kidney"] = "heart"
    cases: int = 20
    seed: int = 0
    size: int = 128

    def run(self) -> int:
        """Prepare; returns the exit code."""
        from maskmixadv.sources.phantoms import phantom

        how = {"cases": self.cases, "seed": self.seed, "size": self.size}
        return made(phantom.prepare(self.root, organ=self.organ, **how))


@dataclass(frozen=True)
class PrepareFolder:
    """Make a corpus of your own images.

    SRC holds images/ and at least one of scribbles/ and masks/, with files of the same names: NIfTI, FreeSurfer, NRRD,
    MetaImage, PNG, JPEG (images only) or TIFF; images may be DICOM, too. SRC/classes.toml says what
    the codes in them mean. Images and masks may also lie side by side, or in one folder a case.

    Attributes
    ----------
    source
        Folder with images/, scribbles/, masks/ and classes.toml.
    root
        Directory to make; must be new or empty.
    patient
        Regular expression whose first group, found in a file's name, names the patient, such as '^([^_]+)'. By
        default each image is of another patient.
    validate
        How many patients with masks are for validation: a number, or a fraction below 1. Patients with masks and no
        scribbles come first; if there are more of them, the others are for testing. By default all patients with
        masks and no scribbles are for validation.
    axis
        Array axis of the files along which slices are cut; 0 is the last axis of a NIfTI header. By default each
        image's own header says the axis: the one of the largest spacing, or the same one of the patient.
    grey
        Turn pictures in colour into one grey channel. By default they have three channels: red, green and blue.
    yes
        If classes.toml is missing, accept the classes that are guessed from the codes.
    """

    source: SourceFolder
    root: NewCorpus
    patient: Annotated[str | None, arg(metavar="REGEX")] = None
    validate: Annotated[float | None, arg(metavar="PATIENTS")] = None
    axis: Literal[0, 1, 2] | None = None
    grey: bool = False
    yes: bool = False

    def run(self) -> int:
        """Prepare; returns the exit code."""
        from maskmixadv.sources import folder

        corpus = folder.prepare(
            self.source,
            self.root,
            patient=self.patient,
            validate=self.validate,
            axis=self.axis,
            colours=not self.grey,
            confirm=_confirmer(self.yes),
        )
        return made(corpus)


@dataclass(frozen=True)
class PrepareNNUNet:
    """Make a corpus of an nnU-Net raw dataset (v2 or v1), or one of the Medical Segmentation Decathlon.

    SRC holds dataset.json, imagesTr/ and labelsTr/, and may hold splits_final.json, imagesTs/ and labelsTs/. Label
    files with pixels of the label 'ignore' are scribbles, others are dense masks.

    Attributes
    ----------
    source
        The dataset's folder, DatasetNNN_….
    root
        Directory to make; must be new or empty.
    patient
        Regular expression whose first group, found in a case's name, names the patient. By default each case is of
        another patient.
    axis
        Array axis of the files along which slices are cut; 0 is the last axis of a NIfTI header. By default each
        image's own header says the axis: the one of the largest spacing, or the same one of the patient.
    grey
        Turn pictures in colour into one grey channel. By default they have three channels: red, green and blue.
    """

    source: SourceFolder
    root: NewCorpus
    patient: Annotated[str | None, arg(metavar="REGEX")] = None
    axis: Literal[0, 1, 2] | None = None
    grey: bool = False

    def run(self) -> int:
        """Prepare; returns the exit code."""
        from maskmixadv.sources import nnunet

        how = {"patient": self.patient, "axis": self.axis, "colours": not self.grey}
        return made(nnunet.prepare(self.source, self.root, **how))


@dataclass(frozen=True)
class PrepareDICOM:
    """Make a corpus of DICOM series, with segmentations (SEG) as dense masks.

    SRC holds the files, of one slice each or enhanced multi-frame, in any folders. Cases are named by their folders.
    Pictures, such as X-rays and ultrasound images, are a case each, which their files name.
    Needs 'pip install maskmixadv[dicom]'.
    To draw scribbles on DICOM images, see docs/how-to/own-images.md.

    Attributes
    ----------
    source
        Folder with the files; a classes.toml in it fixes the classes and their order.
    root
        Directory to make; must be new or empty.
    patient
        Regular expression whose first group, found in a case's name, names the patient. By default the PatientID
        does; the corpus then contains it.
    axis
        Array axis along which slices are cut; 0, the default, keeps the slices that were acquired.
    """

    source: SourceFolder
    root: NewCorpus
    patient: Annotated[str | None, arg(metavar="REGEX")] = None
    axis: Literal[0, 1, 2] = 0

    def run(self) -> int:
        """Prepare; returns the exit code."""
        from maskmixadv.sources import dicom

        return made(dicom.prepare(self.source, self.root, patient=self.patient, axis=self.axis))


Prepare = (
    Annotated[PrepareACDC, subcommand("acdc")]
    | Annotated[PrepareMSCMR, subcommand("mscmr")]
    | Annotated[PreparePhantom, subcommand("phantom")]
    | Annotated[PrepareFolder, subcommand("folder")]
    | Annotated[PrepareNNUNet, subcommand("nnunet")]
    | Annotated[PrepareDICOM, subcommand("dicom")]
)


def made(corpus: "Corpus") -> int:
    """Print the corpus's size; returns the exit code."""
    slices = sum(entry.shape[0] for entry in corpus.entries)
    patients = len({entry.patient for entry in corpus.entries})
    scribbled, masked = (sum(kinds) for kinds in zip(*((e.scribble, e.dense) for e in corpus.entries), strict=True))
    print(
        f"{corpus.root}: {counted(len(corpus.entries), 'case')} of {counted(patients, 'patient')}, "
        f"{counted(slices, 'slice')}; {counted(scribbled, 'case')} with scribbles, {masked:,} with masks"
    )
    if assumed := corpus.assumed():
        say(f"maskmixadv: {assumed}")
    return 0


def _confirmer(yes: bool) -> "Callable[[Classes], bool] | None":
    """Return what decides whether guessed classes are right: the flag, a person at the terminal, or nothing (None)."""

    def accept(classes: "Classes") -> bool:
        print(f"classes, guessed: {classes}")
        return yes or input("Is this right? [y/N] ").strip().lower() in ("y", "yes")

    return accept if yes or sys.stdin.isatty() else None
