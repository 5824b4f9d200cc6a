"""Segment NIfTI volumes or pictures with an exported model: labels on each image's own grid, under its own name.

``python predict.py IMAGE [IMAGE ...] --out DIR``. Needs numpy, onnxruntime and nibabel, for pictures Pillow, for
structures that ``model.json`` says to keep in one piece SciPy, and nothing of maskmixadv: 'maskmixadv export
model' writes this file as ``predict.py`` beside ``model.onnx`` and ``model.json``. For research; not a medical device.
"""

import argparse
import hashlib
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import onnxruntime
from nibabel.filebasedimages import ImageFileError

HERE = Path(__file__).resolve().parent
SUFFIXES = (".nii.gz", ".nii")
JPEG = (".jpeg", ".jpg")
PICTURES = (".png", *JPEG, ".tiff", ".tif")
NUMBERED = re.compile(r"(.+)_(\d{4})")
"""Names of files that each hold one channel of an image."""
LUMA = (0.2125, 0.7154, 0.0721)
"""Brightness of red, green and blue."""
RECORD = ".maskmixadv.json"
"""File in a folder of outputs that lists those that this program wrote, with their SHA-256."""
GEOMETRY = (
    *("qform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("sform_code", "srow_x", "srow_y", "srow_z", "xyzt_units"),
)
"""Fields of an image's header that labels take over, beside the first four of ``pixdim``. No text is taken over, as it
may name the patient."""
UNITS = {1: 1000.0, 3: 0.001}
"""Millimetres of a header's unit of length, by its code, where that is metre or micrometre."""
THICKER = 1.1
"""By which factor a spacing must exceed the others for slices to be cut along its axis."""
ACROSS = ("left-right", "posterior-anterior", "inferior-superior")
"""The patient's axes, in the order of the world's x, y, z."""
RADIOLOGICAL = (((0, -1), (2, -1), (1, -1)), ((1, -1), (2, -1), (0, -1)), ((2, 1), (1, -1), (0, -1)))
"""The radiological view of slices across x, y or z: the world's axes along d, h and w, and which way they run there."""
FLOOR, STEP, WIDE, SHARE, KINDS = -1200.0, 100.0, 2.0, 1e-3, 3
"""Padding: the lowest value, below 0, of at least this part of the voxels. It is below the floor and the next value, a
step above it, is not; or the gap is that many times as wide as the range of all other values. KINDS is their number."""
MOST_SIDE, MOST_GROWTH = 2048, 4
"""Pixels that a slice's side may have on the network's grid, or how many times as many as before."""
BEND = 99.0
"""Percentile of the intensities at which their range may bend."""
AT_ONCE = 4
"""Slices that are predicted at a time, so that the features of a whole volume need not fit into memory."""
LIBRARIES = (ImportError, ImageFileError)
"""What a missing library and nibabel raise."""
TIMES = (8, 16, 24)
"""A header's codes of units of time."""
MOST_CHANNELS = 4
"""Length up to which the fourth axis of a file is taken as channels."""


class Named(NamedTuple):
    """An image: its files, of which there is one a channel or only one, and the name of its labels' file."""

    files: tuple[Path, ...]
    labels: str


class Stored(NamedTuple):
    """An image as its files have it: an array ``c z y x``, channels first, and the NIfTI image if it is one."""

    array: np.ndarray
    nifti: Any


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
        self.session = onnxruntime.InferenceSession(graph)

    def predict(self, image: np.ndarray, spacing: tuple[float, float, float] | None) -> tuple[np.ndarray, np.ndarray]:
        """Segment a volume.

        Parameters
        ----------
        image
            Intensities as the file has them, slices first: for a NIfTI file, its array transposed, with the axes that
            `seen_as` says. Several channels come before them.
        spacing
            Millimetres along the same axes; None where it is not known.

        Returns
        -------
        Class probabilities ``d k h w``, with the classes' odds, and labels ``d h w``: indices into the classes. Pieces
        that ``model.json`` says to leave out are background in the labels.
        """
        scaled = scaled_channels(image if image.ndim == 4 else image[None], self.about)
        size = np.array(resized(image.shape[-2:], spacing, self.about["grid"]), dtype=np.int64)
        parts = [scaled[:, first : first + AT_ONCE] for first in range(0, scaled.shape[1], AT_ONCE)]
        parts = [part[0] if len(part) == 1 else part for part in parts]
        done = [self.session.run(["probs", "labels"], {"image": part, "size": size}) for part in parts]
        probs, labels = (np.concatenate(each) for each in zip(*done, strict=True))
        if self.about["odds"]["factors"] is not None:
            probs = probs * odds_of(labels, self.about["odds"])[:, None, None]
            probs /= probs.sum(1, keepdims=True)
            labels = probs.argmax(1).astype(labels.dtype)
        return probs, in_one_piece(labels, self.about)


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
    for names in about["pieces"]["together"]:
        from scipy import ndimage

        one = np.zeros(labels.shape, bool)
        for name in names:
            one |= labels == about["classes"].index(name)
        labelled: Any = ndimage.label(one, np.ones((3, 3, 3)))
        parts, number = labelled
        if number > 1:
            sizes = np.sum([np.bincount(plane.ravel(), minlength=number + 1) for plane in parts], axis=0)
            labels = np.where(one & (parts != 1 + np.argmax(sizes[1:])), 0, labels).astype(labels.dtype)
    return labels


def scaled_channels(image: np.ndarray, about: dict[str, Any]) -> np.ndarray:
    """Scale the channels of an image as their kinds say; raises ValueError where they are not those of the model."""
    channels, percentile = about["channels"], about["scaling"]["percentile"]
    if len(image) != len(channels):
        told = ", ".join(channel["name"] for channel in channels)
        raise ValueError(f"has {len(image)} channel(s), allowed are images with {len(channels)} ({told})")
    if channels[0]["kind"] == "RGB":
        return scale(image, channels[0].get("percentile", percentile))
    return np.stack([scaled_channel(part, of, percentile) for part, of in zip(image, channels, strict=True)])


def scaled_channel(volume: np.ndarray, channel: dict[str, Any], percentile: float) -> np.ndarray:
    """Scale one channel as its kind says."""
    if channel["kind"] == "CT":
        low, high = channel["window"]
        return np.clip((measured(volume) - low) / (high - low), 0.0, 1.0).astype(np.float32)
    if channel["kind"] != "noNorm":
        return scale(volume, channel.get("percentile", percentile), channel.get("knee", 0.0))
    if not 0 <= volume.min() <= volume.max() <= 1:
        raise ValueError(f"intensities are {volume.min():g} to {volume.max():g}, allowed for kind noNorm are 0 to 1")
    return np.asarray(volume, dtype=np.float32)


def measured(image: np.ndarray) -> np.ndarray:
    """Return intensities without padding; raises ValueError where one is not finite."""
    volume = np.asarray(image, dtype=np.float32)
    if not np.isfinite(volume).all():
        raise ValueError("image holds NaN or infinity, allowed are finite numbers")
    return without_padding(volume)


def scale(image: np.ndarray, percentile: float, knee: float = 0.0) -> np.ndarray:
    """Scale a volume to [0, 1], cut off at a percentile; raises ValueError where it is not finite, or constant.

    Where the 99th percentile would become less than `knee`, the range bends so that it becomes `knee`.
    """
    volume = measured(image)
    low, high = float(volume.min()), float(np.percentile(volume, percentile))
    if high <= low:
        high = float(volume.max())
    if high <= low:
        raise ValueError(f"image is constant ({low:g}), allowed is one with contrast")
    scaled = np.clip((volume - low) / (high - low), 0.0, 1.0).astype(np.float32)
    middle = float(np.percentile(scaled, BEND)) if knee else 0.0
    if not 0 < middle < knee:
        return scaled
    return np.interp(scaled, (0.0, middle, 1.0), (0.0, knee, 1.0)).astype(np.float32)


def without_padding(volume: np.ndarray) -> np.ndarray:
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
    if max(h, w) > max(MOST_SIDE, grid["size"], MOST_GROWTH * max(shape)):
        raise ValueError(f"pixels of {step_h:g} x {step_w:g} mm would make slices of {h} x {w}; correct the header")
    return h, w


def segment(model: Model, image: Named, out: Path) -> None:
    """Write the labels of one image, on its grid, as uint8; raises ValueError where it can't be segmented."""
    first, *others = (load(path, colours=len(model.about["channels"]) > 1) for path in image.files)
    array = np.concatenate([first.array, *(other_channel(first, other) for other in others)])
    if first.nifti is None:
        _, labels = model.predict(array, None)
        write(image, out, lambda path: picture(labels[0]).save(path))
        return
    spacing = spacing_of(first.nifti.header)
    order, flipped = seen_as(model.about, array.shape[1:], spacing, first.nifti)
    known = None if spacing is None else (spacing[order[0]], spacing[order[1]], spacing[order[2]])
    turned = np.flip(array.transpose(0, *(1 + each for each in order)), tuple(1 + each for each in flipped))
    _, labels = model.predict(turned, known)
    shape = first.nifti.shape
    codes = np.ascontiguousarray(np.flip(labels, flipped).transpose(np.argsort(order)).T)
    codes = codes.reshape(shape if codes.size == np.prod(shape) else codes.shape)
    labelled = nib.Nifti1Image(codes, None, geometry(first.nifti.header, codes.shape))
    write(image, out, lambda path: nib.save(labelled, path))


def write(image: Named, out: Path, save: Callable[[Path], None]) -> None:
    """Write labels, whole or not at all."""
    partial = out / f".partial-{os.getpid()}-{image.labels.lower()}"  # nibabel knows formats by names in lower case
    try:
        save(partial)
        partial.replace(out / image.labels)
    finally:
        partial.unlink(missing_ok=True)


def load(path: Path, *, colours: bool) -> Stored:
    """Read a file; colours become grey unless `colours` are wanted."""
    if path.name.lower().endswith(PICTURES):
        return Stored(load_picture(path, colours=colours), None)
    if not path.name.lower().endswith(SUFFIXES):
        raise ValueError(f"not a NIfTI file (.nii or .nii.gz), nor one of {', '.join(PICTURES)}")
    image: Any = nib.load(path)
    if image.dataobj.offset == 0:  # nibabel would take the header for voxels
        raise ValueError("its header does not say where its voxels begin (vox_offset 0); save it again")
    stored = np.asanyarray(image.dataobj)
    while stored.ndim > 3 and stored.shape[-1] == 1:
        stored = stored[..., 0]
    if stored.ndim == 5 and stored.shape[3] == 1:  # vectors
        stored = stored[..., 0, :]
    if stored.ndim == 2:
        stored = stored[..., None]
    if stored.ndim not in (3, 4) or stored.shape[3:] > (MOST_CHANNELS,):
        raise ValueError(f"has {stored.ndim} axes {stored.shape}, allowed is a 3D volume, or up to 4 channels of one")
    unit, step = int(image.header["xyzt_units"]) & 0x38, float(image.header["pixdim"][4])
    if len(image.shape) == 4 and stored.ndim == 4 and ((unit in TIMES and step) or step not in (0, 1)):
        raise ValueError(f"the fourth axis could be time (pixdim[4] {step:g}, xyzt_units), allowed are channels")
    return Stored(stored.T if stored.ndim == 4 else stored.T[None], image)


def load_picture(path: Path, *, colours: bool) -> np.ndarray:
    """Read a picture as it is shown: red, green and blue if it has them and they are wanted, else grey."""
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        if getattr(image, "n_frames", 1) > 1:
            raise ValueError("has several pages, allowed is one")
        stored = [tile[3] for tile in image.tile]
        if (
            image.format == "PNG"
            and any(isinstance(each, str) and each.endswith(";16B") for each in stored[:1])
            and (image.mode in ("RGB", "RGBA"))
        ):
            raise ValueError("has colours of 16 bits, allowed are 8; convert it")
        plain = image.mode in ("1", "L", "F", "I", "I;16", "I;16L", "I;16B")
        shown: Any = ImageOps.exif_transpose(image)
        pixels = np.asarray(shown if plain else shown.convert("L" if image.mode == "LA" else "RGB"))
    if pixels.ndim == 2:
        return pixels[None, None]
    if colours:
        return np.moveaxis(pixels, -1, 0)[:, None]
    same = all(np.array_equal(pixels[..., 0], pixels[..., other]) for other in (1, 2))
    return (pixels[..., 0] if same else (pixels @ np.array(LUMA, np.float32)).astype(np.float32))[None, None]


def picture(labels: np.ndarray) -> Any:  # noqa: ANN401
    """Return labels as a picture."""
    from PIL import Image

    return Image.fromarray(labels)


def other_channel(first: Stored, other: Stored) -> np.ndarray:
    """Return a further channel; raises ValueError where it does not lie on the first one's grid."""
    if len(first.array) != 1 or other.array.shape != first.array.shape:
        raise ValueError(f"channels have shapes {first.array.shape} and {other.array.shape}, allowed is one")
    if first.nifti is not None and other.nifti is not None and first.nifti.header["sform_code"] > 0:
        corner = np.array([*first.nifti.shape[:3], 1])
        step = np.linalg.norm(first.nifti.affine[:3, :3], axis=0).min()
        if other.nifti.header["sform_code"] > 0 and (
            np.abs((first.nifti.affine - other.nifti.affine) @ corner).max() > step / 2
        ):
            raise ValueError("channels lie at different places, allowed is one grid")
    return other.array


def grouped(paths: list[Path], about: dict[str, Any]) -> list[Named]:
    """Return the images of files: ``NAME_0000``, ``NAME_0001`` are one where the model has channels but no colours."""
    several = len(about["channels"]) > 1 and about["channels"][0]["kind"] != "RGB"
    found: dict[str, list[Path]] = {}
    for path in paths:
        suffix = next((each for each in (*SUFFIXES, *PICTURES) if path.name.lower().endswith(each)), "")
        stem = path.name[: len(path.name) - len(suffix)]
        channel = NUMBERED.fullmatch(stem) if several else None
        written_as = ".png" if suffix in JPEG else path.name[len(stem) :]
        found.setdefault((channel[1] if channel else stem) + written_as, []).append(path)
    if not several and any(len(files) > 1 for files in found.values()):
        name = next(name for name, files in found.items() if len(files) > 1)
        raise ValueError(f"{name}: two images have this name, and labels are written under it")
    return [Named(tuple(sorted(files)), name) for name, files in found.items()]


def spacing_of(header: nib.Nifti1Header) -> tuple[float, ...] | None:
    """Return the mm between voxels along d, h, w; None where the file does not say."""
    raw: Any = header
    unit = UNITS.get(int(raw["xyzt_units"]) & 7, 1.0)
    shape = (*raw.get_data_shape(), 1)[:3]
    sizes = [abs(float(size)) * unit for size in raw["pixdim"][1:4]]
    if raw["sform_code"] > 0:
        lengths = np.linalg.norm(raw.get_sform()[:3, :3], axis=0) * unit
        sizes = sizes if np.allclose(lengths, sizes, rtol=0.01) else lengths.tolist()
    known = [size if 0 < size < np.inf or length > 1 else 1.0 for size, length in zip(sizes, shape, strict=True)]
    return tuple(known[::-1]) if all(0 < size < np.inf for size in known) else None


def seen_as(
    about: dict[str, Any], shape: tuple[int, ...], spacing: tuple[float, ...] | None, image: nib.Nifti1Image
) -> tuple[list[int], tuple[int, ...]]:
    """Return which axes of (d, h, w) an image's slices, rows and columns are, and which of the three are reversed."""
    axis = cut_along(about, shape, spacing, image)
    if not (about.get("radiological") and placed(image)):
        return [axis, *(other for other in range(3) if other != axis)], ()
    ways = nib.orientations.io_orientation(image.affine)[::-1].astype(int).tolist()  # (world's axis, way) of d, h, w
    wanted = RADIOLOGICAL[ways[axis][0]]
    order = [[world for world, _ in ways].index(world) for world, _ in wanted]
    pairs = enumerate(zip(order, wanted, strict=True))
    return order, tuple(place for place, (own, (_, way)) in pairs if ways[own][1] != way)


def placed(image: nib.Nifti1Image) -> bool:
    """Whether an image says where it lies in the patient."""
    header: Any = image.header
    return bool(header["qform_code"] > 0 or header["sform_code"] > 0)


def cut_along(
    about: dict[str, Any], shape: tuple[int, ...], spacing: tuple[float, ...] | None, image: nib.Nifti1Image
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
    if placed(image) and about.get("across"):
        ways = nib.orientations.io_orientation(image.affine)[:, 0]
        return 2 - ways.tolist().index(ACROSS.index(about["across"]))
    return about.get("axis", 0)


def geometry(image: nib.Nifti1Header, shape: tuple[int, ...]) -> nib.Nifti1Header:
    """Return a header for labels, which has of an image's header only where its voxels lie."""
    header: Any = nib.Nifti2Header() if isinstance(image, nib.Nifti2Header) else nib.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape(shape)
    header["pixdim"][:4] = image["pixdim"][:4]
    for field in GEOMETRY:
        header[field] = image[field]
    header.set_slope_inter(1, 0)
    return header


def written(out: Path) -> dict[str, str | None]:
    """Return the SHA-256 of each file that was written into `out`, by name; None where it was not finished."""
    record = out / RECORD
    return json.loads(record.read_text(encoding="utf-8"))["written"] if record.is_file() else {}


def note(out: Path, images: list[Named], *, done: bool) -> None:
    """Write down which labels of `images` lie in `out`: all that may be written, or, when `done`, those that were."""
    known = written(out)
    for name in (image.labels for image in images):
        known[name] = digest(out / name) if done and (out / name).is_file() else None
        if done and known[name] is None:
            del known[name]
    partial = out / f".partial-{os.getpid()}-record"
    partial.write_text(json.dumps({"written": known}, indent=1), encoding="utf-8")
    partial.replace(out / RECORD)


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def must_be_free(out: Path, images: list[Named]) -> None:
    """Raise ValueError where labels would lie among the images, or replace a file that this program did not write."""
    known = written(out)
    for image in images:
        target = out / image.labels
        for path in image.files:
            if out.resolve() == path.resolve().parent or out.resolve() == path.parent.resolve():
                raise ValueError(f"{out}: holds {path.name}, which is an input; name another directory for the labels")
        ours = image.labels in known and target.is_file() and known[image.labels] in (None, digest(target))
        if os.path.lexists(target) and (target.is_symlink() or not ours):
            raise ValueError(f"{target}: is there already, and was not written here or changed since; move it away")


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
    try:
        model = Model(HERE)
        images = grouped(chosen.images, model.about)
        must_be_free(out, images)
        out.mkdir(parents=True, exist_ok=True)
        note(out, images, done=False)
        failed = sum(not segmented(model, image, out) for image in images)
        note(out, images, done=True)
    except (ValueError, KeyError, TypeError, OSError) as error:
        print(f"predict.py: {in_one_line(error)}", file=sys.stderr)
        return 2
    return 2 if failed else 0


def segmented(model: Model, image: Named, out: Path) -> bool:
    """Segment an image, or say on stderr what is wrong with it; returns whether it was segmented."""
    try:
        segment(model, image, out)
    except (ValueError, ArithmeticError, MemoryError, RuntimeError, OSError, EOFError, *LIBRARIES) as error:
        print(f"predict.py: {image.files[0]}: {in_one_line(error)}", file=sys.stderr)
        return False
    return True


def in_one_line(error: Exception) -> str:
    """Return the message of a library's error, without its line breaks."""
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
