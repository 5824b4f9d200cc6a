"""Devices: which one computes, what it is called, and what it computes in."""

import contextlib
import platform
from collections.abc import Callable
from typing import Any

import torch

from maskmixadv.errors import InputError

Autocast = Callable[[], contextlib.AbstractContextManager[Any]]


def autocast(precision: str, device: torch.device) -> Autocast:
    """Return what a step's forward passes run in: bfloat16 where wanted and the device computes in it."""
    if precision == "bf16" or (precision == "auto" and has_bf16(device)):
        return lambda: torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext


def has_bf16(device: torch.device) -> bool:
    """Whether `device` multiplies in bfloat16; others would take longer than in single precision."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    features = cpu_features()
    return bool(features.get("avx512_bf16") or features.get("amx_bf16"))


def cpu_features() -> dict[str, Any]:
    """What torch knows of this processor; nothing in versions that don't tell."""
    return dict(getattr(torch.cpu, "get_capabilities", dict)())


def pick_device(name: str | None) -> torch.device:
    """Return the device called `name`, or the fastest that is there.

    Raises
    ------
    InputError
        Where it is not there.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device: {name!r} is not usable here ({str(error).split(chr(10), 1)[0]})") from None


def device_name(device: torch.device) -> str:
    """What computes, in words: a GPU by its name, a CPU with its threads."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} ({device})"
    return f"{cpu_features().get('cpu_name', platform.processor())}, {torch.get_num_threads()} threads"
