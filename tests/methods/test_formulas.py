"""What methods minimise against their pages: formulae computed anew in NumPy, and defaults."""

import dataclasses
import math
import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import scipy
import torch
from torch import nn

import tiny
from maskmixadv import methods
from maskmixadv.methods import MaskMixAdv, Method
from maskmixadv.methods.parts.teacher import Teacher
from maskmixadv.methods.parts.views import label_saliency, mixture, occlusion
from maskmixadv.methods.scribble2label import PastPredictions
from maskmixadv.methods.wsl4mis import TwoBranches
from maskmixadv.methods.zscribbleseg import spatial_energy
from maskmixadv.networks.critic import Critic
from maskmixadv.networks.unet import UNet
from maskmixadv.tensors import Batch
from maskmixadv.types import IGNORE

PAGES = Path(__file__).parents[2] / "docs" / "methods"


class Pixelwise(nn.Conv2d):
    """Says of each pixel what its intensity says, so that hiding, mixing and turning do not change its mind."""

    def __init__(self, sharp: float = 6.0) -> None:
        super().__init__(1, 4, 1)
        with torch.no_grad():
            self.weight[:, 0, 0, 0] = sharp * torch.tensor([-1.0, -0.3, 0.3, 1.0])
            self.bias.copy_(sharp * torch.tensor([0.4, 0.3, 0.0, -0.5])) if self.bias is not None else None


def batch(*, seed: int = 3, b: int = 3, progress: float = 0.5, blobs: bool = False) -> Batch:
    """Twice the same one where it is asked for twice, with random numbers that were not drawn yet."""
    made = tiny.batch(b=b, seed=seed)
    if blobs:  # neighbours are alike, so that structures have large components and small ones
        made = dataclasses.replace(
            made, image=nn.functional.avg_pool2d(made.image, 5, 1, 2).sub(0.4).mul(5).clamp(0, 1)
        )
    return dataclasses.replace(made, progress=progress)


def terms(method: Method, nets: dict[str, nn.Module], of: Batch) -> dict[str, float]:
    return {name: loss.item() for phase in method.phases(nets, of) for name, loss in phase.terms.items()}


def array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


def softmax(logits: torch.Tensor) -> np.ndarray:
    return scipy.special.softmax(array(logits), axis=1)


def surprise(probs: np.ndarray, labels: np.ndarray, where: np.ndarray) -> float:
    """Mean of -log p of the label over some pixels."""
    return float(
        np.mean([-np.log(probs[b, labels[b, y, x], y, x]) for b, y, x in zip(*np.nonzero(where), strict=True)])
    )


def dice(probs: np.ndarray, labels: np.ndarray, known: np.ndarray | None = None) -> float:
    """1 - Dice with squared denominators over the batch, mean of the classes."""
    known = np.ones(labels.shape, bool) if known is None else known
    each = []
    for k in range(probs.shape[1]):
        s, t = probs[:, k][known], (labels == k)[known].astype(float)
        each.append(1 - (2 * (s * t).sum() + 1e-5) / ((s**2).sum() + (t**2).sum() + 1e-5))
    return float(np.mean(each))


def apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """1 - cosine over the classes of each pixel."""
    return 1 - (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


def largest(labels: np.ndarray, classes: int = 4) -> np.ndarray:
    """Of each structure in each slice the largest component of 8 neighbours; the rest is background."""
    kept = np.zeros_like(labels)
    for b in range(len(labels)):
        for k in range(1, classes):
            parts, number = cast("tuple[np.ndarray, int]", scipy.ndimage.label(labels[b] == k, np.ones((3, 3))))
            if number:
                kept[b][parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])] = k
    return kept


# The weights and what else has a default


@pytest.mark.parametrize("name", methods.ALL)
def test_defaults_are_those_of_the_page(name: str) -> None:
    told = re.findall(
        r"`(\w+)` (\d+(?:\.\d+)?)(?=[,| ])", " ".join(re.findall(r"^\|.*", (PAGES / f"{name}.md").read_text(), re.M))
    )
    method, fields = methods.ALL[name](), {field.name for field in dataclasses.fields(cast("Any", methods.ALL[name]))}
    for field, value in told:
        if field in fields and getattr(method, field) is not None:
            assert getattr(method, field) == float(value), field


@pytest.mark.parametrize("name", ["pce-dice", "supervised", "random-walker"])
def test_labelled_pixels_have_cross_entropy_and_dice(name: str) -> None:
    net, of, half = Pixelwise(), batch(), 1.0 if name == "pce-dice" else 0.5
    found, s, y = terms(methods.ALL[name](), {"net": net}, of), softmax(net(of.image)), of.target.numpy()
    assert found["ce"] == pytest.approx(half * surprise(s, y, y != IGNORE), rel=1e-5)
    assert found["dice"] == pytest.approx(half * dice(s, y, y != IGNORE), rel=1e-5)


@pytest.mark.parametrize(
    "name", ["pce", "pce-tv", "pce-entropy", "pce-gatedcrf", "pce-mumfordshah", "regularized", "mean-teacher", "uamt",
             "ustm", "scribble2label", "cyclemix", "shapepu", "zscribbleseg"],
)  # fmt: skip
def test_partial_cross_entropy_is_the_mean_over_labelled_pixels(name: str) -> None:
    net, of, y = Pixelwise(), batch(), batch().target.numpy()
    nets = {"net": net, "teacher": Teacher(net), "memory": PastPredictions(3, 4, 32)}
    expected = surprise(softmax(net(of.image)), y, y != IGNORE)
    assert terms(methods.ALL[name](), nets, of)["pce"] == pytest.approx(expected, rel=1e-5)


# Two decoders


def test_wsl4mis() -> None:
    torch.manual_seed(0)
    net = TwoBranches(1, 4, 0.5).eval()
    for decoder in net.decoders:
        cast("nn.Conv2d", decoder.head).weight.data *= 20
    differs = 0
    for seed in range(4):
        of, share = batch(seed=seed), torch.rand(1, generator=batch(seed=seed).rng).item()
        one, other = (softmax(z) for z in net.branches(of.image))
        y, pseudo = of.target.numpy(), (share * one + (1 - share) * other).argmax(1)
        found = terms(methods.WSL4MIS(), {"net": net}, of)
        assert found["pce"] == pytest.approx(np.mean([surprise(s, y, y != IGNORE) for s in (one, other)]), rel=1e-5)
        assert found["pse"] == pytest.approx(0.5 * np.mean([dice(s, pseudo) for s in (one, other)]), rel=1e-4)
        differs += int((pseudo != (one + other).argmax(1)).sum())
    assert differs > 100, "the share decides nothing"


@pytest.mark.parametrize("level", ["image", "feature"])
def test_maskmixadv(level: Any) -> None:
    torch.manual_seed(0)
    method = MaskMixAdv(level=level, whole=0.34, every=2)
    nets = {name: net.eval() for name, net in method.players(tiny.TASK).items()}
    net, critic = cast("UNet", nets["net"]), cast("Critic", nets["critic"])
    for decoder in net.decoders:
        cast("nn.Conv2d", decoder.head).weight.data *= 20
    of = batch()
    first, second = (array(mask)[:, 0] for mask in cast("Any", method.views).draw(batch())[:2])
    assert (first[0] == 1).all() and (second[0] == 1).all()  # noqa: PT018
    assert (first[1:] + second[1:] == 1).all()
    masks = [torch.from_numpy(mask[:, None]).float() for mask in (first, second)]
    if level == "image":
        views = [net.encode(mask * of.image) for mask in masks]
    else:
        shrunk = [[mask[..., :: 2**k, :: 2**k] for k in range(5)] for mask in masks]
        views = [[m * f for m, f in zip(each, net.encode(of.image), strict=True)] for each in shrunk]
    one, other = (softmax(net.decode(view, k)) for k, view in enumerate(views))
    soft = (first[:, None] * one + second[:, None] * other) / (first + second)[:, None]
    y, pseudo = of.target.numpy(), soft.argmax(1)
    found = terms(method, dict(nets), of)
    assert found["dpce"] == pytest.approx(10 * np.mean([surprise(s, y, y != IGNORE) for s in (one, other)]), rel=1e-4)
    assert found["pse"] == pytest.approx(0.5 * np.mean([dice(s, pseudo) for s in (one, other)]), rel=1e-4)
    error = [np.abs(array(net.restore(view)) - array(of.image))[:, 0] for view in views]
    lost = np.concatenate([e[mask == 0] for e, mask in zip(error, (first, second), strict=True)])
    assert found["rec"] == pytest.approx(2 * 10 * np.mean(np.where(lost < 1, lost**2, 2 * lost - 1)), rel=1e-4)
    assert of.prior is not None
    fake = array(critic(torch.from_numpy(soft).float()))
    drawn = np.eye(4)[of.prior.numpy()].transpose(0, 3, 1, 2)
    real = array(critic(torch.from_numpy(drawn).float()))
    assert found["adv"] == pytest.approx(2 * 0.1 * np.logaddexp(0, -fake).mean(), rel=1e-4)
    expected = 0.5 * (np.logaddexp(0, -real).mean() + np.logaddexp(0, fake).mean())
    assert found["critic"] == pytest.approx(expected, rel=1e-4)


# Teachers and memories


def noise(of: Batch, passes: int = 1) -> torch.Tensor:
    b, _, h, w = of.image.shape
    return (0.1 * torch.randn(passes * b, 1, h, w, generator=of.rng)).clamp(-0.2, 0.2)


RISE = math.exp(-5 * 0.5**2)
"""Of the ramp over the whole run, at its middle."""


def test_mean_teacher() -> None:
    net, teacher, of = Pixelwise(), Teacher(Pixelwise(sharp=3.0)), batch()
    s, t = softmax(net(of.image)), softmax(teacher.net(of.image + noise(batch())))
    found = terms(methods.MeanTeacher(), {"net": net, "teacher": teacher}, of)
    assert found["consistency"] == pytest.approx(0.1 * RISE * ((s - t) ** 2).mean(), rel=1e-4)


@pytest.mark.parametrize("name", ["uamt", "ustm"])
def test_uncertainty_aware_teachers(name: str) -> None:
    net, teacher, of, again = Pixelwise(), Teacher(Pixelwise(sharp=4.0)), batch(), batch()
    turns = torch.randint(4, (1,), generator=again.rng).item() if name == "ustm" else 0
    image = torch.rot90(of.image, int(turns), (2, 3))
    answers = softmax(teacher.net(image.repeat(8, 1, 1, 1) + noise(again, 8))).reshape(8, 3, 4, 32, 32)
    mean = answers.mean(0)
    certain = -(mean * np.log(mean)).sum(1) < (0.75 + 0.25 * RISE) * np.log(4)
    assert 0.2 < certain.mean() < 0.8
    distance = ((softmax(net(image)) - answers[0]) ** 2).sum(1) / 2
    weight = {"uamt": 0.1, "ustm": 1.0}[name]
    found = terms(methods.ALL[name](), {"net": net, "teacher": teacher}, of)
    assert found["consistency"] == pytest.approx(weight * RISE * distance[certain].mean(), rel=1e-4)


def test_scribble2label() -> None:
    net, of, memory = Pixelwise(), batch(), PastPredictions(3, 4, 32)
    past = np.random.default_rng(0).dirichlet([0.2] * 4, (3, 32, 32)).transpose(0, 3, 1, 2)
    memory.probs.copy_(torch.from_numpy(np.round(255 * past)).to(torch.uint8))
    sure, y = np.round(255 * past).max(1) / 255 > 0.8, of.target.numpy()
    pseudo = surprise(softmax(net(of.image)), past.argmax(1), sure & (y == IGNORE))
    found = terms(methods.Scribble2Label(), {"net": net, "memory": memory}, of)
    assert found["pseudo"] == pytest.approx(0.5 * pseudo, rel=1e-4)
    expected = np.round(0.8 * np.round(255 * past) + 0.2 * 255 * softmax(net(of.image)))
    assert np.abs(memory.probs.numpy() - expected).max() <= 1


# Mixtures, occlusion and ratios


def mixed(of: Batch, net: nn.Module) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where each sample shows itself and what is hidden, as `of` draws it, and the mixed labels."""
    salient = label_saliency(probs=net(of.image).softmax(1), target=of.target, weight=of.weight)
    mix, y = mixture(of, salient, blocks=8, side=32), of.target.numpy()
    own, shown = (array(mask)[:, 0] == 1 for mask in mix)
    return own, shown, np.where(shown, np.where(own, y, np.roll(y, 1, 0)), IGNORE)


@pytest.mark.parametrize("name", ["cyclemix", "zscribbleseg"])
def test_mixtures(name: str) -> None:
    """The network blurs alike in all directions: it tells a mixture from its parts, but not how it is turned."""
    net = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, bias=False), Pixelwise())
    cast("nn.Conv2d", net[0]).weight.data.fill_(1 / 9)
    of = batch()
    own, shown, labels = mixed(batch(), net)
    image = np.where(own, array(of.image)[:, 0], np.roll(array(of.image)[:, 0], 1, 0)) * shown
    again, s = softmax(net(torch.from_numpy(image[:, None]).float())), softmax(net(of.image))
    parts = np.where(own[:, None], s, np.roll(s, 1, 0))
    found = terms(methods.ALL[name](), {"net": net}, of)
    assert found["mixed"] == pytest.approx(surprise(again, labels, labels != IGNORE), rel=1e-4)
    weight, term = {"cyclemix": (0.1, "mixing"), "zscribbleseg": (0.05, "consistency")}[name]
    assert found[term] == pytest.approx(weight * apart(again, parts)[shown].mean(), rel=1e-3)


@pytest.mark.parametrize("name", ["cyclemix", "zscribbleseg"])
def test_largest_components(name: str) -> None:
    net, of = Pixelwise(), batch(blobs=True)
    s, y = softmax(net(of.image)), of.target.numpy()
    whole = largest(s.argmax(1))
    assert (whole != s.argmax(1)).mean() > 0.02
    found = terms(methods.ALL[name](), {"net": net}, of)
    if name == "cyclemix":
        expected = apart(s, np.eye(4)[whole].transpose(0, 3, 1, 2)).mean()
        assert found["component"] == pytest.approx(0.1 * expected, rel=1e-4)
    else:
        assert found["shape"] == pytest.approx(0.1 * surprise(s, whole, y == IGNORE), rel=1e-4)


@pytest.mark.parametrize("name", ["shapepu", "zscribbleseg"])
def test_marginals_of_negatives(name: str) -> None:
    net, of = Pixelwise(), batch()
    s, y = softmax(net(of.image)), of.target.numpy()
    unlabelled = y == IGNORE
    share = np.array([(y == k).sum() for k in range(4)]) / (~unlabelled).sum()
    pixels, ratios = s.transpose(0, 2, 3, 1)[unlabelled], share
    for _ in range(20):
        posterior = pixels * ratios / share
        ratios = (posterior / posterior.sum(1, keepdims=True)).mean(0)
    scores = s if name == "shapepu" else array(spatial_energy(probs=net(of.image).softmax(1), image=of.image))
    ranked = scores.transpose(0, 2, 3, 1)[unlabelled]
    never = np.zeros(pixels.shape, bool)
    for k in range(1 if name == "shapepu" else 0, 4):
        never[np.argsort(ranked[:, k], kind="stable")[: int((1 - ratios[k]) * len(ranked))], k] = True
    counted = never.any(1) & ~never.all(1)
    expected = -np.log(np.where(never, 0, pixels).sum(1)[counted]).mean()
    found = terms(methods.ALL[name](), {"net": net}, of)
    assert found["unlabelled" if name == "shapepu" else "spatial"] == pytest.approx(0.1 * expected, rel=1e-3)


def test_shapepu_under_occlusion() -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, bias=False), Pixelwise())
    cast("nn.Conv2d", net[0]).weight.data.fill_(1 / 9)
    of, y = batch(), batch().target.numpy()
    shown = occlusion(batch(), 12)
    hidden, s, seen = softmax(net(of.image * shown)), softmax(net(of.image)), array(shown)[:, 0] == 1
    found = terms(methods.ShapePU(side=12), {"net": net}, of)
    assert found["occluded"] == pytest.approx(surprise(hidden, y, seen & (y != IGNORE)), rel=1e-4)
    assert found["consistency"] == pytest.approx(0.05 * apart(hidden, s)[seen].mean(), rel=1e-3)
