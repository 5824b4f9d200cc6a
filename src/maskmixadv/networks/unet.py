"""The U-Net of the field's scribble papers, with any number of decoders and heads."""

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from maskmixadv.networks.dropout import FastDropout
from maskmixadv.tensors import Image, Logits

Features = list[Float[Tensor, "_ _ _ _"]]
"""An encoder's output ``b f h w``, finest level first; each next level has half the side."""

WIDTHS = (16, 32, 64, 128, 256)
"""Channels of each level, finest first; the coarsest has ``STRIDE`` times fewer pixels a side than the image."""
DROPOUT = (0.05, 0.1, 0.2, 0.3, 0.5)
"""Dropout of the encoder at each level."""


class UNet(nn.Module):
    """2D U-Net of WSL4MIS and MaskMixAdv: one encoder and one or more decoders, each with weights of its own.

    Parameters
    ----------
    channels
        Channels c of the image.
    classes
        Number of classes k, with the background.
    decoders
        Number of segmentation decoders.
    heads
        Number of final convolutions of each decoder. All that is before them is shared, so that they cost next to
        nothing and can learn from different labels.
    restores
        Whether there is one more decoder, which restores images.
    biases
        Whether convolutions have a bias where a batch norm follows, as networks of early versions do. The norm
        subtracts it again.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.unet import UNet
    >>> UNet(channels=1, classes=4)(torch.rand(2, 1, 32, 48)).shape
    torch.Size([2, 4, 32, 48])
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        *,
        decoders: int = 1,
        heads: int = 1,
        restores: bool = False,
        biases: bool = False,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.encoder = Encoder(channels, biases=biases)
        self.decoders = nn.ModuleList(Decoder(heads * classes, biases=biases) for _ in range(decoders))
        self.restorer = Decoder(channels, biases=biases) if restores else None

    def encode(self, image: Image) -> Features:
        """Return the features of all five levels, finest first; sides of the image are multiples of ``STRIDE``."""
        return self.encoder(image)

    def decode(self, features: Features, decoder: int = 0) -> Logits:
        """Return the logits of decoder number `decoder`, ``(b, k, h, w)``; k of each head, one after the other."""
        return self.decoders[decoder](features)

    def answers(self, image: Image) -> list[Logits]:
        """Return the logits of each head of each decoder, ``(b, k, h, w)``."""
        features = self.encode(image)
        return [
            head for number in range(len(self.decoders)) for head in self.decode(features, number).chunk(self.heads, 1)
        ]

    def restore(self, features: Features) -> Image:
        """Return the image as the restoring decoder paints it; not clipped to [0, 1].

        Raises
        ------
        RuntimeError
            Where the network was made without a restoring decoder.
        """
        if self.restorer is None:
            raise RuntimeError("this network was made without a restoring decoder")
        return self.restorer(features)

    def forward(self, image: Image) -> Logits:
        """Return the logarithm of the mean of all heads' probabilities, but for a constant; one head's logits as is."""
        answers = self.answers(image)
        if len(answers) == 1:
            return answers[0]
        return torch.stack([logits.log_softmax(1) for logits in answers]).logsumexp(0)


class Encoder(nn.Module):
    """Five levels of two 3×3 convolutions each; max-pooling halves the sides between levels.

    Parameters
    ----------
    channels
        Channels c of the image.
    biases
        As in `UNet`.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.unet import Encoder
    >>> [tuple(maps.shape[1:]) for maps in Encoder(channels=1)(torch.rand(1, 1, 32, 32))]
    [(16, 32, 32), (32, 16, 16), (64, 8, 8), (128, 4, 4), (256, 2, 2)]
    """

    def __init__(self, channels: int, *, biases: bool = False) -> None:
        super().__init__()
        inputs = (channels, *WIDTHS[:-1])
        self.levels = nn.ModuleList(map(partial(_block, biases=biases), inputs, WIDTHS, DROPOUT))

    def forward(self, image: Image) -> Features:
        """Return the features of all levels, finest first."""
        features: Features = [self.levels[0](image)]
        for level in self.levels[1:]:
            features.append(level(F.max_pool2d(features[-1], 2)))
        return features


class Decoder(nn.Module):
    """Four steps up, each joined with the encoder's level of the same size, and a final 3×3 convolution.

    Parameters
    ----------
    outputs
        Channels of the result: classes, or channels of an image.
    biases
        As in `UNet`.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.unet import Decoder, Encoder
    >>> Decoder(outputs=4)(Encoder(channels=1)(torch.rand(1, 1, 32, 32))).shape
    torch.Size([1, 4, 32, 32])
    """

    def __init__(self, outputs: int, *, biases: bool = False) -> None:
        super().__init__()
        widths = zip(WIDTHS[:0:-1], WIDTHS[-2::-1], strict=True)
        self.steps = nn.ModuleList(Up(deep, skip, biases=biases) for deep, skip in widths)
        self.head = nn.Conv2d(WIDTHS[0], outputs, 3, padding=1)

    def forward(self, features: Features) -> Float[Tensor, "b o h w"]:
        """Return maps of `outputs` channels in single precision, at the resolution of the image."""
        maps = features[-1]
        for step, skip in zip(self.steps, features[-2::-1], strict=True):
            maps = step(maps, skip)
        return self.head(maps).float()


class Up(nn.Module):
    """One step up: 1×1 convolution, bilinear doubling of the sides, joining with the encoder's maps, two convolutions.

    Parameters
    ----------
    deep, skip
        Channels of the maps from below, and of the encoder's maps, which are also those of the result.
    biases
        As in `UNet`.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.unet import Up
    >>> Up(deep=32, skip=16)(torch.rand(1, 32, 4, 4), torch.rand(1, 16, 8, 8)).shape
    torch.Size([1, 16, 8, 8])
    """

    def __init__(self, deep: int, skip: int, *, biases: bool = False) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(deep, skip, 1)
        self.block = _block(2 * skip, skip, 0.0, biases=biases)

    def forward(self, maps: Float[Tensor, "b f h w"], skip: Float[Tensor, "b g h2 w2"]) -> Float[Tensor, "b g h2 w2"]:
        """Return maps at the resolution of `skip`, which has twice the sides of `maps`."""
        return self.block(_join(skip, _doubled(self.narrow(maps))))


def with_heads(weights: Mapping[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    """Return a U-Net's weights as `net` has them where the two differ in the number of heads alone.

    What one head has learnt, several begin with; of several, one begins with the first.

    Parameters
    ----------
    weights
        State dictionary of the one that has learnt.
    net
        The network that is to begin with them; where it differs in more, it will not fit.

    Examples
    --------
    >>> from maskmixadv.networks.unet import UNet, with_heads
    >>> one, two = UNet(1, 4), UNet(1, 4, heads=2)
    >>> two.load_state_dict(with_heads(one.state_dict(), two))
    <All keys matched successfully>
    >>> one.load_state_dict(with_heads(two.state_dict(), one))
    <All keys matched successfully>
    """
    wanted = {name: len(weight) for name, weight in net.state_dict().items() if ".head." in name}
    return {name: _rows(weight, wanted.get(name, 0)) for name, weight in weights.items()}


def _rows(weight: Tensor, wanted: int) -> Tensor:
    """Return a head's weights for `wanted` outputs: of several heads the first, one head's several times."""
    if wanted == 0 or len(weight) == 0 or (wanted % len(weight) and len(weight) % wanted):
        return weight
    return weight[:wanted] if wanted <= len(weight) else weight.repeat(wanted // len(weight), *[1] * (weight.ndim - 1))


def _doubled(maps: Float[Tensor, "b f h w"]) -> Float[Tensor, "b f h2 w2"]:
    """Return maps of twice the sides and of the same precision, by bilinear interpolation."""
    if maps.device.type == "cuda":
        return _doubled_by_products(maps)
    # The gradient takes a CPU five times as long in half precision.
    exact = maps.float() if maps.device.type == "cpu" else maps
    return F.interpolate(exact, scale_factor=2, mode="bilinear", align_corners=True).to(maps.dtype)


def _doubled_by_products(maps: Float[Tensor, "b f h w"]) -> Float[Tensor, "b f h2 w2"]:
    """Do the same by two products of matrices, along rows and columns, without a copy of channels-last maps.

    Products and their gradients keep a GPU busier than the interpolation's own kernels. Compiled ones add up the
    interpolation's gradient pixel by pixel, which takes an eighth of a step.
    """
    b, f, h, w = maps.shape
    last = maps.permute(0, 2, 3, 1)
    with torch.autocast(maps.device.type, enabled=False):  # which would change the precision
        tall = _doubling(h, maps.dtype, maps.device) @ last.reshape(b, h, w * f)
        wide = _doubling(w, maps.dtype, maps.device) @ tall.reshape(b * 2 * h, w, f)
    return wide.reshape(b, 2 * h, 2 * w, f).permute(0, 3, 1, 2)


def _doubling(side: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "side2 side"]:
    """Return the matrix that interpolates `side` samples to twice as many, whose first and last stay as they are."""
    if torch.compiler.is_compiling():
        return _doubling_made(side, dtype, device)
    return _doubling_kept(side, dtype, device)


def _doubling_made(side: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "side2 side"]:
    at = torch.arange(2 * side, device=device)[:, None] * ((side - 1) / (2 * side - 1))
    return (1 - (at - torch.arange(side, device=device)).abs()).clamp(min=0).to(dtype)


@lru_cache(maxsize=64)
def _doubling_kept(side: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "side2 side"]:
    # Copied from the host, which waits until it is there: streams of the device do not wait for one another. Also where
    # a prediction asks first, a training can learn through it.
    with torch.inference_mode(mode=False):
        return _doubling_made(side, dtype, torch.device("cpu")).to(device)


class _Join(torch.autograd.Function):
    """Channels of two maps as one, whose gradients come back as separate maps.

    The gradients of `torch.cat` are strided views of its own gradient, on which many operations are ten times slower.
    """

    @staticmethod
    def forward(ctx: Any, one: Tensor, other: Tensor) -> Tensor:  # noqa: ANN401
        ctx.width = one.shape[1]
        return torch.cat((one, other), dim=1)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        (gradient,) = grad_outputs
        last = gradient.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if last else torch.contiguous_format
        parts = gradient[:, : ctx.width], gradient[:, ctx.width :]
        one, other = (part.contiguous(memory_format=layout) for part in parts)
        return one, other


def _join(one: Float[Tensor, "b f h w"], other: Float[Tensor, "b g h w"]) -> Float[Tensor, "b f+g h w"]:
    return _Join.apply(one, other)  # pyright: ignore[reportReturnType]


def _block(inputs: int, outputs: int, dropout: float, *, biases: bool) -> nn.Sequential:
    return nn.Sequential(
        _normed(inputs, outputs, biases=biases),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(0.01, inplace=True),
        FastDropout(dropout),
        _normed(outputs, outputs, biases=biases),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(0.01, inplace=True),
    )


def _normed(inputs: int, outputs: int, *, biases: bool) -> nn.Conv2d:
    """A convolution that a batch norm follows."""
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
    if not biases:
        convolution.bias = None  # it was drawn, so that all other weights begin as they do beside biases
    return convolution
