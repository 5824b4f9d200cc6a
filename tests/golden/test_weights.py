"""The same seed gives the same weights, bit for bit, whatever is moved: three methods, 20 steps, one thread of a CPU.

The figures in ``weights.json`` are those of decision 24. A change that moves them changes results, and needs a
benchmark beside it; `python tests/golden/test_weights.py` then prints them anew. A run that began before decision 20
goes on as it would have then: ``begun_before`` was written by the code before it.
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from maskmixadv.cli.app import run
from maskmixadv.device import cpu_features

GOLDEN = Path(__file__).with_name("weights.json")
SMALL = ["--preset", "cpu", "--size", "64", "--window", "48", "--steps", "20", "--seed", "1", "--device", "cpu"]
METHODS = ("pce", "maskmixadv", "flagship")


def corpora(root: Path) -> Path:
    for name, seed in (("corpus", "3"), ("prior", "9")):
        assert run(["prepare", "phantom", str(root / name), "--cases", "6", "--seed", seed, "--size", "64"]) == 0
    return root


def trained(root: Path, method: str) -> dict[str, torch.Tensor]:
    """Weights of all players after 20 steps."""
    out = root / method
    assert run(command(root, method, out)) == 0
    return weights_of(out)


def command(root: Path, method: str, out: Path) -> list[str]:
    torch.set_num_threads(1)
    prior = ["--prior", str(root / "prior")] if method == "maskmixadv" else []
    return ["train", str(root / "corpus"), "--out", str(out), "--enclosure", *SMALL, *prior, method]


def weights_of(out: Path) -> dict[str, torch.Tensor]:
    nets = torch.load(out / "last.pt", weights_only=True)["nets"]
    return {f"{player}.{name}": tensor for player, net in sorted(nets.items()) for name, tensor in sorted(net.items())}


def digest(weights: dict[str, torch.Tensor]) -> str:
    found = hashlib.sha256()
    for name, tensor in weights.items():
        found.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


def size(weights: dict[str, torch.Tensor]) -> float:
    return sum(tensor.double().abs().sum().item() for tensor in weights.values())


def machine() -> str:
    """What bits depend on beside the code."""
    processor = cpu_features().get("cpu_name", "")
    return f"torch {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}, {processor}"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return corpora(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("method", [*(pytest.param(name, marks=pytest.mark.slow) for name in METHODS[:2]), METHODS[2]])
def test_the_same_seed_gives_the_same_weights(root: Path, method: str) -> None:
    golden, weights = json.loads(GOLDEN.read_text()), trained(root, method)
    assert size(weights) == pytest.approx(golden["size"][method], rel=2e-3)
    assert_bits(weights, golden["digest"][method], golden["machine"])


@pytest.mark.slow
def test_a_run_that_began_before_biases_were_left_out_goes_on_to_the_same_weights(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, out = json.loads(GOLDEN.read_text())["begun_before"], root / "before"
    words = command(root, "flagship", out)
    with monkeypatch.context() as stopped:
        stopped.setattr("maskmixadv.training.fit.fit", lambda *_, **__: True)
        assert run(words) == 0
    record = json.loads((out / "run.json").read_text())
    del record["biases"]
    for later in ("heads", "evened"):
        del record["method"][later]
    (out / "run.json").write_text(json.dumps(record))
    assert run(words) == 0
    weights = weights_of(out)
    assert size(weights) == pytest.approx(began["size"], rel=2e-3)
    assert_bits(weights, began["digest"], began["machine"])


def assert_bits(weights: dict[str, torch.Tensor], expected: str, on: str) -> None:
    if machine() != on:
        pytest.skip(f"bits are those of {on}, this is {machine()}; sizes of the weights agree")
    assert digest(weights) == expected


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        made = {method: trained(corpora(Path(folder) / method), method) for method in METHODS}
    figures = {
        "digest": {method: digest(weights) for method, weights in made.items()},
        "size": {method: size(weights) for method, weights in made.items()},
    }
    before = json.loads(GOLDEN.read_text())["begun_before"]
    print(json.dumps({"machine": machine(), **figures, "begun_before": before}, indent=1), file=sys.stdout)
