"""Image files of any known format; a file's name says which one it has.

`FORMATS` is the table of formats. A new format is a module with the names that `Format` lists, and one word in that
table. NRRD and MetaImage need SimpleITK (the extra ``formats``), DICOM needs pydicom (the extra ``dicom``). These are
imported when such a file is read.
"""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from maskmixadv.errors import InputError
from maskmixadv.files import must_not_be_read
from maskmixadv.formats import dicom_frames, dicom_header, dicom_pictures, flat, freesurfer, itk, nifti, series, zipped
from maskmixadv.formats.reading import Declared
from maskmixadv.formats.slicing import Header
from maskmixadv.formats.volume import Volume
from maskmixadv.types import Spacing


@runtime_checkable
class Format(Protocol):
    """Names that the module of a format has. Labels are written by the `geometry` of the volume that was read.

    Examples
    --------
    >>> from maskmixadv.formats import itk
    >>> isinstance(itk, Format), itk.SUFFIXES, itk.LABELS_AS
    (True, ('.seg.nrrd', '.nrrd', '.nhdr', '.mha', '.mhd'), {'.mhd': '.mha', '.nhdr': '.nrrd'})
    """

    @property
    def SUFFIXES(self) -> tuple[str, ...]:  # noqa: N802
        """Suffixes of its files, in lower case; longer ones come before those that they end with."""
        ...

    @property
    def LABELS_AS(self) -> Mapping[str, str]:  # noqa: N802
        """For suffixes of files that can't store labels, or not in one file: the suffix of the labels' file."""
        ...

    def read(self, path: Path, /) -> Volume:
        """Read an image; colours become grey."""
        ...

    def read_labels(self, path: Path, /) -> Volume:
        """Read class codes."""
        ...

    def peek(self, path: Path, /) -> tuple[tuple[int, int, int], Spacing | None] | None:
        """Return shape and spacing without reading voxels; None if the format has no spacing."""
        ...

    def header(self, path: Path, /) -> Header:
        """Return shape, spacing and affine without reading voxels."""
        ...

    def declared(self, path: Path, /) -> Declared:
        """Return what the header declares that the file holds."""
        ...


FORMATS: Final[tuple[Format, ...]] = (nifti, freesurfer, itk, flat, zipped)
"""All formats of one file an image."""
FOLDER: Final[Format] = series
"""The format of an image that is a folder of files."""
SUFFIXES: Final = tuple(suffix for each in FORMATS for suffix in each.SUFFIXES)
"""Suffixes of all image files."""
BESIDE: Final = (
    *(".raw", ".zraw", ".txt", ".csv", ".json", ".md", ".toml", ".db", ".ini", ".bak"),
    *(".tsv", ".itksnap", ".mrml", ".label", ".ctbl"),
)
"""Suffixes of files that may lie in a folder of images and are no images; the last list files or labels."""

_PAIR: Final = (
    "a half of a pair of NIfTI or Analyze, allowed is one file; save it as .nii.gz, as nibabel's nib-convert does"
)
_SCENE: Final = "which holds several files, allowed is one image a file; save each image and segmentation as .nrrd"
_ARRAYS: Final = "which says nothing of a grid, allowed are images; save each as .nii.gz, with its spacing"
_ELSEWHERE: Final[Mapping[str, str]] = {
    **dict.fromkeys((".hdr", ".img", ".hdr.gz", ".img.gz"), _PAIR),
    ".mrb": f"a scene of 3D Slicer, {_SCENE} (.seg.nrrd keeps names)",
    ".mitk": f"a scene of MITK, {_SCENE}",
    **dict.fromkeys((".h5", ".hdf5"), f"HDF5, {_ARRAYS} ('maskmixadv prepare acdc' takes ACDC's)"),
    **dict.fromkeys((".npy", ".npz", ".mat"), f"a file of arrays, {_ARRAYS}"),
    ".gif": "a GIF, allowed is PNG, or TIFF for several pages; save it as one",
}
"""What is said of files of formats that are known and not read, by their suffixes in lower case."""


def suffix(path: Path) -> str:
    """Return the suffix that says a file's format, in lower case; empty for a folder, which is a DICOM series.

    Multi-frame DICOM files, which are volumes of their own, and DICOM pictures have a suffix of DICOM files or none.

    Raises
    ------
    InputError
        If no format has this suffix.

    Examples
    --------
    >>> suffix(Path("Patient.1.NII.GZ"))
    '.nii.gz'
    """
    if path.is_dir():
        return ""
    for known in SUFFIXES:
        if path.name.lower().endswith(known):
            return known
    called = path.suffix.lower() if path.name.lower().endswith(series.CALLED) else ""
    if _alone(path):
        return called
    uid = dicom_header.stored_class(path)
    kind = dicom_header.KINDS.get(uid, "")
    if kind == dicom_header.STRUCTURES:
        raise InputError(f"{path}: {dicom_header.CONTOURS}")
    family = next((name for start, name in dicom_header.FAMILIES.items() if uid.startswith(start)), "")
    if called and kind != dicom_header.SEG and (other := kind or family or dicom_header.OTHERS.get(uid, "")):
        allowed = "allowed are a folder of slices, an enhanced multi-frame CT, MR or PET, or a picture such as an X-ray"
        raise InputError(f"{path}: is DICOM of the class {other}, {allowed}; export it as such, or as NIfTI")
    if called and path.is_file() and not dicom_header.is_dicom(path):
        raise InputError(f"{path}: {dicom_header.DAMAGED}")
    if called:
        raise InputError(
            f"{path}: is one file of a DICOM series, allowed is a folder of its own, a .zip, an enhanced multi-frame"
            " CT, MR or PET, or a picture such as an X-ray; name that (segmentations, SEG, come in with their series by"
            " 'maskmixadv prepare dicom')"
        )
    told = next((said for end, said in _ELSEWHERE.items() if path.name.lower().endswith(end)), "")
    if told:
        raise InputError(f"{path}: {told}")
    raise InputError(f"{path}: not a known image format, allowed are {', '.join(SUFFIXES)}; convert it")


def _alone(path: Path) -> bool:
    """Whether a DICOM file is an image of its own, and no slice of a series."""
    return dicom_frames.is_volume(path) or dicom_pictures.is_picture(path)


def format_of(path: Path) -> Format:
    """Return the format of an image, which its name says.

    Raises
    ------
    InputError
        If no format has this suffix.

    Examples
    --------
    >>> format_of(Path("a.jpg")).SUFFIXES
    ('.png', '.jpeg', '.jpg', '.bmp', '.tiff', '.tif')
    """
    found = suffix(path)
    return next((each for each in FORMATS if found in each.SUFFIXES), FOLDER)


def readable(path: Path) -> bool:
    """Whether `path` is an image by its name: a file with a known suffix, or a folder with DICOM files.

    Hidden files are none. Of a file with another suffix the beginning is read, as a multi-frame DICOM file and a DICOM
    picture are images.

    Examples
    --------
    >>> [readable(Path(name)) for name in ("a.nii.gz", ".a.nii.gz", "a.txt")]
    [True, False, False]
    """
    if path.name.startswith("."):
        return False
    if path.is_dir():
        return series.holds_dicom(path)
    return path.name.lower().endswith(SUFFIXES) or _alone(path)


def several_in(path: Path) -> bool:
    """Whether `path` is a folder of images, and not of the slices of one.

    DICOM files that are no images, such as contours, may lie beside images. Multi-frame files are images of their own,
    but for those that share a series, as they may be parts of one. So are pictures, also one alone and those of one
    series, but for those beside the slices of a series, such as a screenshot.

    Raises
    ------
    InputError
        If a DICOM file in it is damaged.

    Examples
    --------
    >>> Path("a.nii.gz").touch()
    >>> several_in(Path()), several_in(Path("a.nii.gz"))
    (True, False)
    """
    if not path.is_dir():
        return False
    if not readable(path):
        return True
    inside = sum(readable(each) for each in path.iterdir())
    if not inside:
        return False
    found = series.scan(path.iterdir())
    alone = all(len(files) == 1 and dicom_frames.is_volume(files[0]) for files in found.series.values())
    return alone and "" not in found.others and (inside > 1 or not found.series)


def must_hold_none(folder: Path) -> None:
    """Check that no image lies in `folder`, for what would write a report there: it is no image, and stops 'prepare'.

    Raises
    ------
    InputError
        If one does, or the folder lies where images or labels are read (`maskmixadv.files.must_not_be_read`).

    Examples
    --------
    >>> Path("a.nii.gz").touch()
    >>> must_hold_none(Path())
    Traceback (most recent call last):
    maskmixadv.errors.InputError: .: holds a.nii.gz, an image, and a report among images stops 'prepare folder'; ...
    """
    must_not_be_read(folder)
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    if image := next((path.name for path in inside if readable(path)), None):
        told = f"holds {image}, an image, and a report among images stops 'prepare folder'"
        raise InputError(f"{folder}: {told}; name another directory by --out")


def strange(path: Path) -> bool:
    """Whether a file or folder among images is no image, and none of those that may lie beside them either (`BESIDE`).

    Examples
    --------
    >>> [strange(Path(name)) for name in ("a.nii.gz", "a.mnc", "notes.txt", ".DS_Store")]
    [False, True, False, False]
    """
    return not (path.name.startswith(".") or path.suffix.lower() in BESIDE or readable(path))


def stem(path: Path) -> str:
    """Return a file's name without the suffix that says its format.

    Letters with accents are one character each (NFC), however a system stores them: macOS stores the accent apart.

    Raises
    ------
    InputError
        If no format has this suffix.

    Examples
    --------
    >>> stem(Path("images/patient.1.nii.gz"))
    'patient.1'
    """
    return unicodedata.normalize("NFC", path.name[: len(path.name) - len(suffix(path))])


def read(path: Path) -> Volume:
    """Read an image as a volume ``d h w``: a file, or a folder with the files of one DICOM series.

    A 2D image becomes a volume of one slice. Colours become grey.

    Raises
    ------
    InputError
        If the file is missing, damaged, of an unknown format, larger than `maskmixadv.formats.reading.most_memory`
        allows, or neither 2D nor 3D.

    Examples
    --------
    >>> import nibabel as nib
    >>> nib.save(nib.Nifti1Image(np.zeros((5, 7, 3)), np.diag([0.9, 0.7, 5, 1])), "heart.nii.gz")
    >>> volume = read(Path("heart.nii.gz"))
    >>> volume.array.shape, volume.spacing
    ((3, 7, 5), (5.0, 0.7, 0.9))
    """
    return format_of(path).read(path)


def read_labels(path: Path) -> Volume:
    """Read class codes as a volume ``d h w``.

    Raises
    ------
    InputError
        If `read` would, or if the file holds colours instead of codes, or is a JPEG, which changes codes.

    Examples
    --------
    >>> from PIL import Image
    >>> Image.fromarray(np.eye(4, dtype=np.uint8)).save("codes.png")
    >>> read_labels(Path("codes.png")).array[0, 0].tolist()
    [1, 0, 0, 0]
    """
    return format_of(path).read_labels(path)


def peek(path: Path) -> tuple[tuple[int, int, int], Spacing | None] | None:
    """Return shape and spacing (mm) along d, h, w, without reading voxels; None for formats without spacing.

    Raises
    ------
    InputError
        If the header is damaged, or the file is missing or of an unknown format.

    Examples
    --------
    >>> import nibabel as nib
    >>> nib.save(nib.Nifti1Image(np.zeros((5, 7, 3)), np.diag([0.9, 0.7, 5, 1])), "heart.nii.gz")
    >>> peek(Path("heart.nii.gz"))
    ((3, 7, 5), (5.0, 0.7, 0.9))
    """
    return format_of(path).peek(path)


def header(path: Path) -> Header:
    """Return what a file says of its grid, without reading voxels.

    Raises
    ------
    InputError
        If the header is damaged, or the file is missing or of an unknown format.

    Examples
    --------
    >>> import nibabel as nib
    >>> nib.save(nib.Nifti1Image(np.zeros((5, 7, 3)), np.diag([8, 0.7, 0.7, 1])), "heart.nii.gz")
    >>> header(Path("heart.nii.gz")).thick
    2
    """
    return format_of(path).header(path)


def grid(path: Path) -> Volume:
    """Return what `read` returns, with voxels of 0 that take no memory: the header alone is read.

    A picture of which the header says no size has no voxels.

    Raises
    ------
    InputError
        If the header is damaged, or the file is missing or of an unknown format.

    Examples
    --------
    >>> import nibabel as nib
    >>> nib.save(nib.Nifti1Image(np.ones((5, 7, 3)), np.diag([0.9, 0.7, 5, 1])), "heart.nii.gz")
    >>> volume = grid(Path("heart.nii.gz"))
    >>> volume.array.shape, volume.array.max().item(), volume.spacing
    ((3, 7, 5), 0, (5.0, 0.7, 0.9))
    """
    return Volume.of(header(path), nifti.forms(path) if format_of(path) is nifti else {})


def declared(path: Path) -> Declared:
    """Return what a file's header declares that the file holds, without reading voxels.

    Raises
    ------
    InputError
        If the header is damaged, or the file is missing or of an unknown format.

    Examples
    --------
    >>> import nibabel as nib
    >>> nib.save(nib.Nifti1Image(np.zeros((5, 7, 3), np.float32), np.eye(4)), "heart.nii.gz")
    >>> declared(Path("heart.nii.gz"))
    Declared(shape=(5, 7, 3), itemsize=4)
    """
    return format_of(path).declared(path)


def coloured(path: Path) -> bool:
    """Return whether the pixels of a file differ in colour; only files that hold colours are read for it.

    Raises
    ------
    InputError
        If `read` would.

    Examples
    --------
    >>> from PIL import Image
    >>> Image.new("RGB", (5, 4), (7, 7, 7)).save("grey.png")
    >>> coloured(Path("grey.png"))
    False
    """
    reader = format_of(path)
    if reader is flat:
        return flat.may_be_coloured(path) and flat.read(path).coloured
    if reader is nifti:
        return nifti.may_be_coloured(path) and nifti.read(path).coloured
    if reader in (FOLDER, zipped):
        return series.coloured(path) if reader is FOLDER else zipped.coloured(path)
    return reader is itk and itk.declared(path).shape[-1] in (3, 4) and itk.read(path).coloured


def channels(path: Path) -> int:
    """Return the number of channels that a file's header declares; red, green and blue count as one.

    Raises
    ------
    InputError
        If the header is damaged, or the file is missing or of an unknown format.

    Examples
    --------
    >>> import nibabel as nib
    >>> nib.save(nib.Nifti1Image(np.zeros((5, 7, 3, 2)), np.eye(4)), "two.nii.gz")
    >>> channels(Path("two.nii.gz"))
    2
    """
    reader = format_of(path)
    return next((each.channels(path) for each in (nifti, freesurfer, itk) if each is reader), 1)


def labels_name(path: Path) -> str:
    """Return the name of the file of labels for image `path`.

    It is the image's own name, except for formats that can't store labels in one file.

    Raises
    ------
    InputError
        If no format has this suffix.

    Examples
    --------
    >>> [labels_name(Path(name)) for name in ("a.nii.gz", "b.jpg", "c.mhd")]
    ['a.nii.gz', 'b.png', 'c.mha']
    """
    name = path.resolve().name if path.is_dir() else path.name[: len(path.name) - len(suffix(path))]
    return name + labels_suffix(path)


def labels_suffix(path: Path) -> str:
    """Return the suffix of the file of labels for image `path`; raises as `labels_name`.

    Examples
    --------
    >>> labels_suffix(Path("a_0000.NII.GZ"))
    '.NII.GZ'
    """
    found = suffix(path)
    return format_of(path).LABELS_AS.get(found, path.name[len(path.name) - len(found) :] if found else "")


def write_labels(path: Path, labels: UInt8[np.ndarray, "d h w"], like: Volume, classes: Sequence[str] = ()) -> None:
    """Write `labels` as uint8, on the grid and in the format of the image `like`; whole or not at all.

    Parameters
    ----------
    path
        The file to write, named as `labels_name` says.
    labels
        Class indices, of the image's shape.
    like
        The image, as `read` returned it.
    classes
        Names of the classes, background first. Only a DICOM segmentation stores them.

    Raises
    ------
    InputError
        If the file can't be written.

    Examples
    --------
    >>> import nibabel as nib
    >>> nib.save(nib.Nifti1Image(np.zeros((5, 7, 3)), np.diag([0.9, 0.7, 5, 1])), "heart.nii.gz")
    >>> image = read(Path("heart.nii.gz"))
    >>> write_labels(Path("labels.nii.gz"), np.ones((3, 7, 5), np.uint8), image)
    >>> read_labels(Path("labels.nii.gz")).spacing
    (5.0, 0.7, 0.9)
    """
    like.geometry.write_labels(path, labels, classes)


def named(folder: Path, also: Callable[[Path], bool] | None = None) -> dict[str, Path]:
    """Find the image files in `folder`: path by name without suffix, sorted by file name.

    Hidden files are passed over, as are those that may lie beside images (`BESIDE`).

    Parameters
    ----------
    folder
        Where they lie.
    also
        Returns whether a folder is taken that holds no DICOM series; None: none is.

    Raises
    ------
    InputError
        If two files have one name, or one is of an unknown format.

    Examples
    --------
    >>> for name in ("b.png", "a.nii.gz", "notes.txt"):
    ...     Path(name).touch()
    >>> list(named(Path()))
    ['a', 'b']
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() in BESIDE:
            continue
        if path.is_dir() and not series.holds_dicom(path) and not (also and also(path)):
            raise InputError(f"{path}: is a folder without DICOM files, allowed are images and folders of one series")
        if (name := stem(path)) in found:
            raise InputError(f"{path}: {found[name].name} has this name too; names without suffix must be unique")
        found[name] = path
    return found
