"""What a page had before it, so that a page that saves over another page's work is told."""

from hashlib import blake2b
from typing import Final

import numpy as np
from jaxtyping import UInt8

from maskmixadv.studio.refusals import StaleError
from maskmixadv.studio.review.reviews import Seen
from maskmixadv.types import IGNORE

UNPAINTED: Final = "none"
"""Version of the mask of a slice on which nobody painted."""


def version(plane: UInt8[np.ndarray, "h w"]) -> str:
    """Return the version of strokes: a hash, so that it holds for every server, and after a restart.

    Examples
    --------
    >>> plane = np.full((4, 4), 255, np.uint8)
    >>> before = version(plane)
    >>> plane[1, 2] = 0
    >>> version(plane) == before
    False
    """
    return blake2b(np.ascontiguousarray(plane).tobytes(), digest_size=8).hexdigest()


def check(expected: str | None, stored: UInt8[np.ndarray, "h w"], sent: UInt8[np.ndarray, "h w"]) -> None:
    """Refuse strokes that somebody drew without having seen the stored ones.

    Strokes that are stored already are not refused: their first answer may have been lost.

    Parameters
    ----------
    expected
        Version of the strokes that the page had; None replaces any.
    stored
        The strokes on disk.
    sent
        The strokes that are to replace them.

    Raises
    ------
    StaleError
        If `stored` has another version.
    """
    _check(expected, version(stored), "scribble: somebody else has drawn", same=np.array_equal(stored, sent))


def mask_version(plane: UInt8[np.ndarray, "h w"]) -> str:
    """Return the version of a painted mask; ``UNPAINTED`` where a pixel has no class, so that there is none.

    Examples
    --------
    >>> mask_version(np.full((4, 4), 255, np.uint8))
    'none'
    """
    return UNPAINTED if (plane == IGNORE).any() else version(plane)


def check_mask(expected: str | None, stored: UInt8[np.ndarray, "h w"], sent: UInt8[np.ndarray, "h w"] | None) -> None:
    """Refuse a mask that somebody painted without having seen the stored one.

    A mask that is stored already is not refused, as in `check`.

    Parameters
    ----------
    expected
        Version of the mask that the page had; None replaces any.
    stored
        The slice on disk.
    sent
        The mask that is to replace it; None takes it away.

    Raises
    ------
    StaleError
        If `stored` has another version.
    """
    same = sent is not None and np.array_equal(stored, sent)
    _check(expected, mask_version(stored), "mask: somebody else has painted", same=same)


def _check(expected: str | None, holds: str, told: str, *, same: bool) -> None:
    if expected is not None and holds != expected and not same:
        raise StaleError(f"{told} on this slice since; read it again, and merge")


def check_seen(seen: Seen | None, holds: Seen) -> None:
    """Refuse a verdict of somebody who saw something else than what holds now; None refuses nothing.

    Raises
    ------
    StaleError
        If another verdict holds, or a later run has predicted.
    """
    if seen is None:
        return
    if seen.run != holds.run:
        raise StaleError(f"review: run {holds.run} has predicted since; look at its slice and judge again")
    if seen.verdict != holds.verdict:
        raise StaleError(f"review: judged elsewhere, it is {holds.verdict or 'not judged'} now; judge again")
