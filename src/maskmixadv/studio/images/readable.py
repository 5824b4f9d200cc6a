"""The folder as a corpus of the files that can be read; damaged files are left out and listed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from maskmixadv.corpus.corpus import Corpus
from maskmixadv.errors import InputError
from maskmixadv.formats import image_files
from maskmixadv.sources import classes as declared
from maskmixadv.sources import follow, pairs
from maskmixadv.sources.classes import Classes
from maskmixadv.sources.folder import Found
from maskmixadv.sources.pairs import Pair
from maskmixadv.studio.images.intake import check_declared
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.memory import within_memory


class Readable(NamedTuple):
    """A corpus, and a line for each file that was left out."""

    corpus: Corpus
    left_out: list[str]


def corpus(layout: Layout) -> Readable:
    """Return the folder as a corpus, as it is now (`maskmixadv.sources.follow`).

    Raises
    ------
    InputError
        If no readable image has strokes or a mask, or the classes can't be read.
    """
    classes, (found, left_out) = declared.read(layout.root / declared.FILE), _found(layout)
    if not found.pairs:
        raise InputError("; ".join(["no image has strokes that can be learnt from; draw some", *left_out[:1]]))
    try:
        return Readable(follow.of(found, classes), left_out)
    except InputError:  # check every file by itself only if some file is wrong
        sound, wrong = _sound(found.pairs, classes)
        if not wrong or not sound:
            raise
    return Readable(follow.of(found._replace(pairs=sound), classes), [*left_out, *wrong])


def _found(layout: Layout) -> tuple[Found, list[str]]:
    """Return the images with strokes or masks, and a line for each file that can't be used."""
    images, left_out = layout.listing()
    drawn: list[dict[str, Path]] = []
    for part in (layout.scribbles, layout.masks):
        files, wrong = layout.listing(part)
        left_out += wrong
        left_out += [
            f"{part.name}/{path.name}: no image of this name" for case, path in files.items() if case not in images
        ]
        drawn.append(files)
    scribbles, masks = drawn
    annotated = [case for case in images if case in scribbles or case in masks]
    found = [Pair(case, case, images[case], scribbles.get(case), masks.get(case)) for case in annotated]
    return Found(layout.root, found, [path.name for case, path in images.items() if case not in annotated]), left_out


def _sound(found: Sequence[Pair], classes: Classes) -> tuple[list[Pair], list[str]]:
    """Return the pairs that can be read, and a line for each other one."""
    peeked, wrong = _passing(found, lambda pair: (check_declared(pair.image), image_files.peek(pair.image)))
    axis = pairs.thickest_axis(peeked)
    sound, more = _passing(peeked, lambda pair: pairs.read(pair, classes, axis))
    return sound, [*wrong, *more]


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
