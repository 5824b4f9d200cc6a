"""TIFF files packed by LZW and PackBits, which tifffile alone can't pack, for tests."""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

LZW, PACKBITS = 5, 32773


def lzw(content: bytes) -> bytes:
    """Pack bytes by LZW, without a gain: each one is a code of 9 bits, and the table is cleared before it grows."""
    codes = [code for place, byte in enumerate(content) for code in ([256, byte] if place % 200 == 0 else [byte])]
    bits = "".join(f"{code:09b}" for code in [*codes, 257])
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8))


def packbits(content: bytes) -> bytes:
    parts = [content[start : start + 128] for start in range(0, len(content), 128)]
    return b"".join(bytes([len(part) - 1]) + part for part in parts)


def write(path: Path, array: np.ndarray, packing: int = LZW, predictor: int = 1, **how: Any) -> Path:
    """Write a TIFF, and pack its strips or tiles by what tifffile can't pack without another package."""
    zipped = {"compression": "zlib", "predictor": 2} if predictor == 2 else {}
    tifffile.imwrite(path, array, metadata=None, **zipped, **how)
    pack = lzw if packing == LZW else packbits
    with tifffile.TiffFile(path, mode="r+") as file:
        page: Any
        for page in file.pages:
            tile: Any = "Tile" if page.is_tiled else "Strip"
            places = []
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True):
                file.filehandle.seek(offset)
                content = file.filehandle.read(count)
                packed = pack(zlib.decompress(content) if zipped else content)
                file.filehandle.seek(0, 2)
                places.append((file.filehandle.tell(), len(packed)))
                file.filehandle.write(packed)
            page.tags["Compression"].overwrite(packing)
            for name, values in zip((f"{tile}Offsets", f"{tile}ByteCounts"), zip(*places, strict=True), strict=True):
                page.tags[name].overwrite(values)
    return path
