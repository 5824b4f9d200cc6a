"""Enhanced multi-frame DICOM files made of classic series, so that both hold the same slices."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

MR, CT = "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.2.1"
GROUPS = {
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    "PixelValueTransformationSequence": ("RescaleIntercept", "RescaleSlope", "RescaleType"),
}
"""Functional groups, and what is in them of a classic slice's header."""
Frame = Callable[[int, Dataset], None]


def classic(folder: Path) -> list[FileDataset]:
    """Return the slices of a classic series, the lowest along their normal first."""
    found = [pydicom.dcmread(path) for path in folder.iterdir()]
    along = np.array(found[0].ImageOrientationPatient, float).reshape(2, 3)
    normal = np.cross(along[0], along[1])
    return sorted(found, key=lambda one: float(normal @ np.array(one.ImagePositionPatient, float)))


def write_enhanced(
    path: Path, slices: Sequence[FileDataset], *, uid: str = MR, shared: Sequence[str] = ("PlaneOrientationSequence",),
    seed: int = 0, frame: Frame | None = None, whole: Callable[[FileDataset], None] | None = None,
) -> Path:  # fmt: skip
    """Write slices as frames of one file, in a random order.

    Parameters
    ----------
    path, slices
        The file, and its slices as `classic` returns them.
    uid
        SOPClassUID.
    shared
        Groups that are said once for all frames; the others are repeated for each.
    frame
        Changes a frame's groups; it gets the number of its slice.
    whole
        Changes the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    first = slices[0]
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(uid), generate_uid()
    made = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    inside = {name for names in GROUPS.values() for name in names}
    for element in first:
        if element.keyword not in {*inside, "PixelData", "NumberOfFrames"}:
            made[element.tag] = element
    made.SOPClassUID, made.SOPInstanceUID = uid, meta.MediaStorageSOPInstanceUID
    made.SeriesInstanceUID, made.NumberOfFrames = generate_uid(), len(slices)
    made.ContentDate, made.ContentTime, made.ImageType = "20200101", "120000", ["ORIGINAL", "PRIMARY", "M", "NONE"]
    made.SharedFunctionalGroupsSequence = [Dataset()]
    made.PerFrameFunctionalGroupsSequence = []
    for name in shared:
        setattr(made.SharedFunctionalGroupsSequence[0], name, [_item(first, name)])
    order = np.random.default_rng(seed).permutation(len(slices)).tolist()
    for at in order:
        group = Dataset()
        for name in GROUPS:
            if name not in shared and len(item := _item(slices[at], name)):
                setattr(group, name, [item])
        content = Dataset()
        content.StackID, content.InStackPositionNumber = "1", at + 1
        group.FrameContentSequence = [content]
        if frame:
            frame(at, group)
        made.PerFrameFunctionalGroupsSequence.append(group)
    made.PixelData = b"".join(slices[at].PixelData for at in order)
    if whole:
        whole(made)
    made.save_as(path, enforce_file_format=True)
    return path


def within(group: Dataset, name: str, **values: Any) -> None:
    """Say something in the functional group `name` of a frame."""
    if name not in group:
        setattr(group, name, [Dataset()])
    for key, value in values.items():
        setattr(group[name].value[0], key, value)


def _item(one: Dataset, name: str) -> Dataset:
    item = Dataset()
    for key in GROUPS[name]:
        if key in one:
            item[key] = one[key]
    return item
