"""The command line: each command is a dataclass with ``run()``; torch is imported when one needs it."""

import contextlib
import io
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import tyro
from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, Positional, arg, subcommand

from maskmixadv.cli_bench import Bench
from maskmixadv.cli_export import Export
from maskmixadv.cli_prepare import NewCorpus, PrepareDICOM, PrepareFolder, PrepareNNUNet, Source, made
from maskmixadv.cli_studio import Studio
from maskmixadv.errors import DIVERGED, DivergedError, InputError

UNREAD: Final = 141
"""Exit code where a reader went away, as of what the signal ends (128 + SIGPIPE)."""


@dataclass(frozen=True)
class FromSource:
    """A corpus of a release.

    Attributes
    ----------
    source
        Folder of the release, in the layout that is named above.
    corpus
        Directory to make; must be new or empty.
    download
        Fetch the public pre-processed release into SRC first, which is made where it is missing; files that are there
        already are kept.
    """

    source: Source
    corpus: NewCorpus
    download: bool = False


@dataclass(frozen=True)
class PrepareACDC(FromSource):
    """Make a corpus of ACDC, short-axis cine MRI.

    The layout is the pre-processed HDF5 release's, patientXXX_frameYY.h5 volumes or …_slice_K.h5 slices, or the
    challenge's, patientXXX/patientXXX_frameYY.nii.gz beside …_gt.nii.gz and …_scribble.nii.gz.
    """

    def run(self) -> int:
        from maskmixadv.data import acdc, download

        if self.download:
            download.download(download.ACDC, self.source)
        return made(acdc.prepare(self.source, self.corpus))


@dataclass(frozen=True)
class PrepareMSCMR(FromSource):
    """Make a corpus of MSCMR, late-gadolinium MRI.

    The layout is train|val|TestSet / images|labels; a part may be missing.
    """

    def run(self) -> int:
        from maskmixadv.data import download, mscmr

        if self.download:
            download.download(download.MSCMR, self.source)
        return made(mscmr.prepare(self.source, self.corpus))


@dataclass(frozen=True)
class PreparePhantom:
    """Make a corpus of synthetic hearts, or other organs, with known truth.

    Attributes
    ----------
    corpus
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

    corpus: NewCorpus
    organ: Literal["heart", "prostate", "kidney"] = "heart"
    cases: int = 20
    seed: int = 0
    size: int = 128

    def run(self) -> int:
        from maskmixadv.data import phantom

        how = {"cases": self.cases, "seed": self.seed, "size": self.size}
        return made(phantom.prepare(self.corpus, organ=self.organ, **how))


@dataclass(frozen=True)
class Check:
    """Say what is in a corpus, and what is wrong with it: a line a problem, and exit code 2 if there is one.

    Attributes
    ----------
    corpus
        Directory that 'maskmixadv prepare' made, or a folder of images.
    sheet
        PNG file to make: a sheet of cases with what was drawn on them. An earlier sheet is replaced, nothing else.
    """

    corpus: Annotated[Positional[Path], arg(metavar="CORPUS")]
    sheet: Annotated[Path | None, arg(metavar="PNG")] = None

    def run(self) -> int:
        from maskmixadv.data.check import check
        from maskmixadv.data.corpus import Corpus

        if self.sheet is not None:
            from maskmixadv.pictures import must_be_free

            must_be_free(self.sheet)
        corpus = Corpus.open(self.corpus)
        told, problems = check(corpus)
        print(told)
        if self.sheet is not None:
            from maskmixadv.data.sheet import draw

            draw(corpus, self.sheet)
        for problem in problems:
            print(f"maskmixadv: {problem}", file=sys.stderr)
        return 2 if problems else 0


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

    def run(self) -> int:
        from maskmixadv.evaluate import evaluate, folder

        out = self.out or folder(self.root, self.split, self.corpus)
        how = {"flips": self.flips, "largest": self.largest}
        print(evaluate(self.root, split=self.split, corpus=self.corpus, out=out, device=self.device, **how))
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
        from maskmixadv.segment import segment

        how = {"flips": self.flips, "largest": self.largest}
        return segment(self.root, self.images, self.out, device=self.device, **how)


@dataclass(frozen=True)
class Demo:
    """Make phantoms, train the default method on them, score it and write the report; minutes on a CPU.

    Attributes
    ----------
    out
        Directory to make; must be new or empty, or hold a demo that was stopped, which then goes on.
    """

    out: Path = Path("demo")

    def run(self) -> int:
        from maskmixadv.demo import demo

        return demo(self.out)


Prepare = (
    Annotated[PrepareACDC, subcommand("acdc")]
    | Annotated[PrepareMSCMR, subcommand("mscmr")]
    | Annotated[PreparePhantom, subcommand("phantom")]
    | Annotated[PrepareFolder, subcommand("folder")]
    | Annotated[PrepareNNUNet, subcommand("nnunet")]
    | Annotated[PrepareDICOM, subcommand("dicom")]
)


def main() -> None:
    """Run the command line.

    Exits with 0, with 2 where the user's input is wrong, with 3 where a training left the finite numbers, with 130
    after Ctrl-C, with 141 where nobody reads on what it prints (``| head``).
    """
    try:
        sys.exit(_flushed(run(sys.argv[1:])))
    except BrokenPipeError:
        # What is left in the streams goes nowhere, or the interpreter would complain of it at its end.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        sys.exit(UNREAD)


def _flushed(code: int) -> int:
    sys.stdout.flush()
    return code


def run(argv: list[str]) -> int:
    """Run one command; returns its exit code."""
    # OpenMP reads it when torch is loaded: its threads then wait some microseconds for work before they sleep, which
    # a step's many small operators need, and leave the cores to others soon (docs/decisions/0004).
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        command = parse(argv)
    except InputError as error:
        # All processes of torchrun are given the same words, one of them complains.
        return _refuse(error) if os.environ.get("RANK", "0") == "0" else 2
    try:
        return command.run()
    except InputError as error:
        return _refuse(error)
    except DivergedError as error:
        return _refuse(error, DIVERGED)


def _refuse(error: Exception, code: int = 2) -> int:
    print(f"maskmixadv: {' '.join(str(error).split())}", file=sys.stderr)
    return code


def parse(argv: list[str]) -> Any:  # noqa: ANN401
    """Return the command that `argv` names.

    Raises
    ------
    InputError
        With the parser's complaint, which is a box of many lines, as one.
    """
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(
                _commands(argv),
                prog="maskmixadv",
                description=_ABOUT,
                args=argv,
                config=(OmitArgPrefixes, OmitSubcommandPrefixes),
            )
    except SystemExit as error:
        if not error.code:
            sys.stdout.flush()
            raise
        first = complaint.getvalue().split("────── │" if "────── │" in complaint.getvalue() else "╰")[0]
        lines = [line.strip(" │╭╮─").strip() for line in first.splitlines()[1:]]
        # A field's own complaint comes with the parser's name of the place, which says nothing to a user.
        words = re.sub(r"^Error parsing (?:(--\S+: )|\S+: )", r"\1", " ".join(line for line in lines if line))
        raise InputError(f"{words}; see 'maskmixadv {' '.join(argv[:1])} --help'") from None


def _commands(argv: list[str]) -> Any:  # noqa: ANN401
    """Return the union of the commands; 'train' alone needs torch, and 'annotate' what it draws with."""
    if argv[:1] == ["train"]:
        from maskmixadv.cli_train import Train
    else:
        Train = TrainStub  # noqa: N806
    if argv[:1] == ["annotate"]:
        from maskmixadv.cli_annotate import Annotate
    else:
        Annotate = AnnotateStub  # noqa: N806
    return (
        Annotated[Prepare, subcommand("prepare", description="Make a corpus of a data set, or of patients made up.")]  # pyright: ignore
        | Annotated[Check, subcommand("check")]
        | Annotated[
            Annotate,
            subcommand("annotate", description="Make a corpus with scribbles or points drawn from dense masks."),
        ]
        | Annotated[Train, subcommand("train")]
        | Annotated[Evaluate, subcommand("evaluate")]
        | Annotated[Predict, subcommand("predict")]
        | Annotated[Export, subcommand("export", description="Write what other programs read.")]  # pyright: ignore
        | Annotated[Bench, subcommand("bench")]
        | Annotated[Studio, subcommand("studio")]
        | Annotated[Demo, subcommand("demo")]
    )


@dataclass(frozen=True)
class TrainStub:
    """Learn from a corpus's scribbles; 'maskmixadv train --help' lists methods and fields."""


@dataclass(frozen=True)
class AnnotateStub:
    """Make a corpus with scribbles or points drawn from dense masks."""


_ABOUT = "Learn to segment medical images from a few scribbles per slice, and compare the ways of doing so fairly."
