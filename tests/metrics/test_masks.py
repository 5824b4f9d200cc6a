"""Metrics against hand-computed values, against MedPy and MONAI, and against their own laws."""

import math
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from maskmixadv.metrics.excess import Excess, excess
from maskmixadv.metrics.masks import Score, Surface, dice, dices, score, surface
from maskmixadv.types import IGNORE

SPACING = (8.0, 1.5, 1.25)


def blob(seed: int, shape: tuple[int, int, int] = (6, 30, 28), *, share: float = 0.3) -> np.ndarray:
    """Make a smooth random mask; it may have several parts and touch the array's border."""
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), (0.7, 2.5, 2.5))
    return field > np.quantile(field, 1 - share)


def dots(*places: tuple[int, int, int], shape: tuple[int, int, int] = (3, 5, 20)) -> np.ndarray:
    mask = np.zeros(shape, dtype=bool)
    for place in places:
        mask[place] = True
    return mask


def test_dice_by_hand() -> None:
    one, two = dots((0, 0, 0), (0, 0, 1), (0, 0, 2)), dots((0, 0, 2), (1, 1, 1))
    assert dice(one, two) == pytest.approx(2 / 5)
    assert dice(one, one) == 1
    assert math.isnan(dice(dots(), dots())), "a class in neither mask has no score"
    assert dice(one, dots()) == dice(dots(), one) == 0


def test_distance_between_two_voxels_is_in_mm() -> None:
    found = surface(dots((0, 0, 0)), dots((1, 2, 3)), (10.0, 1.0, 2.0))
    assert found == pytest.approx((math.sqrt(100 + 4 + 36),) * 3)


def test_pooled_and_larger_direction_by_hand() -> None:
    # Directed distances are {0} and {0, 10}: pooled {0, 0, 10}, whose 95th percentile is 9; {0, 10} has 9.5.
    found = surface(dots((0, 0, 0)), dots((0, 0, 0), (0, 0, 10)), (1.0, 1.0, 1.0))
    assert found == pytest.approx((9.0, 9.5, 10 / 3))


def test_inner_voxels_are_no_surface() -> None:
    full = np.ones((3, 3, 3), dtype=bool)
    hollow = full.copy()
    hollow[1, 1, 1] = False
    assert surface(full, hollow, SPACING) == (0, 0, 0)


def test_empty_masks() -> None:
    for pair in ((dots(), dots()), (dots((0, 0, 0)), dots()), (dots(), dots((0, 0, 0)))):
        assert all(math.isnan(value) for value in surface(*pair, SPACING))


@pytest.mark.parametrize("seed", range(6))
def test_agrees_with_medpy(seed: int) -> None:
    from medpy.metric import binary

    truth, predicted = blob(seed), blob(seed + 100, share=0.2)
    found = surface(truth, predicted, SPACING)
    assert found.hd95 == pytest.approx(binary.hd95(predicted, truth, voxelspacing=SPACING), rel=1e-9)
    assert found.assd == pytest.approx(binary.assd(predicted, truth, voxelspacing=SPACING), rel=1e-9)
    assert dice(truth, predicted) == pytest.approx(binary.dc(predicted, truth), rel=1e-12)


def disc(column: int, radius: int = 20, side: int = 60) -> np.ndarray:
    """One slice with a disc."""
    y, x = np.mgrid[:side, :side]
    return (np.hypot(y - side / 2, x - column) < radius)[None]


def test_a_single_slices_surface_is_its_contour() -> None:
    from medpy.metric import binary

    one, other = disc(30), disc(36)
    found = surface(one, other, (1.0, 1.0, 1.0))
    assert found.hd95 == pytest.approx(binary.hd95(other[0], one[0]))
    assert found.assd == pytest.approx(binary.assd(other[0], one[0]))
    assert found.hd95 == 6
    for order, spacing in (((1, 0, 2), (1.5, 8.0, 1.25)), ((2, 1, 0), (1.25, 1.5, 8.0))):
        across = surface(one.transpose(order), other.transpose(order), spacing)
        assert across == pytest.approx(surface(one, other, SPACING)), "whichever axis the slice lies across"


def test_a_mask_in_one_slice_of_several_is_all_surface() -> None:
    from medpy.metric import binary

    one, other = (np.pad(disc(column), ((1, 1), (0, 0), (0, 0))) for column in (30, 36))
    assert surface(one, other, SPACING).assd == pytest.approx(binary.assd(other, one, voxelspacing=SPACING))


@pytest.mark.filterwarnings("ignore")
def test_agrees_with_monai() -> None:
    import torch
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance
    from monai.metrics.surface_distance import compute_average_surface_distance

    for seed in range(3):
        truth, predicted = blob(seed), blob(seed + 100, share=0.2)
        batches = [torch.from_numpy(mask)[None, None].float() for mask in (predicted, truth)]
        found = surface(truth, predicted, SPACING)
        theirs = compute_hausdorff_distance(*batches, include_background=True, percentile=95, spacing=list(SPACING))
        assert found.hd95_max == pytest.approx(theirs.item(), rel=1e-5)
        theirs = compute_average_surface_distance(
            *batches, include_background=True, symmetric=True, spacing=list(SPACING)
        )
        assert found.assd == pytest.approx(theirs.item(), rel=1e-5)


def odd(rng: np.random.Generator, shape: tuple[int, int, int]) -> np.ndarray:
    """A mask of the kinds that trip measures up: empty, full, one voxel, at a corner, dust."""
    mask, kind = np.zeros(shape, bool), rng.integers(5)
    if kind == 1:
        mask[:] = True
    elif kind == 2:
        mask[tuple(rng.integers(side) for side in shape)] = True
    elif kind == 3:
        mask[tuple(slice(rng.integers(1, side + 1)) for side in shape)] = True
    elif kind == 4:
        mask |= rng.random(shape) < 0.1
    return mask


@pytest.mark.filterwarnings("ignore")
def test_agrees_with_others_on_odd_masks() -> None:
    import SimpleITK as sitk  # noqa: N813
    import torch
    from medpy.metric import binary
    from monai.metrics.hausdorff_distance import compute_hausdorff_distance

    rng, empty = np.random.default_rng(0), 0
    for _ in range(60):
        shape = (int(rng.integers(2, 6)), int(rng.integers(3, 14)), int(rng.integers(3, 14)))
        truth, predicted = odd(rng, shape), odd(rng, shape)
        depth, height, width = (float(each) for each in rng.choice([0.5, 0.8, 1.25, 3, 10], 3))
        spacing = (depth, height, width)
        found = surface(truth, predicted, spacing)
        if not (truth.any() and predicted.any()):
            empty += 1
            assert all(math.isnan(each) for each in found)
            assert math.isnan(dice(truth, predicted)) != (truth.any() or predicted.any())
            continue
        overlap = sitk.LabelOverlapMeasuresImageFilter()
        overlap.Execute(*(sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (truth, predicted)))
        assert dice(truth, predicted) == pytest.approx(overlap.GetDiceCoefficient(), rel=1e-9)
        assert found.hd95 == pytest.approx(binary.hd95(predicted, truth, voxelspacing=spacing), abs=1e-9)
        assert found.assd == pytest.approx(binary.assd(predicted, truth, voxelspacing=spacing), abs=1e-9)
        batches = [torch.from_numpy(mask)[None, None].float() for mask in (predicted, truth)]
        theirs = compute_hausdorff_distance(*batches, include_background=True, percentile=95, spacing=list(spacing))
        assert found.hd95_max == pytest.approx(theirs.item(), rel=1e-4, abs=1e-4)
    assert 5 < empty < 40


def test_pooled_and_larger_direction_differ_on_a_stray_blob() -> None:
    truth = np.zeros((4, 40, 60), dtype=bool)
    truth[:, 10:30, 5:25] = True
    predicted = truth.copy()
    predicted[1:3, 12:19, 54:59] = True  # 7 % of the predicted surface, 3.5 % of both
    found = surface(truth, predicted, SPACING)
    assert found.hd95_max > 20 > 1 > found.hd95


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.floats(0.05, 0.6), st.floats(0.1, 20.0))
def test_laws(seed: int, share: float, factor: float) -> None:
    truth, predicted = blob(seed, (4, 14, 12)), blob(seed + 1, (4, 14, 12), share=share)
    found = surface(truth, predicted, SPACING)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert surface(predicted, truth, SPACING) == pytest.approx(found)
    assert dice(predicted, truth) == dice(truth, predicted)
    assert surface(truth, truth, SPACING) == (0, 0, 0)
    scaled = surface(truth, predicted, (factor * SPACING[0], factor * SPACING[1], factor * SPACING[2]))
    assert scaled == pytest.approx([factor * value for value in found])
    # Empty surroundings and the order of the axes change nothing.
    wider = [np.pad(mask, ((1, 2), (5, 0), (3, 4))) for mask in (truth, predicted)]
    assert surface(wider[0], wider[1], SPACING) == pytest.approx(found)
    turned = [mask.transpose(2, 0, 1) for mask in (truth, predicted)]
    assert surface(turned[0], turned[1], (SPACING[2], SPACING[0], SPACING[1])) == pytest.approx(found)


def test_grows_as_masks_part() -> None:
    cube = np.zeros((4, 12, 60), dtype=bool)
    cube[1:3, 3:9, 3:9] = True
    found = [surface(cube, np.roll(cube, shift, axis=2), SPACING) for shift in range(0, 40, 4)]
    for measure in Surface._fields:
        values = [getattr(each, measure) for each in found]
        assert values == sorted(values)
        assert values[0] < values[1] < values[-1]


def test_score_leaves_unknown_voxels_out() -> None:
    truth = np.zeros((3, 8, 8), dtype=np.uint8)
    truth[:, 2:6, 2:6] = 1
    predicted = truth.copy()
    predicted[:, 6:, :] = 2
    truth[:, 6:, :] = IGNORE
    one, two = score(truth, predicted, classes=("background", "RV", "LV"), spacing=(10.0, 1.0, 2.0))
    assert one == ("RV", 1, 0, 0, 0, 0.96, 0.96)
    assert (two.truth_ml, two.predicted_ml) == (0, 0)
    assert all(math.isnan(value) for value in two[1:5]), "what was found where nothing is known is no mistake"


def test_a_mask_does_not_end_where_the_unknown_begins() -> None:
    truth, predicted = disc(30), disc(36)
    stack, found = (np.repeat(mask, 5, axis=0).astype(np.uint8) for mask in (truth, predicted))
    stack[::2] = IGNORE  # every other slice labelled
    (sparse,) = score(stack, found, classes=("background", "A"), spacing=SPACING)
    assert sparse[2:5] == pytest.approx(tuple(surface(truth, predicted, SPACING)))
    stack[:] = IGNORE
    stack[1, 29:31, 29:31] = 1
    (within,) = score(stack, found, classes=("background", "A"), spacing=SPACING)
    assert within.dice == 1
    assert math.isnan(within.hd95), "no edge of it is known"


def alone(mask: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Places of the surface voxels of one mask by itself, counted from its volume's corner."""
    inside = mask | ~known
    for axis, length in enumerate(mask.shape):
        beyond = "edge" if length == 1 < max(mask.shape) else "constant"  # across a single slice is no outside
        inside = np.pad(inside, [(int(axis == each),) * 2 for each in range(3)], mode=beyond)
    inner = np.asarray(ndimage.binary_erosion(inside), bool)
    return np.argwhere(mask & ~inner[1:-1, 1:-1, 1:-1])


def one_by_one(
    truth: np.ndarray, predicted: np.ndarray, label: int, spacing: tuple[float, float, float]
) -> tuple[Score, Excess]:
    """Score a class by itself: every distance between two surfaces, and every slice."""
    known, size = truth != IGNORE, math.prod(spacing)
    true, drawn = truth == label, (predicted == label) & known
    found = [alone(mask, known) * np.array(spacing) for mask in (true, drawn)]
    between = (math.nan,) * 3
    if len(found[0]) and len(found[1]):
        every = np.sqrt(((found[0][:, None] - found[1][None]) ** 2).sum(2))
        ways = [every.min(1), every.min(0)]
        larger = max(float(np.percentile(way, 95)) for way in ways)
        pooled = np.concatenate(ways)
        between = (float(np.percentile(pooled, 95)), larger, float(pooled.mean()))
    held, wrong = true.any((1, 2)), (drawn & ~true).sum((1, 2))
    volumes = (float(np.count_nonzero(mask) * size / 1000) for mask in (true, drawn))
    return Score(str(label), dice(true, drawn), *between, *volumes), Excess(
        int((known.any((1, 2)) & ~held).sum()),
        int((~held & (wrong > 0)).sum()),
        float(wrong[~held].sum() * (size / 1000)),
        float(wrong[held].sum() * (size / 1000)),
    )


def test_all_classes_at_once_are_scored_as_each_by_itself() -> None:
    rng, defined = np.random.default_rng(0), 0
    for number in range(30):
        shape = tuple(int(rng.integers(1, side)) for side in (5, 12, 12)) if number else (1, 1, 1)
        classes = int(rng.integers(2, 6)) if number % 9 else 30
        fields = ndimage.gaussian_filter(rng.normal(size=(2, classes, *shape)), (0, 0, number % 3, 1, 1))
        truth, predicted = fields.argmax(1).astype(np.uint8)
        predicted = np.where(rng.random(shape) < rng.choice([0, 0.9, 1]), truth, predicted)
        truth[rng.random(shape) < rng.choice([0, 0, 0.1, 0.9])] = IGNORE
        spacing = (float(rng.uniform(2, 9)), float(rng.uniform(0.3, 2)), 1.25)
        together = score(truth, predicted, classes=[*map(str, range(classes))], spacing=spacing)
        more = excess(truth, predicted, classes=classes, spacing=spacing)
        wanted = [one_by_one(truth, predicted, label, spacing) for label in range(1, classes)]
        defined += sum(not math.isnan(each.hd95) for each in together)
        for each, (expected, _) in zip(together, wanted, strict=True):
            assert str(each[:2] + each[5:]) == str(expected[:2] + expected[5:])
            assert each[2:5] == pytest.approx(expected[2:5], nan_ok=True)
        assert list(more) == [expected for _, expected in wanted]
        assert str(dices(truth, predicted, classes)) == str([each.dice for each, _ in wanted])
    assert defined > 60


def test_many_classes_take_no_longer_than_few() -> None:
    truth = np.zeros((20, 128, 128), np.uint8)
    truth[4:16, 30:90, 30:90] = 1

    def seconds(classes: int) -> float:
        names, began = [*map(str, range(classes))], time.process_time()
        score(truth, np.roll(truth, 2, 2), classes=names, spacing=SPACING)
        excess(truth, truth, classes=classes, spacing=SPACING)
        dices(truth, truth, classes)
        return time.process_time() - began

    assert min(seconds(250) for _ in range(2)) < 5 * min(seconds(2) for _ in range(3))


def test_score_measures_each_class() -> None:
    truth, predicted = (np.zeros((1, 4, 4), dtype=np.uint8) for _ in range(2))
    truth[0, 0, :2] = 1
    predicted[0, 0, 1:3] = 1
    predicted[0, 3, 3] = 2
    one, two = score(truth, predicted, classes=("background", "RV", "LV"), spacing=(10.0, 1.0, 1.0))
    assert (one.dice, one.hd95, one.assd) == pytest.approx((0.5, 1, 0.5))
    assert (two.class_name, two.dice, two.truth_ml, two.predicted_ml) == ("LV", 0, 0, 0.01)
    assert math.isnan(two.hd95)


def test_other_shape_is_refused() -> None:
    # These shapes would broadcast. TypeError comes first where shapes in annotations are enforced.
    refused = pytest.raises((ValueError, TypeError))
    one, other = np.zeros((1, 4, 4), dtype=np.uint8), np.zeros((1, 4, 1), dtype=np.uint8)
    with refused:
        score(one, other, classes=("background", "RV"), spacing=SPACING)
    with refused:
        dice(one > 0, other > 0)
    with refused:
        surface(one > 0, other > 0, SPACING)


def test_needs_no_torch() -> None:
    code = (
        "import sys, numpy as np; from maskmixadv.metrics.masks import surface\n"
        "surface(np.ones((2, 2, 2), bool), np.ones((2, 2, 2), bool), (1.0, 1.0, 1.0))\n"
        "sys.exit(bool({'torch', 'monai'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
