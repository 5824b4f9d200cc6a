"""Every perturbation: what its views are, the way back, and what its labels say."""

import dataclasses
import itertools
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor, nn

import tiny
from maskmixadv.errors import InputError
from maskmixadv.methods import MaskMixAdv
from maskmixadv.networks.losses import one_hot, uniform
from maskmixadv.networks.unet import Features
from maskmixadv.perturb import (
    ALL,
    VAT,
    Collage,
    CoMixup,
    CutMix,
    Cutout,
    CycleMixPerturbation,
    Dropout2d,
    FeatureDropout,
    GaussianNoise,
    MaskMix,
    Mixup,
    Perturbation,
    PuzzleMix,
    SaltAndPepper,
    UniformNoise,
    Views,
    as_tested,
)
from maskmixadv.perturb.collage import is_own, own
from maskmixadv.perturb.comixup import _neighbours
from maskmixadv.perturb.cyclemix import turned
from maskmixadv.perturb.graphcut import smallest_cut
from maskmixadv.perturb.mixup import Shares
from maskmixadv.perturb.perturbation import symmetric_beta
from maskmixadv.perturb.saliency import saliency, salient_cells
from maskmixadv.tensors import Batch
from maskmixadv.types import IGNORE

MIXING = ["maskmix", "mixup", "cutout", "cutmix", "puzzle-mix", "co-mixup", "cyclemix"]
"""Whose merged images must be the image; of all features' perturbations it is true as well."""
AT_LEVELS: list[Perturbation] = [
    kind(level=level) if len(kind.levels) > 1 else kind()  # pyright: ignore[reportCallIssue]
    for kind in ALL.values()
    for level in kind.levels
]
at_levels = pytest.mark.parametrize("perturbation", AT_LEVELS, ids=str)
sizes = st.integers(8, 40)


def forward(image: Tensor) -> Tensor:
    """A network of one convolution."""
    torch.manual_seed(5)
    return nn.Conv2d(image.shape[1], 4, 5, padding=2)(image)


def views(perturbation: Perturbation, batch: Batch) -> Views:
    return perturbation(batch, forward)


def resized(batch: Batch, *, image: Tensor, target: Tensor, weight: Tensor | None = None) -> Batch:
    weight = uniform(target) if weight is None else weight
    return dataclasses.replace(batch, image=image, target=target, weight=weight, prior=None, belief=None)


def features(image: Tensor) -> Features:
    return [image.repeat(1, 3, 1, 1), nn.functional.avg_pool2d(image, 2).repeat(1, 5, 1, 1)]


@settings(max_examples=40, deadline=None)
@given(
    ratio=st.floats(0.05, 0.95),
    patch=st.integers(1, 12),
    whole=st.sampled_from([0.0, 0.5, 1.0]),
    size=sizes,
    seed=st.integers(0, 99),
)
def test_merging_the_views_gives_the_image(ratio: float, patch: int, whole: float, size: int, seed: int) -> None:
    batch = tiny.batch(size=size, seed=seed)
    views = MaskMix(ratio=ratio, patch=patch, whole=whole)(batch)
    assert torch.equal(views.merge(*views.images), batch.image)


@pytest.mark.parametrize("name", MIXING)
@settings(max_examples=15, deadline=None)
@given(b=st.integers(1, 4), size=st.sampled_from([8, 16, 17, 20, 32]), seed=st.integers(0, 999), tall=st.booleans())
def test_merging_mixed_views_gives_the_image(name: str, b: int, size: int, seed: int, tall: bool) -> None:
    batch = tiny.batch(b=b, size=size, seed=seed)
    if tall:
        batch = resized(batch, image=batch.image[..., ::2], target=batch.target[..., ::2])
    mixed = views(ALL[name](), batch)
    merged = mixed.merge(*mixed.images)
    if name == "mixup":
        torch.testing.assert_close(merged, batch.image, rtol=1e-4, atol=1e-5)
    else:
        assert torch.equal(merged, batch.image)


@pytest.mark.parametrize("name", sorted(set(MIXING) - {"maskmix", "cutout"}))
def test_mixing_ones_show_the_other_sample(name: str) -> None:
    """The law above would hold of two clean images too."""
    batches = [tiny.batch(b=3, seed=seed) for seed in range(5)]
    mixed = [views(ALL[name](), batch) for batch in batches]
    for view in (0, 1):
        assert any((each.images[view] != batch.image).any() for each, batch in zip(mixed, batches, strict=True))
        assert any((each.targets[view] != batch.target).any() for each, batch in zip(mixed, batches, strict=True))


@at_levels
def test_views_have_the_batchs_shape(perturbation: Perturbation) -> None:
    for b in (1, 3):
        batch = tiny.batch(b=b)
        made = views(perturbation, batch)
        maps = torch.rand(2, b, 4, 32, 32)
        assert made.merge(*maps).shape == maps[0].shape
        assert (made.hidden is not None) == perturbation.restores
        for image, target, weight in zip(made.images, made.targets, made.weights, strict=True):
            assert image.shape == batch.image.shape
            assert image.dtype == torch.float32
            assert image.min() >= 0
            assert image.max() <= 1
            assert target.dtype == torch.uint8
            assert target.shape == weight.shape == batch.target.shape
        for view in made.encode(features):
            for maps, once in zip(view, features(batch.image), strict=True):
                assert maps.shape == once.shape
                assert maps.isfinite().all()


@at_levels
def test_views_are_a_function_of_the_generator(perturbation: Perturbation) -> None:
    def encoded(seed: int) -> list[Tensor]:
        batch = tiny.batch(b=3)
        rng = torch.Generator().manual_seed(seed)
        made = views(perturbation, dataclasses.replace(batch, rng=rng))
        first, second = made.encode(features)
        return [*first, *second, *made.targets]

    torch.manual_seed(0)
    one = encoded(0)
    torch.manual_seed(1)
    assert all(map(torch.equal, one, encoded(0)))
    assert any(not torch.equal(x, y) for seed in range(1, 6) for x, y in zip(one, encoded(seed), strict=True))


@at_levels
def test_perturbed_views_differ(perturbation: Perturbation) -> None:
    first, second = views(perturbation, tiny.batch(b=3)).encode(features)
    assert not all(map(torch.equal, first, second))


@at_levels
def test_labels_are_of_what_lies_there(perturbation: Perturbation) -> None:
    """On images that say their own labels, each view's target is its pixel's, wherever the pixel went."""
    batch = tiny.batch(b=3)
    image = batch.target.float()[:, None] / 255
    made = views(perturbation, dataclasses.replace(batch, image=image))
    if made.disturb is not None or perturbation.restores:
        assert all(torch.equal(target, batch.target) for target in made.targets)
        assert all(torch.equal(weight, batch.weight) for weight in made.weights)
        return
    for target, again, weight in zip(made.targets, made.relabel(batch.target), made.weights, strict=True):
        assert torch.equal(target, again)
        assert (weight[target == IGNORE] == 0).all()
    if not isinstance(perturbation, Mixup):
        for shown, target in zip(made.images, made.targets, strict=True):
            visible = shown[:, 0] > 0
            assert torch.equal((shown[:, 0] * 255).round()[visible], target.float()[visible])
        assert torch.stack(made.weights).sum().item() == pytest.approx(2, abs=0.5)


@pytest.mark.parametrize("name", ["puzzle-mix", "co-mixup", "cyclemix", "vat"])
def test_some_need_the_network(name: str) -> None:
    with pytest.raises(TypeError, match="needs its forward function"):
        ALL[name]()(tiny.batch())


@at_levels
def test_without_labels_views_stay_finite(perturbation: Perturbation) -> None:
    made = views(perturbation, tiny.batch(labelled=False))
    assert all(image.isfinite().all() for image in made.images)
    assert all((target == IGNORE).all() for target in made.targets)


def test_asking_the_network_leaves_no_trace() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Dropout(0.5))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    batch = tiny.batch()
    for perturbation in (VAT(), PuzzleMix(), CoMixup(), CycleMixPerturbation()):
        perturbation(batch, as_tested(net))
    assert net.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    assert torch.equal(as_tested(net)(batch.image), as_tested(net)(batch.image))


def test_asking_the_network_in_16_bits_keeps_its_gradients() -> None:
    net, batch = nn.Conv2d(1, 4, 3, padding=1), tiny.batch()
    for perturbation in (VAT(), PuzzleMix()):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            views = perturbation(batch, as_tested(net))
            loss = net(views.images[1]).square().sum()
        assert loss.requires_grad
        (gradient,) = torch.autograd.grad(loss, net.weight)
        assert gradient.abs().sum() > 0


# Masks


def test_views_complement_each_other_or_are_whole() -> None:
    batch = tiny.batch(b=64, size=16)
    first, second, count = MaskMix(whole=0.25).draw(batch)
    both = (first + second).flatten(1)
    whole = (both == 2).all(1)
    assert ((both == 1).all(1) | whole).all()
    assert whole.sum() == count == 16
    assert whole[:16].all()
    assert not (MaskMix().draw(batch).first == 1).flatten(1).all(1).any()
    assert (MaskMix(whole=1.0).draw(batch).second == 1).all()


@settings(max_examples=40, deadline=None)
@given(ratio=st.floats(0.05, 0.95), seed=st.integers(0, 99))
def test_the_ratio_is_what_the_first_view_sees(ratio: float, seed: int) -> None:
    mask = MaskMix(ratio=ratio, patch=4).draw(tiny.batch(size=32, seed=seed)).first
    assert mask.sum(dim=(1, 2, 3)).tolist() == [int(ratio * 64) * 16] * 2
    assert set(mask.unique().tolist()) <= {0.0, 1.0}


def test_every_sample_has_its_own_mask_of_whole_cells() -> None:
    mask = MaskMix(patch=8).draw(tiny.batch(b=2, size=32)).first
    assert not torch.equal(mask[0], mask[1])
    cells = mask.unfold(2, 8, 8).unfold(3, 8, 8).flatten(-2)
    assert torch.equal(cells.amin(-1), cells.amax(-1))


@pytest.mark.parametrize("patch", [4, 16, 24])
def test_feature_masks_agree_over_the_scales(patch: int) -> None:
    """Each cell of the coarsest scale is wholly visible or wholly hidden at every finer one."""
    method = MaskMixAdv(level="feature", patch=patch, whole=0.0)
    torch.manual_seed(0)
    net: Any = method.players(tiny.run(method).task)["net"].eval()
    batch = tiny.batch(size=96)
    batch = dataclasses.replace(batch, image=torch.ones_like(batch.image))
    made = method.views(batch)
    assert made.hidden is not None
    mask = 1 - made.hidden[0]
    for maps in made.encode(net.encode)[0]:
        side = maps.shape[-1]
        expected = mask.unfold(2, 96 // side, 96 // side).unfold(3, 96 // side, 96 // side).flatten(-2)
        assert torch.equal(expected.amin(-1), expected.amax(-1))
        hidden = maps.abs().sum(1, keepdim=True) == 0
        assert torch.equal(hidden, expected.amin(-1) == 0)


def test_a_square_is_cut_out_of_the_first_view() -> None:
    batch = dataclasses.replace(tiny.batch(b=200, size=40), image=torch.ones(200, 1, 40, 40))
    first, second = Cutout(side=0.25)(batch).images
    assert (second == 1).all()
    holes = (first == 0)[:, 0]
    tall, wide = holes.any(2).sum(1), holes.any(1).sum(1)
    assert torch.equal(holes.sum((1, 2)), tall * wide)  # boxes
    assert max(tall.max(), wide.max()) == 10
    assert min(tall.min(), wide.min()) >= 5  # half of it at least lies within
    assert holes.any(0).all()


# Two samples


def test_a_box_covers_its_share() -> None:
    batch = tiny.batch(b=300, size=40)
    mask = is_own(CutMix().draw(batch).first)
    boxes = ~mask
    tall, wide = boxes.any(2).sum(1), boxes.any(1).sum(1)
    assert torch.equal(boxes.sum((1, 2)), tall * wide)
    # λ is uniform and a half on average, less what is clipped: a third of the box's side at most.
    assert 0.2 < boxes.float().mean() < 0.5


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.5])
def test_shares_are_beta(alpha: float) -> None:
    drawn = symmetric_beta(alpha, tiny.batch(b=9000, size=1)).numpy()
    assert stats.kstest(drawn, stats.beta(alpha, alpha).cdf).pvalue > 0.01
    assert stats.kstest(drawn, stats.beta(1.3 * alpha, 1.3 * alpha).cdf).pvalue < 0.01


def test_mixup_by_hand() -> None:
    labels = torch.tensor([[[1, 1, IGNORE, 2, IGNORE]], [[3, 1, 3, IGNORE, IGNORE]]], dtype=torch.uint8)
    weight = torch.tensor([[[0.1, 0.2, 0.0, 0.3, 0.0]], [[0.2, 0.1, 0.1, 0.0, 0.0]]])
    batch = resized(tiny.batch(), image=torch.rand(2, 1, 1, 5), target=labels, weight=weight)
    shares = Shares(torch.tensor([0.75, 0.25]).view(2, 1, 1, 1))
    first, second = shares.split(torch.tensor([1.0, 0.0]).view(2, 1, 1, 1))
    assert first.flatten().tolist() == [0.75, 0.75]
    assert second.flatten().tolist() == [0.25, 0.25]
    assert [each[0, 0].tolist() for each in shares.relabel(labels)] == [
        [1, 1, 3, 2, IGNORE],
        [3, 1, 3, 2, IGNORE],
    ]
    torch.testing.assert_close(
        torch.stack([each[0, 0] for each in shares.reweigh(batch)]),
        torch.tensor([[0.075, 0.175, 0.025, 0.225, 0.0], [0.15, 0.125, 0.075, 0.075, 0.0]]),
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99))
def test_unmixed_probabilities_are_probabilities(seed: int) -> None:
    torch.manual_seed(seed)
    probs, labels = torch.randn(2, 3, 4, 8, 8).mul(4).softmax(2), torch.randint(4, (3, 8, 8)).to(torch.uint8)
    shares = Mixup().draw(tiny.batch(b=3, seed=seed))
    merged = shares.merge(*probs)
    assert merged.min() >= 0
    torch.testing.assert_close(merged.sum(1), torch.ones(3, 8, 8))
    truth = one_hot(labels, 4)
    torch.testing.assert_close(shares.merge(*shares.split(truth)), truth, rtol=1e-4, atol=1e-5)


def test_mixup_keeps_away_from_halves() -> None:
    share = Mixup(alpha=1.0, margin=0.4).draw(tiny.batch(b=500, size=1)).first
    assert ((2 * share - 1).abs() >= 0.4 - 1e-6).all()
    assert (share < 0.5).any()
    assert (share > 0.5).any()


# Puzzles


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 9999))
def test_the_smallest_cut_is_the_smallest_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    chosen, left = rng.uniform(-1, 2, (2, 3, 3))
    down, right = rng.uniform(0, 1, (2, 3)), rng.uniform(0, 1, (3, 2))

    def cost(mask: np.ndarray) -> float:
        borders = (down * (mask[1:] != mask[:-1])).sum() + (right * (mask[:, 1:] != mask[:, :-1])).sum()
        return np.where(mask, chosen, left).sum() + borders

    best = min(cost(np.reshape(bits, (3, 3))) for bits in itertools.product([False, True], repeat=9))
    found = smallest_cut(chosen=chosen, left=left, down=down, right=right)
    assert cost(found) == pytest.approx(best, abs=3e-3)  # rounded to 1/10,000 a term


def test_saliency_is_the_gradients_size() -> None:
    batch = tiny.batch(size=6)
    step = torch.zeros_like(batch.image)
    step[1, 0, 2, 3] = 1e-2

    def loss(image: Tensor) -> Tensor:
        losses = nn.functional.cross_entropy(
            forward(image).double(), batch.target.long(), ignore_index=IGNORE, reduction="none"
        )
        return (losses * batch.weight).sum()

    with torch.no_grad():
        slope = (loss(batch.image + step) - loss(batch.image - step)) / 2e-2
    assert saliency(batch, forward)[1, 2, 3].item() == pytest.approx(abs(slope.item()), rel=0.02)
    torch.testing.assert_close(salient_cells(batch, forward, 2).mean((1, 2)), torch.ones(2))


@pytest.mark.parametrize("side", [2, 8])
def test_a_puzzle_shows_what_is_salient(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without other costs, the first view shows each cell of the sample that is the more salient there."""
    monkeypatch.setattr("maskmixadv.perturb.puzzlemix.drawn_side", lambda _: side)
    batch = tiny.batch(b=3, size=16)
    salient = salient_cells(batch, forward, side)
    more = (salient > salient.roll(-1, 0)).repeat_interleave(16 // side, 1).repeat_interleave(16 // side, 2)
    puzzle = PuzzleMix(beta=0.0, gamma=0.0, eta=0.0, move=100.0)
    assert torch.equal(is_own(puzzle.draw(batch, forward).first), more)


def test_a_price_on_borders_keeps_neighbours_together() -> None:
    batch = tiny.batch(b=3, size=32)
    borders = []
    for beta in (0.0, 0.2, 50.0):
        rng = torch.Generator().manual_seed(3)
        first = PuzzleMix(beta=beta, move=100.0).draw(dataclasses.replace(batch, rng=rng), forward).first
        shown = is_own(first)
        borders.append((shown[:, 1:] != shown[:, :-1]).sum().item())
    assert borders[0] > borders[1] > borders[2] == 0


def test_salient_cells_move_to_where_they_are_shown() -> None:
    salient = np.array([[5.0, 1.0], [1.0, 1.0]])
    shown = np.array([[False, False], [False, True]])
    assert PuzzleMix(move=0.1)._assignment(salient, shown)[1, 1] == 0
    assert PuzzleMix(move=100.0)._assignment(salient, shown).tolist() == [[0, 1], [2, 3]]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999), b=st.integers(1, 5))
def test_joint_mixing_only_improves(seed: int, b: int) -> None:
    torch.manual_seed(seed)
    salient = torch.rand(b, 4, 4) ** 4 * 5

    def worth(choice: Tensor, mixing: CoMixup) -> float:
        shown = nn.functional.one_hot(choice, b).movedim(-1, 1).float()
        alike = sum((each * _neighbours(each)).sum() for each in shown) / 2
        common = sum((x * y).sum() for x, y in itertools.combinations(shown, 2))
        return ((shown * salient).sum() + mixing.beta * 4 / 16 * alike - mixing.gamma * common).item()

    mine = torch.arange(b)[:, None, None].expand(b, 4, 4)
    values = [worth(mine, CoMixup())] + [worth(CoMixup(sweeps=n).choices(salient)[0], CoMixup()) for n in (1, 2, 4)]
    assert all(later >= earlier - 1e-4 for earlier, later in itertools.pairwise(values))
    first, second = CoMixup().choices(salient)
    assert ((first == mine) ^ (second == mine) | torch.tensor(b == 1)).all()


def test_joint_mixing_is_diverse() -> None:
    """One sample is the most salient everywhere: with no price on it, every output would show it."""
    salient = torch.stack([torch.full((4, 4), 3.0), torch.ones(4, 4), torch.ones(4, 4)])
    alone, _ = CoMixup(beta=0.0, gamma=0.0).choices(salient)
    shared, _ = CoMixup(beta=0.0, gamma=5.0).choices(salient)
    assert (alone == 0).all()
    assert torch.equal(shared, torch.arange(3)[:, None, None].expand(3, 4, 4))


def test_turning_is_torchs() -> None:
    maps = torch.rand(4, 5, 5)
    expected = torch.stack([torch.rot90(each, k, (0, 1)) for k, each in enumerate(maps)])
    assert torch.equal(turned(maps, torch.arange(4)), expected)
    tall = torch.rand(2, 5, 3)
    assert torch.equal(turned(tall, torch.tensor([0, 2])), torch.stack([tall[0], torch.rot90(tall[1], 2, (0, 1))]))


def test_a_cycle_loses_no_pixel() -> None:
    batch = tiny.batch(b=2, size=32)
    collage = CycleMixPerturbation(side=0.5).draw(batch, forward)
    assert (collage.seen == 0).any()
    shown = torch.cat((collage.first[collage.seen[:, 0] > 0], collage.second.flatten()))
    assert set(shown.tolist()) == set(range(batch.target.numel()))


def test_a_collage_of_one_sample_is_that_sample() -> None:
    batch = tiny.batch(b=1)
    mask = torch.rand(1, 32, 32) < 0.5
    first, second = Collage.exchange(mask, own(batch.image).roll(-1, 0)).split(batch.image)
    assert torch.equal(first, batch.image)
    assert torch.equal(second, batch.image)


# Noises and dropout


def test_noises_by_their_numbers() -> None:
    maps, rng = torch.ones(2, 1, 100, 100), torch.Generator().manual_seed(0)
    maps[:, :, 0, 0], maps[:, :, 0, 1] = 0.0, 2.0
    uniform, gaussian = (noise.draw(maps, rng).gain for noise in (UniformNoise(size=0.3), GaussianNoise(size=0.2)))  # pyright: ignore[reportAttributeAccessIssue]
    assert 0.7 <= uniform.min() < 0.71
    assert 1.29 < uniform.max() <= 1.3
    assert uniform.mean().item() == pytest.approx(1, abs=0.01)
    assert gaussian.mean().item() == pytest.approx(1, abs=0.01)
    assert gaussian.std().item() == pytest.approx(0.2, abs=0.01)
    specks = SaltAndPepper(density=0.1)
    noisy = specks.apply(maps, specks.draw(maps, rng))
    assert (noisy == 2).float().mean().item() == pytest.approx(0.05, abs=0.01)
    assert (noisy == 0).float().mean().item() == pytest.approx(0.05, abs=0.01)


def test_dropped_channels() -> None:
    maps, drop = torch.ones(20, 100, 2, 2), Dropout2d(p=0.25)
    dropped = drop.apply(maps, drop.draw(maps, torch.Generator().manual_seed(0)))
    assert set(dropped.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.03)
    assert torch.equal(dropped.amin((2, 3)), dropped.amax((2, 3)))


def test_the_most_active_places_are_dropped() -> None:
    maps = torch.tensor([[[[1.0, 0.6, 0.4]], [[1.0, 1.0, 0.4]]], [[[-1.0, -2.0, -3.0]]] * 2]).view(2, 2, 1, 3)
    drop = FeatureDropout(low=0.7, high=0.7)
    dropped = drop.apply(maps, drop.draw(maps, torch.Generator()))
    assert torch.equal(dropped[0, :, 0], torch.tensor([[0.0, 0.0, 0.4], [0.0, 0.0, 0.4]]))
    assert torch.equal(dropped[1], maps[1])


def test_vat_is_worse_than_chance() -> None:
    batch = tiny.batch(b=3)
    added = VAT(size=0.02).draw(batch, forward).added
    torch.testing.assert_close(added.square().mean((1, 2, 3)).sqrt(), torch.full((3,), 0.02))
    chance = torch.randn(20, *added.shape)
    chance *= 0.02 / chance.square().mean((2, 3, 4), keepdim=True).sqrt()

    def divergence(change: Tensor) -> float:
        expected, found = (forward(image).log_softmax(1) for image in (batch.image, batch.image + change))
        return nn.functional.kl_div(found, expected, log_target=True, reduction="sum").item()

    assert divergence(added) > 1.5 * max(divergence(change) for change in chance)


def test_vat_of_a_constant_network_is_nothing() -> None:
    batch = tiny.batch()
    made = VAT()(batch, lambda image: image.repeat(1, 4, 1, 1) * 0)
    assert torch.equal(made.images[1], batch.image)


# MaskMixAdv


def test_the_command_line_knows_all() -> None:
    assert get_args(get_type_hints(MaskMixAdv)["perturbation"]) == tuple(ALL)


@pytest.mark.parametrize(
    "fields",
    [
        {"level": "feature", "perturbation": "cutmix"},
        {"level": "image", "perturbation": "dropout2d"},
        {"ratio": 0.3, "perturbation": "mixup"},
        {"patch": 4, "perturbation": "vat"},
        {"whole": 0.25, "perturbation": "cutout"},
        {"ratio": 0.0},
        {"ratio": 1.5},
        {"patch": 0},
        {"whole": 1.5},
        {"rec": 10.0, "whole": 1.0},
    ],
)
def test_impossible_views(fields: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(fields))}: .*allowed"):
        MaskMixAdv(**fields)


@pytest.mark.parametrize(("name", "value"), [("perturbation", "blur"), ("level", "pixel")])
def test_impossible_names(name: str, value: str) -> None:
    """As a file may hold them; while tests run, types forbid them earlier."""
    method = MaskMixAdv()
    object.__setattr__(method, name, value)
    with pytest.raises(InputError, match=f"{name}: '{value}', allowed"):
        method.__post_init__()


def test_views_take_the_methods_fields() -> None:
    assert MaskMixAdv(ratio=0.3).views == MaskMix(level="feature", ratio=0.3, patch=8, whole=0.5)
    assert MaskMixAdv(perturbation="uniform-noise", level="image").views == UniformNoise(level="image")
    assert MaskMixAdv(perturbation="cutmix", whole=0.0).views == CutMix()
    assert MaskMixAdv(perturbation="dropout2d", level="feature").views == Dropout2d()


@pytest.mark.parametrize(
    "fields",
    [
        {"dpce": -1.0},
        {"adv": float("nan")},
        {"dpce": 0.0, "rec": 0.0, "pse": 0.0, "adv": 0.0},
        {"perturbation": "mixup", "dpce": 0.0, "rec": 1.0, "pse": 0.0, "adv": 0.0},
    ],
)
def test_impossible_weights(fields: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"allowed|at least one"):
        MaskMixAdv(**fields)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Cutout(side=0.0),
        lambda: CycleMixPerturbation(side=1.5),
        lambda: CutMix(alpha=0.2),
        lambda: Mixup(margin=0.0),
        lambda: PuzzleMix(beta=-1.0),
        lambda: CoMixup(sweeps=0),
        lambda: CoMixup(gamma=float("inf")),
        lambda: UniformNoise(size=2.0),
        lambda: GaussianNoise(size=0.0),
        lambda: SaltAndPepper(density=0.0),
        lambda: Dropout2d(p=1.0),
        lambda: FeatureDropout(low=0.9, high=0.7),
        lambda: VAT(steps=0),
    ],
)
def test_impossible_perturbations(make: Any) -> None:
    with pytest.raises(InputError, match="allowed is"):
        make()


@pytest.mark.parametrize(("level", "expected"), [("image", [6]), ("feature", [3])])
def test_both_views_pass_the_encoder_at_once(level: Any, expected: list[int]) -> None:
    """Views of the image as one batch, which shares batch norm's statistics; views of features share the features."""
    batches: list[int] = []

    def encoder(image: Tensor) -> list[Tensor]:
        batches.append(len(image))
        return features(image)

    views(MaskMix(level=level), tiny.batch(b=3)).encode(encoder)
    assert batches == expected
