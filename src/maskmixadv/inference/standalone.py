"""Segment NIfTI volumes with an exported model: labels on each image's own grid, under its own name.

``python predict.py IMAGE [IMAGE ...] --out DIR``. Needs numpy, onnxruntime and nibabel, and nothing of maskmixadv:
'maskmixadv export model' writes this file as ``predict.py`` beside ``model.onnx`` and ``model.json``. For research; not
a medical device.
"""

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import onnxruntime
from nibabel.filebasedimages import ImageFileError

HERE = Path(__file__).resolve().parent
SUFFIXES = (".nii.gz", ".nii")
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
AT_ONCE = 4
"""Slices that are predicted at a time, so that the features of a whole volume need not fit into memory."""


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
            `seen_as` says.
        spacing
            Millimetres along the same axes; None where it is not known.

        Returns
        -------
        Class probabilities ``d k h w``, and labels ``d h w``: indices into the classes.
        """
        scaled = scale(image, self.about["scaling"]["percentile"])
        size = np.array(resized(image.shape[1:], spacing, self.about["grid"]), dtype=np.int64)
        parts = [scaled[first : first + AT_ONCE] for first in range(0, len(scaled), AT_ONCE)]
        done = [self.session.run(["probs", "labels"], {"image": part, "size": size}) for part in parts]
        probs, labels = (np.concatenate(each) for each in zip(*done, strict=True))
        return probs, labels


def scale(image: np.ndarray, percentile: float) -> np.ndarray:
    """Scale a volume to [0, 1], cut off at a percentile; raises ValueError where it is not finite, or constant."""
    volume = np.asarray(image, dtype=np.float32)
    if not np.isfinite(volume).all():
        raise ValueError("image holds NaN or infinity, allowed are finite numbers")
    volume = without_padding(volume)
    low, high = float(volume.min()), float(np.percentile(volume, percentile))
    if high <= low:
        high = float(volume.max())
    if high <= low:
        raise ValueError(f"image is constant ({low:g}), allowed is one with contrast")
    return np.clip((volume - low) / (high - low), 0.0, 1.0).astype(np.float32)


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


def segment(model: Model, path: Path, out: Path) -> None:
    """Write the labels of one file, on its grid, as uint8; raises ValueError where it can't be segmented."""
    image: Any = nib.load(path)
    stored = np.asanyarray(image.dataobj)
    shape = stored.shape
    while stored.ndim > 3 and stored.shape[-1] == 1:
        stored = stored[..., 0]
    if stored.ndim == 2:
        stored = stored[..., None]
    if stored.ndim != 3:
        raise ValueError(f"has {stored.ndim} axes {stored.shape}, allowed is a 3D volume")
    spacing = spacing_of(image.header)
    order, flipped = seen_as(model.about, stored.T.shape, spacing, image)
    known = None if spacing is None else (spacing[order[0]], spacing[order[1]], spacing[order[2]])
    _, labels = model.predict(np.flip(stored.T.transpose(order), flipped), known)
    codes = np.ascontiguousarray(np.flip(labels, flipped).transpose(np.argsort(order)).T).reshape(shape)
    partial = out / f".partial-{os.getpid()}-{path.name}"
    try:
        nib.save(nib.Nifti1Image(codes, None, geometry(image.header, codes.shape)), partial)
        partial.replace(out / path.name)
    finally:
        partial.unlink(missing_ok=True)


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


def note(out: Path, images: list[Path], *, done: bool) -> None:
    """Write down which labels of `images` lie in `out`: all that may be written, or, when `done`, those that were."""
    known = written(out)
    for name in (path.name for path in images):
        known[name] = digest(out / name) if done and (out / name).is_file() else None
        if done and known[name] is None:
            del known[name]
    partial = out / f".partial-{os.getpid()}-record"
    partial.write_text(json.dumps({"written": known}, indent=1), encoding="utf-8")
    partial.replace(out / RECORD)


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def must_be_free(out: Path, images: list[Path]) -> None:
    """Raise ValueError where labels would lie among the images, or replace a file that this program did not write."""
    names = [path.name for path in images]
    known = written(out)
    for path in images:
        target = out / path.name
        if out.resolve() == path.resolve().parent or out.resolve() == path.parent.resolve():
            raise ValueError(f"{out}: holds {path.name}, which is an input; name another directory for the labels")
        if names.count(path.name) > 1:
            raise ValueError(f"{path.name}: two images have this name, and labels are written under it")
        ours = path.name in known and target.is_file() and known[path.name] in (None, digest(target))
        if os.path.lexists(target) and (target.is_symlink() or not ours):
            raise ValueError(f"{target}: is there already, and was not written here or changed since; move it away")


def main() -> int:
    """Segment the files that the command line names; returns 2 where one could not be."""
    parser = argparse.ArgumentParser(prog="predict.py", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="NIfTI files (.nii or .nii.gz)")
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="another one than the images'; made where it is missing"
    )
    chosen = parser.parse_args()
    images, out = chosen.images, chosen.out
    try:
        must_be_free(out, images)
        model = Model(HERE)
        out.mkdir(parents=True, exist_ok=True)
        note(out, images, done=False)
        failed = sum(not segmented(model, path, out) for path in images)
        note(out, images, done=True)
    except (ValueError, KeyError, TypeError, OSError) as error:
        print(f"predict.py: {in_one_line(error)}", file=sys.stderr)
        return 2
    return 2 if failed else 0


def segmented(model: Model, path: Path, out: Path) -> bool:
    """Segment a file, or say on stderr what is wrong with it; returns whether it was segmented."""
    try:
        if not path.name.endswith(SUFFIXES):
            raise ValueError("not a NIfTI file (.nii or .nii.gz)")
        segment(model, path, out)
    except (ValueError, ArithmeticError, MemoryError, RuntimeError, OSError, EOFError, ImageFileError) as error:
        print(f"predict.py: {path}: {in_one_line(error)}", file=sys.stderr)
        return False
    return True


def in_one_line(error: Exception) -> str:
    """Return the message of a library's error, without its line breaks."""
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
