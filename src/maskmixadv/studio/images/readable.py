"""The folder as a corpus of the files that can be read; damaged files are left out and listed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from maskmixadv.corpus.corpus import Corpus
from maskmixadv.errors import InputError, UnwritableError
from maskmixadv.formats import image_files
from maskmixadv.sources import classes as declared
from maskmixadv.sources import follow, pairs
from maskmixadv.sources.classes import Classes
from maskmixadv.sources.folder import Found
from maskmixadv.sources.pairs import LabelledSlice, Pair
from maskmixadv.studio.images import grouping
from maskmixadv.studio.images.intake import check_declared
from maskmixadv.studio.images.marks import Marks
from maskmixadv.studio.layout import NOBODYS, Layout
from maskmixadv.studio.memory import within_memory
from maskmixadv.studio.refusals import UnlearntError

Slices = Mapping[str, tuple[LabelledSlice, ...]]
"""Accepted and corrected slices by case."""
Use = Literal["auto", "teach", "validate"]
"""What dense slices are for. ``auto``: they teach, except those of a case with a given mask and no strokes."""
VALIDATES: Final = "the case has a mask and no strokes, and validates"
"""Why a case does not learn from its dense slices."""
NAMED: Final = 3
"""How many lines on lost slices an error tells."""


class Readable(NamedTuple):
    """A corpus, a line for each file or slice that was left out, and the dense slices that it learns from."""

    corpus: Corpus
    left_out: list[str]
    slices: Slices


def corpus(
    layout: Layout,
    dense: Slices,
    uses: Mapping[str, Use],
    held_out: Mapping[str, str] = MappingProxyType({}),
    lost: Sequence[str] = (),
) -> Readable:
    """Return the folder as a corpus, as it is now (`maskmixadv.sources.follow`).

    Parameters
    ----------
    layout
        The folder.
    dense
        Dense slices, which become part of the scribbles. They do not change which cases validate, unless `uses` says
        so: a case that has a mask and no strokes still validates. If no case has strokes, masks are learnt from;
        accepted slices are left out then, and corrected ones become part of the masks.
    uses
        What the dense slices of a case are for. A case that validates is not learnt from, its strokes neither.
    held_out
        Cases that neither teach nor validate, each with a line that says why.
    lost
        Lines on dense slices that can't be used, for the error's text.

    Raises
    ------
    UnlearntError
        If no readable image has strokes, a mask or a dense slice.
    InputError
        If the classes can't be read.
    """
    classes, (found, left_out) = declared.read(layout.root / declared.FILE), _found(layout, dense, uses, held_out)
    if not found.pairs:
        said = "; ".join(["no image has strokes that can be learnt from; draw some", *_first(left_out, lost)])
        raise UnlearntError(said, [*left_out, *lost])
    try:
        return _readable(found, classes, uses, left_out)
    except InputError as error:  # check every file by itself only if some file is wrong
        sound, wrong = _sound(found.pairs, classes)
        if not wrong or (not sound and isinstance(error, UnwritableError)):
            raise
        if not sound:
            raise UnlearntError(str(error), [*left_out, *wrong, *lost]) from None
    return _readable(found._replace(pairs=sound), classes, uses, [*left_out, *wrong])


def _readable(found: Found, classes: Classes, uses: Mapping[str, Use], left_out: list[str]) -> Readable:
    made = follow.of(found, classes)
    scribbled = {entry.name for entry in made.entries if entry.scribble}
    laid = {pair.name: pair.slices for pair in found.pairs if pair.slices}
    masked = {pair.name for pair in found.pairs if pair.masked}
    taught = scribbled | {case for case in masked if uses.get(case) != "validate"}
    unused = [
        f"{case}: {_kinds(laid[case])} slices are left out, as {VALIDATES}"
        for case in laid
        if case not in scribbled | masked
    ]
    return Readable(made, [*left_out, *unused], {case: each for case, each in laid.items() if case in taught})


def _first(left_out: Sequence[str], lost: Sequence[str]) -> list[str]:
    """Return the first lines of what was left out and lost, and how many more there are."""
    lines = [*left_out[:1], *lost[:NAMED]]
    more = len(left_out) + len(lost) - len(lines)
    return [*lines, f"and {more} more lines like these"] if more else lines


def _kinds(slices: Sequence[LabelledSlice]) -> str:
    kinds = {"corrected" if each.corrected else "accepted" for each in slices}
    return " and ".join(sorted(kinds))


def _found(
    layout: Layout, dense: Slices, uses: Mapping[str, Use], held_out: Mapping[str, str]
) -> tuple[Found, list[str]]:
    """Return the images with strokes, masks or dense slices, and a line for each file that can't be used."""
    images = grouping.find(layout)
    left_out = list(images.problems)
    drawn: list[dict[str, Path]] = []
    for part in (layout.scribbles, layout.masks):
        files, wrong = layout.listing(part)
        left_out += wrong
        left_out += [f"{part.name}/{path.name}: {NOBODYS}" for case, path in files.items() if case not in images.files]
        drawn.append(files)
    scribbles, masks = drawn
    masks_teach = bool(masks) and not scribbles
    if masks_teach and any(not each.corrected for slices in dense.values() for each in slices):
        left_out.append("accepted slices are left out, as no case has strokes, and masks are learnt from")
    if masks_teach:
        dense = {case: tuple(each for each in slices if each.corrected) for case, slices in dense.items()}
    annotated = [case for case in images.files if case in scribbles or case in masks or dense.get(case)]
    unused = {**held_out, **images.odd}
    left_out += [unused[case] for case in annotated if case in unused]
    found, axes = [], Marks(layout).axes()
    for case in (case for case in annotated if case not in unused):
        slices, use = dense.get(case, ()), uses.get(case, "auto")
        masked = bool(slices) and (masks_teach or use == "validate")
        given = None if use == "teach" and slices and not masked and case not in scribbles else masks.get(case)
        scribble = None if masked else scribbles.get(case)
        image, *others = images.files[case]
        found.append(
            Pair(
                case,
                case,
                image,
                scribble,
                given,
                slices=slices,
                others=tuple(others),
                masked=masked,
                axis=axes.get(case),
            )
        )
    bare = [paths[0].name for case, paths in images.files.items() if case not in annotated]
    return Found(layout.root, found, bare), left_out


def _sound(found: Sequence[Pair], classes: Classes) -> tuple[list[Pair], list[str]]:
    """Return the pairs that can be read, and a line for each other one.

    A pair that can't be read with an accepted slice loses that slice.
    """
    peeked, wrong = _passing(found, _peek)
    views, channels = pairs.cuts(peeked).views, pairs.channels_of(peeked)

    def read(pair: Pair) -> object:
        return pairs.read(pair, classes, views[pair.name], channels)

    def lessened(pair: Pair) -> Pair:
        return replace(pair, slices=tuple(each for each in pair.slices if _passing([with_one(pair, each)], read)[0]))

    def with_one(pair: Pair, each: LabelledSlice) -> Pair:
        return replace(pair, slices=(each,))

    whole, more = _passing(peeked, read)
    fewer = [lessened(pair) for pair in peeked if pair.slices and pair not in whole]
    rest, _ = _passing([pair for pair in fewer if pair.scribble or pair.mask or pair.slices], read)
    return sorted([*whole, *rest], key=lambda pair: pair.name), [*wrong, *more]


def _peek(pair: Pair) -> None:
    """See that the headers of an image can be read, and the pixels from which its channels follow."""
    for path in pair.images:
        check_declared(path)
        image_files.header(path)
    image_files.coloured(pair.image)


def _passing(found: Sequence[Pair], test: Callable[[Pair], object]) -> tuple[list[Pair], list[str]]:
    passing, wrong = [], []
    for pair in found:
        try:
            with within_memory(pair.image):
                test(pair)
            passing.append(pair)
        except InputError as error:
            wrong.append(str(error))
    return passing, wrong
