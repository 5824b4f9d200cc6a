"""Whose annotation a file is, where all of a folder differ from their images' names in one way, as in ``a_mask``."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from maskmixadv.errors import InputError, listed, say
from maskmixadv.formats import several

MASKS: Final = frozenset(
    (
        *("mask", "masks", "label", "labels", "labelmap", "labelmaps", "seg", "segs", "segm", "segmentation"),
        *("segmentations", "gt", "groundtruth", "truth", "manual", "anno", "annotation", "annotations"),
    )
)
"""Words in the names of masks, in lower case."""
SCRIBBLES: Final = frozenset(("scribble", "scribbles", "stroke", "strokes"))
"""Words in the names of scribbles."""
_OURS: Final = MASKS | SCRIBBLES
_WORDS: Final = re.compile(r"[\W\d_]+")
_HUMPS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_PARTS: Final = re.compile(r"[\W_]+")
_FIRST: Final = re.compile(r"^\D+")
_LAST: Final = re.compile(r"[\W_][^\W_]+$")
_SHOWN: Final = 3
"""Files that are named at most."""


class Rule(NamedTuple):
    """How names of annotations are made of images' names: one beginning and one end are replaced.

    Attributes
    ----------
    begins, ends
        Of all images' names, which annotations do not have; may be empty.
    before, after
        What annotations have there.

    Examples
    --------
    >>> Rule("img", "", "label", "").image_of("label0001"), Rule("", "", "", "_mask").image_of("b")
    ('img0001', None)
    """

    begins: str
    ends: str
    before: str
    after: str

    def image_of(self, name: str) -> str | None:
        """Return the name of the image of an annotation; None if the annotation's name does not follow the rule."""
        key = name.removeprefix(self.before).removesuffix(self.after)
        return f"{self.begins}{key}{self.ends}" if key and name == f"{self.before}{key}{self.after}" else None


def words_of(name: str) -> set[str]:
    """Return the words of a name: between signs and digits, and where a capital follows a small letter; in lower case.

    Examples
    --------
    >>> sorted(words_of("21_manual1")), "mask" in words_of("leftMask")
    (['', 'manual'], True)
    """
    return set(_WORDS.split(name.lower())) | set(_WORDS.split(_HUMPS.sub(" ", name).lower()))


def of_images(
    folder: Path, labels: Mapping[str, Path], images: Mapping[str, Path], tell: Callable[[str], object] = say
) -> dict[str, Path]:
    """Return annotations by the names of their images, which may differ from their own in one way for all of a folder.

    Where any has an image's own name, nothing is changed. Else all must have the name of an image but for a beginning
    and an end that all have alike, such as ``_mask``, or ``label`` instead of ``img``. What is added or replaced are
    words, one of which says that it is an annotation (`MASKS`, `SCRIBBLES`): an end of digits alone would be another
    image's number, and ``_post`` another image's name. A line says what was paired.

    Parameters
    ----------
    folder
        Where the annotations lie.
    labels, images
        Files by their names without suffix.
    tell
        Is given the line; it goes to stderr.

    Raises
    ------
    InputError
        If they can be paired in two ways.

    Examples
    --------
    >>> masks = {"a_mask": Path("a_mask.png"), "b_mask": Path("b_mask.png")}
    >>> paired = of_images(Path("masks"), masks, {name: Path(f"{name}.jpg") for name in ("a", "b", "c")})
    >>> {name: path.name for name, path in paired.items()}
    {'a': 'a_mask.png', 'b': 'b_mask.png'}
    """
    numbered = (several.NUMBERED.fullmatch(name) for name in images)
    known = {*images, *(match[1] for match in numbered if match)}
    if not labels or not images or not known.isdisjoint(labels):
        return dict(labels)
    ways: list[dict[str, str]] = []
    for rule in _rules(list(images), min(labels)):
        named = ((name, rule.image_of(name)) for name in labels)
        found = {name: image for name, image in named if image is not None and image in images}
        if len(found) == len(labels) and found not in ways:
            ways.append(found)
    if not ways:
        return dict(labels)
    if len(ways) > 1:
        name = min(name for name in labels if len({way[name] for way in ways}) > 1)
        both = " or of ".join(sorted({images[way[name]].name for way in ways}))
        raise InputError(f"{labels[name]}: may be of {both}; give annotations the names of their images")
    (way,) = ways
    both = ((labels[name], images[image]) for name, image in sorted(way.items()))
    pairs = [f"{_shown(folder, one)} of {_shown(folder, other)}" for one, other in both]
    tell(f"{folder}: paired by what names have in common: {listed(pairs, _SHOWN)}")
    return {image: labels[name] for name, image in way.items()}


def channels_told(name: str, images: Mapping[str, Path]) -> str:
    """Say which images may be the channels of case `name`, for the end of an error's text; empty if there are none.

    Examples
    --------
    >>> channels_told("p1", {name: Path(f"{name}.nii") for name in ("p1_T1", "p1_T2", "p10_T1")})
    ' (if p1_T1.nii, p1_T2.nii are its channels, call them p1_0000, p1_0001 and so on)'
    """
    found = [path.name for image, path in images.items() if image.startswith(name) and not image[len(name)].isalnum()]
    told = f" (if {listed(found, _SHOWN)} are its channels, call them {name}_0000, {name}_0001 and so on)"
    return told if len(found) > 1 else ""


def _shown(folder: Path, path: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else path.name


def _rules(images: Sequence[str], label: str) -> Iterator[Rule]:
    """Yield the rules by which `label` may be the name of an annotation of one of `images`."""
    made = set[Rule]()
    for begins in _common(images, _FIRST):
        for ends in _common(images, _LAST):
            for image in images:
                key = image[len(begins) : len(image) - len(ends)]
                for place in _places(key, label):
                    rule = Rule(begins, ends, label[:place], label[place + len(key) :])
                    if _of_words(rule, key):
                        made.add(rule)
    yield from sorted(made)


def _common(names: Sequence[str], part: re.Pattern[str]) -> tuple[str, ...]:
    """Return the part that all names have, if it is a word, and the empty one."""
    found = {match[0] if (match := part.search(name)) else "" for name in names}
    one = found.pop() if len(found) == 1 else ""
    return ("", one) if any(map(str.isalpha, one)) else ("",)


def _places(key: str, label: str) -> Iterator[int]:
    place = label.find(key) if key else -1
    while place >= 0:
        yield place
        place = label.find(key, place + 1)


def _of_words(rule: Rule, key: str) -> bool:
    """Whether `key` stands apart in an annotation's name, and what stands before and after it are words."""
    before, after = rule.before, rule.after
    apart = not before or not before[-1].isalnum() or (before[-1].isalpha() and key[0].isdigit())
    if not apart or (after and after[0].isalnum()):
        return False
    said = words_of(f"{before} {after}") - {""}
    if not said & _OURS or ((rule.begins or rule.ends) and not said <= _OURS):
        return False  # instead of an image's "_pre", "_post_mask" is another image's
    return all(any(map(str.isalpha, word)) for each in (before, after) for word in _PARTS.split(each) if word)
