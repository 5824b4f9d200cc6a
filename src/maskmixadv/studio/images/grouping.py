"""The images of a folder, of which each is one file, or a file for each of its channels."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from maskmixadv.formats import flat, image_files
from maskmixadv.formats.several import NUMBERED
from maskmixadv.studio.layout import Layout

Numbered = Mapping[str, Mapping[int, str]]
"""By the name that they share: case names that end with ``_0000``, ``_0001`` and so on, by their number."""


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

    Files ``NAME_0000``, ``NAME_0001`` and so on are channels of the image ``NAME`` if there are strokes or a mask of
    that name. They are also if nothing is drawn yet, except for pictures: a series of pictures may be numbered, too.
    If most images have several channels, a numbered file on its own is an image that lacks channels.
    """
    files, problems = layout.listing()
    numbered = _numbered(files)
    if not numbered:
        return Images({case: (path,) for case, path in files.items()}, problems, {})
    drawn = {case for part in (layout.scribbles, layout.masks) for case in layout.listing(part).files}
    free = {name: parts for name, parts in numbered.items() if name not in files and drawn.isdisjoint(parts.values())}
    known = {name for name, parts in free.items() if name in drawn or _complete(parts, files)}
    found = _joined(files, free, known)
    usual = _usual(found)
    if usual > 1:
        found = _joined(files, free, {name for name in free if name in known or not _pictures(free[name], files)})
    odd = {case: line for case, paths in found.items() if (line := _odd(case, paths, usual, drawn)) is not None}
    return Images(found, problems, odd)


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


def _usual(found: Mapping[str, tuple[Path, ...]]) -> int:
    """Return how many files most images have."""
    counts = Counter(map(len, found.values()))
    return max(counts, key=lambda count: (counts[count], count))


def _odd(case: str, paths: tuple[Path, ...], usual: int, drawn: Collection[str]) -> str | None:
    """Say what a case lacks to have the channels that most have, and what to do; None if it has them."""
    has = [image_files.stem(path) for path in paths]
    wanted = [f"{case}_{number:04d}" for number in range(usual)] if usual > 1 else [case]
    missing, more = [name for name in wanted if name not in has], [name for name in has if name not in wanted]
    endings = sorted({image_files.suffix(path) for path in paths})
    if not missing and not more and len(endings) == 1:
        return None
    if len(endings) > 1:
        lack, advice = f"its channels end with {', '.join(endings)}", "save them in one format"
    else:
        lack = f"has {_channels(len(has))}, most images here have {_channels(usual) if usual > 1 else 'one'}"
        advice = _advice(case, missing, more, usual, drawn)
    return f"images/{paths[0].name}: {lack}; {advice}. Until then, runs neither learn from it nor predict it"


def _advice(case: str, missing: list[str], more: list[str], usual: int, drawn: Collection[str]) -> str:
    if usual == 1:
        return "take it to a folder of its own kind"
    if more == [case]:
        shared = NUMBERED.fullmatch(case)
        if shared and case in drawn:
            return f"strokes or a mask are called {case}; call them {shared[1]} to make it a channel of that image"
        return f"call it {case}_0000, and add {', '.join(missing[1:])}"
    steps = [f"add {', '.join(missing)}"] if missing else []
    return " and ".join([*steps, *([f"remove {', '.join(more)}"] if more else [])])


def _channels(count: int) -> str:
    return "one channel" if count == 1 else f"{count} channels"
