"""Export: a run's network as ONNX, with the resampling inside, and a script that runs it without torch."""

import contextlib
import json
import logging
import re
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from maskmixadv.corpus.channels import records
from maskmixadv.corpus.scale import PERCENTILE
from maskmixadv.errors import InputError
from maskmixadv.files import sha256, whole, write_text
from maskmixadv.formats.details import jpeg_scans
from maskmixadv.inference.predictor import Predictor
from maskmixadv.networks.losses import most_probable
from maskmixadv.optional import needed
from maskmixadv.provenance import commit
from maskmixadv.runs.odds import LEAST, LOOKED_AT, RANGE, Odds
from maskmixadv.runs.origin import CorpusRecord
from maskmixadv.runs.run import Run
from maskmixadv.sources.opening import open_corpus

FORMAT: Final = 9
"""Version of ``model.json``: 1 did not say along which axis slices are cut, 2 not how an image's own is chosen, 3 not
which channels images have, and whether slices are turned, 5 not which structures are in one piece, 6 not which odds
classes have; in 7 the graph had them, 8 not how predictions in one folder are made."""
OPSET: Final = 18
STANDALONE: Final = Path(__file__).with_name("standalone.py")
"""The script that is written as ``predict.py``. It is never imported here, as only users of exported models need its
libraries."""
READING: Final = Path(__file__).with_name("standalone_files.py")
"""The script's functions that read files; they are written into it in place of their import."""
KEEPING: Final = Path(__file__).with_name("standalone_outputs.py")
"""The script's functions that know which files it wrote, likewise."""
SCANS: Final = Path(jpeg_scans.__file__)
"""Functions that look into JPEGs, which those that read files use, likewise."""
_IMPORT: Final = re.compile(r"^from maskmixadv\.\S+ import (?:\([^)]*\)|.*)\n", re.MULTILINE)
SLICES, ROWS, COLUMNS = 3, 61, 55
"""Shape of the volume that the network is traced with; the graph takes any other shape, too."""

_PIECES: Final = (
    "of each of these groups of structures, one after the other, only the largest connected component of a volume's "
    "labels (26 neighbours) is kept; the rest of the group becomes background"
)
_ODDS: Final = (
    "the graph's probabilities are multiplied by factors, one a class, and divided by their sum; labels are then the "
    "most probable classes. Where factors is null they stay. Where power is above 0, a structure's factor is also "
    "multiplied by (size / usual) ** power in each image: size is its share of all structures' voxels in the graph's "
    "labels, plus least; size / usual is kept within 1 / range and range. Labels are counted in at most so many slices "
    "as slices says, spread evenly"
)
_TRAINING: Final = ("method", "schedule", "enclosure", "seed", "preset", "commit", "device", "versions")
"""Facts of ``run.json`` that go with the model."""
_CONTRACT: Final = {
    "axes": "image d h w: slice, row, column; a NIfTI file's array (x y z) transposed, then with the axis "
    "across its slices moved to the front; labels go the same way back. That axis is the one of a single slice; else, "
    "where 'thickest' is true, the one whose spacing is more than a tenth above the others; else the one that lies "
    "along the patient's axis 'across', where both are known; else number 'axis'. Where 'radiological' is true and "
    "the file says where it lies, axes are reordered and reversed, too: w, h and d run to the patient's left, "
    "posterior and superior in axial slices; to left, inferior and posterior in coronal ones; to posterior, inferior "
    "and left in sagittal ones",
    "inputs": {
        "image": "float32 [d, h, w], or [c, d, h, w] of several channels, scaled; any number and shape of slices, each "
        "is segmented on its own",
        "size": "int64 [2], the slices' rows and columns on the network's grid",
    },
    "outputs": {
        "probs": "float32 [d, k, h, w], class probabilities on the image's own grid, without the classes' odds",
        "labels": "uint8 [d, h, w], the most probable class: an index into classes",
    },
    "scaling": {
        "percentile": PERCENTILE,
        "rule": "(volume - minimum) / (percentile - minimum), cut off to 0..1, where a channel may have another "
        "'percentile'; where it has a 'knee', too, and the 99th percentile of the result is above 0 and below knee, "
        "the range is bent so that it becomes knee: linear from 0 to it, and from it to 1; of the whole volume, after "
        "padding, a "
        "value below 0 far from all others, was set to the lowest of these (predict.py has the rule). So for each "
        "channel of kind MR, and for those of kind RGB together; of kind CT (v - window[0]) / (window[1] - window[0]), "
        "cut off to 0..1; of kind noNorm as it is, in 0..1",
    },
}
_RULE: Final = (
    "size = max(1, round(pixels * spacing / mm)) of rows and columns, halves rounded to even; where mm is null, it is "
    "the longer side's pixels * spacing / grid.size, with spacing 1 where that is unknown. The graph resamples, pads "
    "to a multiple, and goes back"
)


_FLIPS: Final = (
    "where learnt is true, training saw slices turned by right angles and mirrored, and probabilities may be averaged "
    "over these eight ways; else only slices that lie as the training's did are known"
)


class OnOwnGrid(nn.Module):
    """`Predictor` as one graph: a volume in, probabilities and labels on the volume's own grid out.

    Resampling is written as products with matrices, which every runtime knows. Its results are those of `Grid.image`
    (bilinear, antialiased) and of `Grid.restore` (bilinear), to rounding.

    Parameters
    ----------
    net
        Maps images ``(b, c, h, w)`` to logits ``(b, k, h, w)``; in eval mode.
    multiple
        Number of which the sides of its input must be multiples.

    Examples
    --------
    >>> from maskmixadv.networks.unet import UNet
    >>> module = OnOwnGrid(UNet(1, 4).eval(), multiple=16)
    >>> probs, labels = module(torch.rand(2, 40, 50), torch.tensor([32, 40]))
    >>> probs.shape, labels.shape, labels.dtype
    (torch.Size([2, 4, 40, 50]), torch.Size([2, 40, 50]), torch.uint8)
    """

    def __init__(self, net: nn.Module, multiple: int) -> None:
        super().__init__()
        self.net = net
        self.multiple = multiple

    def forward(
        self, image: Float[Tensor, "*c d h w"], size: Int[Tensor, "2"]
    ) -> tuple[Float[Tensor, "d k h w"], UInt8[Tensor, "d h w"]]:
        """Segment a volume.

        Parameters
        ----------
        image
            Intensities in [0, 1] (`maskmixadv.corpus.channels.scaled`): ``(d, h, w)``, or several channels
            ``(c, d, h, w)``.
        size
            In-plane shape on the network's grid (`Grid.resized`).

        Returns
        -------
        Class probabilities, and the most probable class of each voxel, by the network alone.
        """
        cells = torch.ceil(size / self.multiple).long().tolist()
        for count in cells:
            torch._check(count >= 1)  # for all that is traced can know, it might be 0
        canvas = (torch.arange(count * self.multiple) for count in cells)  # `grid.covering`
        pixels = (torch.arange(length) for length in image.shape[-2:])
        ways = list(zip(size, canvas, pixels, strict=True))
        rows, columns = (shrink(*way) for way in ways)
        small = rows @ image @ columns.T
        maps = self.net(small[:, None] if image.ndim == 3 else small.transpose(0, 1)).softmax(1)
        rows, columns = (grow(*way) for way in ways)
        probs = rows @ maps @ columns.T
        return probs, most_probable(probs)


def shrink(size: Int[Tensor, ""], canvas: Int[Tensor, "c"], pixels: Int[Tensor, "l"]) -> Float[Tensor, "c l"]:
    """Return weights that resample `pixels` to `size` pixels, antialiased, in the middle of `canvas`.

    Parameters
    ----------
    size
        Number of pixels after resampling.
    canvas, pixels
        Numbers of the pixels of the canvas and of the image, from 0.

    Returns
    -------
    A matrix: its rows sum to 1 where the resampled image lies, and are 0 beside it.

    Examples
    --------
    >>> shrink(torch.tensor(2), torch.arange(4), torch.arange(4))
    tensor([[0.0000, 0.0000, 0.0000, 0.0000],
            [0.4286, 0.4286, 0.1429, 0.0000],
            [0.0000, 0.1429, 0.4286, 0.4286],
            [0.0000, 0.0000, 0.0000, 0.0000]])
    """
    place = canvas - (canvas.shape[0] - size) // 2
    scale = pixels.shape[0] / size
    centre = (place + 0.5) * scale
    weight = (1 - (pixels + 0.5 - centre[:, None]).abs() / scale.clamp(min=1.0)).relu()
    weight = weight * ((place >= 0) & (place < size))[:, None]
    return weight / weight.sum(1, keepdim=True).clamp(min=1e-12)


def grow(size: Int[Tensor, ""], canvas: Int[Tensor, "c"], pixels: Int[Tensor, "l"]) -> Float[Tensor, "l c"]:
    """Return weights that resample the canvas of `shrink` back to `pixels`, without antialiasing.

    Examples
    --------
    >>> grow(torch.tensor(2), torch.arange(4), torch.arange(4))
    tensor([[0.0000, 1.0000, 0.0000, 0.0000],
            [0.0000, 0.7500, 0.2500, 0.0000],
            [0.0000, 0.2500, 0.7500, 0.0000],
            [0.0000, 0.0000, 1.0000, 0.0000]])
    """
    place = canvas - (canvas.shape[0] - size) // 2
    source = ((pixels + 0.5) * (size / pixels.shape[0]) - 0.5).clamp(min=0)
    return (1 - (place - torch.minimum(source, size - 1.0)[:, None]).abs()).relu()


def export(root: Path, out: Path) -> None:
    """Write ``model.onnx``, ``model.json`` and ``predict.py`` of the run in directory `root` as a new directory `out`.

    It takes some seconds.

    Raises
    ------
    InputError
        Where `root` is no run with a checkpoint, `out` is taken or can't be written, or the packages that write ONNX
        are not installed.

    Examples
    --------
    >>> export(Path("run"), Path("model"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: run: not a run (no run.json); make one with 'maskmixadv train'
    """
    run, predictor = Run.open(root), Predictor.load(root, "cpu")
    _needs_onnx()
    with whole(out) as place:
        graph = OnOwnGrid(predictor.net, predictor.multiple)
        _write_graph(graph, len(predictor.channels), place / "model.onnx")
        digest = sha256(place / "model.onnx")
        write_text(place / "predict.py", _script())
        write_text(place / "model.json", json.dumps(about(run, predictor, digest, sha256(run.checkpoint)), indent=1))


def _script() -> str:
    """Return the script as one file, which imports nothing of this package."""
    scans, reading, keeping = (
        each.read_text(encoding="utf-8").split('"""', 2)[2].lstrip()
        for each in (SCANS, READING, KEEPING)  # without docstrings
    )
    parts = _IMPORT.sub(lambda _: scans, reading, count=1) + "\n\n" + _IMPORT.sub("", keeping)
    first, *others = _IMPORT.split(STANDALONE.read_text(encoding="utf-8"))
    return "".join([first, parts, *others])


def _needs_onnx() -> None:
    """Check that the packages that write ONNX are installed.

    Raises
    ------
    InputError
        Where one is missing; the message has the command that installs it.
    """
    for module in ("onnx", "onnxscript"):
        needed(module, extra="onnx", what="export: ONNX")


def _write_graph(module: OnOwnGrid, channels: int, path: Path) -> None:
    """Write `module` as the ONNX file `path`, which takes any number and shape of slices."""
    shape = (SLICES, ROWS, COLUMNS) if channels == 1 else (channels, SLICES, ROWS, COLUMNS)
    example = (torch.rand(shape), torch.tensor([64, 57]))
    free = {len(shape) - 3 + axis: torch.export.Dim(name) for axis, name in enumerate("dhw")}
    with _quiet(), torch.inference_mode():
        program: Any = torch.onnx.export(
            module.eval(),
            example,
            dynamo=True,
            opset_version=OPSET,
            input_names=["image", "size"],
            output_names=["probs", "labels"],
            dynamic_shapes=(free, None),
            verbose=False,
        )
    program.save(path)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's warnings, which are no concern of the user's."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)


def about(run: Run, predictor: Predictor, digest: str, checkpoint: str) -> dict[str, Any]:
    """Return the content of ``model.json``: how to run the model and where it comes from, without names of patients.

    Parameters
    ----------
    run
        The run.
    predictor
        Its network.
    digest
        SHA-256 of ``model.onnx``, in hexadecimal.
    checkpoint
        That of the run's checkpoint, which says of which weights the model is.

    Examples
    --------
    >>> import maskmixadv as mma
    >>> from maskmixadv.methods.pce import PCE
    >>> from maskmixadv.networks.unet import UNet
    >>> from maskmixadv.runs.schedule import PRESETS
    >>> from maskmixadv.training.begin import begin
    >>> corpus = mma.make_phantoms("corpus", cases=6, size=64)
    >>> run = begin(corpus.root, Path("run"), method=PCE(), schedule=PRESETS["cpu"])
    >>> told = about(run, Predictor(UNet(1, 4), run.grid, run.task.classes), "9f3c", "51d0")
    >>> told["classes"], told["training"]["corpus"]["train"]
    (['background', 'RV', 'Myo', 'LV'], 1)
    """
    record = run.record()
    training = {**{key: record[key] for key in _TRAINING}, "step": run.step}
    return {
        "format": FORMAT,
        "model": "model.onnx",
        "sha256": digest,
        "checkpoint": checkpoint,
        "made": {"network": predictor.network, "how": predictor.told(flips=False, largest=None)},
        "classes": list(predictor.classes),
        "channels": records(predictor.channels),
        **_CONTRACT,
        **asdict(predictor.slicing),
        "pieces": {"together": [list(piece.structures) for piece in predictor.pieces.kept], "rule": _PIECES},
        "odds": _odds(predictor.odds),
        "flips": {"learnt": predictor.turns, "rule": _FLIPS},
        "grid": {"size": run.grid.size, "mm": run.grid.mm, "multiple": predictor.multiple, "rule": _RULE},
        "training": {**training, "corpus": _told(run.learnt_from), "prior": _told(run.prior_from)},
        "exported": {"commit": commit(), "torch": torch.__version__, "opset": OPSET},
        "terms": "Program: Apache License 2.0. Weights: as the terms of the images and labels that they were learnt "
        f"from allow ({_source(run.learnt_from) or 'see the corpus'}). For research; not a medical device.",
    }


def _odds(odds: Odds) -> dict[str, Any]:
    """Return what ``model.json`` says of the classes' odds."""
    told: dict[str, Any] = {"factors": odds.factors if odds.used else None, "power": odds.power if odds.used else 0.0}
    return {**told, "usual": odds.usual, "least": LEAST, "range": RANGE, "slices": LOOKED_AT, "rule": _ODDS}


def _told(corpus: CorpusRecord | None) -> dict[str, Any] | None:
    """Return what ``model.json`` says of a corpus: how many patients or cases, and no name of one."""
    if corpus is None:
        return None
    table = corpus.table()
    counts = {part: len(table[part]) for part in ("train", "val", "test", "cases") if part in table}
    return {key: table[key] for key in ("name", "hash", "scheme", "fold") if key in table} | counts


def _source(corpus: CorpusRecord) -> str:
    """Return what the corpus says of its origin; nothing where it is no longer there."""
    with contextlib.suppress(InputError):
        return open_corpus(corpus.root).source
    return ""
