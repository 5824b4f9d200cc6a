"""Devices: which one computes, its name, and the precision that it computes in."""

import contextlib
import platform
from collections.abc import Callable
from typing import Any, TypeVar

import torch

from maskmixadv.errors import InputError, counted

Autocast = Callable[[], contextlib.AbstractContextManager[Any]]
Result = TypeVar("Result")
_beside: dict[tuple[int | None, int], torch.cuda.Stream] = {}
"""The second stream of each CUDA stream: recorded work keeps its stream's scratch memory, so no two may share one."""


def autocast(precision: str, device: torch.device) -> Autocast:
    """Return the context that the forward passes of a step run in.

    Parameters
    ----------
    precision
        ``bf16``: bfloat16; ``fp32``: single precision; ``auto``: bfloat16 where `device` multiplies in it.
    device
        The device that computes.

    Returns
    -------
    Autocast
        A function without arguments that makes a new context each time: `torch.autocast`, or one that does nothing.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.device import autocast
    >>> with autocast("bf16", torch.device("cpu"))():
    ...     print((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)
    torch.bfloat16
    """
    if precision == "bf16" or (precision == "auto" and has_bf16(device)):
        return lambda: torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext


def beside(device: torch.device, do: Callable[[], Result]) -> Callable[[], Result]:
    """Begin to do something on a CUDA device beside what follows; elsewhere do it at once.

    Small kernels leave most of a GPU idle. Two that do not depend on one another can share it.

    Parameters
    ----------
    device
        The device that computes.
    do
        Does it, without gradients. What it reads must not be changed until the result is asked for.

    Returns
    -------
    Callable
        Returns the result, and lets what comes after wait for it.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.device import beside
    >>> doubled = beside(torch.device("cpu"), lambda: 2 * torch.ones(2))
    >>> doubled()
    tensor([2., 2.])
    """
    if device.type != "cuda":
        done = do()
        return lambda: done
    own = torch.cuda.current_stream(device)
    if (key := (device.index, own.cuda_stream)) not in _beside:
        _beside[key] = torch.cuda.Stream(device)
    other = _beside[key]
    other.wait_stream(own)
    with torch.cuda.stream(other):
        result = do()

    def joined() -> Result:
        own.wait_stream(other)
        return result

    return joined


def has_bf16(device: torch.device) -> bool:
    """Whether `device` multiplies in bfloat16; on other devices bfloat16 would take longer than single precision.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.device import has_bf16
    >>> precision = torch.bfloat16 if has_bf16(torch.device("cpu")) else torch.float32
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    features = cpu_features()
    return bool(features.get("avx512_bf16") or features.get("amx_bf16"))


def cpu_features() -> dict[str, Any]:
    """Return what torch knows of this processor, such as ``avx512_bf16``; empty for versions of torch that do not tell.

    Examples
    --------
    >>> from maskmixadv.device import cpu_features
    >>> cpu_features().get("no_such_feature", False)
    False
    """
    return dict(getattr(torch.cpu, "get_capabilities", dict)())


def pick_device(name: str | None) -> torch.device:
    """Return the device called `name`, or the fastest one that is there.

    Parameters
    ----------
    name
        As torch writes it, such as ``cpu`` or ``cuda:0``; None: the GPU where there is one, else the CPU.

    Raises
    ------
    InputError
        Where torch does not know the device or it is not there.

    Examples
    --------
    >>> from maskmixadv.device import pick_device
    >>> pick_device("cpu")
    device(type='cpu')
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=name)
        return torch.device(name)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device: {name!r} is not usable here ({str(error).split(chr(10), 1)[0]})") from None


def device_name(device: torch.device) -> str:
    """Return the device's name for people: a GPU's product name, or the CPU's with its number of threads.

    Examples
    --------
    >>> from maskmixadv.device import device_name, pick_device
    >>> device_name(pick_device("cpu"))
    '... thread...'
    """
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} ({device})"
    return f"{cpu_features().get('cpu_name', platform.processor())}, {counted(torch.get_num_threads(), 'thread')}"
