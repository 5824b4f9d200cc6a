"""Channels of images: what each one is, and how its intensities are scaled. Nothing here imports torch."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

import numpy as np
from jaxtyping import Float, Shaped

from maskmixadv.corpus.names import check_word
from maskmixadv.corpus.scale import normalise
from maskmixadv.errors import InputError
from maskmixadv.formats.volume import Volume

Kind = Literal["MR", "RGB"]
"""How a channel's intensities are scaled: each volume's own, or those of red, green and blue together."""
KINDS: Final = get_args(Kind)
LUMA: Final = (0.2125, 0.7154, 0.0721)
"""Brightness of red, green and blue (ITU-R BT.709)."""


@dataclass(frozen=True)
class Channel:
    """A channel of a corpus's images.

    Attributes
    ----------
    name
        Such as ``T1`` or ``red``.
    kind
        ``MR``: scaled by each volume's own range. ``RGB``: one of three that are scaled alike.

    Examples
    --------
    >>> Channel("T1")
    Channel(name='T1', kind='MR')
    """

    name: str
    kind: Kind = "MR"


ONE: Final = (Channel("image"),)
"""Images of one channel, as corpora without a word about channels have them."""
COLOURS: Final = tuple(Channel(name, "RGB") for name in ("red", "green", "blue"))
"""Pictures in colour."""


def check_channels(channels: Sequence[Channel], where: str) -> None:
    """Check that there are channels, that their names differ, and that colours come as three.

    Raises
    ------
    InputError
        If not; the text begins with `where`.

    Examples
    --------
    >>> check_channels([Channel("red", "RGB")], "corpus.json")
    Traceback (most recent call last):
    maskmixadv.errors.InputError: corpus.json: 1 channel of kind RGB, allowed are 3: red, green and blue
    """
    for channel in channels:
        check_word(channel.name, f"{where}: channel")
        if channel.kind not in KINDS:
            raise InputError(f"{where}: channel kind {channel.kind!r}, allowed are {', '.join(KINDS)}")
    colours = sum(channel.kind == "RGB" for channel in channels)
    if colours not in (0, 3):
        raise InputError(
            f"{where}: {colours} channel{'s' * (colours != 1)} of kind RGB, allowed are 3: red, green and blue"
        )
    if not channels or len({channel.name for channel in channels}) < len(channels):
        raise InputError(f"{where}: channels {[each.name for each in channels]}, allowed are different names")


def named(channels: Sequence[Channel]) -> str:
    """List channels for people.

    Examples
    --------
    >>> named(COLOURS)
    'red, green, blue'
    """
    return ", ".join(channel.name for channel in channels)


def scaled(image: Volume, channels: Sequence[Channel], where: str) -> Float[np.ndarray, "c d h w"]:
    """Return the intensities of an image's channels in [0, 1], as `maskmixadv.corpus.scale.normalise` scales them.

    Parameters
    ----------
    image
        As it was read.
    channels
        What is wanted: colours, which are scaled alike; others, each by its own range; or one, for which colours become
        grey.
    where
        The file, for the error's text.

    Raises
    ------
    InputError
        If the image has not these channels, is not finite, or constant.

    Examples
    --------
    >>> from maskmixadv.formats.flat import NoGeometry
    >>> grey = Volume(np.random.default_rng(0).random((1, 8, 8)), None, None, NoGeometry())
    >>> scaled(grey, ONE, "a.png").shape
    (1, 1, 8, 8)
    >>> scaled(grey, COLOURS, "a.png")
    Traceback (most recent call last):
    maskmixadv.errors.InputError: a.png: has one channel, allowed are images with 3 (red, green, blue)
    """
    several = image.channels
    if len(channels) == 1 and (several is None or image.coloured or len(several) == len(COLOURS)):
        return normalise(image.array, where=where)[None]
    if several is None or len(several) != len(channels):
        has = "one channel" if several is None else f"{len(several)} channels"
        raise InputError(f"{where}: has {has}, allowed are images with {len(channels)} ({named(channels)})")
    return ranged(several, channels, where)


def as_channels(image: Volume, channels: Sequence[Channel]) -> Volume:
    """Return an image with the channels that are wanted, where grey can become red, green and blue; else as it is.

    Examples
    --------
    >>> from maskmixadv.formats.flat import NoGeometry
    >>> grey = Volume(np.zeros((1, 8, 8)), None, None, NoGeometry())
    >>> as_channels(grey, COLOURS).channels.shape, as_channels(grey, ONE).channels is None
    ((3, 1, 8, 8), True)
    """
    if tuple(channels) != COLOURS or image.channels is not None:
        return image
    return replace(image, channels=np.stack([image.array] * len(COLOURS)))


def ranged(
    image: Shaped[np.ndarray, "c d h w"], channels: Sequence[Channel], where: str
) -> Float[np.ndarray, "c d h w"]:
    """Scale channels to [0, 1]: colours alike, others each by its own range.

    Raises
    ------
    InputError
        If one is not finite, or constant.

    Examples
    --------
    >>> image = np.stack([np.arange(100).reshape(1, 10, 10), 5 * np.arange(100).reshape(1, 10, 10)])
    >>> ranged(image, [Channel("T1"), Channel("T2")], "a").max((1, 2, 3)).tolist()
    [1.0, 1.0]
    """
    parts = [image] if channels[0].kind == "RGB" else image[:, None]
    return np.concatenate([normalise(part, where=where) for part in parts])


def shown(image: Float[np.ndarray, "c *dhw"]) -> Float[np.ndarray, "*dhw"]:
    """Return an image as grey: the brightness of three channels, else the first channel.

    Examples
    --------
    >>> shown(np.array([[1.0], [0.0], [0.0]]))
    array([0.21])
    """
    return np.tensordot(np.array(LUMA, image.dtype), image, 1) if len(image) == 3 else image[0]
