"""A corpus of DICOM series, with segmentations (SEG) as dense masks."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from maskmixadv.corpus.case import Case
from maskmixadv.corpus.channels import COLOURS, ONE, Channel, in_colour, own
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.folds import folds
from maskmixadv.errors import InputError, counted, listed, say
from maskmixadv.formats import dicom_frames, dicom_pictures, image_files, seg, series
from maskmixadv.formats.slicing import Slicing
from maskmixadv.formats.volume import Volume
from maskmixadv.sources import classes as declared
from maskmixadv.sources import folder, pairs
from maskmixadv.spelling import folded


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

    @property
    def picture(self) -> Path | None:
        """The file, if the image is a picture."""
        return self.paths[0] if len(self.paths) == 1 and dicom_pictures.is_picture(self.paths[0]) else None


def prepare(source: Path, root: Path, *, patient: str | None = None, axis: int = 0) -> Corpus:
    """Make a corpus of all DICOM image series in `source` and its folders, or of all pictures.

    A case is named by its files' folder, or by its file where that is a multi-frame one beside others, and its patient
    by the PatientID. Classes are those of ``source/classes.toml``, or the segments' labels in the order in which they
    are found. Series without a SEG are cases without annotation, and one whose SEG is empty is a case without a
    structure. Phases of one series are a case each if each has its folder or its multi-frame file.

    Each picture (X-ray, ultrasound, secondary capture, photograph) is a case of one slice, which its file names.
    Pictures beside series are taken only if they have a SEG: as a rule they are screenshots and reports of a dose, and
    a network learns nothing of a volume from them.

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
        say(f"{source}: without a SEG, so without annotation: {listed(bare)}")
    if len(bare) == len(found):  # nothing can be learnt from such a corpus, and it can't be drawn in
        draw = f"put its series into {folder.IMAGES}/ of a folder and open it by 'maskmixadv studio FOLDER'"
        say(f"{source}: nobody drew in it; to draw strokes, {draw}")
    channels = _channels(source, found)
    notes = dict[str, list[str]]()
    corpus = _written(root, source, found, names, axis, channels, notes)
    for note, cases in notes.items():
        say(f"{source}: {note} in {listed(cases)}")
    return corpus


def _written(
    root: Path,
    source: Path,
    found: Sequence[Study],
    names: Sequence[str],
    axis: int,
    channels: Sequence[Channel],
    notes: dict[str, list[str]],
) -> Corpus:
    return Corpus.write(
        root,
        _cases(found, names, Slicing(axis, radiological=True), channels, notes),
        name=source.resolve().name,
        classes=names,
        folds=folds,
        source="DICOM",
        axis=axis,
        radiological=True,
        channels=channels,
    )


def _channels(source: Path, found: Sequence[Study]) -> tuple[Channel, ...]:
    """Return the channels: as ``classes.toml`` says, those of colours if a picture has some, else one.

    That one is a CT if this is the Modality of all series; numbers of a picture are never Hounsfield units.
    """
    pictures = [study.picture for study in found if study.picture]
    said = declared.channels(source / declared.FILE)
    seen = COLOURS if len(said) != 1 and any(map(image_files.coloured, pictures)) else ONE
    if said:
        if len(said) > 1 and not (len(said) == len(COLOURS) == len(seen) and said[0].kind == "RGB"):
            has = "red, green and blue" if len(seen) > 1 else "those of DICOM series are 1"
            raise InputError(f"{source / declared.FILE}: says {counted(len(said), 'channel')}, {has}")
        return own(said)
    if len(seen) > 1:
        return own(seen)
    modalities = Counter("picture" if study.picture else series.modality(study.paths[0]) for study in found)
    if "CT" in modalities and len(modalities) > 1:
        told = ", ".join(f"{name or 'not said'} ({count})" for name, count in sorted(modalities.items()))
        say(f"{source}: Modality is {told}: each volume is scaled by its own range")
    return (Channel("CT", "CT"),) if set(modalities) == {"CT"} else own(ONE)


def _studies(source: Path, pattern: str | None) -> list[Study]:
    found = series.scan(path for path in _below(source) if _is_data(path, source))
    empty = not found.series and not found.pictures
    instead = series.found_instead(found) if empty and _holds_dicom(found) else ""
    if not instead:  # else the error says it
        series.tell(found, source)
    if empty:
        instead = instead or "DICOM files have 'DICM' at byte 128"
        raise InputError(f"{source}: no DICOM image series found in it; {instead}")
    volumes = {uid: series.by_place(paths) for uid, paths in found.series.items()}
    for uid, parts in volumes.items():
        if len(parts) > 1:
            kind = "file" if len(parts) > len({part[0].parent for part in parts}) else "folder"
            say(f"{source}: series {uid} has slices at one place in {len(parts)} {kind}s; each {kind} is a case")
    volumes |= {uid: [[path] for path in paths] for uid, paths in found.pictures.items()}
    masks = _masks(source, found.segmentations, volumes)
    bare = [path for uid, paths in found.pictures.items() for n, path in enumerate(paths) if (uid, n) not in masks]
    if found.series and bare:
        apart = "prepare them apart, if they are meant"
        say(f"{source}: passed over, as pictures without a SEG beside series: {series.listed_files(bare)}; {apart}")
    studies = []
    for name, uid, number in _named(source, volumes):
        paths = tuple(volumes[uid][number])
        if found.series and paths[0] in bare:
            continue
        studies.append(Study(name, _patient(paths[0], name, pattern), paths, tuple(masks[uid, number])))
    return sorted(studies, key=lambda study: study.name)


def _holds_dicom(found: series.Scan) -> bool:
    return bool(found.segmentations or found.others or found.films)


def _below(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and below it, also those in linked folders, each folder once."""
    known = {os.path.realpath(folder)}
    for place, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if os.path.realpath(Path(place, name)) not in known)
        known.update(os.path.realpath(Path(place, name)) for name in folders)
        yield from (Path(place, name) for name in sorted(files))


def _is_data(path: Path, source: Path) -> bool:
    """Whether a path is a file that may belong to a study: neither in a hidden folder nor the file of classes."""
    inside = path.relative_to(source).parts
    hidden = any(part.startswith(".") for part in inside[:-1])
    return path.is_file() and not hidden and inside != (declared.FILE,)


def _masks(
    source: Path, segmentations: Sequence[Path], volumes: Mapping[str, Sequence[Sequence[Path]]]
) -> Mapping[tuple[str, int], list[Path]]:
    """Find the segmentations of each volume, which is one of a series."""
    of: dict[tuple[str, int], list[Path]] = defaultdict(list)
    for path in segmentations:
        uid = seg.referenced(path)
        if uid is None:
            raise InputError(f"{path}: is a SEG that does not say of which series (ReferencedSeriesSequence); mend it")
        if uid not in volumes:
            raise InputError(f"{path}: is a SEG of series {uid}, which is not in {source}; add the series")
        of[uid, _drawn_on(path, volumes[uid])].append(path)
    return of


def _drawn_on(path: Path, volumes: Sequence[Sequence[Path]]) -> int:
    """Return which of a series' volumes a segmentation was drawn on, by the slices that it lists."""
    if len(volumes) == 1:
        return 0
    listed = seg.instances(path)
    for number, paths in enumerate(volumes):
        if listed and listed <= {series.instance(each) for each in paths}:
            return number
    folders = ", ".join(dict.fromkeys(str(paths[0].parent) for paths in volumes))
    raise InputError(f"{path}: is a SEG of slices that are in none of {folders}, or in several; put it right")


def _named(source: Path, volumes: Mapping[str, Sequence[Sequence[Path]]]) -> list[tuple[str, str, int]]:
    """Name each volume by its folder, with its series and place in it; of several in a folder, each has a number.

    Where a folder has several volumes, one that is a multi-frame file has its name; pictures have theirs always.
    """
    folders = Counter(
        paths[0].parent for parts in volumes.values() for paths in parts if not dicom_pictures.is_picture(paths[0])
    )
    places = [
        (_folder_name(source, _place(paths, alone=folders[paths[0].parent] == 1)), uid, n)
        for uid in volumes
        for n, paths in enumerate(volumes[uid])
    ]
    count, taken = Counter(name for name, _, _ in places), Counter[str]()
    named = []
    for name, uid, number in places:
        taken[name] += 1
        named.append((f"{name}_{taken[name]}" if count[name] > 1 else name, uid, number))
    return named


def _place(paths: Sequence[Path], *, alone: bool) -> Path:
    """Return what a volume is called by: its folder, or its one multi-frame file or picture."""
    first, *others = paths
    if not others and dicom_pictures.is_picture(first):
        return first.with_name(image_files.stem(first))
    if alone or others or not dicom_frames.is_volume(first):
        return first.parent
    return first.with_name(image_files.stem(first))


def _folder_name(source: Path, place: Path) -> str:
    parts = place.relative_to(source).parts or (source.resolve().name,)
    return re.sub(r"[^\w.-]+", "_", "_".join(parts))


def _patient(path: Path, name: str, pattern: str | None) -> str:
    if pattern is not None:
        return folder.named_patient(path, name, pattern)
    return series.patient(path) or name


def _classes(source: Path, found: Sequence[Study]) -> tuple[str, ...]:
    toml = source / declared.FILE
    if toml.is_file():
        classes = declared.read(toml)
        if classes != declared.coded(classes.names, range(len(classes.names)), None, str(toml)):
            say(f"{toml}: its codes and its ignore are not used, as a SEG's segments have names")
        return classes.names
    labels = [name for study in found for path in study.masks for name in seg.names(path)]
    spelled = {declared.BACKGROUND: declared.BACKGROUND}
    for name in labels:
        spelled.setdefault(folded(name), name)
    if more := sorted(set(labels) - set(spelled.values())):
        say(f"{source}: segments whose names differ in spelling alone are one class: {listed(more)}")
    return tuple(spelled.values()) if labels else ("background", "structure")


def _cases(
    found: Sequence[Study],
    names: Sequence[str],
    slicing: Slicing,
    channels: Sequence[Channel],
    notes: dict[str, list[str]],
) -> Iterator[Case]:
    """Yield the cases; what was done with an image is added to `notes`, with the case's name."""
    for study in found:
        stored = series.volume(study.paths)
        image = in_colour(stored, channels)
        became = ["grey becomes red, green and blue"] if image is not stored else []
        became += ["colours become grey"] if stored.coloured and len(channels) == 1 else []
        for note in (*stored.notes, *became):
            notes.setdefault(note, []).append(study.name)
        dense = _united(study, image, names) if study.masks else None
        where = study.picture or study.paths[0].parent
        view = slicing.along(slicing.axis, image.header)
        yield pairs.case(
            study.name, study.patient, image, scribble=None, dense=dense, view=view, channels=channels, where=where
        )


def _united(study: Study, image: Volume, names: Sequence[str]) -> UInt8[np.ndarray, "d h w"]:
    """Return the labels of a study's segmentations, which may share neither a voxel nor a segment."""
    whole = np.zeros(image.array.shape, np.uint8)
    of: dict[int, Path] = {}
    for path in study.masks:
        labels = seg.read(path, image, names)
        for code in np.unique(labels[labels > 0]).tolist():
            if code in of:
                said = f"segment {names[code]!r} is drawn in {of[code]}, too"
                raise InputError(f"{path}: {said}; keep one of the files, or name their segments apart")
            of[code] = path
        both = (whole > 0) & (labels > 0)
        if both.any():
            mine, other = int(labels[both][0]), int(whole[both][0])
            said = f"segment {names[mine]!r} overlaps {names[other]!r} of {of[other]}"
            raise InputError(f"{path}: {said}, allowed is one class a voxel; cut one out of the other")
        whole = np.maximum(whole, labels)
    return whole
