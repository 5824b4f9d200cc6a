"""Spaces of NRRD: those that ITK does not read are refused by name, and labels say the one of their image."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from maskmixadv.errors import InputError

DIMENSION: Final = "space dimension"
"""Field of a space that has no name."""
_DOMAINS: Final = ("domain", "space", "time", "???", "none")
"""Kinds of axes that ITK takes to lie in the space."""
TIMES: Final = ("-time", "rast", "last", "lpst")
"""Ends of spaces whose last axis is time, in lower case."""
_LENGTH: Final = 3
"""Axes of a space with a name; those with time have one more."""
_VECTOR: Final = re.compile(r"none|\([^()]*\)")
_GRID: Final = re.compile(rb"^(?:space|space dimension|space directions|space origin|spacings): .*\n", re.MULTILINE)
_SPACE: Final = re.compile(rb"^space(?: dimension)?: .*$", re.MULTILINE)
_END: Final = b"\n\n"


class Grid(NamedTuple):
    """A grid that does not lie in the patient's space.

    Attributes
    ----------
    space
        The line of a header that says its space, as `of` returns it; None: it has none.
    spacing, origin
        Lengths between voxels, if that is said, and the first voxel's place, where it has no space.

    Examples
    --------
    >>> Grid("space: scanner-xyz").spacing is None
    True
    """

    space: str | None
    spacing: tuple[float, ...] | None = None
    origin: tuple[float, ...] = ()


def check(path: Path, fields: Mapping[str, str]) -> None:
    """Refuse a grid whose axes are not as many as its space has, which ITK does not read.

    Parameters
    ----------
    path, fields
        The file, and its fields with names in lower case.

    Raises
    ------
    InputError
        If it is such a one.

    Examples
    --------
    >>> fields = {"dimension": "2", "sizes": "6 8", "space": "LPS", "space directions": "(1,0,0) (0,1,0)"}
    >>> check(Path("a.nrrd"), fields)
    Traceback (most recent call last):
    maskmixadv.errors.InputError: a.nrrd: has 2 axes in a space of 3, allowed are 3; save a slice as a volume of one ...
    """
    wide, axes = _dimension(fields), len(fields.get("sizes", "").split())
    kinds = fields.get("kinds", "").lower().split() or ["???"] * axes
    lying = sum(kind in _DOMAINS for kind in kinds)
    if not wide or not axes or len(kinds) != axes or lying == wide:
        return
    if axes < wide:
        said = f"has {axes} axes in a space of {wide}, allowed are {wide}"
        raise InputError(f"{path}: {said}; save a slice as a volume of one slice")
    vectors = _VECTOR.findall(fields.get("space directions", "").lower())
    beside = [vector == "none" for vector in vectors]
    if any(beside) and len(vectors) == axes and axes - sum(beside) == wide:
        told = " ".join("list" if each else "domain" for each in beside)
        said = f"space directions has 'none' for {sum(beside)} of {axes} axes, and kinds does not say what these are"
        raise InputError(f"{path}: {said}; write 'kinds: {told}' for channels, or 'time' in place of 'list' for times")
    raise InputError(f"{path}: {lying} of its {axes} axes lie in a space of {wide}, allowed are {wide}; mend kinds")


def of(fields: Mapping[str, str], axes: int) -> str | None:
    """Return the line of a header that says the space of its first `axes` axes; None where it has none.

    Examples
    --------
    >>> of({"space": "scanner-xyz-time"}, 3), of({"space dimension": "3"}, 3), of({"spacings": "1 1 3"}, 3)
    ('space: scanner-xyz', 'space dimension: 3', None)
    """
    if name := fields.get("space"):
        return f"space: {name.lower().removesuffix('-time')}"
    return f"{DIMENSION}: {axes}" if fields.get(DIMENSION) else None


def put(content: bytes, grid: Grid) -> bytes:
    r"""Return an NRRD file that ITK wrote, which says the patient's space, with another grid.

    Examples
    --------
    >>> head = b"NRRD0004\nspace: left-posterior-superior\nspace directions: (2,0)\nspace origin: (0,0)\n\n12"
    >>> put(head, Grid("space: scanner-xyz"))
    b'NRRD0004\nspace: scanner-xyz\nspace directions: (2,0)\nspace origin: (0,0)\n\n12'
    >>> put(head, Grid(None, (2.0, 2.0)))
    b'NRRD0004\nspacings: 2.0 2.0\n\n12'
    """
    head, end, voxels = content.partition(_END)
    head += b"\n"
    if (space := grid.space) is not None:
        return _SPACE.sub(lambda _: space.encode("latin-1"), head) + end[1:] + voxels
    fields = {"spacings": grid.spacing} if grid.spacing else {}
    if any(grid.origin):  # an axis begins half a voxel before the first one
        steps = grid.spacing or (1.0,) * len(grid.origin)
        fields["axis mins"] = tuple(at - step / 2 for at, step in zip(grid.origin, steps, strict=True))
    told = "".join(f"{name}: {' '.join(map(repr, numbers))}\n" for name, numbers in fields.items())
    return _GRID.sub(b"", head) + told.encode() + end[1:] + voxels


def with_lines(content: bytes, lines: Sequence[str]) -> bytes:
    r"""Return an NRRD file with more lines at the end of its header, in UTF-8.

    Examples
    --------
    >>> with_lines(b"NRRD0004\nsizes: 2\n\n12", ["Segment0_Name:=LV"])
    b'NRRD0004\nsizes: 2\nSegment0_Name:=LV\n\n12'
    """
    head, end, voxels = content.partition(_END)
    return b"\n".join([head, *(line.encode() for line in lines)]) + end + voxels


def _dimension(fields: Mapping[str, str]) -> int:
    """Return how many axes a space has; 0 where none is said."""
    if name := fields.get("space", "").lower():
        return _LENGTH + name.endswith(TIMES)
    said = fields.get(DIMENSION, "0")
    return int(said) if said.isdecimal() else 0
