"""Types are enforced while tests run: jaxtyping checks shapes, beartype the rest."""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: test processes share the cores

from pathlib import Path

import pytest
from jaxtyping import install_import_hook

install_import_hook("maskmixadv", "beartype.beartype").__enter__()

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def _real(folder: str) -> Path:
    path = Path(os.environ.get("MASKMIXADV_DATA", DATA)) / folder
    if not path.is_dir():
        pytest.skip(f"needs the {folder} data set; set MASKMIXADV_DATA to the folder that holds {folder}/")
    return path


@pytest.fixture(scope="session")
def acdc_source() -> Path:
    return _real("ACDC")


@pytest.fixture(scope="session")
def mscmr_source() -> Path:
    return _real("MSCMR")
