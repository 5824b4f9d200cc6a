"""A corpus of DICOM series, with segmentations (SEG) as dense masks."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskmixadv.corpus.case import Case
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.folds import folds
from maskmixadv.errors import InputError
from maskmixadv.formats import seg, series
from maskmixadv.sources import classes as declared
from maskmixadv.sources import folder, pairs


@dataclass(frozen=True)
class Study:
    """The files of one case.

    Attributes
    ----------
    name, patient
        Names of the case and of its patient.
    paths
        Files of the image series.
    masks
        Files of its segmentations; there may be none.

    Examples
    --------
    >>> Study("p1_cine", "p1", (Path("p1/cine/1.dcm"), Path("p1/cine/2.dcm")), masks=()).masks
    ()
    """

    name: str
    patient: str
    paths: tuple[Path, ...]
    masks: tuple[Path, ...]


def prepare(source: Path, root: Path, *, patient: str | None = None, axis: int = 0) -> Corpus:
    """Make a corpus of all DICOM image series in `source` and its folders.

    A case is named by its files' folder, its patient by the PatientID. Classes are those of ``source/classes.toml``,
    or the segments' labels in the order in which they are found. Series without a SEG are cases without annotation.

    Parameters
    ----------
    source
        A folder with the files, in any folders.
    root
        A new or empty directory.
    patient
        Regular expression whose first group, found in a case's name, names the patient; None: the PatientID does.
    axis
        Array axis (0 to 2) along which slices are cut; 0: as they were acquired.

    Raises
    ------
    InputError
        If there is no series, or one is damaged or incomplete.

    Examples
    --------
    >>> Path("study").mkdir()
    >>> prepare(Path("study"), Path("corpus"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: study: no DICOM image series found in it; DICOM files have 'DICM' at byte 128
    """
    if not source.is_dir():
        raise InputError(f"{source}: no such folder")
    found = _studies(source, patient)
    names = _classes(source, found)
    bare = [study.name for study in found if not study.masks]
    if bare:
        print(f"{source}: without a SEG, so without annotation: {', '.join(bare[:5])}", file=sys.stderr)
    return Corpus.write(
        root,
        _cases(found, names, axis),
        name=source.resolve().name,
        classes=names,
        folds=folds,
        source="DICOM",
        axis=axis,
    )


def _studies(source: Path, pattern: str | None) -> list[Study]:
    scanned = series.scan(path for path in source.rglob("*") if path.is_file())
    series.tell(scanned, source)
    if not scanned.series:
        raise InputError(f"{source}: no DICOM image series found in it; DICOM files have 'DICM' at byte 128")
    of: dict[str, list[Path]] = {}
    for path in scanned.segmentations:
        uid = seg.referenced(path)
        if uid not in scanned.series:
            raise InputError(f"{path}: is a SEG of series {uid}, which is not in {source}; add the series")
        of.setdefault(uid, []).append(path)
    return sorted(
        (
            Study(name, _patient(paths[0], name, pattern), tuple(paths), tuple(of.get(uid, ())))
            for uid, (name, paths) in _named(source, scanned.series).items()
        ),
        key=lambda study: study.name,
    )


def _named(source: Path, found: Mapping[str, Sequence[Path]]) -> dict[str, tuple[str, Sequence[Path]]]:
    """Name each series by its folder, and by a number if the folder has several."""
    folders = {uid: _folder_name(source, paths[0].parent) for uid, paths in found.items()}
    taken: dict[str, int] = {}
    named = {}
    for uid, paths in found.items():
        name, number = folders[uid], taken.get(folders[uid], 0) + 1
        taken[name] = number
        several = list(folders.values()).count(name) > 1
        named[uid] = (f"{name}_{number}" if several else name, paths)
    return named


def _folder_name(source: Path, place: Path) -> str:
    parts = place.relative_to(source).parts or (source.resolve().name,)
    return re.sub(r"[^\w.-]+", "_", "_".join(parts))


def _patient(path: Path, name: str, pattern: str | None) -> str:
    if pattern is not None:
        return folder.named_patient(path, name, pattern)
    return series.patient(path) or name


def _classes(source: Path, found: Sequence[Study]) -> tuple[str, ...]:
    if (source / declared.FILE).is_file():
        return declared.read(source / declared.FILE).names
    labels = [name for study in found for path in study.masks for name in seg.names(path)]
    return tuple(dict.fromkeys(["background", *labels])) if labels else ("background", "structure")


def _cases(found: Sequence[Study], names: Sequence[str], axis: int) -> Iterator[Case]:
    for study in found:
        image = series.volume(study.paths)
        masks = [seg.read(path, image, names) for path in study.masks]
        dense = np.maximum.reduce(masks) if masks else None
        where = study.paths[0].parent
        yield pairs.case(study.name, study.patient, image, scribble=None, dense=dense, axis=axis, where=where)
