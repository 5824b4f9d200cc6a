"""Second views of a batch, ratios of classes, and what lies where."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import tiny
from maskmixadv.methods import USTM, CycleMix, ShapePU
from maskmixadv.methods.parts.ratios import mixture_ratios, negatives, trained_share
from maskmixadv.methods.parts.teacher import Teacher
from maskmixadv.methods.parts.views import label_saliency, mixture, noisy, occlusion, quarters, turned
from maskmixadv.methods.registry import recorded
from maskmixadv.methods.zscribbleseg import spatial_energy
from maskmixadv.networks.components import largest_in_slices
from maskmixadv.networks.losses import one_hot
from maskmixadv.types import IGNORE


@given(number=st.integers(0, 3), size=st.integers(1, 9))
@settings(max_examples=20)
def test_turning_back_gives_the_maps(number: int, size: int) -> None:
    maps, quarter = torch.rand(2, 3, size, size), torch.tensor([number])
    assert torch.equal(turned(maps, quarter), torch.rot90(maps, number, (2, 3)))
    assert torch.equal(turned(turned(maps, quarter), 4 - quarter), maps)


def test_quarters_are_all_four() -> None:
    batch = tiny.batch()
    assert {quarters(batch).item() for _ in range(60)} == {0, 1, 2, 3}


def test_noise_is_cut_off() -> None:
    noise = noisy(torch.zeros(4, 1, 64, 64), 0.1, torch.Generator().manual_seed(0))
    assert noise.abs().max() <= 0.2
    assert noise.std().item() == pytest.approx(0.1, rel=0.15)


def test_a_square_is_hidden_in_each_sample() -> None:
    shown = occlusion(tiny.batch(b=64, size=32), 8)
    hidden = (1 - shown).sum((1, 2, 3))
    assert hidden.max() == 64
    assert hidden.min() >= 16, "more than its quarter lies beyond the border"
    assert len(shown.flatten(1).unique(dim=0)) > 50
    assert (occlusion(tiny.batch(), 0) == 1).all()


@given(seed=st.integers(0, 50), blocks=st.sampled_from([1, 2, 4, 8, 16]))
@settings(max_examples=20)
def test_a_mixture_holds_own_and_neighbours_pixels_with_their_labels(seed: int, blocks: int) -> None:
    batch = tiny.batch(b=3, size=32, seed=seed)
    mix = mixture(batch, torch.rand(3, 1, 32, 32), blocks=blocks, side=8)
    maps, labels = mix.maps(batch.image), mix.labels(batch.target)
    own, shown = mix.own.bool(), mix.shown.bool()
    assert torch.equal(maps[own & shown], batch.image[own & shown])
    assert torch.equal(maps[~own & shown], batch.image.roll(1, 0)[~own & shown])
    assert (maps[~shown] == 0).all()
    assert (labels[~shown[:, 0]] == IGNORE).all()
    kept = (own & shown)[:, 0]
    assert torch.equal(labels[kept], batch.target[kept])
    weight = mix.weight(batch.weight)
    assert weight.sum().item() == pytest.approx(1, abs=1e-5)
    assert ((weight > 0) == (labels != IGNORE)).all()


def test_the_more_salient_blocks_are_shown() -> None:
    batch = tiny.batch(b=2, size=32)
    salient = torch.zeros(2, 1, 32, 32)
    salient[0, :, :16], salient[1, :, 16:] = 1.0, 1.0
    shown = torch.stack([mixture(batch, salient, blocks=2, side=0).own for _ in range(50)])
    top, bottom = shown[:, 0, 0, 0].mean(), shown[:, 0, 0, -1].mean()
    assert top > bottom + 0.15
    assert 0.3 < shown.mean() < 0.7
    assert ((shown[:, 0, 0, 0] >= shown[:, 0, 0, -1]) | (shown[:, 0, 0, -1] == 0)).all()


def test_saliency_is_the_gradient_by_the_logits() -> None:
    from maskmixadv.networks.losses import partial_cross_entropy

    batch = tiny.batch()
    logits = torch.randn(2, 4, 32, 32, requires_grad=True)
    loss = partial_cross_entropy(logits=logits, target=batch.target, weight=batch.weight)
    (gradient,) = torch.autograd.grad(loss, logits)
    found = label_saliency(probs=logits.softmax(1), target=batch.target, weight=batch.weight)
    torch.testing.assert_close(found, gradient.square().sum(1, keepdim=True).sqrt())


@pytest.mark.parametrize("learnt", [0.5, 0.3])
def test_ratios_are_found_though_the_network_has_learnt_another_prior(learnt: float) -> None:
    """Two classes, seen through one of three values; the posterior under the learnt prior is known exactly."""
    rng = torch.Generator().manual_seed(0)
    likelihood = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]])
    truth = (torch.rand(200 * 200, generator=rng) < 0.15).long()
    value = torch.multinomial(likelihood[truth], 1, generator=rng)[:, 0]
    share = torch.tensor([1 - learnt, learnt])
    joint = likelihood * share[:, None]
    probs = (joint / joint.sum(0)).T[value].T.reshape(1, 2, 200, 200)
    target = torch.full((1, 200, 200), IGNORE, dtype=torch.uint8)
    ratios = mixture_ratios(probs=probs, target=target, share=share, rounds=60)
    assert ratios.sum().item() == pytest.approx(1, abs=1e-3)
    assert ratios[1].item() == pytest.approx(0.15, abs=0.01)
    assert probs.mean((0, 2, 3))[1] > 0.18, "the plain mean would do"


def test_ratios_are_of_the_unlabelled_pixels() -> None:
    probs = torch.tensor([[0.99, 0.01]] * 2 + [[0.01, 0.99]] * 6).T.reshape(1, 2, 1, 8)
    target = torch.tensor([[[0, 0, 0, 0, IGNORE, IGNORE, IGNORE, IGNORE]]], dtype=torch.uint8)
    ratios = mixture_ratios(probs=probs, target=target, share=torch.tensor([0.5, 0.5]))
    assert ratios[1] > 0.99


def test_ratios_do_not_depend_on_autocast() -> None:
    batch, probs = tiny.batch(), torch.randn(2, 4, 32, 32).softmax(1)
    share = trained_share(batch, 4)
    plain = mixture_ratios(probs=probs, target=batch.target, share=share)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(plain, mixture_ratios(probs=probs, target=batch.target, share=share))


def test_the_trained_share_is_what_cross_entropy_counts() -> None:
    batch = tiny.batch()
    labelled = batch.target != IGNORE
    expected = [((batch.target == k) & labelled).sum() / labelled.sum() for k in range(4)]
    torch.testing.assert_close(trained_share(batch, 4), torch.stack(expected))


def test_negatives_are_the_lowest_scores_of_each_class() -> None:
    scores = torch.stack((torch.arange(8.0), 7 - torch.arange(8.0), torch.zeros(8))).reshape(1, 3, 1, 8)
    target = torch.full((1, 1, 8), IGNORE, dtype=torch.uint8)
    target[..., 7] = 0
    share, ratios = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([2 / 7, 1.0, 0.0])
    found = negatives(scores=scores, target=target, share=share, ratios=ratios)[0, :, 0].int().tolist()
    assert found[0] == [1, 1, 1, 1, 1, 0, 0, 0], "five of seven unlabelled pixels are not of the first class"
    assert found[1] == [0] * 8, "all may be of the second"
    assert found[2] == [0] * 8, "of an absent class nothing is known"


def test_background_is_never_a_negative_of_shapepu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches the slice over samples (``negative[0]``) in place of classes."""
    seen: list[torch.Tensor] = []

    def record(*, logits: torch.Tensor, negative: torch.Tensor) -> torch.Tensor:
        seen.append(negative)
        return logits.mean()

    monkeypatch.setattr("maskmixadv.methods.shapepu.marginal", record)
    method = ShapePU()
    list(method.phases(method.players(tiny.TASK), dataclasses.replace(tiny.batch(b=3), progress=0.5)))
    (negative,) = seen
    assert not negative[:, 0].any()
    assert negative[:, 1:].flatten(1).any(1).all()


def test_shapepu_learns_from_the_strokes_of_occluded_images_too() -> None:
    """A network that says of each pixel what the pixel is says the same of it in a hidden and turned image."""
    net = nn.Conv2d(1, 4, 1)
    for seed in range(4):
        ((_, terms),) = ShapePU(occluded=0.5, side=12, turned=True).phases({"net": net}, tiny.batch(b=3, seed=seed))
        batch = tiny.batch(b=3, seed=seed)
        seen = occlusion(batch, 12)[:, 0].numpy() == 1
        target = batch.target.numpy()
        logits = net(batch.image).detach().double().numpy()
        surprise = [
            np.log(np.exp(logits[at[0], :, at[1], at[2]]).sum()) - logits[at[0], label, at[1], at[2]]
            for at, label in np.ndenumerate(target)
            if label != IGNORE and seen[at]
        ]
        assert 0 < len(surprise) < (target != IGNORE).sum()
        assert terms["occluded"].item() == pytest.approx(0.5 * np.mean(surprise), rel=1e-4)
        assert terms["consistency"].item() == pytest.approx(0, abs=1e-6)


def test_shapepu_turns_what_it_occludes() -> None:
    """A network that knows rows from columns is asked of turned images, and its answers are turned back."""
    turns: set[int] = set()
    for seed in range(40):
        asked: list[torch.Tensor] = []

        def net(image: torch.Tensor, asked: list[torch.Tensor] = asked) -> torch.Tensor:
            asked.append(image)
            return torch.cat([image * k for k in range(4)], 1)

        batch = tiny.batch(seed=seed)
        list(ShapePU(side=0, turned=True).phases({"net": Function(net)}, batch))
        turns |= {k for k in range(4) if torch.equal(asked[1], torch.rot90(batch.image, k, (2, 3)))}
    assert turns == {0, 1, 2, 3}


class Function(nn.Module):
    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.function(image)


def test_a_run_of_before_shapepu_learnt_from_occluded_strokes_goes_on_without_them() -> None:
    before = recorded({"name": "shapepu"})
    assert (before, ShapePU().occluded) == (ShapePU(occluded=0.0), 1.0)


def test_spatial_energy_is_the_double_loop() -> None:
    image, probs = torch.rand(1, 1, 12, 12), torch.randn(1, 3, 12, 12).softmax(1)
    half, grey = (torch.nn.functional.avg_pool2d(each, 2)[0].double() for each in (probs, image))
    total = torch.zeros(3, 6, 6, dtype=torch.float64)
    for r, c in ((r, c) for r in range(6) for c in range(6)):
        for y, x in ((y, x) for y in range(6) for x in range(6)):
            if (y, x) != (r, c) and max(abs(y - r), abs(x - c)) <= 2:
                apart = ((y - r) ** 2 + (x - c) ** 2) / 9 + (grey[0, y, x] - grey[0, r, c]) ** 2 / 0.01
                total[:, r, c] += torch.exp(-0.5 * apart) * half[:, y, x]
    up = torch.nn.functional.interpolate(total[None].float(), scale_factor=2, mode="bilinear")
    torch.testing.assert_close(spatial_energy(probs=probs, image=image, radius=2), probs * up, rtol=1e-4, atol=1e-5)


def test_largest_components_are_each_slices_own() -> None:
    labels = torch.zeros(2, 6, 6, dtype=torch.uint8)
    labels[0, 0, :3], labels[0, 5, 5] = 1, 1
    labels[1, 5, 5], labels[1, 2, :2] = 1, 2
    kept = largest_in_slices(labels, 3)
    expected = labels.clone()
    expected[0, 5, 5] = 0
    assert torch.equal(kept, expected)
    assert torch.equal(one_hot(kept, 3).sum(1), torch.ones(2, 6, 6))


def test_cyclemix_compares_mixtures_in_their_own_frame() -> None:
    """Of a network that says of each pixel what the pixel is, a mixture's answer is the mixture of the answers."""
    net = nn.Conv2d(1, 4, 1)
    for seed in range(4):
        ((_, terms),) = CycleMix(mixing=1.0).phases({"net": net}, tiny.batch(b=3, seed=seed))
        assert terms["mixing"].item() == pytest.approx(0, abs=1e-5)
        assert terms["component"] > 0


def test_ustm_compares_what_was_turned_alike() -> None:
    """Of a network that says of each pixel what the pixel is, the turned answer is the turned image's."""
    net = nn.Conv2d(1, 4, 1)
    net.weight.data *= 50
    for seed in range(4):
        nets = {"net": net, "teacher": Teacher(net)}
        ((_, terms),) = USTM(noise=0.0, ramp=0.0).phases(nets, tiny.batch(seed=seed))
        assert terms["consistency"].item() == pytest.approx(0, abs=1e-6)
