"""Operations for which a host would wait for its device."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

ATEN = torch.ops.aten
WAITS = {
    ATEN._local_scalar_dense, ATEN.nonzero, ATEN.masked_select, ATEN.is_nonzero, ATEN.equal, ATEN._unique2,
    ATEN.bincount, ATEN.lift_fresh,
}  # fmt: skip
"""What asks a device for a number or for a shape; and lift_fresh, which makes a tensor of numbers on the host."""


class Watch(TorchDispatchMode):
    """Remember the operations for which a host would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(self, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        index = args[1] if len(args) > 1 and isinstance(args[1], list) else []
        masked = any(isinstance(each, torch.Tensor) and each.dtype == torch.bool for each in index)
        if func.overloadpacket in WAITS or masked:
            self.waits.append(str(func))
        return func(*args, **(kwargs or {}))
