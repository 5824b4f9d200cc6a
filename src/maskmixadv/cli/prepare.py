"""The commands ``prepare``: a corpus of a data set, of a user's own images, or of patients made up."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg, subcommand

if TYPE_CHECKING:
    from maskmixadv.sources.classes import Classes

SourceFolder = Annotated[Positional[Path], arg(metavar="SRC")]
NewCorpus = Annotated[Positional[Path], arg(metavar="CORPUS")]


@dataclass(frozen=True)
class FromSource:
    """A corpus of a release.

    Attributes
    ----------
    source
        Folder of the release, in the layout that is named above.
    root
        Directory to make; must be new or empty.
    download
        Fetch the public pre-processed release into SRC first, which is made where it is missing; files that are there
        already are kept.
    """

    source: SourceFolder
    root: NewCorpus
    download: bool = False


@dataclass(frozen=True)
class PrepareACDC(FromSource):
    """Make a corpus of ACDC, short-axis cine MRI.

    The layout is the pre-processed HDF5 release's, patientXXX_frameYY.h5 volumes or …_slice_K.h5 slices, or the
    challenge's, patientXXX/patientXXX_frameYY.nii.gz beside …_gt.nii.gz and …_scribble.nii.gz.
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

    The layout is train|val|TestSet / images|labels; a part may be missing.
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
        heart: RV, Myo and LV. prostate: its two zones. kidney: both of them, with a tumour in one.
    cases
        Volumes to make; two of a heart, end-diastole and end-systole. At least 5.
    seed
        Which patients: the same seed makes the same ones.
    size
        Side of a slice in pixels, about; at least 64.
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

    SRC holds images/ and at least one of scribbles/ and masks/, with files of the same names: NIfTI, NRRD, MetaImage,
    PNG, JPEG (images only) or TIFF. SRC/classes.toml says what the codes in them mean.

    Attributes
    ----------
    source
        Folder with images/, scribbles/, masks/ and classes.toml.
    root
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

    source: SourceFolder
    root: NewCorpus
    patient: Annotated[str | None, arg(metavar="REGEX")] = None
    validate: Annotated[float | None, arg(metavar="PATIENTS")] = None
    axis: Literal[0, 1, 2] | None = None
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
    root
        Directory to make; must be new or empty.
    patient
        Regular expression whose first group, found in a case's name, names the patient. By default each case is
        another patient's.
    axis
        Array axis of the files along which slices are cut; 0 is the last one of a NIfTI header. By default that of the
        largest spacing.
    """

    source: SourceFolder
    root: NewCorpus
    patient: Annotated[str | None, arg(metavar="REGEX")] = None
    axis: Literal[0, 1, 2] | None = None

    def run(self) -> int:
        """Prepare; returns the exit code."""
        from maskmixadv.sources import nnunet

        return made(nnunet.prepare(self.source, self.root, patient=self.patient, axis=self.axis))


@dataclass(frozen=True)
class PrepareDICOM:
    """Make a corpus of DICOM series, with segmentations (SEG) as dense masks.

    SRC holds the files, in any folders; needs 'pip install maskmixadv[dicom]'. Cases are named by their folders.
    To draw scribbles on DICOM images, see docs/how-to/own-images.md.

    Attributes
    ----------
    source
        Folder with the files; a classes.toml in it fixes the classes and their order.
    root
        Directory to make; must be new or empty.
    patient
        Regular expression whose first group, found in a case's name, names the patient. By default the PatientID does,
        which then stands in the corpus.
    axis
        Array axis along which slices are cut; 0, the default, is as they were acquired.
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
