"""The network as it predicts: faster than it learnt, and the same."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import tiny
from maskmixadv import methods
from maskmixadv.corpus.case import Case
from maskmixadv.errors import InputError
from maskmixadv.inference import standalone
from maskmixadv.inference.predictor import MOST_AT_ONCE, SLICES_AT_ONCE, Predictor, fuse_norms
from maskmixadv.inference.segment import segment
from maskmixadv.sampling.grid import Grid

pytestmark = pytest.mark.usefixtures("narrow", "unpictured")


def learnt(name: str) -> nn.Module:
    """Make a method's network, with statistics as if it had seen images."""
    torch.manual_seed(0)
    net = methods.ALL[name]().players(tiny.TASK)["net"]
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.5, 2.0)
            nn.init.normal_(part.bias)
            nn.init.normal_(part.running_mean)  # pyright: ignore[reportArgumentType]
            nn.init.uniform_(part.running_var, 0.5, 2.0)  # pyright: ignore[reportArgumentType]
    return net


@pytest.mark.parametrize("name", methods.ALL)
def test_fused_norms_change_nothing_but_rounding(name: str) -> None:
    plain, fused = learnt(name).eval(), fuse_norms(learnt(name))
    image = torch.rand(2, 1, 32, 48)
    assert not [part for part in fused.modules() if isinstance(part, nn.BatchNorm2d)]
    assert not fused.training
    with torch.inference_mode():
        torch.testing.assert_close(fused(image), plain(image), rtol=1e-4, atol=1e-4)


def test_a_norm_without_a_convolution_before_it_stays() -> None:
    net = nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 2, 1), nn.LeakyReLU(), nn.BatchNorm2d(2))
    fuse_norms(net)
    assert [type(part) for part in net] == [nn.BatchNorm2d, nn.Conv2d, nn.LeakyReLU, nn.BatchNorm2d]


def test_labels_do_not_depend_on_the_slices_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    predictor = Predictor(fuse_norms(learnt("pce")), Grid(48), tiny.CLASSES)
    image, _, _ = tiny.volume(d=5)
    apart = predictor.probs(image[None], None)
    monkeypatch.setitem(SLICES_AT_ONCE, "cpu", MOST_AT_ONCE)
    torch.testing.assert_close(predictor.probs(image[None], None), apart, rtol=1e-4, atol=1e-5)


class Corner(nn.Module):
    """The second class is most probable towards the first row and column: it lies as images do."""

    def __init__(self) -> None:
        super().__init__()
        self.unit = nn.Parameter(torch.ones(()))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        rows, columns = (torch.linspace(1, -1, length) for length in image.shape[2:])
        slope = self.unit * (2 * rows[:, None] + columns).expand(len(image), 1, -1, -1)
        return torch.cat((torch.zeros_like(slope), slope), 1)


def test_flips_are_the_eight_ways_that_training_drew() -> None:
    image = np.random.default_rng(0).random((1, 2, 32, 48), dtype=np.float32)
    net = Corner()
    seen: list[torch.Tensor] = []
    net.register_forward_hook(lambda _, images, __: seen.append(images[0][:1]))
    mean = Predictor(net, Grid(48), tiny.CLASSES[:2], turns=True).probs(image, None, flips=True)
    # Averaged over all eight, nothing tells a direction any more.
    torch.testing.assert_close(mean, torch.full_like(mean, 0.5))
    first = seen[:8]
    assert all(not torch.equal(one, other) for at, one in enumerate(first) for other in first[:at])
    assert sorted(tuple(each.shape[2:]) for each in first) == [(32, 48)] * 4 + [(48, 32)] * 4


def test_flips_that_training_never_saw_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    image = tiny.volume()[0][None]
    predictor = Predictor(learnt("pce"), Grid(48), tiny.CLASSES)
    plain = predictor.labels(image, None)
    assert capsys.readouterr().err == ""
    assert (predictor.labels(image, None, flips=True) == plain).all()
    assert capsys.readouterr().err.count("--flips is left out") == 1


def test_a_network_that_learns_goes_on_learning() -> None:
    predictor = Predictor(learnt("pce"), Grid(48), tiny.CLASSES)
    predictor.labels(tiny.volume()[0][None], None)
    assert predictor.net.training


@pytest.mark.parametrize(
    ("affine", "told"),
    [
        (np.eye(3), "3 × 3 numbers"),
        (np.full((4, 4), np.nan), "4 × 4 numbers"),
        (np.ones((4, 4)), "4 × 4 numbers"),
        (np.array(["RAS"]), "a ndarray"),
        (np.diag([1.5, 1.5, 0.0, 1.0]), "span no volume"),
        (np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "span no volume"),
        (np.diag([8.0, 1.5, 1.5, 1.0]), r"spacing is 8 × 1\.5 × 1\.5 mm, but the affine's is 1\.5 × 1\.5 × 8"),
        (np.diag([-1.5, 1.5, 8.2, 1.0]), "spacing is"),
    ],
    ids=["three", "nan", "last row", "text", "flat", "parallel", "order", "other"],
)
def test_an_affine_that_is_none_is_refused(affine: Any, told: str) -> None:
    predictor = Predictor(fuse_norms(learnt("pce")), Grid(48), tiny.CLASSES)
    with pytest.raises(InputError, match=rf"^image: (affine .*)?{told}.*[,;] allowed"):
        predictor.segment(tiny.volume()[0], (8.0, 1.5, 1.5), affine=affine)


def test_voxels_that_are_masked_out_are_not_passed_over() -> None:
    predictor = Predictor(fuse_norms(learnt("pce")), Grid(48), tiny.CLASSES)
    image = tiny.volume()[0]
    np.testing.assert_array_equal(predictor.segment(np.ma.masked_less(image, -1)), predictor.segment(image))
    with pytest.raises(InputError, match=r"^image: masks [\d,]+ voxels out, allowed .* fill them first"):
        predictor.segment(np.ma.masked_less(image, 0.5))
    with pytest.raises(InputError, match=r"^a: image: masks [\d,]+ voxels out"):
        Case.from_arrays(np.ma.masked_less(image, 0.5), name="a")


@pytest.mark.parametrize("millimetres", [1.5e-3, 1.5e2])
def test_a_spacing_in_another_unit_is_refused(millimetres: float) -> None:
    predictor = Predictor(fuse_norms(learnt("pce")), Grid(48, 1.5), tiny.CLASSES)
    spacing = (8.0, millimetres, millimetres)
    with pytest.raises(InputError, match=r"pixels of .* correct the unit or the spacing"):
        predictor.segment(tiny.volume()[0], spacing)
    with pytest.raises(ValueError, match=r"pixels of .* correct the header"):
        standalone.resized((40, 48), spacing, {"size": 48, "mm": 1.5})
    with pytest.raises(InputError, match=r"a voxel of 8 × 1500 × 1500 mm, .* correct the unit or the spacing"):
        predictor.segment(tiny.volume()[0], (8.0, 1500.0, 1500.0))


def test_images_in_folders_of_cases_are_not_looked_for_and_told(tmp_path: Path) -> None:
    """As public data sets have them; the line told suffixes."""
    for name in ("p0/p0_t1.nii.gz", "p0/p0_t2.nii.gz", "p1/p1_t1.nii.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "notes").mkdir()
    with pytest.raises(InputError, match=r"images lie in 2 folders in it, such as p0/, .* \(.*NAME_0000, NAME_0001"):
        segment(tmp_path / "run", [tmp_path], tmp_path / "out")
    with pytest.raises(InputError, match=r"no \.nii\.gz file in this folder, nor any of"):
        segment(tmp_path / "run", [tmp_path / "notes"], tmp_path / "out")


def test_masks_that_lie_beside_images_are_left_out_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As in a folder of one case; they were segmented as images."""
    taken = list[list[str]]()

    def stop(paths: Sequence[Path], *_: object) -> None:
        taken.append([path.name for path in paths])
        raise InputError("enough")

    monkeypatch.setattr("maskmixadv.inference.segment._cases", stop)
    run = SimpleNamespace(learnt_from=SimpleNamespace(channels=()))
    monkeypatch.setattr("maskmixadv.inference.segment.Run.open", lambda _: run)
    names = ("p0_image.nii.gz", "p0_mask.nii.gz", "scribble.nii.gz", "notes.txt")
    for folder in ("p0", "images", "mask_0", "labelsTs"):
        (tmp_path / folder).mkdir()
        for name in names[1:2] if folder == "labelsTs" else names:
            (tmp_path / folder / name).touch()

    def told(*paths: Path) -> str:
        with pytest.raises(InputError, match="enough"):
            segment(tmp_path, paths, tmp_path / "out")
        return capsys.readouterr().err

    line = "left out, as they are called as annotations: p0_mask.nii.gz, scribble.nii.gz; name each to segment it"
    assert told(tmp_path / "p0") == f"{tmp_path / 'p0'}: {line}\n"
    assert told(tmp_path / "mask_0") == f"{tmp_path / 'mask_0'}: {line}\n"
    assert taken == [["p0_image.nii.gz"]] * 2
    taken.clear()
    assert told(tmp_path / "images") == told(tmp_path / "labelsTs") == told(tmp_path / "p0" / names[1]) == ""
    assert taken == [["p0_image.nii.gz", "p0_mask.nii.gz", "scribble.nii.gz"], ["p0_mask.nii.gz"], ["p0_mask.nii.gz"]]
