"""The images of a folder, of which each is one file, or a file for each of its channels."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from maskmixadv.errors import InputError
from maskmixadv.formats import flat, image_files
from maskmixadv.formats.details import nifti_fields
from maskmixadv.formats.several import NUMBERED
from maskmixadv.sources import classes, pairs
from maskmixadv.studio import work
from maskmixadv.studio.cache import Stamp, stamp
from maskmixadv.studio.layout import Layout

Named = frozenset[Stamp]
"""States of the files ``dataset.json`` that name the channels of images."""
Numbered = Mapping[str, Mapping[int, str]]
"""By the name that they share: case names that end with ``_0000``, ``_0001`` and so on, by their number."""
APART: Final = "take it to a folder of its own kind"
"""What to do with an image that can't get the channels of the others."""


@dataclass(frozen=True)
class Images:
    """The images of a folder.

    Attributes
    ----------
    files
        The files of each image by case: one, or those of its channels in order.
    problems
        A line for each file that can't be used.
    odd
        A line for each case that has other channels than most. It is shown and drawn on, but no run learns from it.
    """

    files: dict[str, tuple[Path, ...]]
    problems: list[str]
    odd: dict[str, str]


def find(layout: Layout) -> Images:
    """Find the images of a folder.

    Files ``NAME_0000``, ``NAME_0001`` and so on are channels of the image ``NAME`` if there is any work of that name
    (`maskmixadv.studio.work`). They are also if there is none of the files' own names, except for pictures: a series of
    pictures may be numbered, too.
    If most images have several files, a numbered file on its own is an image that lacks channels.

    A case is odd if it has other channels, in files of their own or in one, than ``classes.toml`` says, or else than
    most cases have (`pairs.usual`).
    """
    files, problems = layout.listing()
    numbered = _numbered(files)
    drawn = work.cases(layout)
    free = {name: parts for name, parts in numbered.items() if name not in files and drawn.isdisjoint(parts.values())}
    known = {name for name, parts in free.items() if name in drawn or _complete(parts, files)}
    found = _joined(files, free, known)
    if pairs.usual(map(len, found.values())) > 1:
        found = _joined(files, free, {name for name in free if name in known or not _pictures(free[name], files)})
    named = named_by(found.values())
    counts = {case: count for case, paths in found.items() if (count := _count(paths, named)) is not None}
    usual = _usual(layout, counts)
    lines = ((case, _odd(case, found[case], count, usual, drawn)) for case, count in counts.items())
    return Images(found, problems, {case: line for case, line in lines if line is not None})


def _numbered(cases: Collection[str]) -> Numbered:
    numbered = defaultdict[str, dict[int, str]](dict)
    for case in cases:
        if found := NUMBERED.fullmatch(case):
            numbered[found[1]][int(found[2])] = case
    return numbered


def _pictures(parts: Mapping[int, str], files: Mapping[str, Path]) -> bool:
    return any(image_files.suffix(files[case]) in flat.SUFFIXES for case in parts.values())


def _complete(parts: Mapping[int, str], files: Mapping[str, Path]) -> bool:
    """Whether files are channels although nothing is drawn yet: several volumes, numbered from 0."""
    return len(parts) > 1 and 0 in parts and not _pictures(parts, files)


def _joined(files: Mapping[str, Path], numbered: Numbered, names: Collection[str]) -> dict[str, tuple[Path, ...]]:
    """Return the files of each image, with those numbered files taken together that share one of `names`."""
    taken = {case for name in names for case in numbered[name].values()}
    found = {case: (path,) for case, path in files.items() if case not in taken}
    found |= {name: tuple(files[case] for _, case in sorted(numbered[name].items())) for name in names}
    return dict(sorted(found.items()))


def _usual(layout: Layout, counts: Mapping[str, int]) -> int:
    """Return how many channels images should have: as ``classes.toml`` says if any has these, else as most have."""
    with suppress(InputError):  # a training says what is wrong with the file
        said = classes.channels(layout.root / classes.FILE)
        wanted = 1 if said and said[0].kind == "RGB" else len(said)
        if wanted in counts.values():
            return wanted
    return pairs.usual(counts.values())


def named_by(images: Iterable[Sequence[Path]]) -> Named:
    """Return the states of the files ``dataset.json`` beside images and their folders: which they name are channels."""
    folders = {paths[0].parent for paths in images}
    found = set[Stamp]()
    for path in {path for folder in folders for path in nifti_fields.datasets(folder)}:
        with suppress(InputError):  # there is none
            found.add(stamp(path))
    return frozenset(found)


def _count(paths: Sequence[Path], named: Named) -> int | None:
    """Return how many channels an image has; None if its header can't be read, of which its reader tells."""
    try:
        return len(paths) if len(paths) > 1 else _channels_in(stamp(paths[0]), named)
    except InputError:
        return None


@lru_cache(maxsize=4096)
def _channels_in(state: Stamp, _: Named) -> int:
    """Return how many channels a file has in one of its states, as each request asks for all files."""
    return pairs.count([state[0]])


def _odd(case: str, paths: tuple[Path, ...], count: int, usual: int, drawn: Collection[str]) -> str | None:
    """Say what a case of `count` channels lacks to have those that most have, and what to do; None if it has them."""
    has = [image_files.stem(path) for path in paths]
    wanted = [f"{case}_{number:04d}" for number in range(usual)] if usual > 1 or has != [case] else [case]
    missing, more = [name for name in wanted if name not in has], [name for name in has if name not in wanted]
    endings = sorted({image_files.suffix(path) for path in paths})
    inside = len(paths) == 1 and count > 1
    if len(endings) == 1 and count == usual and (inside or not (missing or more)):
        return None
    if len(endings) > 1:
        lack, advice = f"its channels end with {', '.join(endings)}", "save them in one format"
    else:
        lack = f"has {_channels(count)}, most images here have {_channels(usual) if usual > 1 else 'one'}"
        advice = APART if inside else _advice(case, missing, more, usual, drawn)
    return f"images/{paths[0].name}: {lack}; {advice}. Until then, runs neither learn from it nor predict it"


def _advice(case: str, missing: list[str], more: list[str], usual: int, drawn: Collection[str]) -> str:
    if usual == 1:
        return APART
    if more == [case]:
        shared = NUMBERED.fullmatch(case)
        if shared and case in drawn:
            return (
                f"strokes, masks or notes are called {case}; call them {shared[1]} to make it a channel of that image"
            )
        return f"call it {case}_0000, and add {', '.join(missing[1:])}"
    steps = [f"add {', '.join(missing)}"] if missing else []
    return " and ".join([*steps, *([f"remove {', '.join(more)}"] if more else [])])


def _channels(count: int) -> str:
    return "one channel" if count == 1 else f"{count} channels"
