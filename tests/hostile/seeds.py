"""Small right files of every format that is read, and who reads them."""

import gzip
import io
import json
import random
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import nibabel as nib
import numpy as np
import pydicom
import SimpleITK
import tifffile
import torch
from nibabel.nifti1 import Nifti1Extension
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage, RLELossless

import mutate
import own
import tiny
from dicom_pictures import SC, US, colours, grey, lossless, write_picture
from enhanced import GROUPS, classic, write_enhanced
from maskmixadv.bench import filed, table
from maskmixadv.evaluation import charts
from maskmixadv.files import read_json
from maskmixadv.formats import image_files, seg, series
from maskmixadv.formats.volume import Volume
from maskmixadv.methods import ALL
from maskmixadv.metrics import scores
from maskmixadv.runs.checkpoint import save
from maskmixadv.runs.origin import PriorFrom
from maskmixadv.runs.run import Run
from maskmixadv.sources import acdc, classes, nnunet
from maskmixadv.sources.opening import open_corpus
from maskmixadv.studio.images import volumes
from maskmixadv.studio.images.marks import Marks
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.learning import predictions, process, training
from maskmixadv.studio.review import reviews
from maskmixadv.training import log
from maskmixadv.typed import made

Mutation = Callable[[random.Random, bytes, list[bytes]], bytes]
VOLUME = np.arange(60, dtype=np.int16).reshape(3, 4, 5)


@dataclass
class Reader:
    """Who reads, which right files there are by suffix, and how they are damaged; `place` is the name of the file."""

    name: str
    read: Callable[[Path], Any]
    seeds: list[tuple[str, bytes]]
    mutate: Mutation = mutate.damaged
    place: str = "file{}"

    def damaged(self, rng: random.Random) -> tuple[str, bytes]:
        suffix, content = rng.choice(self.seeds)
        return suffix, self.mutate(rng, content, [other for _, other in self.seeds])


def image(path: Path) -> None:
    """Read a file as an image and as labels, and look at what comes."""
    volume = image_files.read(path)
    assert volume.array.ndim == 3
    assert volume.array.size
    assert isinstance(volume, Volume)
    image_files.peek(path)
    assert image_files.declared(path).voxels >= volume.array.size / 4


def labels(path: Path) -> None:
    assert image_files.read_labels(path).array.ndim == 3


def _saved(write: Callable[[Path], Any], folder: Path, suffix: str) -> tuple[str, bytes]:
    path = folder / f"seed{suffix}"
    write(path)
    return suffix, path.read_bytes()


def _niftis(folder: Path) -> list[tuple[str, bytes]]:
    made_of: list[Any] = []
    for dtype, kind in ((np.int16, nib.Nifti1Image), (np.float32, nib.Nifti1Image), (np.uint8, nib.Nifti2Image)):
        volume = kind(VOLUME.T.astype(dtype), own.AFFINE)
        volume.set_qform(own.AFFINE, code=1)
        volume.set_sform(own.AFFINE, code=int(dtype is not np.float32))
        made_of.append(volume)
    scaled = nib.Nifti1Image(VOLUME.T.astype(np.float64), own.AFFINE)
    scaled.set_data_dtype(np.int16)
    told = nib.Nifti1Image(VOLUME.T, own.AFFINE)
    told.header.extensions.append(Nifti1Extension("comment", b"a text of some length"))
    swapped = nib.Nifti1Image(VOLUME.T, own.AFFINE, nib.Nifti1Header(endianness=">"))
    made_of += [scaled, told, swapped, nib.Nifti1Image(VOLUME.T[..., None], own.AFFINE)]
    return [_saved(lambda path, each=each: nib.save(each, path), folder, ".nii") for each in made_of]


def _inside(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """Damage what is packed, or the packing."""
    if rng.random() < 0.3:
        return mutate.damaged(rng, content, others)
    return gzip.compress(mutate.damaged(rng, gzip.decompress(content), [gzip.decompress(each) for each in others]), 1)


def _members(rng: random.Random, content: bytes, others: list[bytes]) -> bytes:
    """Damage one member of an archive, with a right checksum, or the archive."""
    if rng.random() < 0.4:
        return mutate.damaged(rng, content, others)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {info: archive.read(info) for info in archive.infolist()}
    hit = rng.choice([info for info in parts if len(parts[info]) > 8])
    parts[hit] = mutate.damaged(rng, parts[hit], [part for part in parts.values() if part])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", hit.compress_type) as archive:
        for info, part in parts.items():
            archive.writestr(info.filename, part)
    return packed.getvalue()


def _pictures(folder: Path) -> tuple[list[tuple[str, bytes]], list[tuple[str, bytes]]]:
    grey = Image.fromarray((VOLUME[0] * 4).astype(np.uint8))
    modes = [grey.convert(mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")]
    modes.append(Image.fromarray(VOLUME[0].astype(np.uint16)))
    png = [_saved(lambda path, each=each: each.save(path), folder, ".png") for each in modes]
    ways: tuple[dict[str, Any], ...] = ({}, {"progressive": True}, {"exif": Image.Exif()})
    jpeg = [_saved(lambda path, how=how: grey.convert("RGB").save(path, **how), folder, ".jpg") for how in ways]
    return png, jpeg


def _tiffs(folder: Path) -> list[tuple[str, bytes]]:
    big = np.arange(3 * 40 * 48, dtype=np.uint16).reshape(3, 40, 48)
    ways: list[tuple[np.ndarray, dict[str, Any]]] = [
        (VOLUME, {"photometric": "minisblack"}),
        (VOLUME, {"photometric": "minisblack", "compression": "zlib", "metadata": {"axes": "ZYX"}}),
        (big, {"photometric": "minisblack", "tile": (16, 16), "compression": "zlib"}),
        (VOLUME.astype(np.float32), {"photometric": "minisblack", "bigtiff": True}),
        (np.zeros((4, 5, 3), np.uint8) + 7, {"photometric": "rgb"}),
        (big[:, :, :16].astype(np.uint8), {"photometric": "minisblack", "imagej": True, "metadata": {"axes": "ZYX"}}),
        (VOLUME.astype(np.uint8), {"photometric": "minisblack", "byteorder": ">", "metadata": None}),
    ]
    written = [_saved(lambda p, w=w: tifffile.imwrite(p, w[0], **w[1]), folder, ".tif") for w in ways]
    grey = Image.fromarray(big[0].astype(np.uint8))
    for how, mode in (("tiff_lzw", "L"), ("packbits", "L"), ("group4", "1"), ("tiff_deflate", "P"), ("jpeg", "RGB")):
        written.append(_saved(lambda p, h=how, m=mode: grey.convert(m).save(p, compression=h), folder, ".tif"))
    return written


def _itks(folder: Path) -> list[tuple[str, bytes]]:
    volume = SimpleITK.GetImageFromArray(VOLUME)
    volume.SetSpacing((0.7, 0.8, 5.0))
    colours = SimpleITK.GetImageFromArray(np.zeros((3, 4, 5, 3), np.uint8), isVector=True)
    flat = SimpleITK.GetImageFromArray(VOLUME[0].astype(np.float32))
    return [
        _saved(lambda p, v=v, c=c: SimpleITK.WriteImage(v, str(p), useCompression=c), folder, suffix)
        for suffix in (".nrrd", ".mha") for v in (volume, colours, flat) for c in (False, True)
    ]  # fmt: skip


def dicom_slice(number: int, **changes: Any) -> bytes:
    """A classic slice."""
    one = pydicom.Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID = MRImageStorage
    one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID = UID(f"1.2.3.{number + 1}")
    one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = "1.2", "1.2.3", "1.2.4"
    one.PatientID, one.PatientName, one.PatientBirthDate, one.PatientSex = "p", "A^B", "", ""
    one.Modality, one.StudyID, one.SeriesNumber, one.AccessionNumber = "MR", "1", 1, ""
    one.StudyDate, one.StudyTime, one.ReferringPhysicianName, one.InstanceNumber = "20200101", "120000", "", number + 1
    one.Rows, one.Columns, one.PixelSpacing, one.SliceThickness = 4, 5, [0.9, 0.7], 5.0
    one.ImageOrientationPatient, one.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [-3.0, 2.0, 5.0 * number]
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 0
    one.RescaleSlope, one.RescaleIntercept = 2, -10
    one.PixelData = (VOLUME[number] * 3).astype(np.uint16).tobytes()
    for name, value in changes.items():
        setattr(one, name, value)
    return encoded(one)


def encoded(one: Any) -> bytes:
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, one, enforce_file_format=True)
    return buffer.getvalue()


def _dicom_pictures(folder: Path) -> list[bytes]:
    """Grey with a spacing and an ultrasound region, colours, a palette, and a packed one."""

    def spaced(one: FileDataset) -> None:
        item = pydicom.Dataset()
        item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
        item.PhysicalDeltaX = item.PhysicalDeltaY = 0.02
        one.SequenceOfUltrasoundRegions, one.PixelAspectRatio = [item], [1, 1]

    def palette(one: FileDataset) -> None:
        for name in ("Red", "Green", "Blue"):
            setattr(one, f"{name}PaletteColorLookupTableDescriptor", [256, 0, 8])
            one[f"{name}PaletteColorLookupTableDescriptor"].VR = "US"
            setattr(one, f"{name}PaletteColorLookupTableData", bytes(range(256)))

    made = [
        write_picture(folder / "grey", grey(), uid=US, change=spaced),
        write_picture(folder / "colours", colours(), uid=US, shown="YBR_FULL"),
        write_picture(folder / "palette", colours()[..., 0], uid=SC, shown="PALETTE COLOR", change=palette),
    ]
    return [*(path.read_bytes() for path in made), lossless(write_picture(folder / "packed", grey())).read_bytes()]


def _dicoms(folder: Path) -> tuple[Reader, ...]:
    slices = folder / "slices"
    slices.mkdir()
    for number in range(3):
        (slices / f"{number}.dcm").write_bytes(dicom_slice(number))
    volume, written = series.read(slices), folder / "seg.dcm"
    volume.geometry.write_labels(written, (VOLUME % 4).astype(np.uint8), tiny.CLASSES)
    shutil.copytree(slices, folder / "right")
    packed = pydicom.dcmread(slices / "1.dcm")
    packed.compress(RLELossless, generate_instance_uid=False)
    multi = dicom_slice(0, NumberOfFrames=3, PixelData=VOLUME.astype(np.uint16).tobytes())
    seeds = [dicom_slice(1), dicom_slice(1)[132:], encoded(packed), multi]

    def one_of_three(path: Path) -> None:
        (slices / "1.dcm").write_bytes(path.read_bytes())
        assert series.read(slices).array.ndim == 3
        series.peek(slices)

    enhanced = write_enhanced(folder / "enhanced.dcm", classic(folder / "right"), shared=tuple(GROUPS)[1:3])

    def picture(path: Path) -> None:
        image_files.coloured(path)
        assert image_files.header(path).shape == image_files.read(path).array.shape

    def frames(path: Path) -> None:
        assert image_files.read(path).array.ndim == 3
        image_files.peek(path)

    def segmentation(path: Path) -> None:
        seg.referenced(path)
        seg.names(path)
        assert seg.read(path, volume, tiny.CLASSES).shape == VOLUME.shape

    return (
        Reader("DICOM", one_of_three, [(".dcm", seed) for seed in seeds]),
        Reader("DICOM frames", frames, [(".dcm", enhanced.read_bytes())]),
        Reader("DICOM pictures", picture, [(".dcm", seed) for seed in _dicom_pictures(folder / "pictures")]),
        Reader("SEG", segmentation, [(".dcm", written.read_bytes())]),
    )


def _h5(folder: Path, **how: Any) -> tuple[str, bytes]:
    path = folder / "seed.h5"
    drawn, scribble, dense = tiny.volume(d=2, h=36, w=37)
    with h5py.File(path, "w") as file:
        for name, array in (("image", drawn), ("scribble", own.coded(scribble)), ("label", dense)):
            file.create_dataset(name, data=array, **how)
    return ".h5", path.read_bytes()


def _read_h5(path: Path) -> None:
    case = path.with_name("patient001_frame01.h5")
    case.write_bytes(path.read_bytes())
    acdc._read_volume(case)


def readers(folder: Path) -> dict[str, Reader]:
    """All readers, with their seeds, by name; `folder` is for what they need beside the files."""
    niftis, (png, jpeg), tiffs, itks = _niftis(folder), _pictures(folder), _tiffs(folder), _itks(folder)
    packed = [(".nii.gz", gzip.compress(content, 1)) for _, content in niftis]
    kinds = (np.uint8, np.int16, np.int32, np.float32)
    mgh: Any = nib.MGHImage
    brains = [mgh(VOLUME.T.astype(kind), own.AFFINE) for kind in kinds]
    mghs = [_saved(lambda path, each=each: nib.save(each, path), folder, ".mgh") for each in brains]
    mgzs = [(".mgz", gzip.compress(content, 1)) for _, content in mghs]
    found = [
        Reader("NIfTI", image, niftis),
        Reader("NIfTI, gz", image, packed, _inside),
        Reader("MGH", image, mghs),
        Reader("MGH, gz", image, mgzs, _inside),
        Reader("NIfTI labels", labels, [*niftis[:3], *tiffs[:2], *png[:4]]),
        Reader("PNG", image, png),
        Reader("JPEG", image, jpeg),
        Reader("TIFF", image, tiffs),
        Reader("NRRD", image, [seed for seed in itks if seed[0] == ".nrrd"], mutate.text_header),
        Reader("MetaImage", image, [seed for seed in itks if seed[0] == ".mha"], mutate.text_header),
        *_dicoms(folder),
        Reader("HDF5", _read_h5, [_h5(folder), _h5(folder, compression="gzip", chunks=(1, 12, 12), fletcher32=True)]),
        *_of_corpora(folder),
        *_of_runs(folder),
        *_of_texts(),
    ]
    return {reader.name: reader for reader in found}


def _of_corpora(folder: Path) -> list[Reader]:
    root = tiny.corpus(folder / "corpus").root
    index, case = (root / "corpus.json").read_bytes(), (root / "cases" / "p0.npz").read_bytes()
    place = folder / "opened"
    place.mkdir()

    def opened(path: Path) -> None:
        (place / "corpus.json").write_bytes(path.read_bytes())
        corpus = open_corpus(place)
        corpus.hash()
        for scheme in corpus.folds:
            corpus.of([patient for part in corpus.split(scheme, 1) for patient in part] if corpus.folds[scheme] else [])

    def loaded(path: Path) -> None:
        corpus = open_corpus(root)
        (root / "cases" / "p0.npz").write_bytes(path.read_bytes())
        assert corpus.load(corpus.entries[0]).image.shape == (1, 3, 40, 48)

    doubt = io.BytesIO()
    np.savez_compressed(doubt, disagreement=VOLUME.astype(np.uint8))
    return [
        Reader("corpus.json", opened, [(".json", index)], mutate.changed_json),
        Reader("npz of a corpus", loaded, [(".npz", case)], _members),
        Reader("npz of a cache", predictions._doubt, [(".npz", doubt.getvalue())], _members),
    ]


def _of_runs(folder: Path) -> list[Reader]:
    written = []
    for name in ("pce", "mean-teacher", "maskmixadv"):
        run = tiny.run(ALL[name]())
        whole = replace(run.learnt_from, scheme="paper", fold=1, axis=2)
        prior = PriorFrom(root=Path("/nowhere"), name="other", hash="1", classes=tiny.CLASSES, cases=("x",))
        whole_run = replace(run, learnt_from=whole, prior_from=None if name == "pce" else prior)
        written.append((".json", json.dumps(whole_run.record()).encode()))
    place = folder / "run"
    place.mkdir()
    (place / "run.json").write_bytes(written[0][1])
    run = Run.open(place)
    net = run.method.players(run.task)["net"]
    state = {"step": 3, "nets": {"net": net.state_dict()}, "optimisers": {"net": {}}, "scored": net.state_dict()}
    small = {"step": 3, "nets": {"net": {}}, "optimisers": {"net": {}}, "scored": {"w": torch.ones(3, 2)}}
    seeds = []
    for content in (state, small):
        save(place / "last.pt", content)
        seeds.append((".pt", (place / "last.pt").read_bytes()))

    def opened(path: Path) -> None:
        other = path.with_name("run-of-json")
        other.mkdir(exist_ok=True)
        (other / "run.json").write_bytes(path.read_bytes())
        assert len(Run.open(other).task.classes) >= 2

    def loaded(path: Path) -> None:
        (place / "last.pt").write_bytes(path.read_bytes())
        run.load(torch.device("cpu"))
        run.weights(torch.device("cpu"))

    return [
        Reader("run.json", opened, written, mutate.changed_json),
        Reader("last.pt", loaded, [seeds[1], seeds[1], seeds[0]], _members),
    ]


TABLE = """title = "t"
flagship = "a"
folds = [1]
seeds = [0, 1]
corpus = "c"
[schedule]
steps = 10
lr = 0.1
[[rows]]
name = "a"
method = "pce"
[rows.fields]
x = 1
[[rows]]
name = "b"
method = "pce"
[rows.published]
dice = { mean = 0.8 }
"""


def _of_texts() -> list[Reader]:
    dataset = {"labels": {"background": 0, "a": 1, "ignore": 2}, "file_ending": ".nii.gz", "name": "x"}
    usage = {"peak_mib": 9.5, "gpu_peak_mib": 0.0}
    cost = {"identity": "x", "split": "test", "steps": 5, "seconds": 1.5, **usage}
    folds = [{"train": ["a", "b"], "val": ["c"]}, {"train": ["c"], "val": ["a"]}]
    reviewed = {
        "format": 1,
        "cases": {"s0": {"reviews": {"1": {"verdict": "accepted", "run": "001"}}, "seconds": {"1": 2.5}}},
    }
    facts = {
        "a.nii 1 2": {"shape": [3, 4, 5], "spacing": [1.0, 2.0, 3.0], "low": 0.0, "high": 1.0},
        "b 1 2": {"problem": "x"},
    }
    score = scores.CaseScore(
        "c", "p", "g", "ED", scores.Score("RV", *([0.5] * (len(scores.Score._fields) - 1))), "known"
    )
    rows = scores.table([score, score._replace(case="d")])
    course = "step,seconds,lr,net/pce,val/dice\n1,0.5,0.01,1.25,\n2,1.0,0.01,1.0,0.5\n"

    def looked_at(path: Path) -> None:
        volumes.ShownImages(path).facts({})

    def recorded(path: Path) -> None:
        place = path.with_name("cell")
        place.mkdir(exist_ok=True)
        (place / filed.RECORD).write_bytes(path.read_bytes())
        filed.CellRecord.read(place)

    def followed(path: Path) -> None:
        charts.logged_curves(path)
        log._rows_up_to(path, 5)
        training.Progress.read(path.parent)

    def judged(path: Path) -> None:
        reviews.Reviews(path, Marks(Layout(path.parent)))

    def texts(kind: Any) -> list[tuple[str, bytes]]:
        return [(".json", json.dumps(kind).encode())]

    patients = {name: name for name in "abc"}
    return [
        Reader("dataset.json", nnunet.read, texts(dataset), mutate.changed_json),
        Reader("splits", lambda path: nnunet._splits(path, patients, frozenset()), texts(folds), mutate.changed_json),
        Reader("classes.toml", classes.read, [(".toml", b"ignore = 4\n" + own.CLASSES.encode())], mutate.changed_toml),
        Reader("table.toml", table.read, [(".toml", TABLE.encode())], mutate.changed_toml),
        Reader("studio.json", judged, texts(reviewed), mutate.changed_json),
        Reader("images.json", looked_at, texts(facts), mutate.changed_json),
        Reader("process", process.Process.read, texts({"pid": 1, "start": "5"}), mutate.changed_json),
        Reader("order", lambda p: made(training.Order, read_json(p), str(p)),
               texts({"preset": "cpu", "method": "pce", "steps": 5}), mutate.changed_json),
        Reader("bench.json", recorded, texts(cost), mutate.changed_json),
        Reader("scores.csv", scores.read, [(".csv", rows.encode())], mutate.changed_csv),
        Reader("log.csv", followed, [(".csv", course.encode())], mutate.changed_csv),
    ]  # fmt: skip
