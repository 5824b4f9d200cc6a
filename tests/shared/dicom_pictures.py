"""DICOM pictures of arrays: X-rays, ultrasound, secondary captures, with whatever a test wants to be odd."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, generate_uid

CR, DX, MG = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.5.1.4.1.1.1.2"
US, CINE, SC = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.3.1", "1.2.840.10008.5.1.4.1.1.7"
XA, PHOTO, CT = "1.2.840.10008.5.1.4.1.1.12.1", "1.2.840.10008.5.1.4.1.1.77.1.4", "1.2.840.10008.5.1.4.1.1.2"
MODALITIES = {CR: "CR", DX: "DX", MG: "MG", US: "US", CINE: "US", SC: "OT", XA: "XA", PHOTO: "XC", CT: "CT"}
Whole = Callable[[FileDataset], None]


def write_picture(
    path: Path, array: np.ndarray, *, uid: str = CR, shown: str = "", patient: str = "p", series: str = "",
    change: Whole | None = None,
) -> Path:  # fmt: skip
    """Write ``h w`` grey or ``h w 3`` colours of 8 or 16 bits as a picture without a place; frames as a film."""
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(uid), generate_uid()
    made = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.StudyInstanceUID, made.SeriesInstanceUID = generate_uid(), series or generate_uid()
    made.PatientID, made.PatientName, made.PatientBirthDate, made.PatientSex = patient, "A^B", "", ""
    made.Modality, made.StudyID, made.SeriesNumber, made.AccessionNumber = MODALITIES[uid], "1", 1, ""
    made.StudyDate, made.StudyTime, made.ReferringPhysicianName, made.InstanceNumber = "20200101", "120000", "", 1
    coloured = array.shape[-1] == 3
    frames = array.shape[:-3] if coloured else array.shape[:-2]
    if frames:
        made.NumberOfFrames = frames[0]
    made.Rows, made.Columns = array.shape[len(frames) :][:2]
    made.SamplesPerPixel = 3 if coloured else 1
    made.PhotometricInterpretation = shown or ("RGB" if coloured else "MONOCHROME2")
    if coloured:
        made.PlanarConfiguration = 0
    made.BitsAllocated = made.BitsStored = 8 * array.dtype.itemsize
    made.HighBit, made.PixelRepresentation = made.BitsStored - 1, int(array.dtype.kind == "i")
    made.PixelData = array.tobytes()
    if change:
        change(made)
    made.save_as(path, enforce_file_format=True)
    return path


def region(one: FileDataset, *, tall: float, wide: float, unit: int = 3) -> None:
    """Say millimetres of an ultrasound region; a delta is in cm."""
    item = Dataset()
    item.RegionSpatialFormat, item.PhysicalUnitsXDirection, item.PhysicalUnitsYDirection = 1, unit, unit
    item.PhysicalDeltaX, item.PhysicalDeltaY = wide, tall
    one.SequenceOfUltrasoundRegions = [*one.get("SequenceOfUltrasoundRegions", ()), item]


def most_significant_first(path: Path) -> Path:
    """Write a picture or film again, its words with the most significant byte first; a palette lies in words, too."""
    big = pydicom.dcmread(path)
    kinds = (f"{kind}{colour}" for kind in ("", "Segmented") for colour in ("Red", "Green", "Blue"))
    for name in (f"{kind}PaletteColorLookupTableData" for kind in kinds):
        if name in big:
            big[name].value = np.frombuffer(big[name].value, np.uint16).byteswap().tobytes()
    big.PixelData = np.frombuffer(big.PixelData, np.uint16).byteswap().tobytes()
    big.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    pydicom.dcmwrite(path, big, implicit_vr=False, little_endian=False, force_encoding=True)
    return path


def lossless(path: Path) -> Path:
    """Pack a picture's pixels as JPEG Lossless, as most archives do: GDCM does it, and pydicom can't."""
    writer = SimpleITK.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    writer.SetFileName(str(path.with_name("packed.dcm")))
    writer.UseCompressionOn()
    writer.SetCompressor("JPEG")
    writer.Execute(SimpleITK.ReadImage(str(path)))
    return path.with_name("packed.dcm").replace(path)


def grey(seed: int = 0, shape: tuple[int, int] = (32, 40)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 900, shape).astype(np.uint16)


def colours(seed: int = 0, shape: tuple[int, int] = (32, 40)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3)).astype(np.uint8)
