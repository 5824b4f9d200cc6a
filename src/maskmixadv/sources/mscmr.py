"""MSCMRseg late-gadolinium MRI with scribbles, in CycleMix's layout.

Sources: Zhuang, IEEE TPAMI 2019 (images, masks); Zhang and Zhuang, CVPR 2022 (scribbles).
"""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from maskmixadv.corpus.case import Case
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Split
from maskmixadv.corpus.scale import normalise
from maskmixadv.errors import InputError
from maskmixadv.files import work_ahead
from maskmixadv.formats import nifti
from maskmixadv.formats.slicing import Slicing, View, placed
from maskmixadv.formats.volume import Volume
from maskmixadv.sources import labels

CLASSES = ("background", "RV", "Myo", "LV")
UNLABELLED = 4
PARTS = {"train": "train", "val": "val", "TestSet": "test"}
"""Folders of the release, and the parts of a fold that they are."""


def prepare(source: Path, root: Path) -> Corpus:
    """Make a corpus of ``source/{train,val,TestSet}/{images,labels}``; a part may be missing.

    Its one scheme, ``release``, is one fold: the release's own parts.

    Parameters
    ----------
    source
        Folder of the release.
    root
        A new or empty directory.

    Raises
    ------
    InputError
        If no case is found, or one is damaged or mislabelled.

    Examples
    --------
    >>> import nibabel as nib
    >>> rng, masks = np.random.default_rng(0), np.zeros((16, 16, 3), np.uint8)
    >>> masks[4:8, 4:8] = 3
    >>> for name, array in (("images/s1_DE", rng.random((16, 16, 3))), ("labels/s1_DE_manual", masks)):
    ...     Path("train", name).parent.mkdir(parents=True)
    ...     nib.save(nib.Nifti1Image(array, np.diag([1, 1, 10, 1])), Path("train", f"{name}.nii.gz"))
    >>> corpus = prepare(Path(), Path("corpus"))
    >>> corpus.entries[0].patient, corpus.split("release", 1).train
    ('s1', ('s1',))
    """
    if not source.is_dir():
        raise InputError(f"{source}: no such folder")
    found = {part: sorted((source / folder / "images").glob("*.nii*")) for folder, part in PARTS.items()}
    if not any(found.values()):
        raise InputError(f"{source}: no MSCMR case found, looked for {'|'.join(PARTS)}/images/*.nii.gz")
    split = Split(**{part: tuple(_patient(path) for path in paths) for part, paths in found.items()})
    images = [path for paths in found.values() for path in paths]
    slicing = Slicing(radiological=placed(map(nifti.header, images)))
    return Corpus.write(
        root,
        _cases(images, slicing),
        name="MSCMR",
        classes=CLASSES,
        folds={"release": (split,)},
        source="MSCMRseg (Zhuang 2019), scribbles of Zhang and Zhuang 2022; research use",
        radiological=slicing.radiological,
    )


def _cases(paths: list[Path], slicing: Slicing) -> Iterator[Case]:
    yield from work_ahead(partial(_case, slicing=slicing), paths, threads=os.cpu_count() or 1)


def _patient(path: Path) -> str:
    return nifti.stem(path).removesuffix("_DE")


def _case(path: Path, slicing: Slicing) -> Case:
    stored = nifti.read_grey(path)
    view = slicing.along(slicing.axis, stored.header)
    volume, place = stored.seen(view), path.parent.parent / "labels"
    scribble, dense = (_labels(place, path, kind, stored, view) for kind in ("scribble", "manual"))
    if scribble is None and dense is None:
        raise InputError(f"{path}: neither a _scribble nor a _manual file in {place}, one is needed")
    return Case(
        name=nifti.stem(path),
        patient=_patient(path),
        image=np.ascontiguousarray(normalise(volume.array, where=str(path)))[None],
        scribble=scribble,
        dense=dense,
        spacing=volume.spacing,
        affine=volume.affine,
    )


def _labels(folder: Path, where: Path, kind: str, image: Volume, view: View) -> np.ndarray | None:
    for suffix in nifti.SUFFIXES:
        path = folder / f"{nifti.stem(where)}_{kind}{suffix}"
        if path.is_file():
            ignore = UNLABELLED if kind == "scribble" else None
            return np.ascontiguousarray(view.seen(labels.with_codes(path, len(CLASSES), ignore, where, image)))
    return None
