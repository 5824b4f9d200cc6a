"""Methods of one network and one view: their weights, and what their losses are asked of."""

import itertools
import math

import pytest
import torch

import tiny
from maskmixadv.errors import InputError
from maskmixadv.methods import ALL
from maskmixadv.methods.pce_gatedcrf import PCEGatedCRF
from maskmixadv.networks.crf import Kernel, gated_crf
from regularisers import LOSSES

WEIGHTS = [
    ("pce-tv", "tv"),
    ("pce-entropy", "entropy"),
    ("pce-gatedcrf", "crf"),
    ("pce-mumfordshah", "ms"),
    ("pce-mumfordshah", "tv"),
    ("regularized", "entropy"),
    ("regularized", "variance"),
    *itertools.product(("pce-dice", "supervised", "random-walker"), ("ce", "dice")),
]


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
@pytest.mark.parametrize(("name", "field"), WEIGHTS)
def test_impossible_weights(name: str, field: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{field}: {value}, allowed is a finite number of at least 0"):
        ALL[name](**{field: value})


@pytest.mark.parametrize(("field", "value"), [("radius", 0), ("position", 0.0), ("intensity", math.nan)])
def test_impossible_kernels(field: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{field}: {value}, allowed is"):
        ALL["pce-gatedcrf"](**{field: value})


@pytest.mark.parametrize("name", ["pce-dice", "supervised", "random-walker"])
def test_something_must_be_learnt(name: str) -> None:
    nothing = {"ce": 0.0, "dice": 0.0}
    with pytest.raises(InputError, match="ce, dice: all 0"):
        ALL[name](**nothing)


@pytest.mark.parametrize(
    ("name", "term", "of"),
    [
        ("pce-tv", "tv", "contour"),
        ("pce-entropy", "entropy", "entropy"),
        ("pce-mumfordshah", "ms", "mumford-shah"),
        ("pce-mumfordshah", "tv", "total variation"),
        ("regularized", "entropy", "entropy"),
        ("regularized", "variance", "spread"),
    ],
)
def test_methods_ask_the_prediction_and_the_image(name: str, term: str, of: str) -> None:
    """Image and probabilities may have one shape; a method must not take one for the other."""
    method, batch = ALL[name](**{term: 3.0}), tiny.batch()
    net = method.players(tiny.TASK)["net"].eval()
    ((_, terms),) = method.phases({"net": net}, batch)
    torch.testing.assert_close(terms[term], 3 * LOSSES[of](net(batch.image).softmax(1), batch.image))


def test_the_crf_has_the_fields_kernel() -> None:
    batch, kernel = tiny.batch(), Kernel(radius=2, position=3.0, intensity=0.4)
    method = PCEGatedCRF(crf=2.0, **kernel._asdict())
    net = method.players(tiny.TASK)["net"].eval()
    ((_, terms),) = method.phases({"net": net}, batch)
    expected = 2 * gated_crf(probs=net(batch.image).softmax(1), image=batch.image, kernel=kernel)
    torch.testing.assert_close(terms["crf"], expected)


@pytest.mark.parametrize(("name", "field"), WEIGHTS)
def test_a_weight_weighs_its_term(name: str, field: str) -> None:
    """Twice the weight, twice the logged term of that name, and no other one."""
    kind = ALL[name]
    batch = tiny.batch()
    terms = []
    for method in (kind(), kind(**{field: 2 * getattr(kind(), field)})):
        torch.manual_seed(0)
        nets = method.players(tiny.TASK)
        ((_, found),) = method.phases(nets, batch)
        terms.append(found)
    for term in terms[0]:
        torch.testing.assert_close(terms[1][term], terms[0][term] * (2 if term == field else 1))
