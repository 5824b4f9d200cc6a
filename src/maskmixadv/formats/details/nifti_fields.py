"""What nibabel takes from a NIfTI header's fields without a word, or mends: it is refused by its field."""

import math
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from maskmixadv.errors import InputError, say
from maskmixadv.files import read_json
from maskmixadv.formats.volume import check_spacing

MOST_CODE: Final = 5
"""Highest code of a form."""
TIMES: Final = {
    8: "seconds",
    16: "milliseconds",
    24: "microseconds",
    32: "hertz",
    40: "parts per million",
    48: "radians per second",
}
"""The header's units of a fourth axis, which is of time or of frequencies, by their codes."""
TIME_SERIES: Final = 2001
"""What ``intent_code`` is where each voxel has a series of times."""
DATASET: Final = "dataset.json"
"""File of nnU-Net and of the Medical Segmentation Decathlon that names the channels of images, and its labels."""
CHANNELS: Final = ("channel_names", "modality")
"""Fields of it that name channels: of nnU-Net, and of the Decathlon and nnU-Net v1."""


def check(path: Path, raw: Any) -> None:  # noqa: ANN401
    """Refuse fields of a header that say what can't be.

    These are a size of 0 for voxels in a row, which nibabel takes as 1, unless a sform says it; an infinite slope and
    codes of forms that NIfTI has not, which it takes for not said; and bits of a voxel that are not those of its type,
    one of which is wrong.

    Parameters
    ----------
    path
        The file, for the error's text.
    raw
        The header as it is stored, which nibabel has not checked.

    Raises
    ------
    InputError
        If there is such a field.

    Examples
    --------
    >>> import nibabel as nib
    >>> header = nib.Nifti1Header()
    >>> check(Path("a.nii"), header)
    >>> header["datatype"] = 4
    >>> check(Path("a.nii"), header)
    Traceback (most recent call last):
    maskmixadv.errors.InputError: a.nii: bitpix is 32, and voxels of datatype 4 (int16) have 16; correct the header
    """
    shape = raw["dim"][1:4][: int(raw["dim"][0])]
    if raw["sform_code"] <= 0 and any(size == 0 and n > 1 for size, n in zip(raw["pixdim"][1:4], shape, strict=False)):
        check_spacing(path, tuple(map(float, raw["pixdim"][1:4])), "pixdim")
    if math.isinf(slope := float(raw["scl_slope"])):
        raise InputError(f"{path}: scl_slope is {slope:g}, allowed are finite numbers; save it again")
    for name in ("qform_code", "sform_code"):
        if not 0 <= (code := int(raw[name])) <= MOST_CODE:
            raise InputError(f"{path}: {name} is {code}, allowed are 0 to {MOST_CODE}; correct the header")
    kind, bits = raw.get_data_dtype(), int(raw["bitpix"])
    if bits not in (0, 8 * kind.itemsize):  # 0 is not said
        said = f"voxels of datatype {int(raw['datatype'])} ({kind.name}) have {8 * kind.itemsize}"
        raise InputError(f"{path}: bitpix is {bits}, and {said}; correct the header")


def in_colour(header: Any) -> bool:  # noqa: ANN401
    """Whether voxels are red, green and blue (RGB24), or these and opacity (RGBA32).

    Examples
    --------
    >>> import nibabel as nib
    >>> in_colour(nib.Nifti1Header())
    False
    """
    return header.get_data_dtype().names in (tuple("RGB"), tuple("RGBA"))


def uncalibrated(header: Any) -> Any:  # noqa: ANN401
    """Return the header of voxels in colour as if it had no slope and intercept, as NIfTI wants it; others as they are.

    Examples
    --------
    >>> import nibabel as nib
    >>> header = nib.Nifti1Header()
    >>> header.set_data_dtype("RGB")
    >>> header["scl_slope"] = 2
    >>> uncalibrated(header).get_slope_inter()
    (None, None)
    """
    if not in_colour(header):
        return header
    header = header.copy()
    header["scl_slope"], header["scl_inter"] = 0, 0
    return header


def tell_of_scaling(path: Path, header: Any) -> None:  # noqa: ANN401
    """Print a line on stderr where a slope or an intercept is not used: with colours, or as no slope is said.

    Examples
    --------
    >>> import nibabel as nib
    >>> tell_of_scaling(Path("a.nii"), nib.Nifti1Header())  # nothing to tell
    """
    slope, intercept = (float(header[name]) for name in ("scl_slope", "scl_inter"))
    shifts = math.isfinite(intercept) and intercept != 0
    if in_colour(header):
        if shifts or (math.isfinite(slope) and slope not in (0, 1)):
            said = f"scl_slope is {slope:g} and scl_inter {intercept:g}"
            say(f"{path}: {said}, which are not used, as NIfTI has none for colours")
    elif header.get_slope_inter()[0] is None and shifts:
        said = f"scl_slope is {slope:g}, so scl_inter {intercept:g} is not added"
        say(f"{path}: {said}; look whether values are right")


def time(header: Any, shape: tuple[int, ...]) -> str:  # noqa: ANN401
    """Return what the header says of a fourth axis that could be time; empty if it says nothing.

    Examples
    --------
    >>> import nibabel as nib
    >>> header = nib.Nifti1Header()
    >>> header.set_xyzt_units("mm", "sec")
    >>> time(header, (5, 7, 3, 2)), time(header, (5, 7, 3))
    ('pixdim[4] is 1, and xyzt_units says seconds', '')
    """
    if len(shape) == 4 and int(header["intent_code"]) == TIME_SERIES:
        return f"intent_code is {TIME_SERIES} (time series)"
    step, unit = float(header["pixdim"][4]), TIMES.get(int(header["xyzt_units"]) & 0x38)
    if len(shape) != 4 or not ((unit and step) or step not in (0, 1)):
        return ""
    return f"pixdim[4] is {step:g}" + (f", and xyzt_units says {unit}" if unit else "")


def datasets(folder: Path) -> tuple[Path, Path]:
    """Return where the ``dataset.json`` may lie that names the channels of images in a folder: there, or beside it.

    Examples
    --------
    >>> [path.as_posix() for path in datasets(Path("heart/imagesTr"))]
    ['heart/imagesTr/dataset.json', 'heart/dataset.json']
    """
    return folder / DATASET, folder.parent / DATASET


def channels_named(path: Path) -> int:
    """Return how many channels the ``dataset.json`` names that lies beside an image or beside its folder; 0 if none.

    The Decathlon has an image's channels in one file, and the header of such a file says that they are times.

    Examples
    --------
    >>> Path("dataset.json").write_text('{"modality": {"0": "T2", "1": "ADC"}}')
    37
    >>> channels_named(Path("imagesTr/prostate_00.nii.gz")), channels_named(Path("heart.nii.gz"))
    (2, 2)
    """
    for place in datasets(path.absolute().parent):
        raw = None
        with suppress(InputError, OSError):  # what it is worth is for the reader of data sets to say
            raw = read_json(place) if place.is_file() else None
        told = (raw.get(key) for key in CHANNELS) if isinstance(raw, dict) else ()
        names = next((each for each in told if each is not None), None)
        names = list(names.values()) if isinstance(names, dict) else names
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return len(names)
    return 0
