"""Pixels of DICOM slices: stored numbers become what is shown, so far as each header says how."""

import math
from collections.abc import Sequence
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Shaped

from maskmixadv.errors import InputError, say
from maskmixadv.formats import apart, dicom_header
from maskmixadv.formats.details import jpeg_scans
from maskmixadv.formats.dicom_frames import SourceSlice
from maskmixadv.formats.dicom_header import number, text
from maskmixadv.formats.reading import reading

GREY: Final = ("MONOCHROME1", "MONOCHROME2")
"""Photometric interpretations that are read; with the first, the lowest value is shown white."""
NEEDED: Final = ("BitsAllocated", "BitsStored", "PixelRepresentation", "SamplesPerPixel", "PhotometricInterpretation")
"""What says how pixels are stored."""
_WHOLE: Final = ("BitsStored", "PixelRepresentation")
"""What says it of whole numbers alone."""
FLOATS: Final = ("FloatPixelData", "DoubleFloatPixelData")
"""Attributes of pixels that are no whole numbers."""
COLOURS: Final = ("RGB", "PALETTE COLOR")
"""Photometric interpretations of pictures in colour; all others of these begin as `YBR`."""
WORDS: Final = "OW"
"""Type of attributes whose bytes are stored in words of two, in the file's order."""
YBR: Final = "YBR_"
FULL: Final = ("YBR_FULL", "YBR_FULL_422")
"""Those of them that are read in any file."""
WAVELETS: Final = ("YBR_RCT", "YBR_ICT")
"""Those that JPEG 2000 itself turns into red, green and blue, and no other compression."""
ITEMSIZE: Final = 4
"""Bytes of a value in memory."""
DECODER: Final = "gdcm"
"""The extra's library that decodes what pydicom can't by itself, such as JPEG Lossless."""
DECODED: Final = "compressed DICOM file"
CUT: Final = "have bits above BitsStored, such as overlays; these bits are cut off"
OFFSETS: Final = "ExtendedOffsetTable"
JPEGS: Final = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70))
"""Compressions of which decoders make up pixels where the packed ones end too early; others they refuse."""
LOSSY: Final = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 81))
"""Compressions that change values; others may, and LossyImageCompression says so."""
STORED: Final = (
    *(*NEEDED, "HighBit", "PlanarConfiguration", "Rows", "Columns", "NumberOfFrames"),
    *("PixelData", *FLOATS, "SOPClassUID"),
)
"""All that decoders look at."""
WORD: Final = 2**16
"""How many values PixelPaddingValue can have; it is often stored with the wrong sign."""


class SlicePixels(NamedTuple):
    """Pixels of one slice.

    Attributes
    ----------
    values
        Intensities after the rescaling that the header asks for.
    padding
        Which pixels were never measured, such as the corners round a CT's circle.
    cut
        How many pixels had bits above BitsStored, such as a drawing that is stored there.

    Examples
    --------
    >>> SlicePixels(np.ones((2, 2), np.float32), np.eye(2, dtype=bool), 0).padding.sum().item()
    2
    """

    values: Float[np.ndarray, "h w"]
    padding: Bool[np.ndarray, "h w"]
    cut: int


def must_be_grey(path: Path, header: Any) -> None:  # noqa: ANN401
    """Check that a header says of its pixels that they are shades of grey.

    Parameters
    ----------
    path
        The header's file, for the error's text.
    header
        A pydicom dataset.

    Raises
    ------
    InputError
        If it says something else.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> header = Dataset()
    >>> header.PhotometricInterpretation = "PALETTE COLOR"
    >>> must_be_grey(Path("a.dcm"), header)
    Traceback (most recent call last):
    maskmixadv.errors.InputError: a.dcm: PhotometricInterpretation is 'PALETTE COLOR', allowed are MONOCHROME1 and ...
    """
    if (samples := int(number(path, header, "SamplesPerPixel", 1.0))) != 1:
        shown = text(path, header, "PhotometricInterpretation")
        raise InputError(f"{path}: has {samples} samples a pixel, allowed is one; export it in grey, not in {shown!r}")
    # A file without it can't be decoded; the reading of its pixels says so.
    if "PhotometricInterpretation" in header and (shown := text(path, header, "PhotometricInterpretation")) not in GREY:
        allowed = "allowed are MONOCHROME1 and MONOCHROME2; export it in grey"
        raise InputError(f"{path}: PhotometricInterpretation is {shown!r}, {allowed}")
    if text(path, header, "PresentationLUTShape") == "INVERSE" and not inverted(path, header):
        raise InputError(f"{path}: PresentationLUTShape is 'INVERSE', but MONOCHROME2 shows 0 black; mend its header")


def inverted(path: Path, header: Any) -> bool:  # noqa: ANN401
    """Whether a header says that the lowest value is shown white.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> header = Dataset()
    >>> header.PhotometricInterpretation = "MONOCHROME1"
    >>> inverted(Path("a.dcm"), header)
    True
    """
    return text(path, header, "PhotometricInterpretation") == GREY[0]


def read(path: Path, shape: tuple[int, int]) -> SlicePixels:
    """Read the pixels of a slice.

    Parameters
    ----------
    path
        Its file.
    shape
        Rows and columns that its header says.

    Raises
    ------
    InputError
        If they can't be read, or the header contradicts itself.

    Examples
    --------
    >>> read(Path("missing.dcm"), (2, 2))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: missing.dcm: not a readable DICOM file (No such file or directory)
    """
    header = dicom_header.read(path, pixels=True)
    return _interpreted(path, header, _decoded(path, header, shape))


def must_be_exact(path: Path, header: Any) -> None:  # noqa: ANN401
    """Refuse labels that were compressed with loss, by which class codes become other ones.

    Parameters
    ----------
    path, header
        The file, and its dataset.

    Raises
    ------
    InputError
        If they were.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> header = Dataset()
    >>> header.LossyImageCompression = "01"
    >>> must_be_exact(Path("a.dcm"), header)
    Traceback (most recent call last):
    maskmixadv.errors.InputError: a.dcm: labels were compressed with loss (LossyImageCompression is 01), ...
    """
    syntax = getattr(getattr(header, "file_meta", None), "TransferSyntaxUID", None)
    told = "LossyImageCompression is 01" if text(path, header, "LossyImageCompression") == "01" else ""
    if said := told or (syntax.name if syntax is not None and syntax in LOSSY else ""):
        told = f"labels were compressed with loss ({said}), which changes class codes"
        raise InputError(f"{path}: {told}; export them anew without")


def paletted(path: Path, header: Any) -> bool:  # noqa: ANN401
    """Whether a header says that pixels are numbers of colours in a palette.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> header = Dataset()
    >>> header.PhotometricInterpretation = "PALETTE COLOR"
    >>> paletted(Path("a.dcm"), header)
    True
    """
    return text(path, header, "PhotometricInterpretation") == COLOURS[1]


def in_colour(path: Path, header: Any) -> bool:  # noqa: ANN401
    """Whether a header says that pixels are colours.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> header = Dataset()
    >>> header.PhotometricInterpretation = "YBR_FULL_422"
    >>> in_colour(Path("a.dcm"), header)
    True
    """
    shown = text(path, header, "PhotometricInterpretation")
    return shown in COLOURS or shown.startswith(YBR)


def read_colours(path: Path, shape: tuple[int, int]) -> Shaped[np.ndarray, "h w 3"]:
    """Read the red, green and blue of a picture in colour, whatever its file stores.

    Parameters
    ----------
    path
        Its file.
    shape
        Rows and columns that its header says.

    Raises
    ------
    InputError
        If they can't be read.

    Examples
    --------
    >>> read_colours(Path("missing.dcm"), (2, 2))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: missing.dcm: not a readable DICOM file (No such file or directory)
    """
    header = dicom_header.read(path, pixels=True)
    if not paletted(path, header):
        return _colours_alone(path, header, stored(path, header, (*shape, 3)))
    indices = _colours_alone(path, header, _decoded(path, header, shape))
    with reading(path, dicom_header.KIND, wrong="its palette can't be applied", advice="; export it as RGB"):
        from pydicom.pixels.processing import apply_color_lut

        turn_words(header, segmented=False)  # pydicom turns these
        return np.asarray(apply_color_lut(indices, header))[..., :3]


def turn_words(header: Any, *, segmented: bool = True) -> None:  # noqa: ANN401
    """Turn round the words of a file whose most significant byte comes first, but its pixels: pydicom keeps them.

    Parameters
    ----------
    header
        A pydicom dataset, which is changed.
    segmented
        Turn those of palettes in segments, too.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> from pydicom.dataset import FileMetaDataset
    >>> header = Dataset()
    >>> header.file_meta = FileMetaDataset()
    >>> header.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.2"
    >>> header.add_new("RedPaletteColorLookupTableData", "OW", bytes([1, 2]))
    >>> turn_words(header)
    >>> list(header.RedPaletteColorLookupTableData)
    [2, 1]
    """
    from pydicom.uid import ExplicitVRBigEndian

    def turn(within: Any, element: Any) -> None:  # noqa: ANN401
        left = element.keyword == "PixelData" or (element.keyword.startswith("Segmented") and not segmented)
        if element.VR == WORDS and not left and element.value:
            within[element.tag].value = np.frombuffer(element.value, np.uint16).byteswap().tobytes()

    if header.file_meta.TransferSyntaxUID == ExplicitVRBigEndian:
        header.walk(turn)


def _must_be_turned(path: Path, header: Any) -> None:  # noqa: ANN401
    """Refuse brightness and differences of colour that are handed on as if they were red, green and blue."""
    from pydicom.uid import JPEG2000TransferSyntaxes

    _with_syntax(header)
    shown, syntax = text(path, header, "PhotometricInterpretation"), header.file_meta.TransferSyntaxUID
    if shown.startswith(YBR) and shown not in (*FULL, *(WAVELETS if syntax in JPEG2000TransferSyntaxes else ())):
        allowed = f"allowed are RGB, {', '.join(FULL)}, and {', '.join(WAVELETS)} in JPEG 2000; export it as RGB"
        raise InputError(f"{path}: PhotometricInterpretation is {shown!r} in {syntax.name}, {allowed}")


def _colours_alone(path: Path, header: Any, whole: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:  # noqa: ANN401
    """Return stored colours or their numbers without other bits, and say how many had such."""
    kept, cut = _without_high_bits(path, header, whole)
    stored = kept.astype(whole.dtype, copy=False)
    if cut:
        say(f"{path}: {cut} of {whole.size} values {CUT}")
    return stored


def read_frames(path: Path, shape: tuple[int, int], slices: Sequence[SourceSlice]) -> list[SlicePixels]:
    """Read the pixels of frames of a multi-frame file.

    Parameters
    ----------
    path
        The file.
    shape
        Rows and columns that its header says.
    slices
        The frames, each with its header; the file has as many as the largest number among them or more.

    Returns
    -------
    The pixels of `slices`, in their order.

    Raises
    ------
    InputError
        If they can't be read, or a header contradicts itself.

    Examples
    --------
    >>> read_frames(Path("missing.dcm"), (2, 2), [])
    Traceback (most recent call last):
    maskmixadv.errors.InputError: missing.dcm: not a readable DICOM file (No such file or directory)
    """
    header = dicom_header.read(path, pixels=True)
    count = int(number(path, header, "NumberOfFrames", 1.0))
    whole = _decoded(path, header, (count, *shape) if count > 1 else shape).reshape(count, *shape)
    return [_interpreted(each.path, each.header, whole[each.frame - 1]) for each in slices]


def unpack(path: Path, header: Any, shape: tuple[int, int, int]) -> None:  # noqa: ANN401
    """Replace compressed pixels of a multi-frame file by plain ones, where decoding them may end the process.

    Parameters
    ----------
    path, header
        The file, and its dataset with pixels, which is changed.
    shape
        Frames, rows and columns.

    Raises
    ------
    InputError
        If they can't be read, or have another shape.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> from pydicom.dataset import FileMetaDataset
    >>> plain = Dataset()
    >>> plain.file_meta = FileMetaDataset()
    >>> plain.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    >>> unpack(Path("plain.dcm"), plain, (1, 2, 2))  # nothing is compressed
    """
    _must_be_where_it_says(path, header)
    if not _may_crash(header):
        return
    from pydicom.pixels.utils import pack_bits
    from pydicom.uid import ExplicitVRLittleEndian

    frames = shape if shape[0] > 1 else shape[1:]
    whole = _decoded_apart(path, frames)
    _must_hold_all(path, header, whole)
    header.PixelData = pack_bits(whole) if header.BitsAllocated == 1 else whole.tobytes()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian


def stored(path: Path, header: Any, shape: tuple[int, ...]) -> Shaped[np.ndarray, "..."]:  # noqa: ANN401
    """Return a file's stored numbers as they are, with the bits that do not belong to them; colours as RGB.

    Parameters
    ----------
    path, header
        The file, and its dataset with pixels.
    shape
        That of its pixels by its header: frames if there are several, rows, columns, colours if there are some.

    Raises
    ------
    InputError
        If they can't be read, have another shape, or are colours that can't be made red, green and blue.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> stored(Path("empty.dcm"), Dataset(), (2, 2))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: empty.dcm: ... missing or empty, so its pixels can't be read; export it again
    """
    if in_colour(path, header) and not paletted(path, header):
        _must_be_turned(path, header)
    return _decoded(path, header, shape)


def _decoded(path: Path, header: Any, shape: tuple[int, ...]) -> Shaped[np.ndarray, "..."]:  # noqa: ANN401
    """Return stored numbers as they are, with the bits that do not belong to them."""
    unneeded = _WHOLE if any(name in header for name in FLOATS) else ()
    if missing := [name for name in NEEDED if name not in unneeded and not text(path, header, name)]:
        raise InputError(f"{path}: {', '.join(missing)} missing or empty, so its pixels can't be read; export it again")
    _with_syntax(header)
    _must_be_decodable(path, header)
    _must_be_where_it_says(path, header)
    whole = _decoded_apart(path, shape) if _may_crash(header) else _decoded_here(path, header)
    _must_hold_all(path, header, whole)
    _tell_of_more(path, header, shape)
    if whole.shape != shape or whole.dtype.kind not in "iuf":
        raise InputError(f"{path}: pixels have shape {whole.shape}, its header says {shape}; export it again")
    return whole


def _decoded_here(path: Path, header: Any) -> Shaped[np.ndarray, "..."]:  # noqa: ANN401
    with reading(path, dicom_header.KIND, wrong="pixels can't be read", advice="; export it uncompressed"):
        header.pixel_array_options(correct_unused_bits=False)  # pydicom would cut them off without a word
        return np.asarray(header.pixel_array)


def _must_hold_all(path: Path, header: Any, whole: Shaped[np.ndarray, "..."]) -> None:  # noqa: ANN401
    """Refuse JPEGs that end before their last pixels: with more bytes before their end they would be other ones."""
    if header.file_meta.TransferSyntaxUID not in JPEGS:
        return
    from pydicom import Dataset
    from pydicom.encaps import encapsulate, generate_frames

    with reading(path, dicom_header.KIND, wrong="pixels can't be read", advice="; export it uncompressed"):
        count = int(number(path, header, "NumberOfFrames", 1.0))
        frames = list(generate_frames(header.PixelData, number_of_frames=count))
        longer = Dataset()
        longer.update({element.tag: element for element in map(header.get_item, STORED) if element is not None})
        longer.file_meta = header.file_meta
        longer.PixelData = encapsulate([jpeg_scans.with_more(frame) or frame for frame in frames])
        longer["PixelData"].is_undefined_length = True
    said = next(filter(None, map(jpeg_scans.lacking, frames)), "")
    if not said:
        other = _decoded_beside(path, longer, whole.shape) if _may_crash(header) else _decoded_here(path, longer)
        said = "" if np.array_equal(whole, other) else "packed pixels end too early"
    if said:
        raise InputError(f"{path}: pixels can't be read ({said}, as if cut off); export it again")


def _decoded_beside(path: Path, made: Any, shape: tuple[int, ...]) -> Shaped[np.ndarray, "..."]:  # noqa: ANN401
    """Return what a dataset decodes to in a process of its own, which reads files."""
    with TemporaryDirectory() as folder:
        with reading(path, dicom_header.KIND, wrong="pixels can't be read", advice="; export it uncompressed"):
            made.save_as(file := Path(folder) / path.name, enforce_file_format=False)
        return _decoded_apart(file, shape)


def _must_be_where_it_says(path: Path, header: Any) -> None:  # noqa: ANN401
    """Refuse a table of where frames begin that is wrong: pydicom would take one frame for another."""
    if OFFSETS not in header or not header.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    with reading(path, dicom_header.KIND, wrong="pixels can't be read", advice="; export it uncompressed"):
        from pydicom.encaps import parse_basic_offsets, parse_fragments

        content = BytesIO(header.PixelData)
        parse_basic_offsets(content)
        begins = np.array(parse_fragments(content)[1])
        told = np.frombuffer(header[OFFSETS].value, "<u8")
    if not np.array_equal(told, begins - begins[:1]):
        said = f"{OFFSETS} says {len(told)} places where frames begin, its pixels have {len(begins)}"
        if len(told) == len(begins):
            at = int(np.argmax(told != begins - begins[0]))
            said = f"{OFFSETS} says that frame {at + 1} begins at byte {told[at]}, it does at {begins[at] - begins[0]}"
        raise InputError(f"{path}: {said}; export it again")


def _may_crash(header: Any) -> bool:  # noqa: ANN401
    """Whether a file's pixels may be decoded by GDCM, which ends the process at some damaged files."""
    from pydicom.pixels.decoders.base import get_decoder

    syntax = header.file_meta.TransferSyntaxUID
    try:
        return syntax.is_compressed and not syntax.is_deflated and DECODER in get_decoder(syntax).available_plugins
    except (ValueError, NotImplementedError):
        return False


def _decoded_apart(path: Path, shape: tuple[int, ...]) -> Shaped[np.ndarray, "..."]:
    """Return what pydicom decodes in a process of its own; the shape is checked before memory is taken for it."""
    with apart.reader() as reader:
        found = reader.header(path, DECODED, {"dicom": str(path)}, most=ITEMSIZE * math.prod(shape))
        if tuple(found["shape"]) != shape:
            said = f"pixels have shape {tuple(found['shape'])}, its header says {shape}"
            raise InputError(f"{path}: {said}; export it again")
        whole = np.empty(shape, np.dtype(found["kind"]))
        reader.values(path, DECODED, whole)
    return whole


def _tell_of_more(path: Path, header: Any, shape: tuple[int, ...]) -> None:  # noqa: ANN401
    """Say where a file holds more than its header says, beyond a byte that makes it even: one of the two is wrong."""
    if header.file_meta.TransferSyntaxUID.is_compressed or "PixelData" not in header:
        return
    needed = math.prod(shape) * int(number(path, header, "BitsAllocated", 16.0)) // 8
    if (more := len(header.PixelData) - needed) > 1:
        said = f"{' × '.join(map(str, shape))} need {needed:,} bytes, its pixels have {more:,} more, which are left out"
        say(f"{path}: {said}; look whether Rows and Columns are right")


def _with_syntax(header: Any) -> None:  # noqa: ANN401
    """Say of a file without a TransferSyntaxUID how it is stored, as it was read: old files begin with their data."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    meta = getattr(header, "file_meta", None) or FileMetaDataset()
    if "TransferSyntaxUID" not in meta:
        implicit, little = header.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
        header.file_meta = meta


def _must_be_decodable(path: Path, header: Any) -> None:  # noqa: ANN401
    """Refuse a compression for which no library is installed, which is the most frequent reason; name the remedy."""
    from pydicom.pixels.decoders.base import get_decoder

    syntax = header.file_meta.TransferSyntaxUID
    try:
        if not syntax.is_compressed or syntax.is_deflated or get_decoder(syntax).is_available:
            return
    except ValueError:  # no transfer syntax, which the decoding tells
        return
    except NotImplementedError:  # no library knows it
        pass
    lacking = find_spec(DECODER) is None
    install = "install one with \"pip install 'maskmixadv[dicom]'\", or " if lacking else ""
    raise InputError(f"{path}: no decoder of {syntax.name} is installed; {install}export it uncompressed")


def _interpreted(path: Path, header: Any, whole: Shaped[np.ndarray, "h w"]) -> SlicePixels:  # noqa: ANN401
    """Return what a slice's stored numbers mean by its header."""
    stored, cut = (whole, 0) if whole.dtype.kind == "f" else _without_high_bits(path, header, whole)
    padding = _padding(path, header, stored) | _padding(path, header, whole)
    return SlicePixels(_rescaled(path, header, stored), padding, cut)


def shown(where: Path, slices: Sequence[SlicePixels], *, invert: bool) -> Float[np.ndarray, "d h w"]:
    """Return the slices as a volume that is as bright as it is shown, and say what was left out of it.

    Pixels that were never measured get the lowest value of the others, so that they do not steer any scaling.

    Parameters
    ----------
    where
        The slices' folder, for what is said.
    slices
        As `read` returns them.
    invert
        Whether low values are shown bright.

    Raises
    ------
    InputError
        If no pixel was measured.

    Examples
    --------
    >>> corner = SlicePixels(np.array([[-32000, 5], [7, 9]], np.float32), np.array([[True, False], [False, False]]), 0)
    >>> shown(Path("series"), [corner], invert=False)[0]
    array([[5., 5.],
           [7., 9.]], dtype=float32)
    """
    array = np.stack([each.values for each in slices])
    padding = np.stack([each.padding for each in slices])
    _tell(where, slices)
    if padding.all():
        raise InputError(f"{where}: each pixel has the PixelPaddingValue, so none was measured; mend its headers")
    measured = array[~padding] if padding.any() else array
    low, high = measured.min(), measured.max()
    if invert:
        array = low + high - array
    if padding.any():
        array[padding] = low
    return array


def _tell(where: Path, slices: Sequence[SlicePixels]) -> None:
    total = sum(each.values.size for each in slices)
    if padded := sum(int(each.padding.sum()) for each in slices):
        said = "padding (PixelPaddingValue); they get the lowest value of the others"
        say(f"{where}: {padded} of {total} pixels are {said}")
    if cut := sum(each.cut for each in slices):
        say(f"{where}: {cut} of {total} pixels {CUT}")


def _without_high_bits(
    path: Path,
    header: Any,  # noqa: ANN401
    whole: Shaped[np.ndarray, "..."],
) -> tuple[Shaped[np.ndarray, "..."], int]:
    """Return the numbers that lie in the bits from HighBit down, BitsStored of them, and how many have other bits.

    Copies of a negative number's sign are no other bits.
    """
    allocated = int(number(path, header, "BitsAllocated", 16.0))
    stored = int(number(path, header, "BitsStored", float(allocated)))
    high = int(number(path, header, "HighBit", stored - 1.0))
    if not 0 < stored <= high + 1 <= allocated:
        said = f"BitsAllocated {allocated}, BitsStored {stored} and HighBit {high}"
        raise InputError(f"{path}: {said} contradict each other; export it again")
    if stored == allocated:
        return whole, 0
    wide, low = whole.astype(np.int64), high + 1 - stored
    kept = (wide >> low) & (2**stored - 1)
    others = (wide & (2**allocated - 1) & ~((2**stored - 1) << low)) != 0
    if whole.dtype.kind == "i":
        sign = 2 ** (stored - 1)
        kept = (kept ^ sign) - sign
    return kept, int(np.count_nonzero(others & (kept != wide)))


def _padding(path: Path, header: Any, stored: Shaped[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:  # noqa: ANN401
    """Return which stored numbers stand for padding: one value, or a range of them."""
    kind = "Float" if stored.dtype.kind == "f" else ""
    names = [f"{kind}PixelPaddingValue", f"{kind}PixelPaddingRangeLimit"]
    said = [name for name in names if text(path, header, name)]
    if said == names[1:]:
        raise InputError(f"{path}: has PixelPaddingRangeLimit without PixelPaddingValue; mend its header")
    ends = [number(path, header, name, 0.0) for name in said]
    if not ends:
        return np.zeros(stored.shape, bool)
    if kind:
        return (stored >= np.float32(min(ends))) & (stored <= np.float32(max(ends)))
    signed = int(number(path, header, "PixelRepresentation", 0.0)) == 1
    ends = [_signed(end) if signed else end % WORD for end in ends]
    return (stored >= min(ends)) & (stored <= max(ends))


def _signed(value: float) -> float:
    """Return a number of 16 bits with the sign that its highest bit has."""
    return (value + WORD // 2) % WORD - WORD // 2


def _rescaled(path: Path, header: Any, stored: Shaped[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:  # noqa: ANN401
    if header.get("ModalityLUTSequence"):
        with reading(path, dicom_header.KIND, wrong="ModalityLUTSequence can't be applied", advice="; export it again"):
            from pydicom.pixels.processing import apply_modality_lut

            return np.asarray(apply_modality_lut(stored, header), np.float32)
    slope, intercept = (
        number(path, header, f"Rescale{name}", value) for name, value in (("Slope", 1.0), ("Intercept", 0.0))
    )
    if slope == 0:
        raise InputError(f"{path}: RescaleSlope is 0, by which all pixels are {intercept:g}; export it again")
    return stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)
