"""The commands that use a run's network: ``evaluate`` and ``predict``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg


@dataclass(frozen=True, kw_only=True)
class OfRun:
    """How a run's network segments.

    Attributes
    ----------
    flips
        Average the prediction over the eight right-angle turns and flips in plane (eight times the work), if the run's
        training drew them.
    largest
        Keep only each structure's largest 3D component; not for structures that come in pairs.
    device
        Where to compute, such as cpu or cuda:0; by default the fastest that is there.
    """

    flips: bool = False
    largest: bool = False
    device: str | None = None


@dataclass(frozen=True)
class Evaluate(OfRun):
    """Score a run on patients it did not learn from: scores.csv, clinical.csv, summary.json and report.html.

    Attributes
    ----------
    root
        Directory of the run.
    split
        Which of the fold's patients: test, val or train.
    corpus
        Another corpus of the same classes, to see how the run does elsewhere, on patients that are not its own; by
        default the run's own.
    out
        Directory for the results; by default evaluation-SPLIT in the run's directory, with the other corpus's name
        before SPLIT.
    """

    root: Annotated[Positional[Path], arg(metavar="RUN")]
    split: Literal["test", "val", "train"] = "test"
    corpus: Path | None = None
    out: Path | None = None

    def run(self, line: str | None = None) -> int:
        """Run the command, with its command line for the record; returns the exit code."""
        from maskmixadv.evaluation.evaluate import evaluate, folder

        out = self.out or folder(self.root, self.split, self.corpus)
        summary = evaluate(
            self.root,
            split=self.split,
            corpus_root=self.corpus,
            out=out,
            flips=self.flips,
            largest=self.largest,
            device=self.device,
            command=line,
        )
        print(summary)
        print(f"report: {out / 'report.html'}")
        return 0


@dataclass(frozen=True)
class Predict(OfRun):
    """Segment images: one file of labels an image, same name and format (PNG for JPEG), same grid; clinical.csv.

    Attributes
    ----------
    root
        Directory of the run.
    images
        Files (NIfTI, NRRD, MetaImage, PNG, JPEG, TIFF), folders of the files of one DICOM series, whose labels become
        a DICOM SEG, or folders of these.
    out
        Directory for the labels, another one than the images'; made where it is missing. What is there already is
        only replaced where 'predict' wrote it.
    """

    root: Annotated[Positional[Path], arg(metavar="RUN")]
    images: Annotated[Positional[tuple[Path, ...]], arg(metavar="IMAGE [IMAGE ...]")]
    out: Path

    def run(self) -> int:
        """Run the command; returns the exit code."""
        from maskmixadv.inference.segment import segment

        how = {"flips": self.flips, "largest": self.largest}
        return segment(self.root, self.images, self.out, device=self.device, **how)
