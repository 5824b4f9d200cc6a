"""The questions that every method is asked."""

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import tiny
from maskmixadv import methods
from maskmixadv.methods import (
    WSL4MIS,
    MaskMixAdv,
    MeanTeacher,
    Method,
    Phase,
    Scribble2Label,
    ShapePU,
)
from maskmixadv.methods.registry import fields_of, method_from
from maskmixadv.networks.critic import Critic
from maskmixadv.networks.losses import marginal, one_hot
from maskmixadv.networks.unet import Decoder
from maskmixadv.perturb import ViewMasks
from maskmixadv.sampling.slices import Slices
from maskmixadv.tensors import Batch
from maskmixadv.types import IGNORE
from variants import ONE_OF_EACH, VARIANTS
from weights import equal, weights

ONE_OF_EACH_METHOD = pytest.mark.parametrize("method", ONE_OF_EACH, indirect=True)
"""For questions that take many steps, or a step or two of each method."""


@pytest.fixture(params=VARIANTS, ids=str)
def method(request: pytest.FixtureRequest) -> Method:
    return VARIANTS[request.param]


def players(method: Method) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return method.players(tiny.TASK)


def phases(method: Method, nets: dict[str, nn.Module], batch: Batch) -> list[Phase]:
    torch.manual_seed(1)
    return list(method.phases(nets, batch))


def gradients(loss: Tensor, net: nn.Module) -> list[Tensor]:
    parameters = [p for p in net.parameters() if p.requires_grad]
    found = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    return [gradient for gradient in found if gradient is not None]


def test_every_term_moves_its_player(method: Method) -> None:
    nets = decided(players(method))
    phases(method, nets, tiny.batch())  # what remembers has something to remember
    for player, terms in phases(method, nets, tiny.batch()):
        for name, loss in terms.items():
            found = gradients(loss, nets[player])
            assert found, f"{player}/{name} reaches no parameter"
            assert all(gradient.isfinite().all() for gradient in found), f"{player}/{name}"
            assert any(gradient.abs().sum() > 0 for gradient in found), f"{player}/{name} has no gradient"


@ONE_OF_EACH_METHOD
def test_a_phase_updates_its_player_alone(method: Method) -> None:
    loop = tiny.loop(method)
    seen = []
    for player, terms in method.phases(loop.nets, loop.batch()):
        before = weights({name: net for name, net in loop.nets.items() if name != player})
        torch.stack(list(terms.values())).sum().backward(inputs=loop.parameters[player])
        loop.optimisers[player].step()
        loop.optimisers[player].zero_grad()
        learnt = {name: net for name, net in loop.nets.items() if name != player}
        assert equal(before, weights(learnt))
        seen.append(player)
    assert sorted(seen) == sorted(loop.optimisers)


@ONE_OF_EACH_METHOD
@pytest.mark.parametrize("change", ["one sample", "no label", "absent class"])
def test_losses_stay_finite(method: Method, change: str) -> None:
    batch = tiny.batch(b=1 if change == "one sample" else 2, labelled=change != "no label")
    if change == "absent class":
        batch = dataclasses.replace(batch, target=batch.target.masked_fill(batch.target == 3, IGNORE))
    nets = players(method)
    for player, terms in phases(method, nets, batch):
        total = torch.stack(list(terms.values())).sum()
        assert total.isfinite()
        if total.requires_grad:
            assert all(gradient.isfinite().all() for gradient in gradients(total, nets[player]))


@ONE_OF_EACH_METHOD
def test_a_step_is_deterministic(method: Method) -> None:
    one, other = tiny.loop(method), tiny.loop(method)
    for _ in range(2):
        assert equal(one.advance(), other.advance())
    assert equal(weights(one.nets), weights(other.nets))


@ONE_OF_EACH_METHOD
def test_another_seed_is_another_run(method: Method) -> None:
    one, other = tiny.loop(method, seed=0), tiny.loop(method, seed=1)
    assert not equal(weights(one.nets), weights(other.nets))


@ONE_OF_EACH_METHOD
def test_resuming_changes_nothing(method: Method, tmp_path: Path) -> None:
    whole = tiny.loop(method)
    for _ in range(2):
        whole.advance()
    torch.save(whole.state(), tmp_path / "last.pt")
    second = tiny.loop(method)
    second.load(torch.load(tmp_path / "last.pt", weights_only=True))
    for loop in (whole, second):
        loop.advance()
    assert equal(weights(whole.nets), weights(second.nets))
    assert equal(weights({"scored": whole.scored}), weights({"scored": second.scored}))


@ONE_OF_EACH_METHOD
def test_the_order_of_samples_does_not_matter(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what is drawn by position held fixed: dropout off, one mask and one noise for all."""
    if getattr(method, "perturbation", "maskmix") != "maskmix":
        pytest.skip("other perturbations draw by position, pairs of neighbours included")
    batch = tiny.batch(b=3)
    turned = torch.tensor([2, 0, 1])
    names = ("image", "target", "weight", "index", "affine", "belief")
    per_sample = {name: getattr(batch, name)[turned] for name in names}
    mixed = dataclasses.replace(batch, **per_sample)
    monkeypatch.setattr("maskmixadv.perturb.MaskMix.draw", lambda _, batch: _halves(batch))
    nets = players(method)
    for net in nets.values():
        for module in net.modules():
            if isinstance(module, nn.Dropout | nn.Dropout2d):
                module.p = 0.0
    with Alike():
        first, second = (phases(method, nets, reseeded(each)) for each in (batch, mixed))
    for one, other in zip(first, second, strict=True):
        for name in one.terms:
            torch.testing.assert_close(one.terms[name], other.terms[name], rtol=1e-4, atol=1e-5)


def _halves(batch: Batch) -> ViewMasks:
    mask = torch.zeros_like(batch.image)
    mask[..., : batch.image.shape[-1] // 2] = 1
    return ViewMasks(mask, 1 - mask)


def test_the_network_gives_logits(method: Method) -> None:
    net = players(method)["net"].eval()
    image = torch.rand(2, 1, 48, 32)
    with torch.inference_mode():
        logits = net(image)
        assert logits.shape == (2, 4, 48, 32)
        assert torch.equal(logits, net(image))


def test_fields_survive_json(method: Method) -> None:
    stored: dict[str, Any] = json.loads(json.dumps(fields_of(method)))
    assert method_from(stored) == method
    assert eval(repr(method), {type(method).__name__: type(method)}) == method


def test_fields_cannot_be_changed(method: Method) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        method.anything = 1  # pyright: ignore[reportAttributeAccessIssue]


def test_logged_terms_are_documented(method: Method) -> None:
    page = Path(__file__).parents[2] / "docs" / "methods" / f"{fields_of(method)['name']}.md"
    text = page.read_text()
    for player, terms in phases(method, players(method), tiny.batch()):
        for name in terms:
            assert f"`{player}/{name}`" in text, f"{page.name} does not explain {player}/{name}"


@ONE_OF_EACH_METHOD
def test_labels_steer_the_weights(method: Method) -> None:
    """Sanity of the test below: what a method may see does change it."""
    one = tiny.loop(method)
    other = tiny.loop(method)
    unlabelled = tiny.slices(labelled=False, beliefs=method.believes)
    other.slices = Slices(one.slices.image, unlabelled.target, one.slices.centre)
    one.advance()
    other.advance()
    assert not equal(weights(one.nets), weights(other.nets))


# What teachers, memories and gates on certainty ask of the contract.


class Alike(TorchFunctionMode):
    """Random numbers are the same for all samples."""

    def __torch_function__(self, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        drawn = func(*args, **(kwargs or {}))
        if func in (torch.rand, torch.randn, torch.randint):
            return drawn[:1].expand_as(drawn).clone()
        return drawn


def reseeded(batch: Batch) -> Batch:
    return dataclasses.replace(batch, rng=torch.Generator().manual_seed(0))


def decided(nets: dict[str, nn.Module]) -> dict[str, nn.Module]:
    """Sharpen what networks say, so that gates on certainty open."""
    for net in nets.values():
        for module in net.modules():
            if isinstance(module, Decoder):
                module.head.weight.data *= 300
    return nets


@ONE_OF_EACH_METHOD
def test_what_does_not_learn_by_gradient_follows(method: Method) -> None:
    """Teachers and memories move with every step; a planted average that is never called does not."""
    loop = tiny.loop(method)
    for _ in range(2):
        before = {name: weights({name: net}) for name, net in loop.nets.items() if name not in loop.optimisers}
        loop.advance()
        for name, old in before.items():
            assert not equal(old, weights({name: loop.nets[name]})), f"{name} is what it was before the step"


def test_what_remembers_slices_says_so(method: Method) -> None:
    """Such a method can't be split over several processes."""
    few, many = (
        weights(method.players(dataclasses.replace(tiny.TASK, slices=slices))) for slices in (0, tiny.TASK.slices)
    )
    assert method.remembers == any(few[name].shape != many[name].shape for name in few)


def test_a_network_to_be_used_needs_no_slices(method: Method) -> None:
    trained = players(method)["net"].state_dict()
    used = method.players(dataclasses.replace(tiny.TASK, slices=0))["net"]
    assert used.load_state_dict(trained)


@pytest.mark.parametrize("name", methods.ALL)
def test_documented_terms_are_logged(name: str) -> None:
    """A term that its page explains, but that no variant of the method has, was switched off."""
    page = Path(__file__).parents[2] / "docs" / "methods" / f"{name}.md"
    documented = set(re.findall(r"^\| `(\w+/\w+)` \|", page.read_text(), re.MULTILINE))
    assert documented
    assert documented <= logged(name), "documented, but never logged"


def logged(name: str) -> set[str]:
    return {
        f"{player}/{term}"
        for method in VARIANTS.values()
        if isinstance(method, methods.ALL[name])
        for player, terms in phases(method, players(method), tiny.batch())
        for term in terms
    }


# Planted mistakes: the contract bites.


@pytest.mark.parametrize("method", [MeanTeacher(), methods.ALL["uamt"](), methods.ALL["ustm"]()], ids=repr)
def test_an_average_that_is_never_updated_is_caught(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    test_what_does_not_learn_by_gradient_follows(method)
    monkeypatch.setattr("maskmixadv.methods.parts.teacher.Teacher.follow", lambda *_, **__: None)
    with pytest.raises(AssertionError, match="teacher is what it was"):
        test_what_does_not_learn_by_gradient_follows(method)


def test_an_argmax_before_the_critic_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    soft = Critic.forward

    def hard(self: Critic, maps: Tensor) -> Tensor:
        return soft(self, one_hot(maps.argmax(1).to(torch.uint8), maps.shape[1]))

    monkeypatch.setattr(Critic, "forward", hard)
    with pytest.raises(AssertionError, match="net/adv reaches no parameter"):
        test_every_term_moves_its_player(MaskMixAdv())


def test_a_memory_that_is_never_written_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskmixadv.methods.scribble2label.PastPredictions.write", lambda *_: None)
    with pytest.raises(AssertionError, match="memory is what it was"):
        test_what_does_not_learn_by_gradient_follows(Scribble2Label())


def test_a_pseudo_loss_that_is_multiplied_by_zero_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskmixadv.methods.wsl4mis.dice_loss", lambda probs, **_: 0 * probs.sum())
    with pytest.raises(AssertionError, match="net/pse has no gradient"):
        test_every_term_moves_its_player(WSL4MIS())


def test_a_pseudo_loss_that_is_left_out_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = WSL4MIS.phases

    def without(self: WSL4MIS, nets: Mapping[str, nn.Module], batch: Batch) -> Iterator[Phase]:
        for player, terms in whole(self, nets, batch):
            yield Phase(player, {name: loss for name, loss in terms.items() if name != "pse"})

    monkeypatch.setattr(WSL4MIS, "phases", without)
    with pytest.raises(AssertionError, match="never logged"):
        test_documented_terms_are_logged("wsl4mis")


def test_a_slice_over_samples_instead_of_classes_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def sliced(*, logits: Tensor, negative: Tensor) -> Tensor:
        return marginal(logits=logits[1:], negative=negative[1:])

    test_the_order_of_samples_does_not_matter(ShapePU(warmup=0.0), monkeypatch)
    monkeypatch.setattr("maskmixadv.methods.shapepu.marginal", sliced)
    with pytest.raises(AssertionError, match="not close"):
        test_the_order_of_samples_does_not_matter(ShapePU(warmup=0.0), monkeypatch)
