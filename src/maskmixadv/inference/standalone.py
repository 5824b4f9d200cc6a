"""Segment NIfTI volumes or pictures with an exported model: labels on each image's own grid, under its own name.

``python predict.py IMAGE [IMAGE ...] --out DIR``. Needs numpy, onnxruntime and nibabel, for pictures Pillow, for
structures that ``model.json`` says to keep in one piece SciPy, and nothing of maskmixadv: 'maskmixadv export
model' writes this file as ``predict.py`` beside ``model.onnx`` and ``model.json``. For research; not a medical device.

A file gets the mask that 'maskmixadv predict' gives it, or it is refused: only kinds of files are read here that both
are known to read alike.
"""

import argparse
import hashlib
import json
import logging
import re
import sys
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

try:
    import nibabel as nib
    import numpy as np
    import onnxruntime
except (ImportError, KeyboardInterrupt) as error:  # a package may make the one of the other
    if __name__ != "__main__":
        raise
    stopped = KeyboardInterrupt in map(type, (error, error.__cause__, error.__context__))
    missing = f"a package is missing ({error}); install it: pip install numpy onnxruntime nibabel pillow scipy"
    print(f"predict.py: {'interrupted' if stopped else missing}", file=sys.stderr)
    sys.exit(130 if stopped else 2)

from maskmixadv.inference.standalone_files import (
    PICTURES,
    Grid,
    beside,
    ending,
    geometry,
    in_one_line,
    is_text,
    load,
    other_channel,
)
from maskmixadv.inference.standalone_outputs import (
    Named,
    begun,
    folded,
    must_be_free,
    say,
    stem_of,
    whole,
)

HERE = Path(__file__).resolve().parent
NUMBERED = re.compile(r"(.+)_(\d{4})")
"""Names of files that each hold one channel of an image."""
CUT = "slices are cut along array axis {}, as its header says; those of most learnt images lie along axis {}"
THICKER = 1.1
"""By which factor a spacing must exceed the others for slices to be cut along its axis."""
ACROSS = ("left-right", "posterior-anterior", "inferior-superior")
"""The patient's axes, in the order of the world's x, y, z."""
RADIOLOGICAL = (
    ((0, False), (2, False), (1, False)),
    ((1, False), (2, False), (0, False)),
    ((2, True), (1, False), (0, False)),
)
"""The radiological view of slices across x, y or z: the world's axes along d, h and w, and whether voxels run along
them, not against them."""
FLOOR, STEP, WIDE, SHARE, KINDS = -1200.0, 100.0, 2.0, 1e-3, 3
"""Padding: the lowest value, below 0, of at least this part of the voxels. It is below the floor and the next value, a
step above it, is not; or the gap is that many times as wide as the range of all other values. KINDS is their number."""
MOST_SIDE, MOST_GROWTH, LEAST_SIDE, MOST_SHRUNK = 2048, 4, 4, 16
"""Pixels that a slice's side may have on the network's grid, or how many times as many as before; those that its longer
side must have, or at least one for so many of before."""
LARGEST, LEVELS = float(np.finfo(np.float32).max), 256
"""Range of intensities at most; how many steps it has in numbers of 32 bits at least, else a line says so."""
BEND = 99.0
"""Percentile of the intensities at which their range may bend."""
AT_ONCE = 4
"""Slices that are predicted at a time, so that the features of a whole volume need not fit into memory."""
MOST_FACTOR, MOST_POWER = 1e12, 10.0
"""Bounds of the classes' odds."""
INTERRUPTED = 130
"""Exit code after Ctrl-C."""


class Model:
    """An exported network.

    Parameters
    ----------
    folder
        Folder with ``model.onnx`` and ``model.json``. ValueError is raised where they don't belong together.
    """

    def __init__(self, folder: Path) -> None:
        self.about: dict[str, Any] = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        graph = (folder / self.about["model"]).read_bytes()
        if hashlib.sha256(graph).hexdigest() != self.about["sha256"]:
            raise ValueError(f"{folder / self.about['model']}: is not the model of model.json; export it again")
        check_odds(self.about["odds"], len(self.about["classes"]))
        try:
            self.session = onnxruntime.InferenceSession(graph)
        except Exception as error:  # each version of onnxruntime has its own; the graph is whole, as its hash says
            told = f"onnxruntime {onnxruntime.__version__} can't load it ({in_one_line(error)})"
            raise ValueError(f"{folder / self.about['model']}: {told}; install another version of it") from None

    def predict(
        self,
        image: np.ndarray,
        spacing: tuple[float, float, float] | None,
        tell: Callable[[str], object] = lambda _: None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Segment a volume.

        Parameters
        ----------
        image
            Intensities as the file has them, slices first: for a NIfTI file, its array transposed, with the axes that
            `seen_as` says. Several channels come before them.
        spacing
            Millimetres along the same axes; None where it is not known.
        tell
            Is called with a line on what was taken as padding.

        Returns
        -------
        Class probabilities ``d k h w``, with the classes' odds, and labels ``d h w``: indices into the classes. Pieces
        that ``model.json`` says to leave out are background in the labels.
        """
        scaled = scaled_channels(image if image.ndim == 4 else image[None], self.about, tell)
        size = np.array(resized(image.shape[-2:], spacing, self.about["grid"]), dtype=np.int64)
        parts = [scaled[:, first : first + AT_ONCE] for first in range(0, scaled.shape[1], AT_ONCE)]
        parts = [part[0] if len(part) == 1 else part for part in parts]
        done = [self.session.run(["probs", "labels"], {"image": part, "size": size}) for part in parts]
        probs, labels = (np.concatenate(each) for each in zip(*done, strict=True))
        if self.about["odds"]["factors"] is not None:
            probs = probs * odds_of(labels, self.about["odds"])[:, None, None]
            probs /= probs.sum(1, keepdims=True)
            labels = probs.argmax(1).astype(labels.dtype)
        if not np.isfinite(probs).all():
            raise ValueError("the network's probabilities are not finite; export another model")
        return probs, in_one_piece(labels, self.about)


def check_odds(told: dict[str, Any], classes: int) -> None:
    """Check the odds of ``model.json``; raises ValueError where they would leave no class but one."""
    factors = [1.0] * classes if told["factors"] is None else told["factors"]
    if len(factors) != classes or not all(1 / MOST_FACTOR <= factor <= MOST_FACTOR for factor in factors):
        allowed = f"{classes} numbers from {1 / MOST_FACTOR:g} to {MOST_FACTOR:g}"
        raise ValueError(f"model.json: odds have factors {factors}, allowed are {allowed}; export it again")
    if not 0 <= told["power"] <= MOST_POWER:
        raise ValueError(
            f"model.json: odds have power {told['power']}, allowed are 0 to {MOST_POWER:g}; export it again"
        )


def odds_of(labels: np.ndarray, told: dict[str, Any]) -> np.ndarray:
    """Return what an image's probabilities are multiplied by, one number a class; `labels` are the network's own."""
    factors = np.array(told["factors"], np.float32)
    if told["power"]:
        looked = np.linspace(0, len(labels) - 1, min(told["slices"], len(labels))).round().astype(int)
        drawn = np.bincount(labels[looked].ravel(), minlength=len(factors))[1:]
        if drawn.any():
            ratio = (drawn / drawn.sum() + told["least"]) / np.array(told["usual"])
            factors[1:] *= np.clip(ratio, 1 / told["range"], told["range"]) ** told["power"]
    return factors


def in_one_piece(labels: np.ndarray, about: dict[str, Any]) -> np.ndarray:
    """Keep the largest connected piece of each group of structures that is in one; the rest becomes background."""
    if not about["pieces"]["together"]:
        return labels
    from scipy import ndimage

    kept = labels.copy()
    boxes = ndimage.find_objects(labels)  # what is left of a structure lies in its box, too
    for names in about["pieces"]["together"]:
        wanted = [about["classes"].index(name) for name in names]
        there = [box for label, box in enumerate(boxes, 1) if box and label in wanted]
        if not there:
            continue
        box = tuple(
            slice(min(o.start for o in along), max(o.stop for o in along)) for along in zip(*there, strict=True)
        )
        part = kept[box]
        one = np.zeros(part.shape, bool)
        for label in wanted:
            one |= part == label
        labelled: Any = ndimage.label(one, np.ones((3, 3, 3)))
        parts, number = labelled
        if number > 1:
            sizes = np.sum([np.bincount(plane.ravel(), minlength=number + 1) for plane in parts], axis=0)
            part[one & (parts != 1 + np.argmax(sizes[1:]))] = 0
    return kept


def scaled_channels(image: np.ndarray, about: dict[str, Any], tell: Callable[[str], object]) -> np.ndarray:
    """Scale the channels of an image as their kinds say; raises ValueError where they are not those of the model."""
    channels, percentile = about["channels"], about["scaling"]["percentile"]
    if len(image) != len(channels):
        told = ", ".join(channel["name"] for channel in channels)
        raise ValueError(f"has {len(image)} channel(s), allowed are images with {len(channels)} ({told})")
    if channels[0]["kind"] == "RGB":
        return scale(measured(image, tell), channels[0].get("percentile", percentile))
    scaled = []
    for part, channel in zip(image, channels, strict=True):
        named = f"channel {channel['name']!r}: " if len(channels) > 1 else ""
        try:
            scaled.append(scaled_channel(part, channel, percentile, lambda told, of=named: tell(of + told)))
        except ValueError as error:
            raise ValueError(f"{named}{error}") from None
    return np.stack(scaled)


def scaled_channel(
    volume: np.ndarray, channel: dict[str, Any], percentile: float, tell: Callable[[str], object]
) -> np.ndarray:
    """Scale one channel as its kind says."""
    if channel["kind"] == "CT":
        low, high = channel["window"]
        return np.clip((measured(volume, tell) - low) / (high - low), 0.0, 1.0).astype(np.float32)
    if channel["kind"] != "noNorm":
        return scale(measured(volume, tell), channel.get("percentile", percentile), channel.get("knee", 0.0))
    if not 0 <= volume.min() <= volume.max() <= 1:
        raise ValueError(f"intensities are {volume.min():g} to {volume.max():g}, allowed for kind noNorm are 0 to 1")
    return np.asarray(volume, dtype=np.float32)


def measured(image: np.ndarray, tell: Callable[[str], object]) -> np.ndarray:
    """Return intensities without padding; raises ValueError where one is not finite.

    A line is told of padding, and of intensities that numbers of 32 bits do not tell apart.
    """
    with np.errstate(over="ignore"):
        volume = np.asarray(image, dtype=np.float32)
    if not np.isfinite(volume).all():
        raise ValueError("image holds NaN or infinity, allowed are finite numbers of 32 bits, to 3.4e38")
    low, high = float(volume.min()), float(volume.max())
    step = float(np.spacing(np.float32(max(abs(low), abs(high)))))
    if LEVELS * step > high - low and (volume != image).any():
        low, high = float(image.min()), float(image.max())
        told = f"intensities are {low:.10g} to {high:.10g}, which numbers of 32 bits tell apart in steps of {step:g}"
        tell(f"{told}; finer differences are lost, subtract {low:.10g} from the image before")
    return without_padding(volume, tell)


def scale(volume: np.ndarray, percentile: float, knee: float = 0.0) -> np.ndarray:
    """Scale a volume to [0, 1], cut off at a percentile; raises ValueError where it is constant.

    Where the 99th percentile would become less than `knee`, the range bends so that it becomes `knee`.
    """
    low, high = float(volume.min()), float(np.percentile(volume, percentile))
    if high <= low:
        high = float(volume.max())
    if high <= low:
        raise ValueError(f"image is constant ({low:g}), allowed is one with contrast")
    if float(volume.max()) - low > LARGEST:
        raise ValueError(f"intensities are {low:g} to {volume.max():g}, allowed is a range of up to 3.4e38")
    scaled = np.clip((volume - low) / (high - low), 0.0, 1.0).astype(np.float32)
    middle = float(np.percentile(scaled, BEND)) if knee else 0.0
    if not 0 < middle < knee:
        return scaled
    return np.interp(scaled, (0.0, middle, 1.0), (0.0, knee, 1.0)).astype(np.float32)


def without_padding(volume: np.ndarray, tell: Callable[[str], object]) -> np.ndarray:
    """Return a volume whose padding, as round a CT's field of view, has the lowest value that was measured."""
    for _ in range(KINDS):
        low = float(volume.min())
        others = volume[volume > low]
        if not low < 0 or not others.size or volume.size - others.size < SHARE * volume.size:
            break
        least, most = float(others.min()), float(others.max())
        measured = low < FLOOR <= least and least - low >= STEP
        if least == most or not (measured or least - low > WIDE * (most - least)):
            break
        count = volume.size - others.size
        voxels = f"{count} {'voxel' if count == 1 else 'voxels'} ({count / volume.size:.1%})"
        far = f"{'is' if count == 1 else 'are'} {low:g}, far below all others"
        tell(f"{voxels} {far}: taken as padding and set to {least:g}")
        volume = np.where(volume == low, np.float32(least), volume)
    return volume


def resized(
    shape: tuple[int, ...], spacing: tuple[float, float, float] | None, grid: dict[str, Any]
) -> tuple[int, int]:
    """Return the pixels (h, w) of slices of `shape` on the network's grid; ValueError if a spacing is missing."""
    if spacing is None and grid["mm"] is not None:
        raise ValueError(f"image has no voxel spacing, and the grid is in mm ({grid['mm']} mm a pixel)")
    _, step_h, step_w = spacing or (1.0, 1.0, 1.0)
    extent = shape[0] * step_h, shape[1] * step_w
    mm = grid["mm"] or max(extent) / grid["size"]
    h, w = max(1, round(extent[0] / mm)), max(1, round(extent[1] / mm))
    huge = max(h, w) > max(MOST_SIDE, grid["size"], MOST_GROWTH * max(shape))
    if huge or (max(h, w) < LEAST_SIDE and MOST_SHRUNK * max(h, w) < max(shape)):
        raise ValueError(f"pixels of {step_h:g} x {step_w:g} mm would make slices of {h} x {w}; correct the header")
    return h, w


def segment(model: Model, image: Named, out: Path) -> int:
    """Write the labels of one image, on its grid, as uint8; raises ValueError where it can't be segmented.

    Returns how many voxels became background, as they lie beside the largest piece.
    """
    notes: list[tuple[Path, str]] = []
    first, *others = (load(path, model.about["channels"]) for path in image.files)
    array = np.concatenate([first.array, *(other_channel(first, other) for other in others)])
    for path, each in zip(image.files, (first, *others), strict=True):
        far = beside(first, each)
        notes += [(path, told) for told in (*each.notes, *([far.format(image.files[0])] if far else []))]
    order, flipped = seen_as(model.about, array.shape[1:], first.grid)
    spacing = first.grid.spacing
    known = None if spacing is None else (spacing[order[0]], spacing[order[1]], spacing[order[2]])
    turned = np.flip(array.transpose(0, *(1 + each for each in order)), tuple(1 + each for each in flipped))
    usual = model.about.get("axis", 0)
    if order[0] != usual and array.shape[1:].count(1) != 1:
        notes.append((image.files[0], CUT.format(order[0], usual)))
    probs, labels = model.predict(turned, known, lambda told: notes.append((image.files[0], told)))
    for path, told in notes:
        say(f"note: {path}: {told}")
    lost = int(np.count_nonzero(probs.argmax(1) != labels)) if model.about["pieces"]["together"] else 0
    codes = np.ascontiguousarray(np.flip(labels, flipped).transpose(np.argsort(order)))
    if first.header is None:
        write(image, out, lambda path: picture(codes[0]).save(path))
        return lost
    shape = first.header.get_data_shape()
    codes = codes.T.reshape(shape if codes.size == np.prod(shape) else codes.T.shape)
    labelled = nib.Nifti1Image(codes, None, geometry(first.header, codes.shape))
    write(image, out, lambda path: nib.save(labelled, path))
    return lost


def write(image: Named, out: Path, save: Callable[[Path], None]) -> None:
    """Write labels, whole or not at all."""
    whole(out / image.labels, image.labels.lower(), save)  # nibabel knows formats by names in lower case


def picture(labels: np.ndarray) -> Any:  # noqa: ANN401
    """Return labels as a picture."""
    from PIL import Image

    return Image.fromarray(labels)


def grouped(paths: list[Path], about: dict[str, Any]) -> list[Named]:
    """Return the images of files: ``NAME_0000``, ``NAME_0001`` are one where the model has channels but no colours.

    Raises ValueError where two files have one name, or an image's channels are not all there.
    """
    several = len(about["channels"]) > 1 and about["channels"][0]["kind"] != "RGB"
    one_name_each(paths)
    found: dict[str, tuple[Path, ...]] = {}
    parts: dict[str, dict[int, Path]] = {}
    for path in filter(ending, paths):
        stem = stem_of(path)
        numbered = NUMBERED.fullmatch(stem) if several else None
        same = found if numbered is None else parts.get(numbered[1], {})
        if (stem if numbered is None else int(numbered[2])) in same:
            raise ValueError(
                f"{path}: another image has this name without suffix, by which labels go; segment them apart"
            )
        if numbered is None:
            found[stem] = (path,)
        else:
            parts.setdefault(numbered[1], {})[int(numbered[2])] = path
    for name, channels in parts.items():
        files = tuple(channels[number] for number in sorted(channels))
        if len(files) == 1:
            name = stem_of(files[0])
        elif missing := set(range(max(channels) + 1)) - set(channels):
            raise ValueError(f"{files[0]}: channel {name}_{min(missing):04d} is missing; add it")
        elif len({(path.parent, ending(path)) for path in files}) > 1:
            raise ValueError(f"{files[0]}: channels lie in several folders or end in several ways, allowed is one")
        if name in found:
            raise ValueError(f"{files[0]}: {found[name][0]} is image {name!r}, too, allowed is one; rename it")
        found[name] = files
    images = [Named(files, labels_name(name, files[0])) for name, files in found.items()]
    return images + [Named((path,), path.name) for path in paths if not ending(path)]  # refused when they are read


def one_name_each(paths: list[Path]) -> None:
    """Refuse names that differ in upper and lower case alone: many systems take the files of their labels for one."""
    known: dict[str, Path] = {}
    for path in filter(ending, paths):
        other = known.setdefault(folded(stem_of(path)), path)
        if stem_of(other) != stem_of(path):
            told = f"{other} has this name without suffix, too (but for upper and lower case)"
            raise ValueError(f"{path}: {told}, by which labels go; segment them apart")


def labels_name(name: str, path: Path) -> str:
    """Return the name of the labels of image `name`, whose first file is `path`. JPEG would change codes."""
    own = path.name[: len(path.name) - len(ending(path))]
    written_as = ".png" if PICTURES.get(ending(path)) == "JPEG" else path.name[len(own) :]
    return (own if stem_of(path) == name else name) + written_as


def seen_as(about: dict[str, Any], shape: tuple[int, ...], grid: Grid) -> tuple[list[int], tuple[int, ...]]:
    """Return which axes of (d, h, w) an image's slices, rows and columns are, and which of the three are reversed."""
    lies = {} if grid.affine is None or not grid.placed else lies_along(grid.affine)
    axis = cut_along(about, shape, grid.spacing, lies)
    if grid.affine is None or not lies or not about.get("radiological"):
        return [axis, *(other for other in range(3) if other != axis)], ()
    wanted = RADIOLOGICAL[lies[axis]]
    stored = {world: own for own, world in lies.items()}
    columns = grid.affine[:3, 2::-1]  # by axis of (d, h, w): d is z
    pairs = enumerate(wanted)
    flipped = tuple(place for place, (world, along) in pairs if (columns[world, stored[world]] > 0) != along)
    return [stored[world] for world, _ in wanted], flipped


def lies_along(affine: np.ndarray) -> dict[int, int]:
    """Return along which of the world's axes each of (d, h, w) lies most: each one once, the clearest first."""
    columns = np.abs(affine[:3, 2::-1])
    left, found = columns / np.linalg.norm(columns, axis=0), dict[int, int]()
    for axis in sorted(range(3), key=lambda axis: -left[:, axis].max()):
        found[axis] = int(left[:, axis].argmax())
        left[found[axis]] = -1
    return found


def cut_along(
    about: dict[str, Any], shape: tuple[int, ...], spacing: tuple[float, ...] | None, lies: dict[int, int]
) -> int:
    """Return the axis of (d, h, w) along which an image is cut into slices, by the rule of those that were learnt from.

    A single slice is cut across itself. Else the axis is the thick one, if theirs was, or that along the same axis of
    the patient, or that of the same number.
    """
    ones = [axis for axis, length in enumerate(shape) if length == 1]
    if len(ones) == 1:
        return ones[0]
    if about.get("thickest") and spacing is not None:
        axis = int(np.argmax(spacing))
        if spacing[axis] > THICKER * np.delete(spacing, axis).max():
            return axis
    if lies and about.get("across"):
        return next(axis for axis, world in lies.items() if ACROSS[world] == about["across"])
    return about.get("axis", 0)


def main() -> int:
    """Segment the files that the command line names; returns 2 where one could not be."""
    parser = argparse.ArgumentParser(prog="predict.py", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "images", nargs="+", type=Path, metavar="IMAGE", help="NIfTI files (.nii or .nii.gz) or pictures"
    )
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="another one than the images'; made where it is missing"
    )
    chosen = parser.parse_args()
    out = chosen.out
    # A line on stderr says what is wrong with a file; what libraries print beside it would be several.
    warnings.simplefilter("ignore")
    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL + 1)
    stack = ExitStack()
    try:
        model = Model(HERE)
        tell_unfinished(model.about["training"])
        paths = [path for path in chosen.images if is_text(path.name)]
        images = grouped(paths, model.about)
        must_be_free(out, images)
        for path in sorted(set(chosen.images) - set(paths)):
            say(f"{str(path)!r}: its name is no UTF-8, as that of its labels must be; rename it")
        if not paths:
            return 2
        stack.enter_context(begun(out, images, model.about["made"]))
    except Exception as error:  # a damaged model or record, a folder that can't be written
        say(in_one_line(error))
        return 2
    lost: list[int] = []
    with stack:
        failed = sum(not segmented(model, image, out, lost) for image in images)
    if count := sum(lost):
        some = f"in {sum(map(bool, lost))} of {len(lost)} volumes {count:,} {'voxel' if count == 1 else 'voxels'}"
        groups = model.about["pieces"]["together"]
        names = ", ".join("all structures together" if len(group) > 1 else group[0] for group in groups)
        say(f"note: {out}: {some} beside the largest piece of {names} became background")
    return 2 if failed or len(paths) < len(chosen.images) else 0


def tell_unfinished(training: dict[str, Any]) -> None:
    """Say on stderr where a network's training was stopped before its end; early models do not say so."""
    steps = training["schedule"]["steps"]
    if (step := training.get("step", steps)) < steps:
        say(f"note: {HERE}: its training stopped at step {step} of {steps}; this is its network so far")


def segmented(model: Model, image: Named, out: Path, lost: list[int]) -> bool:
    """Segment an image, or say on stderr what is wrong with it; returns whether it was segmented.

    How many voxels it has lost, as they lie beside the largest piece, is added to `lost`.
    """
    try:
        lost.append(segment(model, image, out))
    except Exception as error:  # whatever a library makes of it costs this image alone
        earlier = out / image.labels
        gone = f"; {image.labels} of an earlier call is deleted" if ending(image.files[0]) and earlier.is_file() else ""
        if gone:
            earlier.unlink()  # else it would be taken for a new one
        told = in_one_line(error)
        if not isinstance(error, ValueError | OSError | ImportError):  # a library's, as of a damaged file
            told = f"can't be segmented ({told})"
        say(f"{', '.join(map(str, image.files))}: {told}{gone}")
        return False
    return True


def stoppable() -> int:
    """Do the work of `main`; Ctrl-C ends it with one line."""
    try:
        return main()
    except KeyboardInterrupt:
        say("interrupted; the same command, given again, goes on or begins anew")
        return INTERRUPTED


if __name__ == "__main__":
    sys.exit(stoppable())
