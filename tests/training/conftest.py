"""What tests of training share: most do without pictures, which take longer to draw than a few small steps."""

import pytest

from maskmixadv.networks.critic import Critic
from maskmixadv.networks.unet import WIDTHS


@pytest.fixture
def pictures() -> None:
    """Ask for the pictures that validations draw."""


@pytest.fixture(autouse=True)
def _undrawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "pictures" not in request.fixturenames:
        monkeypatch.setattr("maskmixadv.training.validation.Validation._picture", lambda *_: None)


@pytest.fixture(scope="module", autouse=True)
def _narrow(narrow: None) -> None:
    """Make networks narrow: most questions to a training are the same at any width."""


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make networks as wide as users have them, for figures that were measured on those."""
    monkeypatch.setattr("maskmixadv.networks.unet.WIDTHS", WIDTHS)
    for module in ("maskmixadv", "walk_teacher"):
        monkeypatch.setattr(f"maskmixadv.methods.{module}.Critic", Critic)
