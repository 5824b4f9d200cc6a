"""The commands that use a run's network: ``evaluate`` and ``predict``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import FlagCreatePairsOff, Positional, arg

from maskmixadv.errors import InputError


@dataclass(frozen=True, kw_only=True)
class OfRun:
    """Options of every command that segments with a run's network.

    Attributes
    ----------
    flips
        Average the prediction over the eight turns and flips of the plane, if the training used them; takes eight times
        as long.
    pieces
        Which connected pieces of structures to keep: the largest one of those that were in one piece when the training
        ended (auto, see pieces.json of the run), all, or the largest one of each structure (largest).
    largest
        The same as --pieces largest.
    odds
        Whether probabilities are multiplied by the classes' odds that masks of validation patients gave when the
        training ended (auto, see odds.json of the run), or stay the network's own (neutral).
    device
        Device to compute on, such as cpu or cuda:0; by default the fastest one.
    """

    flips: bool = False
    pieces: Literal["auto", "all", "largest"] = "auto"
    largest: Annotated[bool, FlagCreatePairsOff] = False
    odds: Literal["auto", "neutral"] = "auto"
    device: Annotated[str | None, arg(metavar="DEVICE")] = None

    @property
    def how(self) -> dict[str, Any]:
        """The options as `evaluate` and `segment` have them; InputError where they contradict each other."""
        if self.largest and self.pieces == "all":
            raise InputError("--largest: contradicts --pieces all; give one of them")
        wanted = "largest" if self.largest else self.pieces
        largest = {"auto": None, "all": False, "largest": True}[wanted]
        return {"flips": self.flips, "largest": largest, "odds": self.odds == "auto"}


@dataclass(frozen=True)
class Evaluate(OfRun):
    """Score a run on patients that it did not learn from: tables (CSV), summary.json and report.html.

    Attributes
    ----------
    root
        Directory of the run.
    split
        Which of the fold's patients: test, val or train.
    corpus
        Another corpus with the same classes, to see how well the run does on other data; by default the run's own.
    out
        Directory for the results; by default evaluation-SPLIT in the run's directory, or evaluation-NAME-SPLIT with
        another corpus.
    """

    root: Annotated[Positional[Path], arg(metavar="RUN")]
    split: Literal["test", "val", "train"] = "test"
    corpus: Annotated[Path | None, arg(metavar="CORPUS")] = None
    out: Annotated[Path | None, arg(metavar="DIR")] = None

    def run(self, line: str | None = None) -> int:
        """Run the command, with its command line for the record; returns the exit code."""
        from maskmixadv.evaluation.evaluate import evaluate, folder

        out = self.out or folder(self.root, self.split, self.corpus)
        summary = evaluate(
            self.root,
            split=self.split,
            corpus_root=self.corpus,
            out=out,
            device=self.device,
            command=line,
            **self.how,
        )
        print(summary)
        evaluation = summary.provenance["evaluation"]
        print(f"largest piece alone of: {evaluation['largest']}")
        print(f"odds of classes: {evaluation['odds']}")
        print(f"report: {out / 'report.html'}")
        return 0


@dataclass(frozen=True)
class Predict(OfRun):
    """Segment images. Each gives a file of labels with its name, format and grid (a JPEG gives a PNG); clinical.csv.

    Attributes
    ----------
    root
        Directory of the run.
    images
        Files (NIfTI, FreeSurfer, NRRD, MetaImage, PNG, JPEG, TIFF, enhanced multi-frame DICOM, DICOM pictures), folders
        with the files of one DICOM series (labels of DICOM become a DICOM SEG), or folders of these.
    out
        Directory for the labels; made if missing, and not the images' own. Of files that are there already, only those
        that 'predict' wrote are replaced.
    """

    root: Annotated[Positional[Path], arg(metavar="RUN")]
    images: Annotated[Positional[tuple[Path, ...]], arg(metavar="IMAGE [IMAGE ...]", help_behavior_hint="(required)")]
    out: Annotated[Path, arg(metavar="DIR")]

    def run(self) -> int:
        """Run the command; returns the exit code."""
        from maskmixadv.inference.segment import segment

        return segment(self.root, self.images, self.out, device=self.device, **self.how)
