"""The how-to on a new method: what it shows runs as it stands."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "new-method.md"
MODULE = "maskmixadv.methods.entropy"


def test_the_example_yields_its_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    method, trial, *_ = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    made = ModuleType(MODULE)
    monkeypatch.setitem(sys.modules, MODULE, made)
    exec(method, vars(made))
    *imports, call = trial.strip().rsplit("\n", 1)
    names: dict[str, object] = {}
    exec("\n".join(imports), names)
    assert list(eval(call, names)) == ["net/pce", "net/entropy"]
