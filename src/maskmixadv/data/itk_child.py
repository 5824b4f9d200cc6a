"""SimpleITK's readers in a process of their own, which a damaged file may end: run by `maskmixadv.data.itk_reader`.

A line of JSON comes in, ``{"open": path}`` or ``{"voxels": true}``; one goes out, which the voxels follow. Nothing of
the package is imported here, so that it starts fast.
"""

import json
import os
import sys
from typing import Any

FIELDS = ("Size", "Spacing", "Origin", "Direction", "NumberOfComponents")
OF = {".mha": "MetaImageIO", ".mhd": "MetaImageIO", ".nrrd": "NrrdImageIO"}
KINDS = ("UInt8", "Int8", "UInt16", "Int16", "UInt32", "Int32", "UInt64", "Int64", "Float32", "Float64")


def limit(most: int) -> None:
    """Take no more than `most` bytes of address space, where the system can see to that."""
    try:
        import resource
    except ImportError:  # Windows
        return
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def opened(itk: Any, path: str) -> tuple[Any, dict[str, Any]]:  # noqa: ANN401
    """Read a header."""
    reader = itk.ImageFileReader()
    reader.SetFileName(path)
    reader.SetImageIO(OF[os.path.splitext(path)[1].lower()])  # noqa: PTH122
    reader.ReadImageInformation()
    told = {field: getattr(reader, f"Get{field}")() for field in FIELDS}
    wanted = reader.GetPixelIDValue()
    found = [k for k in KINDS if wanted in (getattr(itk, f"sitk{k}"), getattr(itk, f"sitkVector{k}"))]
    return reader, {**told, "kind": found[0].lower() if found else None, "type": itk.GetPixelIDValueAsString(wanted)}


def serve(itk: Any, orders: Any, answers: Any) -> None:  # noqa: ANN401
    """Answer until nobody asks any more."""
    reader: Any = None
    image: Any = None  # as long as it is there, so are its voxels
    for line in orders:
        order, voxels = json.loads(line), b""
        try:
            if "open" in order:
                reader, answer = opened(itk, order["open"])
            else:
                image = reader.Execute()
                array = itk.GetArrayViewFromImage(image)
                answer, voxels = {"bytes": array.nbytes}, array.reshape(-1).view("u1").data
        except Exception as error:  # SimpleITK raises RuntimeError; memory may lack, too
            answer = {"error": str(error).strip().splitlines()[-1:] or [type(error).__name__]}
        answers.write(json.dumps(answer).encode() + b"\n")
        answers.write(voxels)
        answers.flush()
        image = array = voxels = None


def main() -> None:
    """Serve, with what ITK prints kept from the answers."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    limit(int(sys.argv[1]))
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    answers.write(b"{}\n")
    answers.flush()
    serve(SimpleITK, sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
