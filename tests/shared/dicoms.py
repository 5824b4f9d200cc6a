"""DICOM series and segmentations of arrays, with whatever a test wants to be odd."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, RTStructureSetStorage, generate_uid

import tiny
from maskmixadv.formats import series

OBLIQUE = ((0.8, 0.6, 0.0), (-0.36, 0.48, 0.8))
"""Directions along a row and along a column."""
AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
Change = Callable[[int, FileDataset], None]


def write_series(
    folder: Path, array: np.ndarray, *, directions: Any = OBLIQUE, gap: float = 6.0, patient: str = "p", seed: int = 0,
    change: Change | None = None,
) -> Path:  # fmt: skip
    """Write a series whose slice 0 lies lowest along the normal, in files of random names and numbers."""
    folder.mkdir(parents=True, exist_ok=True)
    study, uid, frame = generate_uid(), generate_uid(), generate_uid()
    normal = np.cross(*directions)
    names = np.random.default_rng(seed).permutation(len(array))
    for number, pixels in enumerate(array):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = MRImageStorage, generate_uid()
        one = FileDataset(str(folder / "x"), {}, file_meta=meta, preamble=b"\0" * 128)
        one.SOPClassUID, one.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = study, uid, frame
        one.PatientID, one.PatientName, one.PatientBirthDate, one.PatientSex = patient, "A^B", "", ""
        one.Modality, one.StudyID, one.SeriesNumber, one.AccessionNumber = "MR", "1", 1, ""
        one.StudyDate, one.StudyTime, one.ReferringPhysicianName = "20200101", "120000", ""
        one.InstanceNumber = int(names[number]) + 1
        one.Rows, one.Columns = pixels.shape
        one.PixelSpacing, one.SliceThickness = [0.9, 0.7], 5.0
        one.ImageOrientationPatient = [*directions[0], *directions[1]]
        one.ImagePositionPatient = (np.array([-31.0, 12.5, 40.0]) + number * gap * normal).tolist()
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 0
        one.PixelData = pixels.astype(np.uint16).tobytes()
        if change:
            change(number, one)
        one.save_as(folder / f"IM{names[number]:04d}", enforce_file_format=True)
    return folder


def pixels(seed: int = 0, shape: tuple[int, int, int] = (5, 7, 4)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 900, shape).astype(np.uint16)


def write_seg(path: Path, folder: Path, labels: np.ndarray, names: tuple[str, ...] = tiny.CLASSES) -> None:
    series.read(folder).geometry.write_labels(path, labels, names)


def write_contours(path: Path, folder: Path) -> Path:
    """Write an RTSTRUCT with one structure, as drawn on the series in `folder`."""
    one = pydicom.dcmread(next(each for each in sorted(folder.iterdir()) if each.is_file()))
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = RTStructureSetStorage, generate_uid()
    made = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.PatientID, made.StudyInstanceUID, made.SeriesInstanceUID = one.PatientID, one.StudyInstanceUID, generate_uid()
    made.Modality, made.StructureSetLabel, made.StructureSetROISequence = "RTSTRUCT", "heart", [Dataset()]
    made.StructureSetROISequence[0].ROIName = "LV"
    made.save_as(path, enforce_file_format=True)
    return path


def packed(source: Path, path: Path, *, inside: str = "study/se1") -> Path:
    """Pack a series as people do: in folders, with what a system leaves there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(source.glob("[!.]*")):
            archive.write(file, f"{inside}/{file.name}")
        archive.writestr("__MACOSX/study/._IM0000", b"\0" * 200)
        archive.writestr(f"{inside}/.DS_Store", b"x")
    return path
