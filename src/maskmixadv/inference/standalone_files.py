"""Reading image files without maskmixadv: a part of the script that 'maskmixadv export model' writes.

'maskmixadv export model' puts this module in the place of `standalone`'s import of it.
"""

import gzip
import io
import json
import re
import struct
import warnings
import zlib
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy

from maskmixadv.formats.details.jpeg_scans import lacking, unlike, with_more

SUFFIXES = (".nii.gz", ".nii")
PICTURES = {".png": "PNG", ".jpeg": "JPEG", ".jpg": "JPEG", ".tiff": "TIFF", ".tif": "TIFF"}
"""Formats of pictures by their names' ends."""
KNOWN = (*SUFFIXES, *PICTURES)
ELSE = "; use 'maskmixadv predict', or convert it"
"""End of a line on what this script does not read."""
LUMA = (0.2125, 0.7154, 0.0721)
"""Brightness of red, green and blue."""
GEOMETRY = (
    *("qform_code", "quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    *("sform_code", "srow_x", "srow_y", "srow_z", "xyzt_units"),
)
"""Fields of an image's header that labels take over, beside the first four of ``pixdim``. No text is taken over, as it
may name the patient."""
UNITS = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
"""Millimetres of a header's unit of length, by its code: not said (taken as mm), metre, mm, micrometre."""
PACKED = b"\x1f\x8b"
"""First bytes of a packed file."""
DEFLATED, BEHIND = 1032, 2**20
"""Bytes that one byte of a packed file unpacks to at most, and bytes that may lie behind its voxels."""
SPARE = 2
"""Bytes behind voxels that mean nothing."""
SQUARE = 0.02
"""By which part the sides of a pixel may differ that is taken as square."""
LONGEST_HEADER, MOST_HEADER = 544, 2**24
"""Bytes of the longest header, and those that may lie before the voxels, with its extensions."""
FINEST, COARSEST = 1e-6, 500.0
"""Millimetres that a side of a voxel has at least and at most."""
UNLIKE = 1000.0
"""How many times longer a voxel's two longer sides may be than the shortest one."""
RESIZED = 0.01
"""By which part ``pixdim`` may differ from the sform before the sform counts."""
TILTED = 0.02
"""Which part of a voxel's volume may be lost as its axes are not at right angles."""
APART, SHIFTED = 0.5, 0.05
"""Voxels by which the corners of one image's channels may lie apart, and from which on that is told."""
TIMES = {
    8: "seconds", 16: "milliseconds", 24: "microseconds",
    32: "hertz", 40: "parts per million", 48: "radians per second",
}  # fmt: skip
"""A header's codes of units of time and of frequency."""
TIME_SERIES = 2001
"""A header's intent where each voxel has a series of times."""
MOST_CODE = 5
"""Highest code of a header's form."""
MOST_CHANNELS = 4
"""Length up to which the fourth axis of a file is taken as channels."""
PASSES = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
"""First row, step between rows, first column and step between columns of the passes of an interlaced PNG."""
PRINTED = (72, 75, 90, 96, 100, 120, 144, 150, 180, 192, 200, 240, 254, 300, 350, 360, 400, 600, 720, 1200, 2400)
"""Pixels an inch that programs write for a printer or a screen, or where they know of none."""
TIFF_PIXELS = {(1, (8,), 1), (1, (16,), 1), (1, (16,), 2), (1, (32,), 3), (2, (8, 8, 8), 1)}
"""Pixels of a TIFF that are read, as photometric, bits and sample format say them: grey whose 0 is black, of 8 or 16
bits or float; and red, green and blue of 8 bits."""
TIFF_VALUES = {254: (0,), 259: (1, 5, 8, 32773, 32946), 266: (1,), 274: (1,), 284: (1,), 317: (1, 2)}
"""Values that fields of a TIFF may have: no thumbnail, packed without loss, bits in order, not turned, colours side by
side, values or their differences."""
TIFF_FIELDS = {
    *TIFF_VALUES, *range(256, 259), 262, 269, *range(270, 274), *range(277, 284), 285, 296, 297, 305, 306, 315, 316,
    339, 700, 33432, 34675,
}  # fmt: skip
"""Fields that a TIFF may have. Others, and texts, may say that it is not what it seems, as ImageJ's and OME's do."""
SAME = 0.01
"""Share by which spacings of channels may differ, where nothing else says where they lie."""
UNKNOWN = (1.0, 1.0, 1.0)
"""The spacing that programs write where they know of none."""
LONGEST = 300
"""Characters of a library's message that are shown."""


class Grid(NamedTuple):
    """Where voxels lie: mm along d, h, w, and the matrix from voxel (x, y, z, 1) to the world (mm, RAS), if known.

    It says where they lie in the patient if `placed`.
    """

    spacing: tuple[float, ...] | None = None
    affine: np.ndarray | None = None
    placed: bool = False


class Stored(NamedTuple):
    """An image as its file has it: an array ``c d h w``, its grid, a NIfTI file's header, and what is to be told."""

    array: np.ndarray
    grid: Grid = Grid()
    header: Any = None
    notes: tuple[str, ...] = ()


def ending(path: Path) -> str:
    """Return the end of a file's name that says its format, in lower case; empty where none is known."""
    return next((each for each in KNOWN if path.name.lower().endswith(each)), "")


def load(path: Path, channels: list[dict[str, Any]]) -> Stored:
    """Read a file for a model of these `channels`; colours become grey where it has but one."""
    if not ending(path):
        raise ValueError(f"not a NIfTI file (.nii or .nii.gz), nor one of {', '.join(PICTURES)}{ELSE}")
    special = {"pipe": path.is_fifo(), "socket": path.is_socket()}
    special["device"] = path.is_block_device() or path.is_char_device()
    if kind := next((name for name, is_one in special.items() if is_one), ""):
        raise ValueError(f"is a {kind}, allowed is a regular file; save what it gives as one")
    if not path.is_file():
        raise ValueError("no such file")
    return load_nifti(path) if ending(path) in SUFFIXES else load_picture(path, channels)


def load_nifti(path: Path) -> Stored:
    """Read a NIfTI file, which its first bytes say to be packed or not; people give such files either name."""
    with path.open("rb") as file:
        packed = file.read(len(PACKED)) == PACKED
    with gzip.open(path) if packed else path.open("rb") as stream:
        header = header_of(stream)
        dtype, shape, start = header.get_data_dtype(), header.get_data_shape(), header.get_data_offset()
        if dtype.kind not in "biuf" or dtype.itemsize > 8:
            raise ValueError(f"voxels are of type {dtype}, allowed are numbers of up to 8 bytes{ELSE}")
        space, count = axes_of(header, channels_named(path))
        end = start + dtype.itemsize * int(np.prod(shape, dtype=object))
        if min(shape) < 1 or end > path.stat().st_size * (DEFLATED if packed else 1):
            raise ValueError(f"declares {shape} voxels, which it does not hold")
        stream.seek(0)
        content = stream.read(end + BEHIND + 1 if packed else end)  # to the end, where a packed file has its checksum
    behind = (len(content) if packed else path.stat().st_size) - end
    if not end <= len(content) <= end + BEHIND:
        raise ValueError(f"holds {len(content)} bytes, its header declares {end}")
    voxels: Any = ArrayProxy(io.BytesIO(content), header)
    array = np.asanyarray(voxels).reshape((*space, count)).T
    said = f"{behind:,} bytes follow the voxels that it declares, and are left out"
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    time = time_of(header)
    named = f", as dataset.json names them; by {time} it would be time" if time else ""
    unused = header.get_slope_inter()[0] is None and bool(np.isfinite(inter)) and inter != 0
    notes = {
        f"scl_slope is {slope:g}, so scl_inter {inter:g} is not added; look whether values are right": unused,
        f"{said}; look whether dim and datatype are right": behind > SPARE,
        f"the last axis, of {count}, is taken as channels{named}": count > 1,
    }
    grid = grid_of(header, space)
    forms = {name: form_of(header, name) for name in forms_of(header)}
    notes |= {f"{name} is damaged, and not used": form is None for name, form in forms.items()}
    tilted = "has axes that are not at right angles, and is not used"
    notes |= {f"{name} {tilted}": form is not None and not at_right_angles(form) for name, form in forms.items()}
    return Stored(array, grid, header, tuple(note for note, is_so in notes.items() if is_so))


def header_of(stream: Any) -> Any:  # noqa: ANN401
    """Read the header of an open NIfTI file of either version, with its extensions."""
    head = stream.read(LONGEST_HEADER)
    sizes = [int.from_bytes(head[:4], order) for order in ("little", "big")]
    kind = next((each for each in (nib.Nifti1Header, nib.Nifti2Header) if each.sizeof_hdr in sizes), None)
    if kind is None or len(head) < kind.sizeof_hdr:
        raise ValueError("is no NIfTI file")
    raw: Any = kind(head[: kind.sizeof_hdr], check=False)
    start = raw.get_data_offset()
    if not 0 < start <= MOST_HEADER:
        raise ValueError(f"its header does not say where its voxels begin (vox_offset {start}){ELSE}")
    lengths = raw["dim"][1:4][: int(raw["dim"][0])]
    if raw["sform_code"] <= 0 and any(not step and n > 1 for step, n in zip(raw["pixdim"][1:4], lengths, strict=False)):
        raise ValueError("pixdim is 0, allowed is a size of voxels")  # nibabel would take 1
    if np.isinf(raw["scl_slope"]):
        raise ValueError(f"scl_slope is {float(raw['scl_slope']):g}, allowed are finite numbers; save it again")
    if odd := next((name for name in ("qform_code", "sform_code") if not 0 <= raw[name] <= MOST_CODE), ""):
        raise ValueError(f"{odd} is {int(raw[odd])}, allowed are 0 to {MOST_CODE}; correct the header")
    if (bits := int(raw["bitpix"])) not in (0, 8 * (each := raw.get_data_dtype().itemsize)):
        raise ValueError(f"bitpix is {bits}, and voxels of datatype {int(raw['datatype'])} have {8 * each}")
    return kind.from_fileobj(io.BytesIO(head + stream.read(max(0, start - len(head)))))


def axes_of(header: Any, named: int) -> tuple[tuple[int, ...], int]:  # noqa: ANN401
    """Return the lengths along x, y, z, and the number of channels; ValueError where the header means something else.

    An axis that could be time is channels where a ``dataset.json`` has `named` as many.
    Vectors lie along a fifth axis in NIfTI, and channels in practice along the fourth.
    """
    declared = tuple(map(int, header.get_data_shape()))
    shape = declared
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) == 5 and shape[3] == 1:
        shape = (*shape[:3], shape[4])
    if len(shape) == 2:
        shape = (*shape, 1)
    if len(shape) not in (3, 4) or shape[3:] > (MOST_CHANNELS,):
        raise ValueError(f"has {len(declared)} axes {declared}, allowed is a 3D volume, or up to 4 channels of one")
    if len(shape) == 4 and (told := time_of(header)) and named != shape[3]:
        raise ValueError(f"the fourth axis could be time ({told}), allowed are channels; 'maskmixadv split' parts it")
    return shape[:3], (*shape, 1)[3]


def time_of(header: Any) -> str:  # noqa: ANN401
    """Return what a header says of a fourth axis that could be time; empty if it says nothing, or has other axes."""
    if int(header["dim"][0]) != 4:
        return ""
    if int(header["intent_code"]) == TIME_SERIES:
        return f"intent_code is {TIME_SERIES} (time series)"
    step, unit = float(header["pixdim"][4]), TIMES.get(int(header["xyzt_units"]) & 0x38)
    if not ((unit and step) or step not in (0, 1)):
        return ""
    return f"pixdim[4] is {step:g}" + (f", and xyzt_units says {unit}" if unit else "")


def channels_named(path: Path) -> int:
    """Return how many channels the ``dataset.json`` names that lies beside an image or beside its folder; 0 if none."""
    folder = path.absolute().parent
    for place in (folder / "dataset.json", folder.parent / "dataset.json"):
        try:
            raw = json.loads(place.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        told = (raw.get(key) for key in ("channel_names", "modality")) if isinstance(raw, dict) else ()
        names = next((each for each in told if each is not None), None)
        names = list(names.values()) if isinstance(names, dict) else names
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return len(names)
    return 0


def grid_of(header: Any, shape: tuple[int, ...]) -> Grid:  # noqa: ANN401
    """Return where voxels lie: by the sform, else by the qform, else by their sizes alone.

    A form that is damaged or whose axes are not at right angles, as a registration leaves it, is passed over if the
    other one is right.
    """
    unit = UNITS.get(int(header["xyzt_units"]) & 7)
    if unit is None:
        raise ValueError(f"xyzt_units {int(header['xyzt_units'])}, allowed are metre, millimetre and micrometre")
    sizes = [abs(float(size)) for size in header["pixdim"][1:4]]
    sizes = [1.0 if n == 1 and not 0 < size < np.inf else size for size, n in zip(sizes, shape, strict=True)]
    header = header.copy()
    header["pixdim"][1:4] = sizes  # signs are left out of account
    sizes = [size * unit for size in sizes]
    names = forms_of(header)
    to_mm = np.diag([unit, unit, unit, 1.0])
    forms = ((name, form_of(header, name)) for name in names)
    right = [(name, to_mm @ form) for name, form in forms if form is not None and at_right_angles(form)]
    if names and not right:
        raise ValueError(
            f"{' and '.join(names)}: no grid of finite numbers whose axes are at right angles; resample it"
        )
    name, affine = right[0] if right else ("", to_mm @ header.get_base_affine())
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    steps = lengths.tolist() if name == "sform" and not np.allclose(lengths, sizes, rtol=RESIZED) else sizes
    for voxel in (sizes, steps):
        shown = " x ".join(f"{size:g}" for size in voxel)
        if not all(FINEST <= size <= COARSEST for size in voxel):
            raise ValueError(f"a voxel of {shown} mm, allowed are {FINEST:g} to {COARSEST:g} mm; correct the header")
        if min(voxel) * UNLIKE < sorted(voxel)[1]:
            raise ValueError(
                f"a voxel of {shown} mm, allowed are sides up to {UNLIKE:g} times as long; correct the header"
            )
    return Grid(tuple(steps[::-1]), affine, bool(names))


def forms_of(header: Any) -> list[str]:  # noqa: ANN401
    """Return which of sform and qform are set."""
    return [name for name in ("sform", "qform") if header[f"{name}_code"] > 0]


def form_of(header: Any, name: str) -> np.ndarray | None:  # noqa: ANN401
    """Return the sform or the qform; None where it is damaged."""
    try:
        form = np.asarray(getattr(header, f"get_{name}")(), dtype=np.float64)
    except Exception:  # whatever nibabel meets
        return None
    if not np.isfinite(form).all() or np.linalg.det(form[:3, :3]) == 0:
        return None
    return form


def at_right_angles(form: np.ndarray) -> bool:
    """Whether the axes of a form are at right angles."""
    axes = form[:3, :3] / np.linalg.norm(form[:3, :3], axis=0)
    return bool(abs(np.linalg.det(axes)) >= 1 - TILTED)


def load_picture(path: Path, channels: list[dict[str, Any]]) -> Stored:
    """Read a picture as it is shown, ``c 1 h w``."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    wanted = PICTURES[ending(path)]
    if wanted == "JPEG" and (kind := unlike(path.read_bytes())):
        raise ValueError(f"{kind}, allowed is one of 8 bits, with loss; save it as PNG or TIFF")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # Pillow's, of fields that are damaged
        try:
            opened = Image.open(path, formats=(wanted,))
        except (UnidentifiedImageError, UserWarning):
            raise ValueError(f"holds no readable {wanted}, as its name says{ELSE}") from None
    with opened as image:
        if getattr(image, "n_frames", 1) > 1:
            raise ValueError(f"has several pages, allowed is one{ELSE}")
        if wanted == "TIFF":
            check_tiff(path, image)
        stored, notes = [str(tile[3]) for tile in image.tile], picture_notes(image)
        if wanted == "PNG" and any(each.endswith(";16B") for each in stored) and not image.mode.startswith("I"):
            raise ValueError(f"has colours or opacity of 16 bits, allowed are 8{ELSE}")
        plain = image.mode in ("1", "L", "F", "I", "I;16", "I;16L", "I;16B")
        shown: Any = ImageOps.exif_transpose(image)
        if shown.mode == "P" and (most := int(np.asarray(shown).max())) >= (n := len(shown.palette.getdata()[1]) // 3):
            raise ValueError(f"has pixels of colour {most}, its palette has {n}, from 0 on; save it again")
        pixels = np.asarray(shown if plain else shown.convert("L" if image.mode == "LA" else "RGB"))
        if wanted == "PNG":
            check_rows(path)
        if wanted == "JPEG":
            check_scans(path, image)
    if pixels.ndim == 2:
        return Stored(pixels[None, None], notes=notes)
    if channels[0]["kind"] == "RGB":
        return Stored(np.moveaxis(pixels, -1, 0)[:, None], notes=notes)
    if len(channels) > 1:
        raise ValueError(
            f"has red, green and blue, allowed is one channel a file for a model of {len(channels)} channels"
        )
    same = all(np.array_equal(pixels[..., 0], pixels[..., other]) for other in (1, 2))
    if same:
        return Stored(pixels[None, None, ..., 0], notes=notes)
    made = (pixels @ np.array(LUMA, np.float32)).astype(np.float32)
    return Stored(made[None, None], notes=(*notes, "colours become grey"))


def picture_notes(image: Any) -> tuple[str, ...]:  # noqa: ANN401
    """Return what a user may want to know of how a picture's pixels are stored, as 'maskmixadv predict' says it."""
    columns, rows = image.info.get("dpi") or image.info.get("aspect") or image.info.get("jfif_density") or (1, 1)
    inches, what = float("dpi" in image.info), "a TIFF with a JSON file beside it"
    if image.format == "TIFF":
        columns, rows = (image.tag_v2.get(number, 1) for number in (282, 283))
        inches, what = {2: 1.0, 3: 2.54}.get(image.tag_v2.get(296, 2), 0.0), "a JSON file beside it"
    dots = inches * float(columns)
    size = f"{25.4 / dots:.3g}" if dots > 1 and all(abs(dots - usual) > 0.5 for usual in PRINTED) else ""
    unused = f"its resolution, by which pixels are {size} mm wide, is not used, as most are a printer's"
    tall = float(columns) / float(rows) if columns > 0 and rows > 0 else 1.0
    said = f"its resolution says that pixels are {tall:.3g} times as tall as wide; they are taken as square"
    notes = {
        "colours of a palette are looked up": image.mode in ("P", "PA"),
        "opacity (alpha) is left out": image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info,
        said: abs(tall - 1) > SQUARE * max(tall, 1),
        f"{unused}; {what} can say the spacing": bool(size),
    }
    return tuple(note for note, is_so in notes.items() if is_so)


def check_scans(path: Path, image: Any) -> None:  # noqa: ANN401
    """Refuse a JPEG that ends before its last pixels: Pillow would make grey ones of them."""
    from PIL import Image

    content = path.read_bytes()
    told, more = lacking(content), with_more(content)
    if not told and more is not None:
        with Image.open(io.BytesIO(more), formats=("JPEG",)) as other:
            told = "" if np.array_equal(np.asarray(image), np.asarray(other)) else "packed pixels end too early"
    if told:
        raise ValueError(f"is no readable JPEG ({told}, as if cut off); save it again")


def check_rows(path: Path) -> None:
    """Refuse a PNG whose packed pixels end before its last row: Pillow would leave the others black."""
    content, at, packed = path.read_bytes(), 8, []
    w, h, bits, kind, _, _, interlaced = struct.unpack(">IIBBBBB", content[16:29])
    while at + 8 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        if content[at + 4 : at + 8] == b"IDAT":
            packed.append(content[at + 8 : at + 8 + length])
        at += length + 12
    needed = 0
    for row, rows, column, columns in PASSES if interlaced else ((0, 1, 0, 1),):
        wide, tall = -(-(w - column) // columns), -(-(h - row) // rows)
        needed += tall * (1 + -(-wide * bits * {2: 3, 4: 2, 6: 4}.get(kind, 1) // 8)) if min(wide, tall) > 0 else 0
    held = len(zlib.decompressobj().decompress(b"".join(packed), needed))
    if held < needed:
        raise ValueError(f"declares {h} rows of {w} pixels, which take {needed} bytes, and holds {held}; save it again")


def check_tiff(path: Path, image: Any) -> None:  # noqa: ANN401
    """Refuse a TIFF that programs may read otherwise than Pillow does, or whose spacing something says."""
    fields = dict(image.tag_v2)
    stem = path.name[: -len(ending(path))]
    if any(path.with_name(f"{name}.json").is_file() for name in (stem, re.sub(r"_\d{4}$", "", stem))):
        raise ValueError(f"a JSON file beside it may say its spacing, which is not read here{ELSE}")
    pixels = fields.get(262), fields.get(258, (1,)), max(fields.get(339, (1,)))
    if pixels not in TIFF_PIXELS or fields.get(277, 1) != len(pixels[1]):
        told = f"photometric {pixels[0]}, bits {pixels[1]}, sample format {pixels[2]}"
        raise ValueError(f"has {told}, allowed are grey of 8, 16 bits or float, and colours of 8 bits{ELSE}")
    for number, value in fields.items():
        if number not in TIFF_FIELDS or value not in TIFF_VALUES.get(number, (value,)):
            raise ValueError(f"has field {number} with {in_one_line(str(value))[:40]}, which is not read here{ELSE}")
    mixed = fields.get(259, 1) in (5, 32773) and max(pixels[1]) > 8  # Pillow mixes up the bytes of some of these
    if mixed and path.read_bytes()[:2] == b"MM":
        raise ValueError(f"is packed by LZW or PackBits with the most significant byte first{ELSE}")
    check_strips(path, fields)
    (w, h), text = image.size, str(fields.get(270, "")).strip("\0 ")
    if text not in ("", f'{{"shape": [{h}, {w}]}}', f'{{"shape": [{h}, {w}, 3]}}'):
        raise ValueError(f"has a description ({in_one_line(text)[:40]}), which may say more than is read here{ELSE}")


def check_strips(path: Path, fields: dict[int, Any]) -> None:
    """Refuse a TIFF whose pixels are not all there, or damaged: Pillow would show something in spite of it."""
    w, h, rows = fields[256], fields[257], min(fields.get(278, fields[257]), fields[257])
    lengths = [min(rows, h - first) * w * sum(fields[258]) // 8 for first in range(0, h, rows)]
    places = list(zip(fields.get(273, ()), fields.get(279, ()), strict=True))
    content, packing = path.read_bytes(), fields.get(259, 1)
    strips = [content[start : start + count] for start, count in places]
    found = [len(zlib.decompress(strip) if packing in (8, 32946) else strip) for strip in strips]
    held = found == lengths if packing in (1, 8, 32946) else all(found) and found == [count for _, count in places]
    if not held or len(places) != len(lengths):
        raise ValueError(f"its strips do not hold {h} rows of {w} pixels; save it again")


def other_channel(first: Stored, other: Stored) -> np.ndarray:
    """Return a further channel; raises ValueError where it does not lie on the first one's grid."""
    if len(first.array) != 1 or other.array.shape != first.array.shape:
        raise ValueError(f"channels have shapes {first.array.shape} and {other.array.shape}, allowed is one")
    both = first.grid.placed and other.grid.placed
    told = () if both else tuple(each for each in (first.grid.spacing, other.grid.spacing) if each is not None)
    if len(told) == 2 and UNKNOWN not in told and not np.allclose(*told, rtol=SAME):
        raise ValueError(f"channels have spacings {told[0]} and {told[1]} mm, allowed is one")
    far, voxel = shift(first, other)
    if not far <= APART * voxel:
        raise ValueError(f"channels lie up to {far:.3g} mm apart, allowed is one grid")
    return other.array


def shift(first: Stored, other: Stored) -> tuple[float, float]:
    """Return how far (mm) a channel's corners lie from the first one's, 0 if unknown, and a voxel's shortest side."""
    if first.grid.affine is None or other.grid.affine is None or not other.grid.placed:
        return 0.0, 1.0
    corners = [(*corner, 1) for corner in product(*((0, n - 1) for n in first.array.shape[:0:-1]))]
    far = np.linalg.norm((corners @ (first.grid.affine - other.grid.affine).T)[:, :3], axis=1).max()
    return float(far), float(np.linalg.norm(first.grid.affine[:3, :3], axis=0).min())


def beside(first: Stored, other: Stored) -> str:
    """Say that a channel lies a little beside the first one, whose name comes behind; nothing where it does not."""
    far, voxel = shift(first, other)
    told = f"its corners lie {far:.3g} mm from those of {{}}, {far / voxel:.2g} of a voxel"
    return f"{told}; it is taken as if it lay there" if far > SHIFTED * voxel else ""


def geometry(image: nib.Nifti1Header, shape: tuple[int, ...]) -> nib.Nifti1Header:
    """Return a header for labels, which has of an image's header only where its voxels lie."""
    header: Any = nib.Nifti2Header() if isinstance(image, nib.Nifti2Header) else nib.Nifti1Header()
    header.set_data_dtype(np.uint8)
    header.set_data_shape(shape)
    header["pixdim"][:4] = image["pixdim"][:4]
    for field in GEOMETRY:
        header[field] = image[field]
    header.set_slope_inter(1, 0)
    return header


def is_text(name: str) -> bool:
    """Whether a file's name can be written into the record and into tables, as names of UTF-8 can."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def in_one_line(error: Exception | str) -> str:
    """Return a message without its line breaks; what kind of error it is where this script did not expect it."""
    text = " ".join(str(error).split())[:LONGEST]
    if isinstance(error, ImportError):
        return f"a package is missing ({text}); install it: pip install pillow scipy"
    return text if isinstance(error, str | ValueError | OSError) and text else f"{type(error).__name__}: {text}"
