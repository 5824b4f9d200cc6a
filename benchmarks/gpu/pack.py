"""Pack ACDC into one file to carry to another machine: ``python benchmarks/gpu/pack.py ACDC OUT``.

ACDC is the folder that ``maskmixadv prepare acdc`` reads. Images, masks and strokes are packed without any loss:
118 MiB become 50. ``rebuild.py`` unpacks them. Both need ``pyjpegls``.
"""

import json
import lzma
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import h5py
import numpy as np
import tyro
from tyro.conf import Positional

from maskmixadv.errors import InputError

PACKED, INDEX = "acdc.bin", "acdc.json"
"""Files that hold the bytes of all volumes, and where each volume's lie."""


@dataclass(frozen=True)
class Pack:
    """Pack a data set.

    Attributes
    ----------
    root
        Folder of ACDC's H5 files, or one above it.
    out
        Folder for the two packed files.
    """

    root: Positional[Path]
    out: Positional[Path]


@dataclass(frozen=True)
class Packed:
    """Where the bytes of a volume lie in the packed file.

    Attributes
    ----------
    name
        Path of the H5 file below the data set's folder.
    shape
        Of the image, its mask and its strokes.
    types
        Data types of the three in the H5 file.
    start
        Number of its first byte.
    values, image, labels
        Numbers of bytes of the image's distinct values, of their numbers pixel by pixel as JPEG-LS, and of mask and
        strokes together as LZMA.
    """

    name: str
    shape: tuple[int, ...]
    types: tuple[str, str, str]
    start: int
    values: int
    image: int
    labels: int


def packed(path: Path) -> tuple[bytes, bytes, bytes, tuple[int, ...], tuple[str, str, str]]:
    """The three parts of a volume as bytes, with the shape and the data types."""
    import jpeg_ls

    with h5py.File(path) as file:
        image, label, scribble = (np.asarray(file[name]) for name in ("image", "label", "scribble"))
    values, numbers = np.unique(image, return_inverse=True)
    if len(values) > 2**16 or max(label.max(), scribble.max()) > 15:
        raise InputError(f"{path}: {len(values)} values or a label above 15, allowed are 65,536 and 15")
    rows = np.ascontiguousarray(numbers.reshape(-1, image.shape[-1]).astype(np.uint16))
    both = label.astype(np.uint8) | (scribble.astype(np.uint8) << 4)
    types = (str(image.dtype), str(label.dtype), str(scribble.dtype))
    return values.tobytes(), bytes(jpeg_ls.encode(rows)), lzma.compress(both.tobytes()), image.shape, types


def main(options: Pack) -> None:
    """Pack, and say how large the result is."""
    paths = sorted(options.root.rglob("*.h5"))
    if not paths:
        raise InputError(f"{options.root}: no H5 file in it or below it")
    options.out.mkdir(parents=True, exist_ok=True)
    index: list[Packed] = []
    start = 0
    with (options.out / PACKED).open("wb") as file, ProcessPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(packed, paths, chunksize=4)
        for path, (values, image, labels, shape, types) in zip(paths, found, strict=True):
            name = path.relative_to(options.root).as_posix()
            index.append(Packed(name, shape, types, start, len(values), len(image), len(labels)))
            for part in (values, image, labels):
                start += file.write(part)
    (options.out / INDEX).write_text(json.dumps([asdict(each) for each in index]))
    print(f"{options.out}: {len(index)} volumes in {start / 2**20:.1f} MiB")


if __name__ == "__main__":
    try:
        main(tyro.cli(Pack))
    except InputError as error:
        sys.exit(f"pack: {error}")
