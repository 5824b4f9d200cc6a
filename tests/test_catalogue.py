"""The one list of methods and presets: it agrees with what there is, and costs nothing to look at."""

import subprocess
import sys
from pathlib import Path

import pytest

from maskmixadv import methods
from maskmixadv.methods import registry as catalogue
from maskmixadv.methods.method import Method
from maskmixadv.runs import schedule


@pytest.mark.parametrize("name", catalogue.METHODS)
def test_a_methods_line_says_what_its_class_says(name: str) -> None:
    listed, kind = catalogue.METHODS[name], methods.ALL[name]
    assert kind.__name__ == listed.kind
    assert (kind.supervision == "dense") == listed.dense
    assert kind().wants_prior == listed.wants_prior


def test_every_method_is_listed_once() -> None:
    found = {path.stem for path in Path(methods.__file__).parent.glob("*.py")}
    modules = {name.replace("-", "_") for name in catalogue.METHODS}
    assert modules <= found
    concrete = {kind for kind in methods.__dict__.values() if isinstance(kind, type) and issubclass(kind, Method)}
    assert concrete - {Method} <= set(methods.ALL.values())
    assert len(set(methods.ALL.values())) == len(methods.ALL)


def test_defaults_are_among_what_is_listed() -> None:
    assert catalogue.DEFAULT_METHOD in catalogue.FROM_SCRIBBLES
    assert next(iter(catalogue.METHODS)) == catalogue.DEFAULT_METHOD
    assert set(catalogue.PRESETS) <= set(schedule.PRESETS)


def test_looking_at_it_takes_no_torch() -> None:
    code = "import sys, maskmixadv.methods.registry, maskmixadv.studio.http.server; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
