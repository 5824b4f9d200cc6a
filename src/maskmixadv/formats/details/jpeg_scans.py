"""Whether a JPEG holds all of its pixels: programs show grey, without a word, where packed pixels end too early.

Nothing of the package is imported here, as the process that decodes DICOM files uses it.
"""

import math
from typing import Final, NamedTuple

EOI: Final = 0xD9
"""Marker of a JPEG's end; those of its scans, of its frame, of its restarts and of their interval follow."""
SOS: Final = 0xDA
SOF: Final = {0xC0: False, 0xC1: False, 0xC2: True, 0xC3: False}
"""Markers of frames of Huffman's codes, and whether they are progressive."""
LOSSLESS: Final = 0xC3
FRAMES: Final = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
"""Markers of all frames but that of JPEG-LS, which follows."""
NEAR: Final = 0xF7
WITHOUT_LOSS: Final = (0xC3, 0xC7, 0xCB, 0xCF, NEAR)
STEPWISE: Final = (0xC5, 0xC6, 0xCD, 0xCE)
"""Frames that hold differences to smaller ones."""
BITS: Final = 8
RESTARTS: Final = range(0xD0, 0xD8)
INTERVAL: Final = 0xDD
MORE: Final = bytes.fromhex("5aa5") * 32
"""Bytes that change what is decoded if they follow packed pixels that end too early, and nothing else."""
LAST: Final = 63
"""The finest of a block's coefficients."""


class _Scan(NamedTuple):
    """A scan: numbers of its components, its first and last coefficient, whether it is their last bit, restarts."""

    components: tuple[int, ...]
    first: int
    last: int
    finest: bool
    restarts: int


def lacking(content: bytes) -> str:
    r"""Say what a JPEG lacks by its markers alone: scans, or parts of scans; empty if nothing, or if it is no such.

    Examples
    --------
    >>> import io
    >>> from PIL import Image
    >>> file = io.BytesIO()
    >>> Image.linear_gradient("L").save(file, "JPEG", restart_marker_rows=1)
    >>> lacking(file.getvalue()), lacking(file.getvalue()[:-300] + b"\xff\xd9")
    ('', 'a scan has 26 restarts, and its size asks for 31')
    """
    found = _parsed(content)
    return "" if found is None else found[1]


def unlike(content: bytes) -> str:
    r"""Say what kind of JPEG one is that Pillow does not read: of more than 8 bits, or without loss; else nothing.

    Examples
    --------
    >>> import io
    >>> from PIL import Image
    >>> file = io.BytesIO()
    >>> Image.linear_gradient("L").save(file, "JPEG")
    >>> unlike(file.getvalue())
    ''
    >>> unlike(file.getvalue().replace(b"\xff\xc0\x00\x0b\x08", b"\xff\xc1\x00\x0b\x0c"))
    'a JPEG of 12 bits a value'
    """
    marker, frame = _frame(content)
    if marker in WITHOUT_LOSS:
        return "a lossless JPEG"
    if marker in STEPWISE:
        return "a hierarchical JPEG"
    return f"a JPEG of {frame[0]} bits a value" if frame and frame[0] != BITS else ""


def _frame(content: bytes) -> tuple[int, bytes]:
    """Return marker and content of a JPEG's frame; -1 and nothing where there is none."""
    at = 2
    while content[:2] == b"\xff\xd8" and content[at : at + 1] == b"\xff" and at + 4 <= len(content):
        marker = content[at + 1]
        if marker == 0xFF:  # bytes that fill
            at += 1
            continue
        within, at = _segment(content, at)
        if marker in (*FRAMES, NEAR):
            return marker, within
        if marker in (SOS, EOI):
            break
    return -1, b""


def _segment(content: bytes, at: int) -> tuple[bytes, int]:
    """Return what the marker at a place is followed by, and where that ends."""
    after = at + 2 + int.from_bytes(content[at + 2 : at + 4])
    return content[at + 4 : after], after


def with_more(content: bytes) -> bytes | None:
    r"""Return a JPEG with more bytes before its end, which decodes to the same pixels only if it holds all of them.

    None if it is no JPEG of Huffman's codes.

    Examples
    --------
    >>> import io
    >>> from PIL import Image
    >>> file = io.BytesIO()
    >>> Image.linear_gradient("L").save(file, "JPEG")
    >>> len(with_more(file.getvalue())) - len(file.getvalue()), with_more(b"GIF") is None
    (64, True)
    """
    found = _parsed(content)
    return None if found is None else content[: found[0]] + MORE + content[found[0] :]


def _parsed(content: bytes) -> tuple[int, str] | None:
    """Return where the last scan ends, and what is lacking; None for what is no JPEG of Huffman's codes."""
    at, frame, interval, end = 2, b"", 0, -1
    kind, scans = -1, list[tuple[_Scan, int]]()
    if content[:2] != b"\xff\xd8":
        return None
    while (at := content.find(b"\xff", at)) >= 0 and at + 4 <= len(content):
        marker = content[at + 1]
        if marker in (0xFF, 0, *RESTARTS):
            at += 1 if marker == 0xFF else 2
            continue
        if marker == EOI:
            break
        within, at = _segment(content, at)
        if marker in FRAMES:
            frame, kind = within, marker
        elif marker == INTERVAL:
            interval = int.from_bytes(within[:2])
        elif marker == SOS and within:
            restarts, end = _entropy(content, at)
            count = within[0]
            first, last, bits = within[2 * count + 1 : 2 * count + 4]
            scans.append((_Scan(tuple(within[1 : 2 * count + 1 : 2]), first, last, not bits & 15, restarts), interval))
            at = end
    if kind not in SOF or end < 0:
        return None
    return end, _lacking(frame, kind, scans)


def _entropy(content: bytes, at: int) -> tuple[int, int]:
    """Return the number of restarts in a scan's packed pixels, and where these end."""
    restarts = 0
    while (at := content.find(b"\xff", at)) >= 0 and at + 1 < len(content):
        marker = content[at + 1]
        if marker not in (0, *RESTARTS):
            return restarts, at
        restarts += marker in RESTARTS
        at += 2
    return restarts, len(content)


def _lacking(frame: bytes, kind: int, scans: list[tuple[_Scan, int]]) -> str:
    h, w = (int.from_bytes(frame[place : place + 2]) for place in (1, 3))
    parts = {frame[at]: divmod(frame[at + 1], 16) for at in range(6, 6 + 3 * frame[5], 3)}
    side = 1 if kind == LOSSLESS else 8
    widest, tallest = (max(each[axis] for each in parts.values()) for axis in (0, 1))
    for scan, interval in scans:
        if len(scan.components) == 1:
            across, down = parts[scan.components[0]]
            units = math.ceil(math.ceil(w * across / widest) / side) * math.ceil(math.ceil(h * down / tallest) / side)
        else:
            units = math.ceil(w / (side * widest)) * math.ceil(h / (side * tallest))
        if interval and scan.restarts < (wanted := math.ceil(units / interval) - 1):
            return f"a scan has {scan.restarts} restarts, and its size asks for {wanted}"
    for number in parts:
        own = [scan for scan, _ in scans if number in scan.components and (scan.finest or kind == LOSSLESS)]
        known = {each for scan in own for each in range(scan.first, scan.last + 1)}
        if not own or (SOF[kind] and not known.issuperset(range(LAST + 1))):
            return "scans are missing"
    return ""
