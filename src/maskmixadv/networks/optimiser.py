"""Optimisers: Adam, AdamW, and gradient descent with momentum. The steps are torch's own fused ones.

The classes of `torch.optim` import torch's compiler when the first of them is made: a quarter of all that a training
does before its first step. So parameters and their state are held here, and torch's functions `torch.optim.adam.adam`
and `torch.optim.sgd.sgd` compute the steps, bit for bit those of torch's classes. State dictionaries of those classes
are read, too.
"""

import abc
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.sgd import sgd


class Optimiser(abc.ABC):
    """Changes parameters by their gradients.

    Parameters
    ----------
    parameters
        What it changes.
    **settings
        Its numbers, such as ``lr``, the learning rate.

    Attributes
    ----------
    param_groups
        Dictionaries of ``params`` and their settings, which may be changed between steps.
    state
        What is kept of each parameter that has been changed.

    Examples
    --------
    >>> weight = nn.Parameter(torch.tensor([2.0]))
    >>> optimiser = SGD([weight], lr=0.1, momentum=0.0, weight_decay=0.0)
    >>> isinstance(optimiser, Optimiser), optimiser.param_groups[0]["lr"]
    (True, 0.1)
    """

    def __init__(self, parameters: Iterable[nn.Parameter], **settings: Any) -> None:  # noqa: ANN401
        self.param_groups: list[dict[str, Any]] = [{"params": list(parameters), **settings}]
        self.state: defaultdict[nn.Parameter, dict[str, Any]] = defaultdict(dict)

    @abc.abstractmethod
    def step(self) -> None:
        """Change the parameters that have a gradient."""

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Return the state of each parameter by its number, and the settings."""
        numbers = {parameter: number for number, parameter in enumerate(self._parameters)}
        groups = [{**group, "params": [numbers[each] for each in group["params"]]} for group in self.param_groups]
        return {"state": {numbers[each]: state for each, state in self.state.items()}, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over copies of the states; the settings stay as they are.

        Raises
        ------
        ValueError
            Where they are those of other parameters.
        """
        there = [len(group["params"]) for group in state_dict["param_groups"]]
        here = [len(group["params"]) for group in self.param_groups]
        if there != here:
            raise ValueError(f"states of {there} parameters, wanted are those of {here}")
        self._take(state_dict["state"])

    @property
    def _parameters(self) -> list[nn.Parameter]:
        return [parameter for group in self.param_groups for parameter in group["params"]]

    def _take(self, states: dict[int, dict[str, Tensor]]) -> None:
        parameters = self._parameters
        self.state.clear()
        for number, state in states.items():
            parameter = parameters[number]
            self.state[parameter] = {name: value.to(parameter.device, copy=True) for name, value in state.items()}


class Adam(Optimiser):
    """Adam (Kingma and Ba, 2015) or, where the decay of weights is `decoupled`, AdamW (Loshchilov and Hutter, 2019).

    Parameters
    ----------
    parameters
        What it changes.
    lr, weight_decay
        Learning rate, which may be a tensor on the parameters' device, and decay of weights.
    decoupled
        Whether weights decay by themselves, not by their gradients.

    Examples
    --------
    >>> weight = nn.Parameter(torch.tensor([2.0]))
    >>> optimiser = Adam([weight], lr=0.1)
    >>> weight.square().sum().backward()
    >>> optimiser.step()
    >>> weight
    Parameter containing:
    tensor([1.9000], requires_grad=True)
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], *, lr: float, weight_decay: float = 0.0, decoupled: bool = False
    ) -> None:
        super().__init__(parameters, lr=lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=weight_decay)
        self._decoupled = decoupled

    @torch.no_grad()
    def step(self) -> None:
        """Change the parameters that have a gradient."""
        for group in self.param_groups:
            changed = [parameter for parameter in group["params"] if parameter.grad is not None]
            states = [self._of(parameter) for parameter in changed]
            adam(
                changed,
                [parameter.grad for parameter in changed],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                [state["step"] for state in states],
                fused=True,
                decoupled_weight_decay=self._decoupled,
                amsgrad=False,
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                maximize=False,
            )

    def _of(self, parameter: nn.Parameter) -> dict[str, Any]:
        state = self.state[parameter]
        if not state:
            # The step counts on the device, so that a recorded step counts on.
            state["step"] = torch.zeros((), device=parameter.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        return state


class SGD(Optimiser):
    """Stochastic gradient descent with momentum.

    Parameters
    ----------
    parameters
        What it changes.
    lr, momentum, weight_decay
        Learning rate, which may be a tensor on the parameters' device, share of the momentum that is kept in a step,
        and decay of weights.

    Examples
    --------
    >>> weight = nn.Parameter(torch.tensor([2.0]))
    >>> optimiser = SGD([weight], lr=0.1, momentum=0.9, weight_decay=0.0)
    >>> for _ in range(2):
    ...     weight.square().sum().backward()
    ...     optimiser.step()
    ...     optimiser.zero_grad()
    >>> weight
    Parameter containing:
    tensor([0.9200], requires_grad=True)
    """

    def __init__(self, parameters: Iterable[nn.Parameter], *, lr: float, momentum: float, weight_decay: float) -> None:
        super().__init__(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)

    @torch.no_grad()
    def step(self) -> None:
        """Change the parameters that have a gradient."""
        for group in self.param_groups:
            changed = [parameter for parameter in group["params"] if parameter.grad is not None]
            momenta = [self.state[parameter].get("momentum_buffer") for parameter in changed]
            sgd(
                changed,
                [parameter.grad for parameter in changed],
                momenta,
                fused=True,
                weight_decay=group["weight_decay"],
                momentum=group["momentum"],
                lr=group["lr"],
                dampening=0.0,
                nesterov=False,
                maximize=False,
            )
            for parameter, momentum in zip(changed, momenta, strict=True):
                self.state[parameter] = {} if momentum is None else {"momentum_buffer": momentum}
