"""A corpus of a user's own images: ``images/``, and ``scribbles/`` and ``masks/`` with files of the same names."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from maskmixadv.corpus.case import Case, structures
from maskmixadv.corpus.channels import ONE, Channel
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import KeptCase
from maskmixadv.corpus.folds import folds
from maskmixadv.corpus.scale import LIKE_CT
from maskmixadv.errors import InputError, listed, say
from maskmixadv.files import work_ahead
from maskmixadv.formats import image_files, several
from maskmixadv.formats.reading import NAMED
from maskmixadv.formats.slicing import Slicing, View
from maskmixadv.sources import classes as declared
from maskmixadv.sources import pairs, segments, tables
from maskmixadv.sources.classes import Classes
from maskmixadv.sources.layouts import advice, gathered, naming, parts
from maskmixadv.sources.marks import kept_axes
from maskmixadv.sources.pairs import Cuts, Pair, Read

IMAGES, SCRIBBLES, MASKS = "images", "scribbles", "masks"
_THIN: Final = (
    "0 is learnt as background, although labels look like strokes (if it means nothing drawn, say so: "
    "docs/how-to/own-images.md), in"
)


class Found(NamedTuple):
    """Images found in a folder.

    Attributes
    ----------
    source
        The folder.
    pairs
        Images with their annotations.
    bare
        File names of images without annotation.

    Examples
    --------
    >>> Found(Path("src"), [Pair("a", "a", Path("src/images/a.png"), Path("src/scribbles/a.png"))], ["b.png"]).bare
    ['b.png']
    """

    source: Path
    pairs: list[Pair]
    bare: list[str]


def prepare(
    source: Path,
    root: Path,
    *,
    patient: str | None = None,
    validate: float | None = None,
    axis: int | None = None,
    colours: bool = True,
    confirm: Callable[[Classes], bool] | None = None,
) -> Corpus:
    """Make a corpus of ``source/images`` with ``source/scribbles`` and ``source/masks``.

    Images without annotation are left out, and named on stderr. The folds are those of `maskmixadv.corpus.folds.folds`.

    Parameters
    ----------
    source
        A folder with ``images/`` and at least one of the others; its ``classes.toml`` says what codes mean.
    root
        A new or empty directory.
    patient
        Regular expression whose first group, found in an image's name, names the patient; None: the whole name does.
    validate
        Patients to validate on, as for the folds.
    axis
        Array axis (0 to 2, ``d h w`` of the files) along which slices are cut; None: the one along which the studio
        keeps cutting the case, or else each image's own header says it (`maskmixadv.formats.slicing.Slicing`).
    colours
        Whether pictures in colour have three channels; else they become grey.
    confirm
        Called with the guessed classes if there is no ``classes.toml``; returns whether they are right. None: a guess
        is refused.

    Raises
    ------
    InputError
        If a file is damaged or has no image, or classes are neither declared nor confirmed.

    Examples
    --------
    >>> import numpy as np
    >>> from PIL import Image
    >>> for part in ("images", "scribbles"):
    ...     (Path("src") / part).mkdir(parents=True)
    >>> pixels = np.random.default_rng(0).integers(0, 255, (32, 32)).astype(np.uint8)
    >>> scribble = np.full((32, 32), 2, np.uint8)
    >>> scribble[4:28, 4], scribble[16, 12:20] = 0, 1
    >>> Image.fromarray(pixels).save("src/images/a.png")
    >>> Image.fromarray(scribble).save("src/scribbles/a.png")
    >>> corpus = prepare(Path("src"), Path("corpus"), confirm=lambda classes: classes.ignore == 2)
    >>> corpus.classes, corpus.entries[0].scribble
    (('background', 'class1'), True)
    """
    found = find(source, patient)
    classes = _classes(source, found.pairs, confirm)
    cuts = pairs.cuts(found.pairs, axis)
    tell_cuts(source, cuts)
    said = declared.channels(source / declared.FILE)
    channels = pairs.channels_of(found.pairs, said, f"{source / declared.FILE}", colours=colours)
    made = cases(found, classes, cuts.views, channels)
    return write(root, source, made, classes, cuts.slicing, channels, validate)


def tell_cuts(source: Path, cuts: Cuts) -> None:
    """Print a line on stderr where images are cut along another array axis than the others.

    Examples
    --------
    >>> tell_cuts(Path("src"), Cuts(Slicing(), {"a": View(), "b": View()}))  # nothing to tell
    """
    if told := cuts.told():
        say(f"{source}: {told}")


def find(source: Path, patient: str | None = None) -> Found:
    """Find the images of `source` and their annotations, without reading them.

    Parameters
    ----------
    source, patient
        As `prepare` takes them.

    Raises
    ------
    InputError
        If no image has an annotation, an annotation has no image, a name has no patient, or the studio's notes are
        malformed.

    Examples
    --------
    >>> for file in ("images/p1_a.png", "images/p2_a.png", "masks/p1_a.png"):
    ...     Path(file).parent.mkdir(exist_ok=True)
    ...     Path(file).touch()
    >>> found = find(Path(), patient="^([^_]+)")
    >>> found.pairs[0].patient, found.bare
    ('p1', ['p2_a.png'])
    """
    places = gathered.Kinds(*(source / part for part in (IMAGES, SCRIBBLES, MASKS)))
    if not (source / IMAGES).is_dir():
        if not source.is_dir():
            raise InputError(f"{source}: no such folder")
        if told := advice.command(source):
            raise InputError(f"{source}: no folder {IMAGES}/ in it; {told}")
        if (other := gathered.kinds(source)) is not None:
            places = other
        elif (beside := gathered.find(source)) is not None:
            if told := advice.better(source):
                say(f"{source}: {told}")
            return _found(source, patient, *beside)
        else:
            raise InputError(f"{source}: no folder {IMAGES}/ in it; {advice.on(source)}")
    files, scribbles, masks = (
        image_files.named(place, also) if place is not None and place.is_dir() else {}
        for place, also in zip(places, (None, parts.are_in, parts.are_in), strict=True)
    )
    scribbles, masks = (
        naming.of_images(place or source, found, files)
        for place, found in ((places.scribbles, scribbles), (places.masks, masks))
    )
    images = several.grouped(files.values(), {*scribbles, *masks})
    for name, path in (*scribbles.items(), *masks.items()):
        if name not in images:
            told = f"no image of this name in {places.images}; rename it, or add its image"
            raise InputError(f"{path}: {told}{naming.channels_told(name, files)}")
    if images.keys().isdisjoint({*scribbles, *masks}):
        raise InputError(
            f"{source}: none of {len(images)} images has a file in {SCRIBBLES}/ or {MASKS}/; {advice.on_bare(source)}"
        )
    return _found(source, patient, images, scribbles, masks)


def _found(
    source: Path,
    patient: str | None,
    images: Mapping[str, tuple[Path, ...]],
    scribbles: Mapping[str, Path],
    masks: Mapping[str, Path],
) -> Found:
    annotated = {name: paths for name, paths in images.items() if name in scribbles or name in masks}
    axes = kept_axes(source, {name: paths[0] for name, paths in annotated.items()})
    return Found(
        source,
        [
            Pair(
                name,
                named_patient(paths[0], name, patient),
                paths[0],
                scribbles.get(name),
                masks.get(name),
                others=paths[1:],
                axis=axes.get(name),
            )
            for name, paths in annotated.items()
        ],
        _shown(source, [paths[0] for name, paths in images.items() if name not in annotated]),
    )


def write(
    root: Path,
    source: Path,
    made: Iterable[Case | KeptCase],
    classes: Classes,
    slicing: Slicing,
    channels: Sequence[Channel] = ONE,
    validate: float | None = None,
) -> Corpus:
    """Write a corpus of cases that were `made` of the images in `source`.

    Parameters
    ----------
    root
        A new or empty directory.
    source
        The images' folder, whose name the corpus gets.
    made
        The cases.
    classes, validate
        As in `prepare`.
    slicing
        How the images are seen.
    channels
        Of the images.

    Examples
    --------
    >>> import numpy as np
    >>> mask = np.eye(8, dtype=np.uint8)[None]
    >>> made = [Case("a", "a", mask[None].astype(np.float32), dense=mask)]
    >>> write(Path("corpus"), Path("mine"), made, Classes(("background", "LV"), None), Slicing()).name
    'mine'
    """
    return Corpus.write(
        root,
        made,
        name=source.resolve().name,
        classes=classes.names,
        folds=partial(folds, validate=validate),
        source="own images",
        axis=slicing.axis,
        across=slicing.across,
        radiological=slicing.radiological,
        channels=channels,
    )


def cases(
    found: Found,
    classes: Classes,
    views: Mapping[str, View],
    channels: Sequence[Channel] = ONE,
    kept: Callable[[Pair], KeptCase | None] | None = None,
) -> Iterator[Case | KeptCase]:
    """Read the cases that were `found`. Those of which nothing is labelled are left out, and named on stderr.

    Parameters
    ----------
    found
        Images and their annotations.
    classes, views
        Meaning of the codes, and by case how its image is seen.
    channels
        Of the images that are wanted.
    kept
        Returns the kept case of a pair that need not be read again; None if it must be.

    Raises
    ------
    InputError
        If a file is damaged, does not fit its image, or no file shows a structure.

    Examples
    --------
    >>> list(cases(Found(Path("src"), [], []), Classes(("background", "LV"), 2), views={}))
    []
    """

    def made(pair: Pair) -> KeptCase | Read:
        return (kept(pair) if kept else None) or pairs.read(pair, classes, views[pair.name], channels)

    empty, mixed, thin, like, masked, shown = [], [], [], [], 0, False
    notes = dict[str, list[str]]()
    images = iter(_shown(found.source, [pair.image for pair in found.pairs]))
    for read in work_ahead(made, found.pairs, threads=2, size=pairs.size):
        image = next(images)
        if isinstance(read, KeptCase):
            shown = True  # it was seen when it was made
            yield read
            continue
        mixed += [image] if read.changed else []
        thin += [image] if read.thin else []
        for note in read.notes:
            notes.setdefault(note, []).append(image)
        like += [image] if read.case.like_ct else []
        masked += read.case.dense is not None
        shown |= _shows(read.case)
        if read.case.scribble is None and read.case.dense is None:
            empty.append(image)
        else:
            yield read.case
        del read  # else a large case would stay in memory while the next one is read
    if not shown and len(empty) < len(found.pairs):
        named = listed(classes.names[1:])
        raise InputError(
            f"{found.source}: all labels are background or nothing drawn; at least one case must show {named}"
        )
    _tell(found.source, found.bare, "left out, as there is no scribble and no mask of")
    _tell(found.source, empty, "left out, as nothing is drawn in")
    _tell(found.source, _beside(found), f"files of images' names are read from {SCRIBBLES}/ and {MASKS}/, and not from")
    became = "colours become grey in" if len(channels) == 1 else "grey becomes red, green and blue in"
    _tell(found.source, mixed, became)
    for note, names in notes.items():
        _tell(found.source, names, f"{note} in")
    _tell(found.source, like, f"{LIKE_CT}; in")
    annotations = (path for pair in found.pairs for path in (pair.scribble, pair.mask))
    folders = [path for path in annotations if path is not None and path.is_dir()]
    strange, missing = parts.unused(folders, classes.names)
    _tell(found.source, strange, "left out, as they are of no class: files")
    _tell(found.source, missing, "taken as absent, as there is no file of the class, in")
    if thin and 2 * len(thin) >= masked:  # a few may be thin structures
        _tell(found.source, thin, _THIN)


def patient_of(image: Path, pattern: str | None) -> str:
    """Return the patient whose image it is, by the image's file name.

    Parameters
    ----------
    image
        The image's file.
    pattern
        Regular expression whose first group, found in the file's name without suffix, names the patient; None: the
        whole name does.

    Raises
    ------
    InputError
        If `pattern` is no regular expression with a group, or is not found in the name.

    Examples
    --------
    >>> patient_of(Path("images/p1_day2.nii.gz"), "^([^_]+)"), patient_of(Path("images/p1_day2.nii.gz"), None)
    ('p1', 'p1_day2')
    """
    return named_patient(image, image_files.stem(image), pattern)


def named_patient(image: Path, name: str, pattern: str | None) -> str:
    """As `patient_of`, for an image with the name `name`.

    Examples
    --------
    >>> named_patient(Path("series"), "p1_day2", "day")
    Traceback (most recent call last):
    maskmixadv.errors.InputError: series: --patient day finds no patient in its name; allowed is one whose group does
    """
    if pattern is None:
        return name
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(f"--patient {pattern}: not a regular expression ({error})") from None
    match = compiled.search(name)
    if not compiled.groups or match is None or not match[1]:
        raise InputError(f"{image}: --patient {pattern} finds no patient in its name; allowed is one whose group does")
    return match[1]


def declared_classes(source: Path, annotations: Iterable[Path] = ()) -> Classes:
    """Read the ``classes.toml`` of a folder, and compare it with tables of labels in it.

    Parameters
    ----------
    source
        The folder.
    annotations
        Files of strokes and masks, beside which tables may lie, too.

    Raises
    ------
    InputError
        If it is missing or malformed, or a table contradicts it.

    Examples
    --------
    >>> declared_classes(Path("src"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: src/classes.toml: missing; write a [[class]] with a name for each code, ...
    """
    classes = declared.read(source / declared.FILE)
    tables.must_agree(classes, _tables(source, annotations))
    return classes


def _tables(source: Path, annotations: Iterable[Path] = ()) -> list[tables.Table]:
    """Read the tables of labels beside annotations, which may lie in folders of other names."""
    own = [source, source / SCRIBBLES, source / MASKS]
    beside = sorted({path.parent for path in annotations} - set(own))
    return tables.find([*own, *beside] if len(beside) <= 2 else own)  # more are a folder a case


def _classes(source: Path, found: Sequence[Pair], confirm: Callable[[Classes], bool] | None) -> Classes:
    path = source / declared.FILE
    scribbles = [pair.scribble for pair in found if pair.scribble is not None]
    masks = [pair.mask for pair in found if pair.mask is not None]
    if path.is_file():
        return declared_classes(source, [*scribbles, *masks])
    segments.must_name_none([*scribbles, *masks], path)
    if folders := [each for each in (*scribbles, *masks) if each.is_dir()]:
        if others := [each for each in (*scribbles, *masks) if not each.is_dir()]:
            told = f"{folders[0]} has one file a class, and {others[0]} codes"
            raise InputError(f"{path}: missing, and {told}; write a [[class]] with name and code for each")
        guessed = Classes(tuple(parts.names(folders)), None)
    else:
        guessed = declared.guess(
            ((path, image_files.read_labels(path).array) for path in scribbles),
            (image_files.read_labels(path).array for path in masks),
        )
        guessed = tables.applied(guessed, _tables(source, [*scribbles, *masks]))
    if confirm is None:
        raise InputError(f"{path}: missing; codes look like {guessed}: write it, or accept the guess with --yes")
    if not confirm(guessed):
        raise InputError(f"{path}: missing, and the guess was declined; write a [[class]] with a name for each code")
    return guessed


def _beside(found: Found) -> list[str]:
    """Return the other folders in an own folder that hold a file of an image's name, such as ``Masks``."""
    names = {pair.name for pair in found.pairs}
    if not (found.source / IMAGES).is_dir():  # of another layout
        return []
    folders = [place for place in sorted(found.source.iterdir()) if place.is_dir() and not place.name.startswith(".")]
    return [
        f"{place.name}/"
        for place in folders
        if place.name not in (IMAGES, SCRIBBLES, MASKS)
        and any(image_files.readable(path) and image_files.stem(path) in names for path in place.iterdir())
    ]


def _shown(source: Path, images: Sequence[Path]) -> list[str]:
    """Return names of images for a line: with their folders where the files of several cases have one name."""
    names = [path.name for path in images]
    return names if len(set(names)) == len(names) else [str(path.relative_to(source)) for path in images]


def _shows(case: Case) -> bool:
    annotations = [labels for labels in (case.scribble, case.dense) if labels is not None]
    return any(structures(labels).any() for labels in annotations)


def _tell(source: Path, names: Sequence[str], what: str) -> None:
    if names:
        say(f"{source}: {what} {listed(names, NAMED)}")
