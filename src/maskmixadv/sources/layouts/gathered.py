"""Images and annotations that lie side by side, in one folder or in one folder a case, and are told apart by words."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from maskmixadv.errors import InputError, counted, listed, say
from maskmixadv.formats import image_files, series
from maskmixadv.sources.layouts import naming, parts
from maskmixadv.sources.layouts.naming import MASKS, SCRIBBLES, words_of

_SPLITS: Final = frozenset(("train", "training", "tr", "test", "testing", "ts", "val", "valid", "validation", "va"))
WRITTEN: Final = ".maskmixadv.json"
"""What a folder of predictions has (`maskmixadv.inference.outputs.RECORD`), which are no masks to learn from."""
_SHOWN: Final = 5


class Kinds(NamedTuple):
    """Folders of images and of their annotations, which may be missing.

    Examples
    --------
    >>> Kinds(Path("img"), None, Path("label")).masks.name
    'label'
    """

    images: Path
    scribbles: Path | None
    masks: Path | None


class Gathered(NamedTuple):
    """Files of cases, by the cases' names.

    Attributes
    ----------
    images
        One file a channel.
    scribbles, masks
        Annotations of some of them: files, or folders with one file a class.

    Examples
    --------
    >>> Gathered({"a": (Path("a/ct.nii"),)}, {}, {"a": Path("a/seg.nii")}).masks["a"].name
    'seg.nii'
    """

    images: dict[str, tuple[Path, ...]]
    scribbles: dict[str, Path]
    masks: dict[str, Path]


def kinds(source: Path, tell: Callable[[str], object] = say) -> Kinds | None:
    """Find the folders of images and annotations in a folder where they are called otherwise, as ``img`` and ``label``.

    Those of annotations have a word such as ``label`` or ``GroundTruth`` in their names. There must be one folder of
    images, and one for each kind of annotation at most. `tell` is given a line that says which is taken for which.

    Returns
    -------
    None where the folders in `source` are others.

    Examples
    --------
    >>> for name in ("Training_Input/1.png", "Training_GroundTruth/1.png"):
    ...     Path(name).parent.mkdir(exist_ok=True)
    ...     Path(name).touch()
    >>> kinds(Path())
    Kinds(images=PosixPath('Training_Input'), scribbles=None, masks=PosixPath('Training_GroundTruth'))
    """
    if predicted := [f"{path.name}/" for path in sorted(source.iterdir()) if _predicted(path)]:
        tell(f"{source}: passed over, as predictions were written into it: {listed(predicted, _SHOWN)}")
    inside = _inside(source)
    held = [path for path in inside if path.is_dir() and (_holds_images(path) or any(map(parts.are_in, _inside(path))))]
    scribbles, masks = ([path for path in held if words_of(path.name) & words] for words in (SCRIBBLES, MASKS))
    images = [path for path in held if path not in scribbles and path not in masks and _holds_images(path)]
    if len(images) != 1 or max(len(scribbles), len(masks)) > 1 or not (scribbles or masks):
        return None
    if any(not path.is_dir() for path in inside):
        return None
    parted = [said for path in (*images, *scribbles, *masks) if (said := words_of(path.name) & _SPLITS)]
    if any(said != parted[0] for said in parted):
        return None  # files of one name in train_images/ and test_labels/ are of two patients
    found = Kinds(images[0], *(each[0] if each else None for each in (scribbles, masks)))
    told = [f"{what} from {path.name}/" for what, path in zip(Kinds._fields, found, strict=True) if path is not None]
    tell(f"{source}: read are {', '.join(told)}")
    return found


def _holds_images(folder: Path) -> bool:
    return any(not path.is_dir() or series.holds_dicom(path) for path in _inside(folder))


def find(source: Path, tell: Callable[[str], object] = say) -> Gathered | None:
    """Find images and their annotations where they lie side by side.

    They lie in `source`, or in one folder a case in it. In a case's folder a file's name begins with the folder's, or
    is thought to; a folder's only image has the folder's name. Annotations are what has a word such as ``mask`` or
    ``seg`` in its name. They are paired by `maskmixadv.sources.layouts.naming.of_images`. Where a case's folder has one
    annotation and several images, these are its channels, in the order of their names. Lines say what was
    paired.

    Parameters
    ----------
    source
        A folder without ``images/``.
    tell
        Is given each line; they go to stderr.

    Returns
    -------
    None where there is no annotation, or no image.

    Raises
    ------
    InputError
        If annotations can't be paired, a case lacks a channel, or two images have one name.

    Examples
    --------
    >>> for case in ("case1", "case2"):
    ...     Path(case).mkdir()
    ...     for name in ("imaging", "segmentation"):
    ...         Path(case, f"{name}.nii.gz").touch()
    >>> found = find(Path())
    >>> [(name, str(path)) for name, path in found.masks.items()]
    [('case1', 'case1/segmentation.nii.gz'), ('case2', 'case2/segmentation.nii.gz')]
    """
    images, masks, scribbles = dict[str, Path](), dict[str, Path](), dict[str, Path]()
    for name, role, path in _files(source):
        words = words_of(role)
        of = scribbles if words & SCRIBBLES else masks if words & MASKS else images
        if path.is_dir() and (of is images) != series.holds_dicom(path):
            continue  # no series, or one of segmentations (SEG), which 'prepare dicom' takes
        if (other := of.setdefault(name, path)) != path:
            raise InputError(f"{path}: {other} has this name too; names without suffix must be unique")
    if not images or not (masks or scribbles):
        return None
    _tell_strange(source, tell)
    if (several := _channels(source, images, masks, scribbles, tell)) is not None:
        return several
    scribbles, masks = (naming.of_images(source, each, images, tell) for each in (scribbles, masks))
    for name, path in (*scribbles.items(), *masks.items()):
        if name not in images:
            told = "no image has its name but for a word that all of its kind share"
            raise InputError(
                f"{path}: {told}; put images into images/ and masks of the same names into masks/, or several of one "
                "image into masks/NAME/, one file a class"
            )
        if path.parent not in (source, images[name].parent):
            raise InputError(
                f"{path}: has the name of {images[name]}, which lies in another folder; rename one, or put images into "
                "images/ and masks of the same names into masks/"
            )
    folders = _by_folder(source, images)
    if len(folders) == len(images):  # each is the only one of its folder
        called = {names[0]: image_files.stem(folder) for folder, names in folders.items()}
        images, scribbles, masks = (
            {called[name]: path for name, path in each.items()} for each in (images, scribbles, masks)
        )
    shared = [names for names in folders.values() if len(names) > 1]
    if shared:
        told = f"{counted(len(shared), 'folder')} with several images, such as {listed(shared[0], _SHOWN)}"
        tell(f"{source}: {told}: each counts as another patient; give --patient where they are of one")
    return Gathered({name: (path,) for name, path in images.items()}, scribbles, masks)


def _files(source: Path) -> Iterator[tuple[str, str, Path]]:
    """Yield the files of cases, with their names, and the part of these that says what they are."""
    for path in _inside(source):
        if not path.is_dir() or series.holds_dicom(path):
            yield image_files.stem(path), image_files.stem(path), path
            continue
        for each in _inside(path):
            if each.is_dir() and not (series.holds_dicom(each) or parts.are_in(each)):
                continue
            own = image_files.stem(each)
            role = own.removeprefix(path.name)
            yield (own if own.startswith(path.name) else f"{path.name}_{own}"), role, each


def annotations(images: Sequence[Path]) -> list[Path]:
    """Return those of a folder's images that are called as annotations of the others, as ``mask`` beside ``image``.

    None are where all are called so, as in a folder of labels alone, nor in one that is called ``images`` or the like,
    as that of nnU-Net is.

    Examples
    --------
    >>> [path.name for path in annotations([Path("case1/case1_ct.nii.gz"), Path("case1/case1_seg.nii.gz")])]
    ['case1_seg.nii.gz']
    >>> annotations([Path("imagesTs/ct.nii.gz"), Path("imagesTs/seg.nii.gz")])
    []
    """
    roles = ((path, image_files.stem(path).removeprefix(path.absolute().parent.name)) for path in images)
    found = [path for path, role in roles if words_of(role) & (MASKS | SCRIBBLES)]
    others = [path for path in images if path not in found]
    return found if others and not others[0].absolute().parent.name.startswith("images") else []


def _inside(folder: Path) -> list[Path]:
    """Return the images in a folder, and the folders in it, in the order of their names."""
    shown = [path for path in sorted(folder.iterdir()) if path.name[0] != "." and not _predicted(path)]
    return [path for path in shown if path.is_dir() or _is_image(path)]


def _predicted(path: Path) -> bool:
    return (path / WRITTEN).is_file()


def _is_image(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() not in image_files.BESIDE and image_files.readable(path)


def _tell_strange(source: Path, tell: Callable[[str], object]) -> None:
    """Say which files are no images by their names, and none that may lie beside images either."""
    folders = [source, *(path for path in _inside(source) if path.is_dir())]
    files = (path for folder in folders for path in sorted(folder.iterdir()) if path.is_file())
    if odd := [str(path.relative_to(source)) for path in files if image_files.strange(path)]:
        tell(f"{source}: passed over, as they are no images: {listed(odd, _SHOWN)}")


def _by_folder(source: Path, files: dict[str, Path]) -> dict[Path, list[str]]:
    """Return names by the folder, below `source`, in which their files lie."""
    found: dict[Path, list[str]] = {}
    for name, path in files.items():
        if path.parent != source:
            found.setdefault(path.parent, []).append(name)
    return found


def _channels(
    source: Path,
    images: dict[str, Path],
    masks: dict[str, Path],
    scribbles: dict[str, Path],
    tell: Callable[[str], object],
) -> Gathered | None:
    """Return cases whose images are channels: each folder has several, and one annotation of each kind at most."""
    folders = _by_folder(source, images)
    drawn = [_by_folder(source, each) for each in (masks, scribbles)]
    if sum(map(len, folders.values())) < len(images) or min(map(len, folders.values()), default=1) < 2:
        return None
    if any(len(names) > 1 for each in drawn for names in each.values()):
        return None
    roles = {folder: [_role(folder, name) for name in names] for folder, names in folders.items()}
    first, wanted = next(iter(roles.items()))
    for folder, found in roles.items():
        if found != wanted:
            raise InputError(
                f"{folder}: has images {listed(found, _SHOWN)}, {first} has {listed(wanted, _SHOWN)}; allowed are the "
                "same channels in each case"
            )
    tell(f"{source}: the images of each folder are taken as channels of one, in this order: {listed(wanted, _SHOWN)}")
    kinds = []
    for files, by_folder in zip((masks, scribbles), drawn, strict=True):
        if lost := [folder for folder in by_folder if folder not in folders]:
            raise InputError(f"{lost[0]}: has an annotation and no image; add its image")
        kinds.append({folder.name: files[names[0]] for folder, names in by_folder.items()})
    channels = {folder.name: tuple(images[name] for name in names) for folder, names in folders.items()}
    return Gathered(channels, scribbles=kinds[1], masks=kinds[0])


def _role(folder: Path, name: str) -> str:
    return name.removeprefix(folder.name).lstrip("_-. ")
