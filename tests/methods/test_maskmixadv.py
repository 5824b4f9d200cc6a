"""Which of MaskMixAdv's fields go together, and the views that they make."""

from typing import Any, get_args, get_type_hints

import pytest

from maskmixadv.errors import InputError
from maskmixadv.methods import MaskMixAdv
from maskmixadv.perturb import (
    ALL,
    CutMix,
    Dropout2d,
    MaskMix,
    UniformNoise,
)


def test_the_command_line_knows_all() -> None:
    assert get_args(get_type_hints(MaskMixAdv)["perturbation"]) == tuple(ALL)


@pytest.mark.parametrize(
    "fields",
    [
        {"level": "feature", "perturbation": "cutmix"},
        {"level": "image", "perturbation": "dropout2d"},
        {"ratio": 0.3, "perturbation": "mixup"},
        {"patch": 4, "perturbation": "vat"},
        {"whole": 0.25, "perturbation": "cutout"},
        {"ratio": 0.0},
        {"ratio": 1.5},
        {"patch": 0},
        {"whole": 1.5},
        {"rec": 10.0, "whole": 1.0},
    ],
)
def test_impossible_views(fields: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(fields))}: .*allowed"):
        MaskMixAdv(**fields)


@pytest.mark.parametrize(("name", "value"), [("perturbation", "blur"), ("level", "pixel")])
def test_impossible_names(name: str, value: str) -> None:
    """As a file may hold them; while tests run, types forbid them earlier."""
    method = MaskMixAdv()
    object.__setattr__(method, name, value)
    with pytest.raises(InputError, match=f"{name}: '{value}', allowed"):
        method.__post_init__()


def test_views_take_the_methods_fields() -> None:
    assert MaskMixAdv(ratio=0.3).views == MaskMix(level="feature", ratio=0.3, patch=8, whole=0.5)
    assert MaskMixAdv(perturbation="uniform-noise", level="image").views == UniformNoise(level="image")
    assert MaskMixAdv(perturbation="cutmix", whole=0.0).views == CutMix()
    assert MaskMixAdv(perturbation="dropout2d", level="feature").views == Dropout2d()


@pytest.mark.parametrize(
    "fields",
    [
        {"dpce": -1.0},
        {"adv": float("nan")},
        {"dpce": 0.0, "rec": 0.0, "pse": 0.0, "adv": 0.0},
        {"perturbation": "mixup", "dpce": 0.0, "rec": 1.0, "pse": 0.0, "adv": 0.0},
    ],
)
def test_impossible_weights(fields: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"allowed|at least one"):
        MaskMixAdv(**fields)
