"""The list of perturbations: all are in it, and one is imported without the others."""

import subprocess
import sys
from typing import get_args

import pytest

from maskmixadv import perturb
from maskmixadv.perturb.registry import ALL, PerturbationName, load


def test_every_perturbation_is_listed_once() -> None:
    concrete = {kind for kind in vars(perturb).values() if isinstance(kind, type) and hasattr(kind, "on_host")}
    assert concrete - {perturb.Perturbation} <= set(ALL.values())
    assert len(set(ALL.values())) == len(ALL)
    assert tuple(ALL) == get_args(PerturbationName)


def test_names_that_are_none() -> None:
    assert "no-such" not in ALL
    with pytest.raises(KeyError):
        load("no-such")


@pytest.mark.slow
def test_a_perturbation_is_loaded_alone() -> None:
    """Who trains with masks does not wait for maximum flows of SciPy."""
    modules = ["collage", "comixup", "graphcut", "noise", "puzzlemix", "vat"]
    found = f"print([name for name in {modules} if f'maskmixadv.perturb.{{name}}' in sys.modules])"
    mask = f"from maskmixadv.perturb import MaskMix; MaskMix()\n{found}"
    method = f"from maskmixadv.methods import MaskMixAdv; MaskMixAdv()\n{found}"
    code = f"import sys\n{mask}\n{method}"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["[]", "[]"]
