"""Unpack what ``pack.py`` packed, and make the corpus: ``python benchmarks/gpu/rebuild.py DATA WORK``.

WORK gets the data set as ``ACDC``, each volume as it was, and the corpus ``acdc``.
"""

import lzma
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import h5py
import numpy as np
import tyro
from tyro.conf import Positional

from maskmixadv.errors import InputError
from maskmixadv.files import read_json
from maskmixadv.typed import made
from pack import INDEX, PACKED, Packed


@dataclass(frozen=True)
class Rebuild:
    """Unpack the data set and make its corpus.

    Attributes
    ----------
    data
        Folder with what pack.py wrote.
    work
        Folder for the data set and the corpus.
    """

    data: Positional[Path]
    work: Positional[Path]


def unpack(data: Path, root: Path) -> int:
    """Write all H5 files below `root`, on all cores; returns their number."""
    index = [made(Packed, each, INDEX) for each in read_json(data / INDEX)]
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        return len(list(pool.map(_unpack, index, repeat(data), repeat(root), chunksize=4)))


def _unpack(of: Packed, data: Path, root: Path) -> None:
    import jpeg_ls

    with (data / PACKED).open("rb") as file:
        file.seek(of.start)
        values, image, labels = (file.read(count) for count in (of.values, of.image, of.labels))
    table = np.frombuffer(values, of.types[0])
    numbers = np.asarray(jpeg_ls.decode(np.frombuffer(image, np.uint8))).reshape(of.shape)
    both = np.frombuffer(lzma.decompress(labels), np.uint8).reshape(of.shape)
    path = root / of.name
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["image"] = table[numbers]
        file["label"], file["scribble"] = (both & 15).astype(of.types[1]), (both >> 4).astype(of.types[2])


def main(options: Rebuild) -> None:
    """Unpack, make the corpus, and say how long it took."""
    began = time.monotonic()
    count = unpack(options.data, options.work / "ACDC")
    unpacked = time.monotonic() - began
    command = ("prepare", "acdc", str(options.work / "ACDC"), str(options.work / "acdc"))
    subprocess.run([sys.executable, "-m", "maskmixadv", *command], check=True)
    print(f"{count} volumes unpacked in {unpacked:.1f} s, corpus made in {time.monotonic() - began - unpacked:.1f} s")


if __name__ == "__main__":
    try:
        main(tyro.cli(Rebuild))
    except InputError as error:
        sys.exit(f"rebuild: {error}")
