"""Libraries that a damaged file may kill, in a process of their own: run by `maskmixadv.formats.apart`.

A line of JSON comes in: ``{"itk": path}`` or ``{"hdf5": path, "name": array}`` asks for a header, ``{"values": true}``
for what it declares. A line goes out, which the values follow. Nothing of the package is imported here, so that it
starts fast.
"""

import json
import math
import os
import sys
import zlib
from collections.abc import Callable
from typing import Any

FIELDS = ("Size", "Spacing", "Origin", "Direction", "NumberOfComponents")
OF = {".mha": "MetaImageIO", ".mhd": "MetaImageIO", ".nrrd": "NrrdImageIO"}
KINDS = ("UInt8", "Int8", "UInt16", "Int16", "UInt32", "Int32", "UInt64", "Int64", "Float32", "Float64")
CHUNK = 2**20
SLACK = 64
"""Bytes of checksums in a chunk."""

Values = Callable[[], Any]


def limit(most: int) -> None:
    """Take no more than `most` bytes of address space, where the system can see to that."""
    try:
        import resource
    except ImportError:  # Windows
        return
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def itk(path: str) -> tuple[Values, dict[str, Any]]:
    """Read the header of a file of ITK's formats."""
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
    return values, {**told, "kind": found[0].lower() if found else None, "type": kind}


def hdf5(path: str, name: str) -> tuple[Values, dict[str, Any]]:
    """Read what a file says of an array, which must lie in the file itself."""
    import h5py

    file = h5py.File(path, "r", locking=False)
    found = file[name]
    if not isinstance(file.get(name, getlink=True), h5py.HardLink) or not isinstance(found, h5py.Dataset):
        raise ValueError(f"{name} is no array of this file")
    if found.external or found.is_virtual or found.dtype.kind not in "biuf" or found.ndim not in (2, 3):
        raise ValueError(f"{name} has {found.ndim} axes of {found.dtype}, allowed are 2 or 3 of numbers")
    if found.chunks is None and found.id.get_storage_size() < found.nbytes:
        raise ValueError(f"{name} declares {found.shape}, of which the file holds less")

    def values() -> Any:  # noqa: ANN401
        if found.chunks is not None and found.compression == "gzip":
            check_chunks(found)
        with file:
            return found[()]

    return values, {"shape": found.shape, "kind": found.dtype.str, "chunks": found.chunks or found.shape}


def check_chunks(found: Any) -> None:  # noqa: ANN401
    """A chunk unpacks to what is in it, whatever size it declares, and memory is taken for it: look before."""
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
    """Answer until nobody asks any more."""
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
            elif values is not None:
                array = values()
                values, answer, content = None, {"bytes": array.nbytes}, array.reshape(-1).view("u1").data
        except Exception as error:  # whatever the libraries met; memory may lack, too
            answer = {"error": str(error).strip().splitlines()[-1:] or [type(error).__name__]}
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.write(content)
        answers.flush()


def main() -> None:
    """Serve, with what libraries print kept from the answers."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    limit(int(sys.argv[1]))
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
