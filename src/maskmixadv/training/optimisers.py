"""Optimisers: one for each player that learns."""

from collections.abc import Collection

from torch import nn

from maskmixadv.networks.muon import Muon
from maskmixadv.networks.optimiser import SGD, Adam, Optimiser
from maskmixadv.runs.schedule import Schedule


def optimisers(
    schedule: Schedule, nets: dict[str, nn.Module], scheduled: Collection[str] = ("net",)
) -> dict[str, Optimiser]:
    """Return one optimiser for each player that has parameters to learn, by the player's name.

    That of the `scheduled` players is the schedule's; every other player has Adam.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from maskmixadv.runs.schedule import PRESETS
    >>> nets = {"net": nn.Linear(2, 2), "critic": nn.Linear(2, 1), "teacher": nn.Linear(2, 2).requires_grad_(False)}
    >>> made = optimisers(replace(PRESETS["fast"], critic_lr=0.001), nets)
    >>> {player: (type(each).__name__, each.param_groups[0]["lr"]) for player, each in made.items()}
    {'net': ('Adam', 0.002), 'critic': ('Adam', 0.001)}
    """
    made: dict[str, Optimiser] = {}
    for player, module in nets.items():
        parameters = [p for p in module.parameters() if p.requires_grad]
        if parameters:
            made[player] = _optimiser(schedule, parameters) if player in scheduled else _adam(schedule, parameters)
    return made


def _adam(schedule: Schedule, parameters: list[nn.Parameter]) -> Optimiser:
    return Adam(parameters, lr=schedule.critic_lr)


def _optimiser(schedule: Schedule, parameters: list[nn.Parameter]) -> Optimiser:
    if schedule.optimiser == "muon":
        return Muon(parameters, lr=schedule.lr, weight_decay=schedule.weight_decay)
    if schedule.optimiser == "adamw":
        return Adam(parameters, lr=schedule.lr, weight_decay=schedule.weight_decay, decoupled=True)
    return SGD(parameters, lr=schedule.lr, momentum=schedule.momentum, weight_decay=schedule.weight_decay)
