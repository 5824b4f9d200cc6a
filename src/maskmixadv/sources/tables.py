"""Tables of labels beside masks, which say what codes are called: of ITK-SNAP, 3D Slicer, FreeSurfer and nnU-Net."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from maskmixadv.corpus.names import check_classes
from maskmixadv.errors import InputError, listed, say
from maskmixadv.files import read_json, read_text
from maskmixadv.formats.details.nifti_fields import DATASET
from maskmixadv.formats.reading import in_one_line
from maskmixadv.sources.classes import BACKGROUND, FILE, Classes, coded
from maskmixadv.spelling import folded

OWN: Final = (".label", ".ctbl")
"""Suffixes that only tables have; a text or a .csv may be one."""
SUFFIXES: Final = (*OWN, ".txt", ".csv")
_SNAP: Final = re.compile(r'(\d+)\s+\d+\s+\d+\s+\d+\s+[\d.]+\s+\d+\s+\d+\s+"(.*)"')
"""A line of ITK-SNAP: code, red, green, blue, opacity, two switches, name."""
_LUT: Final = re.compile(r"(\d+)\s+((?=\S*[^\W\d_])\S.*?)\s+\d+\s+\d+\s+\d+\s+\d+")
"""A line of 3D Slicer and of FreeSurfer: code, name with a letter in its first word, red, green, blue, opacity."""
_UNNAMED: Final = re.compile(r"label_\d+|clear_label|none|unknown|unlabell?ed|ignore")
"""Names, as `folded` spells them, that programs give before somebody names a label."""


class Table(NamedTuple):
    """A table of labels: its file, and names by code.

    Examples
    --------
    >>> Table(Path("masks/labels.txt"), {1: "LV"}).names[1]
    'LV'
    """

    path: Path
    names: Mapping[int, str]


def find(folders: Iterable[Path]) -> list[Table]:
    r"""Read the tables of labels in folders. Texts that are none are passed over.

    Parameters
    ----------
    folders
        Those that lack are passed over.

    Raises
    ------
    InputError
        If a file that is a table by its suffix or first line has other lines, or gives a code two names.

    Examples
    --------
    >>> _ = Path("labels.txt").write_text('# ITK-SNAP\n0 0 0 0 0 0 0 "Clear Label"\n1 255 0 0 1 1 1 "LV"\n')
    >>> _ = Path("organs.ctbl").write_text("1 left_kidney 200 100 0 255\n")
    >>> _ = Path("notes.txt").write_text("drawn in June\n")
    >>> [table.names for table in find([Path()])]
    [{0: 'Clear Label', 1: 'LV'}, {1: 'left_kidney'}]
    """
    inside = [path for folder in folders if folder.is_dir() for path in sorted(folder.iterdir())]
    like = [path for path in inside if path.suffix.lower() in SUFFIXES or path.name == DATASET]
    shown = [path for path in like if path.name[0] != "." and path.is_file()]
    return [found for path in shown if (found := _read(path)) is not None]


def must_agree(classes: Classes, tables: Iterable[Table], where: str = FILE) -> None:
    """Refuse a table that calls a class's code by another class's name, and tell other names that differ.

    Parameters
    ----------
    classes
        As they were declared.
    tables
        Tables beside the masks.
    where
        The file that declares the classes, for the error's text.

    Raises
    ------
    InputError
        If there is such a table.

    Examples
    --------
    >>> must_agree(Classes(("background", "LV", "RV"), 3), [Table(Path("masks/labels.txt"), {1: "RV"})])
    Traceback (most recent call last):
    maskmixadv.errors.InputError: masks/labels.txt: calls code 1 'RV', which classes.toml calls 'LV', and 'RV' ...
    """
    codes = classes.codes or tuple(range(len(classes.names)))
    own = {code: name for code, name in zip(codes, classes.names, strict=True) if code is not None}
    code_of = {folded(name): code for code, name in own.items()}
    for path, names in tables:
        others = list[str]()
        for code, name in names.items():
            here = "nothing drawn" if code == classes.ignore else own.get(code)
            if here is None or folded(name) == folded(here):
                continue
            said = f"{code} {in_one_line(name)!r:.62}"
            if (place := code_of.get(folded(name))) is not None and here != classes.names[0]:
                what = f"{here!r}, and {in_one_line(name)!r:.62} is code {place} there"
                raise InputError(f"{path}: calls code {said}, which {where} calls {what}; correct one of them")
            if here not in (classes.names[0], "nothing drawn") and not _UNNAMED.fullmatch(folded(name)):
                others.append(f"{said} is {here!r} in {where}")
        if others:
            say(f"{path}: names differ: {listed(others)}; those of {where} count")


def applied(guess: Classes, tables: Sequence[Table]) -> Classes:
    """Return guessed classes with the names that tables give their codes.

    Raises
    ------
    InputError
        If two tables call a code by two names, two codes have one name, or a code other than 0 is the background.

    Examples
    --------
    >>> table = Table(Path("labels.txt"), {0: "Clear Label", 2: "LV"})
    >>> print(applied(Classes(("background", "class1", "class2"), 3), [table]))
    0 background, 1 class1, 2 LV; unlabelled 3
    """
    codes = guess.codes or tuple(range(len(guess.names)))
    names, says = list(guess.names), dict[int, Table]()
    for table in tables:
        for place, code in enumerate(codes):
            name = table.names.get(code) if code else None
            if name is None or _UNNAMED.fullmatch(folded(name)):
                continue
            if folded(name) == BACKGROUND:
                raise InputError(f"{table.path}: calls code {code} the {BACKGROUND}, allowed is 0; write {FILE}")
            if place in says and folded(names[place]) != folded(name):
                other = f"{says[place].path} calls it {in_one_line(names[place])!r:.62}"
                raise InputError(f"{table.path}: calls code {code} {in_one_line(name)!r:.62}, {other}; write {FILE}")
            names[place], says[place] = name, table
    if not says:
        return guess
    used = listed(sorted({str(table.path) for table in says.values()}))
    check_classes(names, used)
    say(f"classes are called as in {used}: {listed(names)}")
    return coded(names, codes, guess.ignore, used)


def _read(path: Path) -> Table | None:
    if path.name == DATASET:
        return _of_dataset(path)
    sure = path.suffix.lower() in OWN
    try:
        text = read_text(path)
    except InputError:
        if sure:
            raise
        return None
    found = dict[int, str]()
    for number, pair in _rows(text, path.suffix.lower() == ".csv"):
        if pair is None and not found and not sure:
            return None
        if pair is None:
            said = "is no label of ITK-SNAP, 3D Slicer or FreeSurfer, allowed are their tables"
            raise InputError(f"{path}: line {number} {said}; correct or remove it")
        code, name = pair
        if folded(found.setdefault(code, name)) != folded(name):
            both = f"{in_one_line(found[code])!r:.62} and {in_one_line(name)!r:.62}"
            raise InputError(f"{path}: calls code {code} {both}, allowed is one name; correct it")
    return Table(path, found) if found else None


def _of_dataset(path: Path) -> Table | None:
    """Read labels as nnU-Net 2 has them, codes by name, or as its forerunners have, names by code; without regions."""
    try:
        raw = read_json(path)
    except InputError:  # another program's
        return None
    labels = raw.get("labels") if isinstance(raw, dict) else None
    pairs = [
        (key, value) if isinstance(value, str) else (value, key)
        for key, value in (labels if isinstance(labels, dict) else {}).items()
    ]
    found = {int(code): name for code, name in pairs if str(code).isdecimal() and not isinstance(code, bool)}
    return Table(path, found) if found else None


def _rows(text: str, table: bool) -> Iterator[tuple[int, tuple[int, str] | None]]:
    """Yield each line's number with its code and name; None in their place where a line has none."""
    lines = text.splitlines()
    if table:  # 3D Slicer's newer form
        reader = csv.DictReader(lines)
        if not {"LabelValue", "Name"} <= set(reader.fieldnames or ()):
            return
        for row in reader:
            code, name = (row["LabelValue"] or "").strip(), (row["Name"] or "").strip()
            yield reader.line_num, (int(code), name) if code.isdecimal() and name else None
        return
    for number, line in enumerate(lines, 1):
        if (line := line.strip()) and not line.startswith("#"):
            match = _SNAP.fullmatch(line) or _LUT.fullmatch(line)
            yield number, (int(match[1]), match[2].strip()) if match and match[2].strip() else None
