"""The one list of methods and presets: it agrees with what there is, and costs nothing to look at."""

import dataclasses
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from maskmixadv import methods
from maskmixadv.cli.app import parse, run
from maskmixadv.errors import InputError
from maskmixadv.methods import first_terms, registry
from maskmixadv.methods.method import Method
from maskmixadv.networks.unet import with_heads
from maskmixadv.runs import schedule
from maskmixadv.strokes.corrections import Corrections
from maskmixadv.tensors import Batch, Task


@pytest.mark.parametrize("name", registry.METHODS)
def test_a_methods_line_says_what_its_class_says(name: str) -> None:
    listed, kind = registry.METHODS[name], methods.ALL[name]
    assert kind.__name__ == listed.kind
    assert (kind.supervision == "dense") == listed.dense
    assert kind().wants_prior == listed.wants_prior


def test_what_leaves_the_critic_out_is_said_once() -> None:
    """The studio's fields, the option that messages name, and what the methods do agree."""
    assert registry.NO_CRITIC_OPTIONS == "--adv 0"
    for name in ("maskmixadv", "walk-teacher"):
        assert not registry.method_from({"name": name, **registry.NO_CRITIC}).wants_prior
    batch = dataclasses.replace(Batch.example(side=64), prior=None)
    with pytest.raises(InputError, match=f"--prior CORPUS.*{registry.NO_CRITIC_OPTIONS}"):
        first_terms(methods.MaskMixAdv(), batch)


def test_every_method_is_listed_once() -> None:
    found = {path.stem for path in Path(methods.__file__).parent.glob("*.py")}
    modules = {name.replace("-", "_") for name in registry.METHODS}
    assert modules <= found
    concrete = {kind for kind in methods.__dict__.values() if isinstance(kind, type) and issubclass(kind, Method)}
    assert concrete - {Method} <= set(methods.ALL.values())
    assert len(set(methods.ALL.values())) == len(methods.ALL)


def test_defaults_are_among_what_is_listed() -> None:
    assert registry.DEFAULT_METHOD in registry.FROM_SCRIBBLES
    assert next(iter(registry.METHODS)) == registry.DEFAULT_METHOD
    assert set(schedule.OFFERED) <= set(schedule.PRESETS)


def test_looking_at_it_takes_no_torch() -> None:
    code = "import sys, maskmixadv.methods.registry, maskmixadv.studio.http.server; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_former_name_is_understood_and_the_present_one_is_written() -> None:
    assert registry.present("flagship") == "walk-teacher"
    method = registry.method_from({"name": "flagship", "thin": "Myo", "odds": 0.5, "trust": 2.0})  # two are retired
    assert registry.fields_of(method)["name"] == "walk-teacher"
    assert parse(["train", "c", "--out", "r", "flagship", "--trust", "2"]).method == method
    assert not set(registry.FORMER) & set(registry.METHODS)


def test_a_field_that_a_record_lacks_means_what_was_done_before_it_was_there() -> None:
    """Seen: a run from before `appearance` would have gone on with other beliefs than it began with."""
    raw = registry.fields_of(registry.method_from({"name": "walk-teacher"}))
    assert registry.recorded(raw) == registry.method_from(raw)
    del raw["appearance"]
    assert registry.recorded(raw).corrections() == Corrections(evened=True)
    del raw["evened"]
    assert registry.recorded(raw).corrections() == Corrections()
    assert registry.method_from(raw).corrections() == Corrections(0.5, evened=True)
    for name, listed in registry.METHODS.items():
        assert set(listed.before) <= set(registry.fields_of(registry.method_from({"name": name})))
    with pytest.raises(InputError, match="method: 'none', allowed are walk-teacher"):
        registry.recorded({"name": "none"})
    with pytest.raises(InputError, match="method: 3, allowed are walk-teacher"):
        registry.recorded({"name": 3})


def test_a_method_is_loaded_alone() -> None:
    """Who uses a run waits for one method's modules, not for nineteen."""
    code = (
        "import sys\nfrom maskmixadv.methods.registry import METHODS, load\n"
        "load('pce')\nmodules = {name.replace('-', '_') for name in METHODS} - {'pce'}\n"
        "print([name for name in modules if f'maskmixadv.methods.{name}' in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["evaluate", "--help"], ["prepare", "--help"]])
def test_help_imports_no_torch(words: list[str]) -> None:
    code = (
        f"import sys\nfrom maskmixadv.cli.app import run\ntry:\n    run({words})\nexcept SystemExit:\n    pass\n"
        "print('heavy:', [name for name in ('torch', 'scipy', 'skimage', 'nibabel') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "heavy: []", done.stdout[-200:]


def test_all_methods_have_a_line_in_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(["train", "--help"])
    shown = capsys.readouterr().out
    for name in registry.METHODS:
        assert name in shown
    for change in fields(schedule.Changes):
        assert f"--{change.name.replace('_', '-')}" in shown


def test_networks_that_no_other_method_has_are_told() -> None:
    """The studio tells by it, without torch, whether a training can go on from another method's run."""
    task = Task(classes=("background", "RV", "LV"), channels=1)
    with torch.device("meta"):
        nets = {
            name: registry.method_from({"name": name, **listed.without_prior}).players(task)["net"]
            for name, listed in registry.METHODS.items()
        }

    def fits(one: str, other: str) -> bool:
        weights = with_heads(nets[one].state_dict(), nets[other])  # another number of heads does not matter
        wanted = nets[other].state_dict()
        return {name: each.shape for name, each in weights.items()} == {
            name: each.shape for name, each in wanted.items()
        }

    for name, listed in registry.METHODS.items():
        told = [fits(name, other) for other in nets if other != name and not registry.METHODS[other].own_network]
        assert told == [not listed.own_network] * len(told), name
