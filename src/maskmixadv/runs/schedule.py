"""Schedules: what all methods have in common, so that comparisons are fair. Nothing here imports torch."""

import math
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal, get_args

from maskmixadv.errors import InputError
from maskmixadv.sampling.ranges import Augment
from maskmixadv.typed import MOST, check_numbers
from maskmixadv.types import STRIDE

Precision = Literal["auto", "fp32", "bf16"]
Optimiser = Literal["sgd", "adamw", "muon"]
Preset = Literal["paper", "fast", "cpu"]
OFFERED: Final[tuple[str, ...]] = get_args(Preset)
"""Names of the presets that a user may choose."""
MOST_SIDE: Final = 2**14
"""Pixels of a canvas's side."""


@dataclass(frozen=True)
class Schedule:
    """Resolution, length, optimiser and augmentation of a run.

    A field that is not allowed raises `InputError`.

    Attributes
    ----------
    size
        Side in pixels of the square canvas that a slice is resampled to and padded or cut to.
    window
        Side in pixels of the part of the canvas that a step sees; a multiple of 16, at most `size`. On a canvas that is
        more than four times as wide, windows lie about labelled pixels anywhere on it.
    batch
        Slices a step, at least 1.
    steps
        Optimiser steps, at least 1.
    optimiser
        Optimiser of the network; a critic always has Adam at `critic_lr`. ``muon`` is `maskmixadv.networks.muon.Muon`,
        whose steps do more than AdamW's, and take longer.
    lr
        Highest learning rate, above 0.
    decay
        How the learning rate falls. ``poly``: ``lr (1 - step / steps) ** 0.9``. ``one-cycle``: it rises in the first
        part of the steps, `rise`, then falls as half a cosine.
    rise
        Fraction of the steps over which one-cycle rises.
    weight_decay, momentum
        Of the network's optimiser; only SGD has a momentum to set.
    critic_lr
        Constant learning rate of all players but the network.
    ema
        Decay per step of the moving average of the weights that is scored, from 0 to below 1; 0 scores the weights
        themselves.
    precision
        Arithmetic of the forward passes. ``auto``: bfloat16 where the device computes in it.
    validate_every
        Steps between validations.
    enclosed
        Weight in cross-entropy, with enclosure, of the pixels beyond the background's stroke, relative to all strokes
        together. It is above 1, because the few pixels far away that look like the organ are a small part of them.
    augment
        Ranges of the augmentation.

    Examples
    --------
    >>> schedule = Schedule(steps=1000, lr=0.01)
    >>> [round(schedule.lr_at(step), 5) for step in (0, 500, 999)]
    [0.01, 0.00536, 2e-05]
    >>> Schedule(size=96, window=40)
    Traceback (most recent call last):
    maskmixadv.errors.InputError: window: 40, allowed is a multiple of 16 up to the size, 96
    """

    size: int = 256
    window: int = 256
    batch: int = 12
    steps: int = 60_000
    optimiser: Optimiser = "sgd"
    lr: float = 0.01
    decay: Literal["poly", "one-cycle"] = "poly"
    rise: float = 0.1
    weight_decay: float = 1e-4
    momentum: float = 0.9
    critic_lr: float = 1e-4
    ema: float = 0.0
    precision: Precision = "auto"
    validate_every: int = 2_000
    enclosed: float = 1.5
    augment: Augment = field(default_factory=Augment)

    def __post_init__(self) -> None:
        for name, least in (("batch", 1), ("steps", 1), ("validate_every", 1), ("window", STRIDE)):
            if (value := getattr(self, name)) < least:
                raise InputError(f"{name}: {value}, allowed is {least} or more")
            if value >= MOST:  # run.json could not be read again
                raise InputError(f"{name}: {value:.3g}, allowed is a number below {MOST:.1e}")
        if self.size > MOST_SIDE:
            raise InputError(f"size: {self.size}, allowed is up to {MOST_SIDE} pixels")
        if self.window % STRIDE or self.window > self.size:
            raise InputError(f"window: {self.window}, allowed is a multiple of {STRIDE} up to the size, {self.size}")
        for name in ("lr", "critic_lr"):
            if not 0 < (value := getattr(self, name)) < math.inf:
                raise InputError(f"{name}: {value}, allowed is a finite number above 0")
        check_numbers(self, "enclosed", "weight_decay")
        check_numbers(self, "rise", "momentum", fraction=True)
        if not 0 <= self.ema < 1:
            raise InputError(f"ema: {self.ema}, allowed is 0 (off) to below 1")

    @property
    def side(self) -> int:
        """Side in pixels of the part of a slice that a step works on: the canvas, or twice the window if it is large.

        A canvas is large if it is more than four times as wide as the window.
        """
        return 2 * self.window if self.size > 4 * self.window else self.size

    def lr_at(self, step: int) -> float:
        """Learning rate of the network in step number `step`, counted from 0."""
        if self.decay == "poly":
            return self.lr * (1 - step / self.steps) ** 0.9
        rise = max(1, round(self.rise * self.steps))
        if step < rise:
            return self.lr * (step + 1) / rise
        return self.lr * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, self.steps - rise)))


@dataclass(frozen=True)
class Changes:
    """Fields that replace those of a preset; None keeps a field as it is.

    Attributes
    ----------
    steps
        Optimiser steps, instead of the preset's.
    batch
        Slices a step, instead of the preset's.
    size
        Side of a slice's canvas in pixels, instead of the preset's, which is made finer where structures are small.
    window
        Side in pixels of the part of the canvas that a step sees, instead of the preset's; a multiple of 16.
    optimiser
        Of the network, instead of the preset's.
    lr
        Highest learning rate, instead of the preset's.
    weight_decay
        Of the network's optimiser, instead of the preset's.
    ema
        Decay of the scored average of the weights, 0 to switch it off, instead of the preset's.
    precision
        Arithmetic, instead of the preset's: auto takes bf16 where the device has it.
    validate_every
        Steps between validations, instead of the preset's.

    Examples
    --------
    >>> schedule = Changes(steps=300, lr=1e-3).on("cpu")
    >>> schedule.steps, schedule.lr, schedule.batch
    (300, 0.001, 4)
    """

    steps: int | None = None
    batch: int | None = None
    size: int | None = None
    window: int | None = None
    optimiser: Optimiser | None = None
    lr: float | None = None
    weight_decay: float | None = None
    ema: float | None = None
    precision: Precision | None = None
    validate_every: int | None = None

    def given(self) -> dict[str, Any]:
        """Return the fields that are not None."""
        return {each.name: value for each in fields(Changes) if (value := getattr(self, each.name)) is not None}

    def on(self, preset: str) -> Schedule:
        """Return the schedule called `preset` with these fields.

        Raises
        ------
        InputError
            Where a field is not allowed.
        """
        return replace(PRESETS[preset], **self.given())

    def fit_canvas(self, preset: str) -> bool:
        """Whether the canvas may be finer than that of `preset`: nobody gave a size, and it is not the paper's.

        Examples
        --------
        >>> Changes().fit_canvas("cpu"), Changes(size=144).fit_canvas("cpu"), Changes().fit_canvas("paper")
        (True, False, False)
        """
        return self.size is None and preset != "paper"


def default_preset(kind: str) -> str:
    """Return the name of the preset for a device of `kind`, such as ``cpu`` or ``cuda``, where nobody names one.

    Examples
    --------
    >>> default_preset("cuda"), default_preset("cpu")
    ('fast', 'cpu')
    """
    return "fast" if kind == "cuda" else "cpu"


_ONE_WAY_UP: Final = Augment(turns=False, rotate=17.0, scale=0.15, shift=0.15, stray=0.5, intensity=0.2)
"""Short schedules do better when hearts keep lying the way that they do."""
_SHORT: Final = Schedule(
    optimiser="adamw",
    decay="one-cycle",
    weight_decay=1e-2,
    augment=_ONE_WAY_UP,
)

PRESETS: Final[dict[str, Schedule]] = {
    "paper": Schedule(),
    "fast": replace(_SHORT, steps=6_000, lr=2e-3, ema=0.999, validate_every=500),
    "cpu": replace(
        _SHORT,
        size=144,
        window=96,
        batch=4,
        steps=1_500,
        optimiser="muon",
        lr=3e-3,
        weight_decay=0.1,
        ema=0.99,
        validate_every=500,
        augment=replace(_ONE_WAY_UP, stray=0.35),
    ),
    "demo": replace(_SHORT, size=112, window=80, batch=4, steps=1_200, lr=3e-3, ema=0.99, validate_every=600),
}
