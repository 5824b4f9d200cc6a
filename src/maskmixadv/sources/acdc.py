"""ACDC cine MRI with scribbles, in the layout of the pre-processed HDF5 release or in the challenge's NIfTI layout.

Sources: Bernard et al., IEEE TMI 2018 (images, masks); Valvano et al., IEEE TMI 2021 (scribbles); the HDF5
layout is WSL4MIS's.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from maskmixadv.corpus.case import Case, recode
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Split
from maskmixadv.corpus.scale import normalise
from maskmixadv.errors import InputError, counted, listed, say
from maskmixadv.formats import apart, nifti
from maskmixadv.formats.reading import Declared, check_size, existing
from maskmixadv.processes import process_pool
from maskmixadv.sources import labels
from maskmixadv.types import Spacing

CLASSES = ("background", "RV", "Myo", "LV")
UNLABELLED = 4
ARRAYS: Final = ("image", "scribble", "label")
"""What is read of an HDF5 file."""
KIND: Final = "HDF5 case with image, scribble and label"
NOMINAL: Spacing = (10.0, 1.0, 1.0)
"""Spacing that the literature's tables assume, as the HDF5 release does not have it."""
DISEASES = ("DCM", "HCM", "MINF", "NOR", "RV")
"""Groups of ACDC's patients 1-20, 21-40, 41-60, 61-80, 81-100; of the test set's 101-150 their names say none."""
FIELD_TEST = (5, 10, 24, 30, 36, 39, 41, 60, 64, 72, 73, 77, 78, 80, 82)
"""Test patients of the 70/15/15 split (MAAG, CycleMix, ShapePU and later)."""
FIELD_VAL = (1, 17, 18, 22, 25, 27, 32, 44, 49, 57, 79, 81, 84, 95, 96)

_Read = tuple[Case, Counter[str]]
"""A case, and in how many of its files something lies that is not used, by its name."""
_FRAME = re.compile(r"(patient(\d{3}))_frame\d{2}")
_SLICE = re.compile(_FRAME.pattern + r"_slice_(\d+)")


def prepare(source: Path, root: Path) -> Corpus:
    """Make a corpus of the ACDC release in `source`.

    Parameters
    ----------
    source
        A folder with ``patientXXX_frameYY.h5`` volumes or ``…_slice_K.h5`` slices (or their parent), or with
        ``patientXXX/patientXXX_frameYY.nii.gz`` beside ``…_gt.nii.gz`` and ``…_scribble.nii.gz``.
    root
        A new or empty directory.

    Raises
    ------
    InputError
        If no case is found, or one is damaged or mislabelled.

    Examples
    --------
    >>> import h5py
    >>> rng, masks = np.random.default_rng(0), np.zeros((3, 16, 16), np.uint8)
    >>> masks[:, 4:8, 4:8] = 3
    >>> for frame in ("01", "12"):
    ...     with h5py.File(f"patient001_frame{frame}.h5", "w") as file:
    ...         file["image"] = rng.random((3, 16, 16))
    ...         file["label"], file["scribble"] = masks, np.where(masks > 0, masks, UNLABELLED)
    >>> corpus = prepare(Path(), Path("corpus"))
    >>> [(entry.name, entry.phase, entry.group) for entry in corpus.entries]
    [('patient001_frame01', 'ED', 'DCM'), ('patient001_frame12', 'ES', 'DCM')]
    """
    if not source.is_dir():
        raise InputError(f"{source}: no such folder")
    jobs = _find(source)
    if not jobs:
        raise InputError(
            f"{source}: no ACDC case found, looked for patientXXX_frameYY.h5, …_slice_K.h5 and …_frameYY.nii.gz"
        )
    patients, unused = sorted({_parts(name)[0] for name in jobs}), Counter[str]()
    first = {patient: min(name for name in jobs if name.startswith(patient)) for patient in patients}
    with process_pool() as pool:
        corpus = Corpus.write(
            root,
            # A patient's first frame is end-diastole, the second end-systole: in all 100, by the ventricle's volume.
            (
                replace(case, phase="ED" if case.name == first[case.patient] else "ES")
                for case in _counted(pool.map(_run, jobs.values(), chunksize=4), unused)
            ),
            name="ACDC",
            classes=CLASSES,
            folds=folds(patients),
            nominal=NOMINAL,
            source="ACDC (Bernard et al. 2018), scribbles of Valvano et al. 2021; CC BY-NC-SA 4.0, research use",
        )
    if unused:
        said = f"{listed(sorted(unused))} of {counted(max(unused.values()), 'HDF5 file')}"
        say(f"{source}: {said} are not used, allowed are arrays image, scribble and label")
    return corpus


def _counted(read: Iterable[_Read], unused: Counter[str]) -> Iterator[Case]:
    """Yield cases, and count in how many files something lies that is not used."""
    for case, more in read:
        unused.update(more)
        yield case


def folds(patients: Sequence[str]) -> dict[str, tuple[Split, ...]]:
    """Make folds of ACDC's 100 training patients, or of some of them.

    Parameters
    ----------
    patients
        Names ``patientXXX``, sorted.

    Returns
    -------
    Four schemes. ``paper`` tests patients 1-20, …, 81-100, so that each fold holds out one disease. ``stratified``
    tests every fifth patient, so that each fold tests all diseases. In these two, validation is a tenth of the other
    patients, spread over the diseases. ``field`` is the one split 70/15/15 that later papers use. ``disease`` tests
    what ``paper`` tests, and validates on all patients of the next disease: they differ from the training patients as
    test patients do.

    Examples
    --------
    >>> made = folds([f"patient{number:03d}" for number in range(1, 101)])
    >>> {scheme: [tuple(map(len, fold)) for fold in splits[:1]] for scheme, splits in made.items()}
    {'paper': [(72, 8, 20)], 'stratified': [(72, 8, 20)], 'disease': [(60, 20, 20)], 'field': [(70, 15, 15)]}
    >>> made["stratified"][0].test[:3]
    ('patient001', 'patient006', 'patient011')
    """
    number = {patient: int(patient[-3:]) for patient in patients}
    paper = [{p for p in patients if (number[p] - 1) // 20 == fold} for fold in range(5)]
    stratified = [{p for p in patients if (number[p] - 1) % 5 == fold} for fold in range(5)]
    made = {
        "paper": tuple(_hold_out(patients, test) for test in paper),
        "stratified": tuple(_hold_out(patients, test) for test in stratified),
        "disease": tuple(_split(patients, val, test) for val, test in zip([*paper[1:], paper[0]], paper, strict=True)),
    }
    test, val = ({p for p in patients if number[p] in chosen} for chosen in (FIELD_TEST, FIELD_VAL))
    made["field"] = (_split(patients, val, test),)
    return made


def _hold_out(patients: Sequence[str], test: set[str]) -> Split:
    rest = [p for p in patients if p not in test]
    return _split(patients, set(rest[4::10]), test)


def _split(patients: Sequence[str], val: set[str], test: set[str]) -> Split:
    return Split(tuple(p for p in patients if p not in val | test), tuple(sorted(val)), tuple(sorted(test)))


def _find(source: Path) -> dict[str, Callable[[], _Read]]:
    """Return readers of the cases in `source` by name; volumes are preferred to slices, HDF5 to NIfTI."""
    if volumes := _named(source, "*.h5", _FRAME):
        return {name: partial(_read_volume, path) for name, path in volumes.items()}
    if parts := _named(source, "*.h5", _SLICE):
        slices: dict[str, list[Path]] = defaultdict(list)
        for name, path in parts.items():
            slices[name.rsplit("_slice_", 1)[0]].append(path)
        return {name: partial(_read_slices, name, paths) for name, paths in slices.items()}
    return {name: partial(_read_nifti, path) for name, path in _named(source, "*.nii*", _FRAME).items()}


def _named(source: Path, ending: str, pattern: re.Pattern[str]) -> dict[str, Path]:
    """Return files whose name without suffix matches `pattern`, by that name, sorted.

    Raises
    ------
    InputError
        If two files have one name.
    """
    found: dict[str, Path] = {}
    for path in sorted(source.rglob(ending)):
        name = nifti.stem(path)
        if not pattern.fullmatch(name):
            continue
        if name in found:
            raise InputError(f"{path}: a case {name!r} is in {found[name].parent} too; names must be unique")
        found[name] = path
    return found


def _run(job: Callable[[], _Read]) -> _Read:
    return job()


def _parts(name: str) -> tuple[str, int]:
    match = _FRAME.match(name)
    if match is None:
        raise InputError(f"{name}: not an ACDC name, allowed is patientXXX_frameYY")
    return match[1], int(match[2])


def _read_volume(path: Path) -> _Read:
    unused = Counter[str]()
    image, scribble, dense = _read_h5(path, unused)
    scribble, dense = _coded(scribble, UNLABELLED, path), _coded(dense, None, path)
    return _case(path.stem, image=image, scribble=scribble, dense=dense), unused


def _read_slices(name: str, paths: Sequence[Path]) -> _Read:
    ordered = sorted(paths, key=_number)
    for one, other in pairwise(ordered):
        if (step := _number(other) - _number(one)) != 1:
            said = "has the number of" if step == 0 else f"is {step} after"
            raise InputError(
                f"{other}: {said} {one.name}, allowed is each number once, without gaps; add what is missing"
            )
    unused = Counter[str]()
    read = [_read_h5(path, unused) for path in ordered]
    shapes = {image.shape for image, _, _ in read}
    if len(shapes) > 1:
        raise InputError(f"{ordered[0].parent}/{name}_slice_*.h5: slices have shapes {sorted(shapes)}, must be equal")
    image, scribble, dense = (np.stack(arrays) for arrays in zip(*read, strict=True))
    first = ordered[0]
    scribble, dense = _coded(scribble, UNLABELLED, first), _coded(dense, None, first)
    return _case(name, image=image, scribble=scribble, dense=dense), unused


def _number(path: Path) -> int:
    return int(path.stem.rsplit("_", 1)[1])


def _read_h5(path: Path, unused: Counter[str] | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read the three arrays of a file; names of what else it holds are counted in `unused`, each once."""
    more = set[str]()
    image, scribble, dense = (_dataset(existing(path), key, more) for key in ARRAYS)
    if unused is not None:
        unused.update(more)
    return image, scribble, dense


def _dataset(path: Path, key: str, more: set[str]) -> np.ndarray:
    """Read an array, once its size is known not to be too large; names of what is not used are added to `more`."""
    with apart.reader() as reader:
        told = reader.header(path, KIND, {"hdf5": str(path.absolute()), "name": key})
        dtype = np.dtype(told["kind"])
        for shape in (told["chunks"], told["shape"]):
            check_size(path, Declared(tuple(shape), dtype.itemsize), KIND)
        array = np.empty(told["shape"], dtype)
        reader.values(path, KIND, array)
    more.update(f"{key}: {name}" for name in told["attributes"])
    more.update(name for name in told["beside"] if name not in ARRAYS)
    return array


def _read_nifti(path: Path) -> _Read:
    volume = nifti.read_grey(path)
    name = nifti.stem(path)
    found = {
        kind: labels.with_codes(other, len(CLASSES), unlabelled, path, volume)
        for kind, ending, unlabelled in (("scribble", "_scribble", UNLABELLED), ("dense", "_gt", None))
        if (other := path.with_name(path.name.replace(name, name + ending))).is_file()
    }
    if not found:
        raise InputError(f"{path}: neither {name}_scribble nor {name}_gt beside it, one is needed")
    case = _case(
        name,
        image=normalise(volume.array, where=str(path)),
        scribble=found.get("scribble"),
        dense=found.get("dense"),
        spacing=volume.spacing,
        affine=volume.affine,
    )
    return case, Counter[str]()


def _coded(codes: np.ndarray, ignore: int | None, path: Path) -> np.ndarray:
    return recode(codes, classes=len(CLASSES), ignore=ignore, where=str(path))


def _case(
    name: str,
    *,
    image: np.ndarray,
    scribble: np.ndarray | None,
    dense: np.ndarray | None,
    spacing: Spacing | None = None,
    affine: np.ndarray | None = None,
) -> Case:
    patient, number = _parts(name)
    return Case(
        name=name,
        patient=patient,
        image=np.ascontiguousarray(image, dtype=np.float32)[None],
        scribble=None if scribble is None else np.ascontiguousarray(scribble),
        dense=None if dense is None else np.ascontiguousarray(dense),
        spacing=spacing,
        affine=affine,
        group=DISEASES[(number - 1) // 20] if 1 <= number <= 20 * len(DISEASES) else None,
    )
