"""Schedules: what is no schedule is refused in one line."""

import math
from dataclasses import fields
from typing import Any

import pytest

from maskmixadv.errors import InputError
from maskmixadv.runs.schedule import Changes, Schedule
from maskmixadv.sampling.ranges import Augment

KINDS = (Schedule, Augment)
NUMBERS = [(kind, each.name) for kind in KINDS for each in fields(kind) if isinstance(each.default, float)]


@pytest.mark.parametrize(("kind", "name"), NUMBERS, ids=[name for _, name in NUMBERS])
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -1.0])
def test_a_number_that_no_run_can_have_is_refused(kind: type[Schedule | Augment], name: str, wrong: float) -> None:
    numbers: dict[str, Any] = {name: wrong}
    with pytest.raises(InputError, match=f"^{name}: {wrong}, allowed") as refusal:
        kind(**numbers)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["lr", "critic_lr"])
def test_a_rate_of_0_is_refused(name: str) -> None:
    rates: dict[str, Any] = {name: 0.0}
    with pytest.raises(InputError, match=f"^{name}: 0.0, allowed is a finite number above 0"):
        Schedule(**rates)


@pytest.mark.parametrize("name", ["steps", "batch", "validate_every", "size", "window"])
def test_a_number_that_no_record_can_hold_is_refused(name: str) -> None:
    huge: dict[str, Any] = {name: 10**30}
    with pytest.raises(InputError, match=f"^{name}: .*allowed is"):
        Changes(**huge).on("cpu")


def test_a_canvas_that_no_run_can_have_is_refused() -> None:
    with pytest.raises(InputError, match=r"^size: 1000000, allowed is up to 16384 pixels"):
        Changes(size=1_000_000).on("cpu")
