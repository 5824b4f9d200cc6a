"""Channels of images: what each one is, and how its intensities are scaled. Nothing here imports torch."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from numbers import Real
from typing import Any, Final, Literal, get_args

import numpy as np
from jaxtyping import Float, Shaped

from maskmixadv.corpus.names import check_word
from maskmixadv.corpus.scale import PERCENTILE, measured, normalise, unscaled, windowed
from maskmixadv.errors import InputError, counted
from maskmixadv.formats.volume import LUMA, Volume

Kind = Literal["MR", "RGB", "CT", "noNorm"]
"""How a channel's intensities are scaled, by nnU-Net's words: see `Channel`."""
KINDS: Final = get_args(Kind)
Window = tuple[float, float]
"""Intensities that become 0 and 1."""


@dataclass(frozen=True)
class Channel:
    """A channel of a corpus's images.

    Attributes
    ----------
    name
        Such as ``T1`` or ``red``.
    kind
        ``MR``: scaled by each volume's own range. ``RGB``: one of three that are scaled alike by each volume's range.
        ``CT``: scaled by one window for all volumes. ``noNorm``: in [0, 1] already.
    window
        The window of a CT, in Hounsfield units. None where it is not known yet, and for other kinds.
    percentile
        Of kinds MR and RGB: the percentile of a volume's intensities that becomes 1, above 0 and at most 100. None:
        `maskmixadv.corpus.scale.PERCENTILE`.
    knee
        Of kind MR: what the 99th percentile becomes at least, in [0, 1] (`maskmixadv.corpus.scale.normalise`). None: 0.

    Examples
    --------
    >>> Channel("T1").kind
    'MR'
    >>> Channel("portal venous", "CT", window=(-160.0, 240.0)).window
    (-160.0, 240.0)
    """

    name: str
    kind: Kind = "MR"
    window: Window | None = None
    percentile: float | None = None
    knee: float | None = None


ONE: Final = (Channel("image"),)
"""Images of one channel, as corpora without a word about channels have them."""
TOP: Final = 99.9
"""Percentile that becomes 1 in own images of kind MR, of whose field of view a structure may be a hundredth."""
KNEE: Final = 0.8
"""What the 99th percentile of these becomes at least, so that a few bright voxels leave all others their contrast."""
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
        _check_types(channel, where)
        check_word(channel.name, f"{where}: channel")
        if channel.kind not in KINDS:
            raise InputError(f"{where}: channel kind {channel.kind!r}, allowed are {', '.join(KINDS)}")
        if channel.percentile is not None and not 0 < channel.percentile <= 100:
            told = f"{where}: channel {channel.name!r} has percentile {channel.percentile:g}"
            raise InputError(f"{told}, allowed is a number above 0 and at most 100")
        if channel.knee is not None and (channel.kind != "MR" or not 0 <= channel.knee <= 1):
            told = f"{where}: channel {channel.name!r} of kind {channel.kind} has knee {channel.knee:g}"
            raise InputError(f"{told}, allowed is a number from 0 to 1, of kind MR")
        if channel.window is not None and (channel.kind != "CT" or not channel.window[0] < channel.window[1]):
            raise InputError(f"{where}: channel {channel.name!r} of kind {channel.kind} has window {channel.window}")
    colours = sum(channel.kind == "RGB" for channel in channels)
    if colours and not colours == len(channels) == len(COLOURS):
        others = len(channels) - colours
        beside = f" beside {others} of other kinds" if others else ""
        raise InputError(
            f"{where}: {counted(colours, 'channel')} of kind RGB{beside}, allowed are 3: red, green and blue"
        )
    if not channels or len({channel.name for channel in channels}) < len(channels):
        raise InputError(f"{where}: channels {[each.name for each in channels]}, allowed are different names")


def _check_types(channel: Channel, where: str) -> None:
    if not isinstance(channel.name, str):
        raise InputError(f"{where}: channel {channel.name!r:.60} is a {type(channel.name).__name__}, allowed is a text")
    window = () if channel.window is None else channel.window
    if not isinstance(window, Sequence) or len(window) not in (0, 2):
        told = f"{where}: channel {channel.name!r:.60} of kind {channel.kind} has window {window!r:.60}"
        raise InputError(f"{told}, allowed are two numbers")
    for number in (channel.percentile, channel.knee, *window):
        if number is not None and (isinstance(number, bool) or not isinstance(number, Real)):
            raise InputError(f"{where}: channel {channel.name!r:.60} has {number!r:.60}, allowed is a number")


def named(channels: Sequence[Channel]) -> str:
    """List channels for people, with their kinds where these are not what most images have.

    Examples
    --------
    >>> named(COLOURS), named([Channel("T1"), Channel("low dose", "CT")])
    ('red, green, blue', 'T1, low dose (CT)')
    """
    return ", ".join(called(channels))


def called(channels: Sequence[Channel]) -> list[str]:
    """Return the names of channels for people, as `named` lists them.

    Examples
    --------
    >>> called([Channel("T1"), Channel("low dose", "CT")])
    ['T1', 'low dose (CT)']
    """
    return [each.name + (f" ({each.kind})" if each.kind in ("CT", "noNorm") else "") for each in channels]


def check_scale(channels: Sequence[Channel], where: str) -> None:
    """Check that nothing is said of a channel's scale that its kind makes no use of.

    Raises
    ------
    InputError
        If a CT or what is scaled already has a percentile, or red, green and blue have several; the text begins with
        `where`.

    Examples
    --------
    >>> check_scale([Channel("low dose", "CT", percentile=99.0)], "classes.toml")
    Traceback (most recent call last):
    maskmixadv.errors.InputError: classes.toml: channel 'low dose' of kind CT has percentile 99, allowed is one of ...
    """
    for channel in channels:
        if channel.percentile is not None and channel.kind not in ("MR", "RGB"):
            told = f"{where}: channel {channel.name!r} of kind {channel.kind} has percentile {channel.percentile:g}"
            raise InputError(f"{told}, allowed is one of kind MR or RGB; leave it out")
    said = [each.percentile for each in channels if each.kind == "RGB"]
    if len(set(said)) > 1:
        shown = ", ".join("none" if each is None else f"{each:g}" for each in said)
        raise InputError(f"{where}: channels of kind RGB have percentiles {shown}, allowed is one for all three")


def own(channels: Sequence[Channel]) -> tuple[Channel, ...]:
    """Return the channels of own images: those of kind MR have percentile `TOP` and knee `KNEE`, if nothing is said.

    Where a percentile is said and no knee, there is none.

    Raises
    ------
    InputError
        If they are no list of `Channel`.

    Examples
    --------
    >>> [channel.knee for channel in own([Channel("T1"), Channel("T2", percentile=99.0), Channel("low dose", "CT")])]
    [0.8, None, None]
    """
    for each in [channels] if isinstance(channels, str) or not isinstance(channels, Sequence) else channels:
        if not isinstance(each, Channel):
            raise InputError(f"channels: {each!r:.60}, allowed is a list such as [Channel('T1'), Channel('CT', 'CT')]")
    check_scale(channels, "channels")
    return tuple(
        replace(each, percentile=TOP, knee=KNEE if each.knee is None else each.knee)
        if (each.kind, each.percentile) == ("MR", None)
        else each
        for each in channels
    )


def told_scale(channels: Sequence[Channel]) -> str:
    """Say for people up to which percentile intensities of kind MR and RGB are scaled, and from which knee on.

    Examples
    --------
    >>> told_scale([Channel("T1"), Channel("T2", percentile=99.9, knee=0.8), Channel("low dose", "CT")])
    '99, 99.9 (knee 0.8)'
    """
    ranged = (each for each in channels if each.kind in ("MR", "RGB"))
    tops = [f"{each.percentile or PERCENTILE:g}" + (f" (knee {each.knee:g})" if each.knee else "") for each in ranged]
    return ", ".join(dict.fromkeys(tops))


def same(some: Sequence[Channel], others: Sequence[Channel]) -> bool:
    """Whether channels have the same names and kinds; their windows and percentiles may differ.

    Examples
    --------
    >>> same(ONE, COLOURS), same([Channel("CT", "CT")], [Channel("CT", "CT", window=(-160.0, 240.0))])
    (False, True)
    """
    kinds, other_kinds = ([(each.name, each.kind) for each in channels] for channels in (some, others))
    return kinds == other_kinds


def records(channels: Sequence[Channel]) -> list[dict[str, Any]]:
    """Return channels as plain values for JSON; what is None is left out.

    Examples
    --------
    >>> records([Channel("T1")])
    [{'name': 'T1', 'kind': 'MR'}]
    """
    return [{key: value for key, value in asdict(each).items() if value is not None} for each in channels]


def scaled(image: Volume, channels: Sequence[Channel], where: str) -> Float[np.ndarray, "c d h w"]:
    """Return the intensities of an image's channels as `ranged` scales them.

    Parameters
    ----------
    image
        As it was read.
    channels
        What is wanted. Where that is one channel, colours become grey.
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
    if len(channels) == 1 and (several is None or image.colours):
        return ranged(image.array[None], channels, where)
    wanted = f"{len(channels)} ({named(channels)})"
    if several is None or len(several) != len(channels):
        has = "one channel" if several is None else f"{len(several)} channels"
        raise InputError(f"{where}: has {has}, allowed are images with {wanted}")
    if image.colours and channels[0].kind != "RGB":
        raise InputError(f"{where}: has red, green and blue, allowed are images with {wanted}, which are no colours")
    return ranged(several, channels, where)


def in_colour(image: Volume, channels: Sequence[Channel]) -> Volume:
    """Return an image with the channels that are wanted, where grey can become red, green and blue; else as it is.

    Examples
    --------
    >>> from maskmixadv.formats.flat import NoGeometry
    >>> grey = Volume(np.zeros((1, 8, 8)), None, None, NoGeometry())
    >>> in_colour(grey, COLOURS).channels.shape, in_colour(grey, ONE).channels is None
    ((3, 1, 8, 8), True)
    """
    if tuple(channels) != COLOURS or image.channels is not None:
        return image
    return replace(image, channels=np.stack([image.array] * len(COLOURS)), colours=True)


def ranged(
    image: Shaped[np.ndarray, "c d h w"], channels: Sequence[Channel], where: str
) -> Float[np.ndarray, "c d h w"]:
    """Scale channels to [0, 1], each as its kind says; a CT without a window stays in Hounsfield units.

    Raises
    ------
    InputError
        If one is not finite, is constant and of a kind that is scaled by its range, or is not in [0, 1] though of
        kind noNorm.

    Examples
    --------
    >>> image = np.stack([np.arange(100).reshape(1, 10, 10), 5 * np.arange(100).reshape(1, 10, 10)])
    >>> ranged(image, [Channel("T1"), Channel("CT", "CT", window=(0.0, 990.0))], "a").max((1, 2, 3)).tolist()
    [1.0, 0.5]
    """
    if channels[0].kind == "RGB":
        return normalise(image, where=where, percentile=channels[0].percentile or PERCENTILE)
    told = [f"{where}: channel {channel.name!r}" if len(channels) > 1 else where for channel in channels]
    return np.stack([_one(*each) for each in zip(image, channels, told, strict=True)])


def windows(image: Float[np.ndarray, "c d h w"], channels: Sequence[Channel]) -> Float[np.ndarray, "c d h w"]:
    """Scale CTs that are in Hounsfield units to [0, 1]; other channels, and those without a window, stay as they are.

    Examples
    --------
    >>> image = np.full((1, 1, 2, 2), 40.0, np.float32)
    >>> windows(image, [Channel("CT", "CT", window=(-160.0, 240.0))]).max().item()
    0.5
    """
    if all(channel.window is None for channel in channels):
        return image
    pairs = zip(image, channels, strict=True)
    return np.stack([part if each.window is None else windowed(part, each.window) for part, each in pairs])


def _one(image: Shaped[np.ndarray, "d h w"], channel: Channel, where: str) -> Float[np.ndarray, "d h w"]:
    if channel.kind == "CT":
        volume = measured(image, where=where)
        return volume if channel.window is None else windowed(volume, channel.window)
    if channel.kind == "noNorm":
        return unscaled(image, where=where)
    return normalise(image, where=where, percentile=channel.percentile or PERCENTILE, knee=channel.knee or 0.0)


def shown(image: Float[np.ndarray, "c *dhw"]) -> Float[np.ndarray, "*dhw"]:
    """Return an image as grey: the brightness of three channels, else the first channel.

    Examples
    --------
    >>> shown(np.array([[1.0], [0.0], [0.0]]))
    array([0.21])
    """
    return np.tensordot(np.array(LUMA, image.dtype), image, 1) if len(image) == 3 else image[0]
