"""Fixtures that tests of several rooms ask for; what they import lies in `shared`."""

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from holder import Hold, holding
from maskmixadv import provenance
from narrow import narrowed

# How long an example takes says nothing of the code: other processes may have the machine.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def _real(folder: str) -> Path:
    path = Path(os.environ.get("MASKMIXADV_DATA", DATA)) / folder
    if not path.is_dir():
        pytest.skip(f"needs the {folder} data set; set MASKMIXADV_DATA to the folder that holds {folder}/")
    return path


@pytest.fixture
def hold() -> Hold:
    """Another process that holds a directory."""
    return holding


@pytest.fixture(scope="session")
def acdc_source() -> Path:
    return _real("ACDC")


@pytest.fixture(scope="session")
def mscmr_source() -> Path:
    return _real("MSCMR")


@pytest.fixture(scope="session", autouse=True)
def _asked_once() -> Iterator[None]:
    """The checkout stays the same while tests run: git says once a process what it is, not at each run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provenance, "_git", functools.cache(provenance._git))
        yield


@pytest.fixture(scope="module")
def narrow() -> Iterator[None]:
    """Make networks narrow for a whole file: what its tests share fits what they make."""
    with narrowed():
        yield


@pytest.fixture(scope="module")
def unpictured() -> Iterator[None]:
    """Let trainings draw no pictures of progress in a whole file: they take longer than a few small steps."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maskmixadv.training.validation.Validation._picture", lambda *_: None)
        yield


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report without pictures, for tests that ask other things: drawing them is most of a small evaluation."""
    monkeypatch.setattr("maskmixadv.evaluation.report.render", lambda *_, **__: "<html></html>")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report with all that it says, but without charts and pictures."""
    for chart in ("boxes", "curves", "volumes", "agreement"):
        monkeypatch.setattr(f"maskmixadv.evaluation.report.charts.{chart}", lambda *_, **__: "")
    monkeypatch.setattr("maskmixadv.evaluation.report._picture", lambda *_, **__: "")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of what came of damaged files."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    rows = [value for report in reports for name, value in report.user_properties if name == "readers"]
    if not rows:
        return
    totals = ["all", *(sum(row[column] for row in rows) for column in range(1, 5)), "", ""]
    terminalreporter.section("damaged files")
    for row in (["reader", "inputs", "read", "refused", "other", "slowest", "memory"], *sorted(rows), totals):
        terminalreporter.write_line(f"{row[0]:18}" + "".join(f"{cell!s:>10}" for cell in row[1:]))
