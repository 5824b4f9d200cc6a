"""Two checkouts take turns, whether their modules lie in rooms or side by side."""

from pathlib import Path

import pytest

import turns
from maskmixadv.errors import InputError
from recorded import Recorded

PLACES = {
    "rooms": ("training/begin", "corpus/corpus", "training/loop", "runs/schedule", "training/data"),
    "rooms, before": ("training/begin", "corpus/corpus", "training/loop", "runs/schedule", "training/fit"),
    "side by side": ("begin", "data/corpus", "loop", "schedule", "train"),
}
CODE = (
    "def begin(*_, **__):\n    return 'run'\n",
    "class Corpus:\n    open = staticmethod(str)\n",
    "class Loop:\n    def __init__(self, *_):\n        pass\n    def advance(self):\n        pass\n",
    "from types import SimpleNamespace\nPRESETS = {'cpu': SimpleNamespace(steps=7)}\n",
    "def prior_masks(*_):\n    pass\ndef training_slices(*_):\n    pass\n",
)


def checkout(root: Path, layout: str) -> Path:
    """A checkout of a package that has the names, and does nothing; nor has it a torch that takes long to import."""
    package = root / "src" / "maskmixadv"
    method = "from types import SimpleNamespace\nALL = {'pce': lambda: SimpleNamespace(supervision='scribble')}\n"
    modules = {"methods": method, "provenance": f"def commit():\n    return '{layout}'\n"}
    for module, text in {**modules, **dict(zip(PLACES[layout], CODE, strict=True))}.items():
        path = package / f"{module}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (package / "__init__.py").write_text("")
    (root / "src" / "torch.py").write_text("device = str\n")
    return root


@pytest.mark.parametrize("layout", ["side by side", "rooms, before"])
def test_layouts_take_turns(tmp_path: Path, recorded: Recorded, monkeypatch: pytest.MonkeyPatch, layout: str) -> None:
    old, new = checkout(tmp_path / "old", layout), checkout(tmp_path / "new", "rooms")
    monkeypatch.setattr(turns, "HERE", new)
    turns.main(turns.Turns(old, Path("corpus"), methods=("pce",), rounds=1, steps=2))
    (row,) = recorded("turns")["rows"]
    assert row["commits"] == [layout, "rooms"]
    assert row["preset_steps"] == [7, 7]
    assert row["time"] > 0


def test_what_is_no_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no src/maskmixadv"):
        turns.main(turns.Turns(tmp_path, Path("corpus")))


@pytest.mark.slow
def test_a_checkout_trains(corpus: Path) -> None:
    """This one, as it is."""
    side = turns.Side(turns.HERE, ("pce", "cpu", str(corpus), "", "1"))
    assert side.facts["steps"] > 0
    assert side.turn() > 0
    side.end()
