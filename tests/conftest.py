"""What tests share: real data where it is there, and another process that holds a directory."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

Hold = Callable[[Path], AbstractContextManager["subprocess.Popen[str]"]]

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def _real(folder: str) -> Path:
    path = Path(os.environ.get("MASKMIXADV_DATA", DATA)) / folder
    if not path.is_dir():
        pytest.skip(f"needs the {folder} data set; set MASKMIXADV_DATA to the folder that holds {folder}/")
    return path


@pytest.fixture
def hold() -> Hold:
    """Another process that holds a directory, as a training or a studio does."""

    @contextmanager
    def holding(place: Path) -> Iterator["subprocess.Popen[str]"]:
        code = f"""
import sys
from pathlib import Path
from maskmixadv.files import held
with held(Path({str(place)!r})):
    print("held", flush=True)
    sys.stdin.readline()
"""
        process = subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True)
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            try:
                yield process
            finally:
                process.kill()

    return holding


@pytest.fixture(scope="session")
def acdc_source() -> Path:
    return _real("ACDC")


@pytest.fixture(scope="session")
def mscmr_source() -> Path:
    return _real("MSCMR")


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
