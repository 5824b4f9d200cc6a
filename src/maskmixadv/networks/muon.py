"""Muon: an optimiser for a network's convolutions, with AdamW for its other parameters."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from maskmixadv.device import has_bf16
from maskmixadv.networks.optimiser import Adam, Optimiser

LEAST_SIDE: Final = 16
"""Kernels with fewer rows or columns are AdamW's: the first and the last convolution."""
MOST_WEIGHTS: Final = 100_000
"""Kernels with more weights are AdamW's: those of the coarsest levels cost more than all others and gain nothing."""
MOMENTUM: Final = 0.95
"""Fraction of the momentum that is kept in a step."""
SWEEPS: Final = 3
"""Number of Newton-Schulz iterations."""
POLYNOMIAL: Final = (3.4445, -4.7750, 2.0315)
"""Factors of x, x³ and x⁵ that bring singular values from (0, 1] to about 1 in few sweeps."""
ROOT_MEAN_SQUARE: Final = 0.2
"""Root mean square of an update at a learning rate of 1; AdamW's is usually between 0.2 and 0.4."""


class Muon(Optimiser):
    """Momentum whose steps along convolution kernels are orthogonal matrices (Jordan et al., 2024).

    A kernel is taken as a matrix with a row for each output channel. Its momentum is replaced by the nearest matrix
    whose singular values are all about 1, so that rare directions are learnt as fast as frequent ones. Steps are as
    long as AdamW's (Liu et al., arXiv:2502.16982), so that one learning rate suits both. Kernels of fewer than
    ``LEAST_SIDE`` rows or columns or of more than ``MOST_WEIGHTS`` weights, biases and norms are AdamW's.

    `torch.optim.Muon` does the same for matrices; it does not take kernels, and its steps can't be recorded as a CUDA
    graph.

    Parameters
    ----------
    parameters
        All parameters of a network.
    lr, weight_decay
        Learning rate and decoupled weight decay, of kernels and other parameters alike.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from maskmixadv.networks.muon import Muon
    >>> kernel = nn.Parameter(torch.zeros(16, 16, 3, 3))
    >>> optimiser = Muon([kernel, nn.Parameter(torch.zeros(16))], lr=0.01, weight_decay=0.0)
    >>> kernel.sum().backward()
    >>> optimiser.step()
    >>> bool((kernel < 0).all())
    True
    """

    def __init__(self, parameters: Sequence[nn.Parameter], *, lr: float, weight_decay: float) -> None:
        kernels = [parameter for parameter in parameters if _is_orthogonal(parameter)]
        others = [parameter for parameter in parameters if not _is_orthogonal(parameter)]
        super().__init__(kernels, lr=lr, weight_decay=weight_decay)
        self._adamw = Adam(others, lr=lr, weight_decay=weight_decay, decoupled=True)
        self.param_groups += self._adamw.param_groups  # a rate that is set here is set there, too

    @torch.no_grad()
    def step(self) -> None:
        """Update the parameters that have a gradient."""
        group = self.param_groups[0]
        alike: defaultdict[int, list[nn.Parameter]] = defaultdict(list)
        for kernel in group["params"]:
            if kernel.grad is not None:
                alike[len(kernel)].append(kernel)
        for kernels in alike.values():
            ahead = [_outputs_first(self._ahead(kernel)) for kernel in kernels]
            for kernel, maps, update in zip(kernels, ahead, _together([m.flatten(1) for m in ahead]), strict=True):
                rate = group["lr"] * ROOT_MEAN_SQUARE * max(update.shape) ** 0.5
                kernel.mul_(1 - group["lr"] * group["weight_decay"])
                _outputs_first(kernel).sub_(update.unflatten(1, maps.shape[1:]) * rate)
        self._adamw.step()

    def _ahead(self, kernel: nn.Parameter) -> Tensor:
        """Where momentum will be after one more such gradient (Nesterov)."""
        gradient = cast("Tensor", kernel.grad)
        if kernel not in self.state:
            self.state[kernel]["momentum"] = torch.zeros_like(kernel)
        return gradient.lerp(self.state[kernel]["momentum"].lerp_(gradient, 1 - MOMENTUM), MOMENTUM)

    def state_dict(self) -> dict[str, Any]:
        """Return the momenta of kernels, and AdamW's state."""
        return {"kernels": super().state_dict()["state"], "others": self._adamw.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the momenta; learning rates stay as they are."""
        self._take(state_dict["kernels"])
        self._adamw.load_state_dict(state_dict["others"])


def orthogonal(matrices: Float[Tensor, "n r c"]) -> Float[Tensor, "n r c"]:
    """Bring the singular values of each matrix to between about 0.6 and 1.3, by Newton-Schulz iterations.

    Parameters
    ----------
    matrices
        Matrices of r rows and c columns, ``(n, r, c)``.

    Examples
    --------
    >>> import torch
    >>> from maskmixadv.networks.muon import orthogonal
    >>> matrix = torch.diag(torch.tensor([10.0, 3.0]))[None]
    >>> values = torch.linalg.svdvals(orthogonal(matrix))
    >>> bool(((values > 0.6) & (values < 1.3)).all())
    True
    """
    a, b, c = POLYNOMIAL
    scaled = matrices / torch.linalg.matrix_norm(matrices, keepdim=True).clamp(min=1e-7)
    scaled = scaled.to(torch.bfloat16 if has_bf16(matrices.device) else matrices.dtype)
    for _ in range(SWEEPS):
        gram = scaled @ scaled.mT
        scaled = torch.baddbmm(scaled, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), scaled, beta=a)
    return scaled.to(matrices.dtype)


def _together(matrices: list[Float[Tensor, "r _"]]) -> list[Float[Tensor, "r _"]]:
    """Make matrices with equally many rows orthogonal at once, since each alone is too small to keep a device busy."""
    widths = [matrix.shape[1] for matrix in matrices]
    padded = matrices[0].new_zeros(len(matrices), len(matrices[0]), max(widths))  # columns of zeros stay zeros
    for place, matrix, width in zip(padded, matrices, widths, strict=True):
        place[:, :width] = matrix
    return [update[:, :width] for update, width in zip(orthogonal(padded), widths, strict=True)]


def _is_orthogonal(parameter: Tensor) -> bool:
    """Whether a parameter is a kernel whose updates are made orthogonal."""
    if parameter.ndim != 4 or parameter.numel() > MOST_WEIGHTS:
        return False
    return min(len(parameter), parameter[0].numel()) >= LEAST_SIDE


def _outputs_first(kernel: Float[Tensor, "o i h w"]) -> Float[Tensor, "o h w i"]:
    """A view of a kernel as a matrix with a row for each output, in the order of channels-last memory."""
    return kernel.permute(0, 2, 3, 1)
