"""Muon for a network's convolutions, beside AdamW for its other parameters."""

from collections.abc import Sequence
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

LEAST: Final = 16
"""Rows and columns below which a kernel is AdamW's: those of the first and the last convolution."""
MOST: Final = 200_000
"""Weights above which a kernel is AdamW's: the coarsest level's, which cost more than all others and gain nothing."""


class Muon(torch.optim.Optimizer):
    """AdamW whose updates of convolution kernels are orthogonal matrices (Jordan et al., 2024).

    A kernel is a matrix with a row for each output. The update that its momentum gives is replaced by the nearest
    matrix whose singular values are alike, so that rare directions of a kernel learn as fast as frequent ones. Updates
    have the root mean square of AdamW's (Liu et al., arXiv:2502.16982), so that one learning rate suits both.

    Parameters
    ----------
    parameters
        All of a network's; kernels in channels-last layout.
    lr, weight_decay
        Of both kinds of updates.
    sweeps
        Newton-Schulz iterations towards the orthogonal matrix.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], *, lr: float, weight_decay: float, sweeps: int = 5) -> None:
        super().__init__(parameters, {"lr": lr})
        kernels = [p for p in parameters if _is_orthogonal(p)]
        others = set(parameters) - set(kernels)
        # Matrices in the kernels' own memory, as torch's Muon knows no other shape.
        self._matrices = {kernel: nn.Parameter(_matrix(kernel.detach())) for kernel in kernels}
        self._parts: dict[str, torch.optim.Optimizer] = {
            "muon": torch.optim.Muon(
                self._matrices.values(), lr=lr, weight_decay=weight_decay, ns_steps=sweeps,
                adjust_lr_fn="match_rms_adamw",
            ),
            "adamw": torch.optim.AdamW(
                [p for p in parameters if p in others], lr=lr, weight_decay=weight_decay, fused=True
            ),
        }  # fmt: skip

    @torch.no_grad()
    def step(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Update the parameters that have a gradient."""
        for kernel, matrix in self._matrices.items():
            matrix.grad = None if kernel.grad is None else _matrix(kernel.grad)
        for part in self._parts.values():
            for group in part.param_groups:
                group["lr"] = self.param_groups[0]["lr"]
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """Momenta, by kind."""
        return {name: part.state_dict() for name, part in self._parts.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over momenta."""
        for name, part in self._parts.items():
            part.load_state_dict(state_dict[name])


def _is_orthogonal(parameter: Tensor) -> bool:
    """Whether a parameter is a kernel whose updates are made orthogonal."""
    return parameter.ndim == 4 and min(_matrix(parameter).shape) >= LEAST and parameter.numel() <= MOST


def _matrix(kernel: Float[Tensor, "o i h w"]) -> Float[Tensor, "o h*w*i"]:
    """A kernel, row by output; a view where channels lie last."""
    return kernel.permute(0, 2, 3, 1).flatten(1)
