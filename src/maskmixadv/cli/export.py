"""The commands of ``export``; what they need is imported when they run."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg, subcommand


@dataclass(frozen=True)
class ExportNNUNet:
    """Write a corpus as a raw dataset of nnU-Net v2: strokes are labels, other pixels have its label 'ignore'.

    The first class is called 'background' there, as nnU-Net wants it.

    To train on the same folds, move splits_final.json to the folder of the preprocessed dataset.

    Attributes
    ----------
    root
        Directory that 'maskmixadv prepare' made, or a folder of images.
    out
        Directory to make, such as nnUNet_raw/Dataset101_Heart; must be new or empty.
    annotation
        Which annotation to write for a case that has both.
    folds
        Scheme whose folds splits_final.json has; by default the corpus's first one.
    """

    root: Annotated[Positional[Path], arg(metavar="CORPUS")]
    out: Annotated[Positional[Path], arg(metavar="OUT")]
    annotation: Literal["scribble", "dense"] = "scribble"
    folds: Annotated[str | None, arg(metavar="SCHEME")] = None

    def run(self) -> int:
        """Write; returns the exit code."""
        from maskmixadv.errors import counted, say
        from maskmixadv.sources.nnunet_export import BACKGROUND, export
        from maskmixadv.sources.opening import open_corpus

        corpus = open_corpus(self.root)
        count = export(corpus, self.out, annotation=self.annotation, scheme=self.folds)
        if corpus.classes[0] != BACKGROUND:
            say(f"maskmixadv: class 0, {corpus.classes[0]!r}, is called {BACKGROUND!r} there")
        named = re.fullmatch(r"Dataset\d{3}_.+", self.out.resolve().name)
        hint = "" if named else "; nnU-Net finds it under a name like Dataset101_Heart"
        print(f"{self.out}: {counted(count, 'case')}{hint}")
        return 0


@dataclass(frozen=True)
class ExportModel:
    """Write a run's network as ONNX, with model.json and predict.py, which run it without torch.

    Attributes
    ----------
    root
        Directory of the run.
    out
        Directory to make; must be new or empty.
    """

    root: Annotated[Positional[Path], arg(metavar="RUN")]
    out: Annotated[Positional[Path], arg(metavar="OUT")]

    def run(self) -> int:
        """Export, and say how to use it."""
        from maskmixadv.inference.onnx import export

        export(self.root, self.out)
        print(f"{self.out}: exported; segment with 'python {self.out / 'predict.py'} IMAGE --out DIR'")
        return 0


Export = Annotated[ExportNNUNet, subcommand("nnunet")] | Annotated[ExportModel, subcommand("model")]
