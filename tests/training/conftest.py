"""What tests of training share: most do without pictures, which take longer to draw than a few small steps."""

import pytest


@pytest.fixture
def pictures() -> None:
    """Ask for the pictures that validations draw."""


@pytest.fixture(autouse=True)
def _undrawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "pictures" not in request.fixturenames:
        monkeypatch.setattr("maskmixadv.training.fit.Validation._picture", lambda *_: None)
