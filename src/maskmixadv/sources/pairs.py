"""An image and its annotation in files of their own, read as one case; an annotation that does not fit is refused."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import UInt8

from maskmixadv.corpus.case import Case, structures, validate, whole_slices
from maskmixadv.corpus.channels import COLOURS, ONE, Channel, in_colour, named, own, scaled
from maskmixadv.corpus.scale import like_ct
from maskmixadv.errors import InputError, counted, listed
from maskmixadv.formats import image_files, several
from maskmixadv.formats.reading import NAMED
from maskmixadv.formats.slicing import Header, Slicing, View, common, placed
from maskmixadv.formats.volume import Volume
from maskmixadv.sources import labels
from maskmixadv.sources.classes import Classes
from maskmixadv.types import IGNORE

LINE: Final = 4.0
"""Pixels of mean width up to which the structures of a mask may be strokes."""
_PACKED: Final = 8
"""Bytes in memory of a byte of a picture's file: as a rule it is packed."""
_Labels = UInt8[np.ndarray, "_ _ _"]


@dataclass(frozen=True)
class LabelledSlice:
    """A slice whose pixels all have a label, in a file of class indices on the image's grid.

    Attributes
    ----------
    path
        The file; its other slices are not used.
    axis, index
        Array axis of the file (0 to 2) across the slice, and the slice's place along it.
    corrected
        Whether a person painted it. Then the file has the codes of the folder's classes, and the slice counts above the
        strokes.

    Examples
    --------
    >>> LabelledSlice(Path("predictions/001/a.nii.gz"), axis=0, index=4).index
    4
    """

    path: Path
    axis: int
    index: int
    corrected: bool = False


@dataclass(frozen=True)
class Pair:
    """Files of one case.

    Attributes
    ----------
    name, patient
        Names of the case and of its patient.
    image, scribble, mask
        Its files; annotations may be missing.
    either
        A file that is a dense mask in its slices without unlabelled pixels, and a scribble in the others.
    slices
        Labelled slices that become part of the scribble, and so are dense slices. Where a pixel has a stroke, the
        stroke counts, unless the slice was corrected. A case that has a mask and no strokes gets no scribble by them.
    masked
        Whether `slices` become part of the dense mask instead, above what its file says. The strokes are then left out.
    others
        Files of the image's further channels.
    axis
        Array axis of the image along which its slices are cut, where somebody has worked along it; None: the rule of
        all images says it (`cuts`).

    Examples
    --------
    >>> Pair("a", "p1", Path("images/a.nii.gz"), scribble=Path("scribbles/a.nii.gz")).mask is None
    True
    """

    name: str
    patient: str
    image: Path
    scribble: Path | None = None
    mask: Path | None = None
    either: Path | None = None
    slices: tuple[LabelledSlice, ...] = ()
    others: tuple[Path, ...] = ()
    masked: bool = False
    axis: int | None = None

    @property
    def images(self) -> tuple[Path, ...]:
        """Files of its image: more than one where channels lie in files of their own."""
        return (self.image, *self.others)


class Read(NamedTuple):
    """A case that was read.

    Attributes
    ----------
    case
        The case.
    changed
        Whether its image was changed: colours that became grey, or grey that became colours.
    thin
        Whether the structures of its dense mask are as thin as strokes.
    notes
        What was done with its image's file (`maskmixadv.formats.volume.Volume`).

    Examples
    --------
    >>> Read(Case("a", "a", np.zeros((1, 1, 8, 8))), changed=False, thin=False).case.name
    'a'
    """

    case: Case
    changed: bool
    thin: bool
    notes: tuple[str, ...] = ()


def read(pair: Pair, classes: Classes, view: View, channels: Sequence[Channel] = ONE) -> Read:
    """Read a case.

    Parameters
    ----------
    pair
        Its files. An annotation in which nothing is labelled is left out; background alone is an annotation.
    classes
        Meaning of the codes in them.
    view
        How the image is seen.
    channels
        Of the image that are wanted.

    Raises
    ------
    InputError
        If a file can't be read, its codes are not declared, image and annotation are not on one grid, or a mask has
        unlabelled pixels in every slice.

    Examples
    --------
    >>> from PIL import Image
    >>> Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save("image.png")
    >>> Image.fromarray(np.eye(8, dtype=np.uint8)).save("mask.png")
    >>> files = Pair("a", "p1", Path("image.png"), mask=Path("mask.png"))
    >>> found = read(files, Classes(("background", "LV"), 2), View())
    >>> found.case.image.shape, found.case.image.max().item(), found.changed
    ((1, 1, 8, 8), 1.0, False)
    """
    stored = several.read(pair.images)
    image = in_colour(stored, channels)
    changed = image is not stored or (stored.coloured and len(channels) == 1)
    single, axis = image.header.single, view.axis
    if axis and axis != single and 1 in image.array.shape:
        shape, across = image.array.shape, single or 0
        raise InputError(f"{pair.image}: has shape {shape}, allowed along axis {axis} is a volume; axis {across}")
    like = (pair.image, image)
    drawn = None if pair.scribble is None else labels.read(pair.scribble, classes, "scribble", like)
    dense = None if pair.mask is None else labels.read(pair.mask, classes, "mask", like)
    if pair.slices and pair.masked:
        drawn, dense = None, _with_slices(dense, pair, image, classes)
    elif pair.slices and (dense is None or _known(drawn) is not None):
        drawn = _with_slices(drawn, pair, image, classes)
    scribble, dense = _known(drawn), _known(dense)
    if pair.either is not None:
        scribble, dense = _parted(labels.read(pair.either, classes, "either", like), view)
    made = case(
        pair.name,
        pair.patient,
        image,
        scribble=scribble,
        dense=dense,
        view=view,
        channels=channels,
        where=pair.image,
    )
    if made.dense is not None and not whole_slices(made.dense).any():
        raise InputError(
            f"{pair.mask}: has unlabelled pixels in each slice, allowed is a mask that knows at least one whole slice; "
            "strokes belong into a scribble's file"
        )
    thin = dense is not None and labels.width(dense, axis) < LINE
    return Read(validate(made, classes=len(classes.names), where=str(pair.image)), changed, thin, image.notes)


def size(pair: Pair) -> int:
    """Return about how many bytes a case takes in memory, by the size of its files.

    Examples
    --------
    >>> Path("a.png").write_bytes(bytes(1000))
    1000
    >>> size(Pair("a", "p1", Path("a.png")))
    8000
    """
    return sum(_unpacked(path) for path in pair.images)


def _unpacked(path: Path) -> int:
    """Return about how many bytes an image takes in memory: in single precision, with labels."""
    if path.is_dir():
        return 3 * sum(file.stat().st_size for file in path.iterdir() if file.is_file())
    if path.name.endswith(".gz"):
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4))
            return 3 * int.from_bytes(file.read(4), "little")  # bytes before packing: the end of a gzip file says it
    return _PACKED * path.stat().st_size


def case(
    name: str,
    patient: str,
    image: Volume,
    *,
    scribble: UInt8[np.ndarray, "_ _ _"] | None,
    dense: UInt8[np.ndarray, "_ _ _"] | None,
    view: View,
    channels: Sequence[Channel] = ONE,
    where: Path,
) -> Case:
    """Make a case of an image and its annotations.

    Parameters
    ----------
    name, patient
        Names of the case and of its patient.
    image
        As it was read.
    scribble, dense
        Class indices with the image's axes; None if there is none.
    view
        How the image is seen.
    channels
        Of the image that are wanted.
    where
        The image's file, for the error's text.

    Raises
    ------
    InputError
        If the image is not finite, or constant.

    Examples
    --------
    >>> from maskmixadv.formats.flat import NoGeometry
    >>> image = Volume(np.random.default_rng(0).random((16, 16, 3)), (1.0, 1.0, 8.0), None, NoGeometry())
    >>> made = case("a", "p1", image, scribble=None, dense=None, view=View.along(2), where=Path("a.nii.gz"))
    >>> made.image.shape, made.spacing
    ((1, 3, 16, 16), (8.0, 1.0, 1.0))
    """
    turned = image.seen(view)
    parts = [image.array] if len(channels) == 1 or image.channels is None else image.channels
    return Case(
        name=name,
        patient=patient,
        image=np.ascontiguousarray(scaled(turned, channels, str(where))),
        scribble=_turned(scribble, view),
        dense=_turned(dense, view),
        spacing=turned.spacing,
        affine=turned.affine,
        like_ct=any(each.kind == "MR" and like_ct(part) for each, part in zip(channels, parts, strict=True)),
    )


def channels_of(
    pairs: Sequence[Pair], said: Sequence[Channel] = (), where: str = "", *, colours: bool = True
) -> tuple[Channel, ...]:
    """Return the channels of images.

    They are as many as files of most images, or channels in their files (`usual`); red, green and blue where the pixels
    of one differ in colour; else one.

    Parameters
    ----------
    pairs
        The images.
    said
        What a user said of the channels; none where nothing was said.
    where
        Where it was said, for the error's text.
    colours
        Whether pictures in colour have three channels; else they become grey.

    Raises
    ------
    InputError
        If it was said of another number of channels.

    Examples
    --------
    >>> from PIL import Image
    >>> Image.new("RGB", (8, 8), (200, 0, 0)).save("red.png")
    >>> channels_of([Pair("a", "p1", Path("red.png"))]) == COLOURS
    True
    """
    counts = [count(pair.images) for pair in pairs]
    most = max(counts, default=1) if said else usual(counts)
    coloured = colours and most == 1 and len(said) != 1 and any(map(_coloured, pairs))
    seen = COLOURS if coloured else tuple(Channel(f"channel {k}") for k in range(most)) if most > 1 else ONE
    if not said:
        return own(seen)
    as_colours = len(said) == len(COLOURS) and said[0].kind == "RGB"
    if len(said) != len(seen) and not (as_colours and most == 1 and colours):
        like = next((pair for pair in pairs if count(pair.images) == most), None)
        has = f"{counted(len(seen), 'channel')} ({named(seen)})"
        raise InputError(f"{like.image if like else where}: has {has}, {where} says {len(said)} ({named(said)})")
    return own(said)


def usual(counts: Iterable[int]) -> int:
    """Return how many channels most images have; of numbers that are equally frequent, the largest one.

    The largest, as an image that lacks a channel is more often a mistake than one that has another.

    Examples
    --------
    >>> usual([1, 1, 3]), usual([1, 3]), usual([])
    (1, 3, 1)
    """
    found = Counter(counts)
    return max(found, key=lambda each: (found[each], each), default=1)


def count(paths: Sequence[Path]) -> int:
    """Return the number of files of an image, or of channels in its only file; that of colours is 1.

    Raises
    ------
    InputError
        If the header is damaged.

    Examples
    --------
    >>> count([Path("a_0000.nii.gz"), Path("a_0001.nii.gz")])
    2
    """
    if len(paths) > 1:
        return len(paths)
    return image_files.channels(paths[0]) if paths[0].exists() else 1


def _coloured(pair: Pair) -> bool:
    return pair.image.exists() and image_files.coloured(pair.image)


class Cuts(NamedTuple):
    """How each of a corpus's images is seen.

    Attributes
    ----------
    slicing
        The rule of all of them.
    views
        By case.

    Examples
    --------
    >>> Cuts(Slicing(axis=2), {"a": View.along(2), "b": View()}).told()
    'cut along another array axis than the others, as their headers or the studio say: b (0, the others 2)'
    """

    slicing: Slicing
    views: Mapping[str, View]

    def told(self) -> str:
        """Return a line on images that are cut along another array axis than most; empty if there are none."""
        usual = self.slicing.axis
        odd = [f"{name} ({view.axis}, the others {usual})" for name, view in self.views.items() if view.axis != usual]
        told = "cut along another array axis than the others, as their headers or the studio say: "
        return f"{told}{listed(odd, NAMED)}" if odd else ""


def cuts(pairs: Sequence[Pair], axis: int | None = None, *, read: Callable[[Path], Header] | None = None) -> Cuts:
    """Return how each image is seen: cut along array axis `axis`, or as its own header says.

    The images' headers choose the rule together (`maskmixadv.formats.slicing.common`), which is applied to each but
    those that have an axis of their own (`Pair.axis`).

    Parameters
    ----------
    pairs
        The images, with their annotations.
    axis
        The axis for all of them, 0 to 2; None: their headers say.
    read
        Returns an image's header, if somebody keeps those that were read before.

    Raises
    ------
    InputError
        If a header is damaged.

    Examples
    --------
    >>> import nibabel as nib
    >>> nib.save(nib.Nifti1Image(np.zeros((3, 16, 16)), np.diag([8, 1, 1, 1])), "a.nii.gz")
    >>> cuts([Pair("a", "p1", Path("a.nii.gz"))])
    Cuts(slicing=Slicing(axis=2, thickest=True, across='left-right', radiological=True), views={'a': View(...)})
    """
    read = read or image_files.header
    headers = {pair.name: read(pair.image) for pair in pairs}
    if axis is not None:
        asked = Slicing(axis, radiological=placed(headers.values()))
        return Cuts(asked, {name: asked.along(axis, header) for name, header in headers.items()})
    slicing = common(list(headers.values()))
    return Cuts(slicing, {pair.name: seen(slicing, headers[pair.name], pair.axis) for pair in pairs})


def seen(slicing: Slicing, header: Header, axis: int | None) -> View:
    """Return how an image is seen that is cut along `axis`, or by the rule `slicing` where that is None.

    So is an image of a single slice along another axis.

    Examples
    --------
    >>> volume = Header((12, 64, 64), (8.0, 1.0, 1.0))
    >>> seen(Slicing(thickest=True), volume, None).axis, seen(Slicing(thickest=True), volume, 1).axis
    (0, 1)
    """
    if axis is None or header.single not in (None, axis):
        return slicing.of(header)
    return slicing.along(axis, header)


def _with_slices(
    drawn: UInt8[np.ndarray, "d h w"] | None, pair: Pair, image: Volume, classes: Classes
) -> UInt8[np.ndarray, "d h w"]:
    """Return strokes, or a mask, with the labels of ``pair.slices``: where nothing is known, or above what is."""
    found = np.full(image.array.shape, IGNORE, np.uint8) if drawn is None else drawn.copy()
    indices = Classes(classes.names, None)  # whatever codes the user's files have
    for path in dict.fromkeys(each.path for each in pair.slices):  # one file at a time in memory
        ours = [each for each in pair.slices if each.path == path]
        like = (pair.image, image)
        by_hand = ours[0].corrected
        codes = labels.read(path, classes, "either", like) if by_hand else labels.read(path, indices, "mask", like)
        for each in ours:
            if not 0 <= each.index < codes.shape[each.axis]:
                raise InputError(f"{path}: no slice {each.index} along axis {each.axis}, its shape is {codes.shape}")
            place, known = (np.moveaxis(array, each.axis, 0)[each.index] for array in (found, codes))
            above = by_hand or pair.masked
            np.copyto(place, known, where=known != IGNORE if above else place == IGNORE)
    return found


def _known(found: _Labels | None) -> _Labels | None:
    """Return labels of which a voxel is known, and None for others."""
    return found if found is not None and (found != IGNORE).any() else None


def _parted(found: _Labels, view: View) -> tuple[_Labels | None, _Labels | None]:
    """Part labels into scribble and dense mask, slice by slice, if both then show a structure."""
    whole = view.seen(found != IGNORE).all(axis=(1, 2))
    if whole.all():
        return None, found
    parts = [view.seen(found).copy() for _ in range(2)]
    parts[0][whole], parts[1][~whole] = IGNORE, IGNORE
    if not all(structures(part).any() for part in parts):
        return _known(found), None
    scribble, dense = (view.back(part) for part in parts)
    return scribble, dense


def _turned(labels: UInt8[np.ndarray, "_ _ _"] | None, view: View) -> UInt8[np.ndarray, "_ _ _"] | None:
    return None if labels is None else np.ascontiguousarray(view.seen(labels))
