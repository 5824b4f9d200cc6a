"""Segment NIfTI volumes with an exported model: labels on each image's own grid, under its own name.

``python predict.py IMAGE [IMAGE ...] --out DIR``. Needs numpy, onnxruntime and nibabel, and nothing of maskmixadv:
'maskmixadv export model' writes this file as ``predict.py`` beside ``model.onnx`` and ``model.json``. For research; not
a medical device.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import onnxruntime
from nibabel.filebasedimages import ImageFileError

HERE = Path(__file__).resolve().parent
SUFFIXES = (".nii.gz", ".nii")
AT_ONCE = 4
"""Slices at a time: a volume's features need not fit into memory all at once."""


class Model:
    """An exported network.

    Parameters
    ----------
    folder
        With ``model.onnx`` and ``model.json``.
    """

    def __init__(self, folder: Path) -> None:
        self.about: dict[str, Any] = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        self.session = onnxruntime.InferenceSession(folder / self.about["model"])

    def predict(self, image: np.ndarray, spacing: tuple[float, float, float] | None) -> tuple[np.ndarray, np.ndarray]:
        """Segment a volume.

        Parameters
        ----------
        image
            Intensities ``d h w`` as the file has them: for a NIfTI file, its array transposed.
        spacing
            Millimetres along d, h, w; None where it is not known.

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
    """Scale a volume to [0, 1], cut off at a percentile; ValueError where it is not finite, or constant."""
    volume = np.asarray(image, dtype=np.float32)
    if not np.isfinite(volume).all():
        raise ValueError("image holds NaN or infinity, allowed are finite numbers")
    low, high = float(volume.min()), float(np.percentile(volume, percentile))
    if high <= low:
        high = float(volume.max())
    if high <= low:
        raise ValueError(f"image is constant ({low:g}), allowed is one with contrast")
    return np.clip((volume - low) / (high - low), 0.0, 1.0).astype(np.float32)


def resized(
    shape: tuple[int, ...], spacing: tuple[float, float, float] | None, grid: dict[str, Any]
) -> tuple[int, int]:
    """Pixels that slices of `shape` (h, w) have on the network's grid; ValueError where that needs a spacing."""
    if spacing is None and grid["mm"] is not None:
        raise ValueError(f"image has no voxel spacing, and the grid is in mm ({grid['mm']} mm a pixel)")
    _, step_h, step_w = spacing or (1.0, 1.0, 1.0)
    extent = shape[0] * step_h, shape[1] * step_w
    mm = grid["mm"] or max(extent) / grid["size"]
    return max(1, round(extent[0] / mm)), max(1, round(extent[1] / mm))


def segment(model: Model, path: Path, out: Path) -> None:
    """Write the labels of one file, on its grid, as uint8; ValueError where it can't be segmented."""
    image: Any = nib.load(path)
    stored = np.asanyarray(image.dataobj)
    if stored.ndim == 4 and stored.shape[3] == 1:
        stored = stored[..., 0]
    if stored.ndim != 3:
        raise ValueError(f"has {stored.ndim} axes {stored.shape}, allowed is a 3D volume")
    w, h, d = (float(mm) for mm in image.header.get_zooms()[:3])
    _, labels = model.predict(stored.T, (d, h, w))
    header = image.header.copy()
    header.set_data_dtype(np.uint8)
    header.set_slope_inter(1, 0)
    partial = out / f".partial-{path.name}"
    nib.save(nib.Nifti1Image(np.ascontiguousarray(labels.T), image.affine, header), partial)
    partial.replace(out / path.name)


def main() -> int:
    """Segment the files that the command line names; returns 2 where one could not be."""
    parser = argparse.ArgumentParser(prog="predict.py", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="NIfTI files (.nii or .nii.gz)")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="made where it is missing")
    chosen = parser.parse_args()
    model, failed = Model(HERE), 0
    chosen.out.mkdir(parents=True, exist_ok=True)
    for path in chosen.images:
        try:
            if not path.name.endswith(SUFFIXES):
                raise ValueError("not a NIfTI file (.nii or .nii.gz)")
            segment(model, path, chosen.out)
        except (ValueError, OSError, EOFError, ImageFileError) as error:
            failed += 1
            print(f"predict.py: {path}: {' '.join(str(error).split())}", file=sys.stderr)
    return 2 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
