"""What a device computes in."""

import contextlib
from collections.abc import Callable
from typing import Any

import torch

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
