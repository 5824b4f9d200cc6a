"""The program of the process that `maskmixadv.formats.apart` starts for libraries that a damaged file can crash.

It reads a line of JSON from its standard input: ``{"itk": path}``, ``{"hdf5": path, "name": array}`` or
``{"dicom": path}`` asks for a header, ``{"values": true}`` for the values that the last header declares. It writes a
line of JSON, and the values after it. Nothing of the package is imported here, so that the process starts fast.
"""

import json
import math
import os
import sys
import zlib
from collections.abc import Callable
from typing import Any

FIELDS = ("Size", "Spacing", "Origin", "Direction", "NumberOfComponents")
OF = {".mha": "MetaImageIO", ".mhd": "MetaImageIO", ".nrrd": "NrrdImageIO", ".nhdr": "NrrdImageIO"}
KINDS = ("UInt8", "Int8", "UInt16", "Int16", "UInt32", "Int32", "UInt64", "Int64", "Float32", "Float64")
CHUNK = 2**20
SLACK = 64
"""Bytes that checksums may add to a chunk."""
SCALES = {"scale_factor": 1, "add_offset": 0}
"""Attributes of HDF5's arrays by which netCDF's programs scale numbers, and what changes nothing."""
OWN = (*SCALES, "CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST", "DIMENSION_LABELS")
"""Attributes that are used, or by which HDF5 keeps order itself."""

Values = Callable[[], Any]


def limit(most: int) -> None:
    """Limit this process to `most` bytes of address space; nothing happens on Windows, which has no such limit.

    Examples
    --------
    >>> import subprocess
    >>> code = "from maskmixadv.formats.apart_child import limit; limit(2**32); bytes(2**33)"
    >>> subprocess.run([sys.executable, "-c", code], capture_output=True).stderr.splitlines()[-1]
    b'MemoryError'
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def itk(path: str) -> tuple[Values, dict[str, Any]]:
    """Read the header of a file of ITK's formats.

    Returns
    -------
    A function that reads the values, and the header's fields by ITK's names; ``kind`` is NumPy's name of the values'
    type, or None if they are no numbers; ``segments`` are the fields that 3D Slicer writes.

    Examples
    --------
    >>> import SimpleITK
    >>> SimpleITK.WriteImage(SimpleITK.Image(5, 7, 3, SimpleITK.sitkInt16), "a.mha")
    >>> values, header = itk("a.mha")
    >>> header["Size"], header["kind"], values().shape
    ((5, 7, 3), 'int16', (3, 7, 5))
    """
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    reader = SimpleITK.ImageFileReader()
    reader.SetFileName(path)
    reader.SetImageIO(OF[os.path.splitext(path)[1].lower()])  # noqa: PTH122
    reader.ReadImageInformation()
    told = {field: getattr(reader, f"Get{field}")() for field in FIELDS}
    wanted = reader.GetPixelIDValue()
    found = [k for k in KINDS if wanted in (getattr(SimpleITK, f"sitk{k}"), getattr(SimpleITK, f"sitkVector{k}"))]
    kind = SimpleITK.GetPixelIDValueAsString(wanted)
    values = lambda: SimpleITK.GetArrayFromImage(reader.Execute())  # noqa: E731
    segments = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys() if key.startswith("Segment")}
    return values, {**told, "kind": found[0].lower() if found else None, "type": kind, "segments": segments}


def hdf5(path: str, name: str) -> tuple[Values, dict[str, Any]]:
    """Read what an HDF5 file says of one of its arrays.

    Returns
    -------
    A function that reads the values, and ``shape``, ``kind`` (NumPy's code of the type) and ``chunks``; ``attributes``
    of the array, but for HDF5's own, and ``beside``, which are the file's attributes and its other arrays and groups.

    Raises
    ------
    ValueError
        If the array is not in the file itself, its numbers count by a scale or an offset, it has no 2 or 3 axes of
        numbers, or declares more than the file holds; of
        chunks, the function does.

    Examples
    --------
    >>> import h5py
    >>> with h5py.File("a.h5", "w") as file:
    ...     file["image"] = [[1.0, 2.0, 3.0]]
    >>> hdf5("a.h5", "image")[1]
    {'shape': (1, 3), 'kind': '<f8', 'chunks': (1, 3), 'attributes': [], 'beside': []}
    """
    import h5py
    import numpy as np

    file = h5py.File(path, "r", locking=False)
    found = file[name]
    if not isinstance(found, h5py.Dataset):
        raise ValueError(f"{name} is no array of this file")
    if found.file.filename != file.filename:
        raise ValueError(f"{name} lies in another file, allowed is an array of this one; copy it there")
    for scale, fine in SCALES.items():
        values_of = np.ravel(found.attrs.get(scale, fine)).tolist()
        if set(values_of) != {fine}:
            told = ", ".join(map(str, values_of))[:40]
            raise ValueError(f"{name} has {scale} {told}, allowed is {fine}; store numbers as they count")
    if found.external or found.is_virtual or found.dtype.kind not in "biuf" or found.ndim not in (2, 3):
        raise ValueError(f"{name} has {found.ndim} axes of {found.dtype}, allowed are 2 or 3 of numbers")
    if found.chunks is None and found.id.get_storage_size() < found.nbytes:
        raise ValueError(f"{name} declares {found.shape}, of which the file holds less")

    def values() -> Any:  # noqa: ANN401
        if found.chunks is not None:
            needed = math.prod(-(-size // part) for size, part in zip(found.shape, found.chunks, strict=True))
            if (held := found.id.get_num_chunks()) < needed:
                raise ValueError(f"{name} declares {found.shape} in {needed} chunks, of which the file holds {held}")
        if found.chunks is not None and found.compression == "gzip":
            check_chunks(found)
        with file:
            return found[()]

    said = {
        "attributes": [key for key in found.attrs if key not in OWN],
        "beside": [*file.attrs, *(key for key in file if key != name)],
    }
    return values, {"shape": found.shape, "kind": found.dtype.str, "chunks": found.chunks or found.shape, **said}


def dicom(path: str) -> tuple[Values, dict[str, Any]]:
    """Decode the pixels of a DICOM file, as their header does not say for sure of which type they are.

    Returns
    -------
    A function that gives the stored numbers, with the bits that do not belong to them, and ``shape`` and ``kind``
    (NumPy's code of the type).

    Examples
    --------
    >>> dicom("missing.dcm")
    Traceback (most recent call last):
    FileNotFoundError: ...
    """
    import numpy as np
    import pydicom

    found = pydicom.dcmread(path, force=True)
    found.pixel_array_options(correct_unused_bits=False)  # pydicom would cut them off without a word
    array = np.ascontiguousarray(found.pixel_array)
    return lambda: array, {"shape": array.shape, "kind": array.dtype.str}


def check_chunks(found: Any) -> None:  # noqa: ANN401
    """Unpack each chunk piece by piece, without keeping it, before HDF5 does so in memory.

    HDF5 takes memory for all that a chunk unpacks to, whatever size the file declares.

    Parameters
    ----------
    found
        An `h5py.Dataset` with gzip's compression.

    Raises
    ------
    ValueError
        If a chunk unpacks to more than its declared size.

    Examples
    --------
    >>> import h5py
    >>> with h5py.File("a.h5", "w") as file:
    ...     check_chunks(file.create_dataset("image", data=[[0.0] * 100], compression="gzip"))
    """
    most = math.prod(found.chunks) * found.dtype.itemsize + SLACK
    for number in range(found.id.get_num_chunks()):
        rest = found.id.read_direct_chunk(found.id.get_chunk_info(number).chunk_offset)[1]
        total, unpack = 0, zlib.decompressobj()
        while rest and not unpack.eof:
            total += len(unpack.decompress(rest, CHUNK))
            rest = unpack.unconsumed_tail
            if total > most:
                raise ValueError(f"a chunk unpacks to more than the {most} bytes declared")


def serve(orders: Any, answers: Any) -> None:  # noqa: ANN401
    """Answer orders until there are no more.

    Parameters
    ----------
    orders, answers
        Binary streams to read lines from, and to write to.

    Examples
    --------
    >>> import io
    >>> answers = io.BytesIO()
    >>> serve([b'{"hdf5": "missing.h5", "name": "image"}'], answers)
    >>> list(json.loads(answers.getvalue()))
    ['error']
    """
    values: Values | None = None
    answer: dict[str, Any]
    content: Any
    for line in orders:
        order = json.loads(line)
        answer, content = {}, b""
        values = values if "values" in order else None  # a file that nobody wants any more is closed
        try:
            if "itk" in order:
                values, answer = itk(order["itk"])
            elif "hdf5" in order:
                values, answer = hdf5(order["hdf5"], order["name"])
            elif "dicom" in order:
                values, answer = dicom(order["dicom"])
            elif values is not None:
                array = values()
                values, answer, content = None, {"bytes": array.nbytes}, array.reshape(-1).view("u1").data
        except Exception as error:  # whatever the libraries met; memory may lack, too
            answer = {"error": str(error).strip().splitlines()[-1:] or [type(error).__name__]}
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.write(content)
        answers.flush()


def main() -> None:
    """Serve on standard input and output; what libraries print goes nowhere.

    Examples
    --------
    >>> import subprocess
    >>> command = [sys.executable, "-m", "maskmixadv.formats.apart_child", str(2**33)]
    >>> subprocess.run(command, input=b"", capture_output=True).stdout
    b''
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    limit(int(sys.argv[1]))
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
