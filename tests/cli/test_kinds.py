"""Kinds of channels, from files and what is said of them to networks: CT by one window, noNorm, colours and grey."""

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK
import tifffile
from PIL import Image

from maskmixadv.cli.app import run as command
from maskmixadv.corpus.case import Case
from maskmixadv.corpus.channels import COLOURS, ONE, Channel, own
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.errors import InputError
from maskmixadv.evaluation.elsewhere import another
from maskmixadv.formats import image_files
from maskmixadv.inference.predictor import Predictor
from maskmixadv.runs.origin import LearntFrom, corpus_fields, corpus_record
from maskmixadv.sources import folder, follow, nnunet
from maskmixadv.sources.making import make_corpus

pytestmark = pytest.mark.usefixtures("narrow", "unpictured")

CLASSES = '[[class]]\nname = "background"\n[[class]]\nname = "liver"\n'
CT = '[[channel]]\nkind = "CT"\n'
AFFINE = np.diag([-1.5, -1.5, 8.0, 1.0])  # stored as it is seen
Capture = pytest.CaptureFixture[str]


def liver(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A CT of air, fat and a liver of about 60 HU, as whole numbers ``x y z``, and its mask."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((40, 32, 3), np.uint8)
    mask[12:24, 10:20] = 1
    image = np.full(mask.shape, -1000.0)
    image[5:35, 4:28] = rng.normal(-90, 15, (30, 24, 3))
    image[mask > 0] = rng.normal(60 + 5 * seed, 15, int(mask.sum()))
    image[30, 25] = 1500 + 300 * seed  # metal, which a volume's own range would follow
    return image.round().astype(np.int16), mask


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    root = tmp_path / "mine"
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    for number in range(4):
        for part, array in zip(("images", "masks"), liver(number), strict=True):
            nib.save(nib.Nifti1Image(array, AFFINE), root / part / f"c{number}.nii.gz")
    (root / "classes.toml").write_text(CLASSES)
    return root


def prepared(source: Path, *options: str) -> Corpus:
    root = source.parent / f"corpus{len(list(source.parent.iterdir()))}"
    assert command(["prepare", "folder", str(source), str(root), "--validate", "1", *options]) == 0
    return Corpus.open(root)


def test_a_ct_has_one_window_for_all_volumes(scans: Path, capsys: Capture) -> None:
    (scans / "classes.toml").write_text(CLASSES + CT)
    corpus = prepared(scans)
    (channel,) = corpus.channels
    assert channel.kind == "CT"
    assert channel.window is not None
    learnt = corpus.folds[next(iter(corpus.folds))][0].train
    inside = np.concatenate([image[mask > 0] for image, mask in (liver(int(name[1])) for name in learnt)])
    np.testing.assert_allclose(channel.window, np.percentile(inside, (0.5, 99.5)), atol=1e-3)
    for number in range(4):
        image, mask = liver(number)
        low, high = channel.window
        wanted = np.clip((image.T - low) / (high - low), 0, 1)
        np.testing.assert_allclose(corpus.load(f"c{number}").image[0], wanted, atol=1e-5)
        np.testing.assert_array_equal(corpus.measured.load(f"c{number}").image[0], image.T)
        assert corpus.load(f"c{number}").image[0][mask.T > 0].std() > 0.1
    assert "Hounsfield" not in capsys.readouterr().err
    assert command(["check", str(corpus.root)]) == 0
    assert "Hounsfield" not in capsys.readouterr().out
    record = corpus_record(LearntFrom, json.loads(json.dumps(learnt_from(corpus).table())), "run.json")
    assert record.channels == corpus.channels, "the run keeps the window"


def learnt_from(corpus: Corpus) -> LearntFrom:
    return LearntFrom(**corpus_fields(corpus), **corpus.split(next(iter(corpus.folds)), 1)._asdict())


def test_a_ct_that_nobody_calls_one_is_hinted_at(scans: Path, capsys: Capture) -> None:
    corpus = prepared(scans)
    assert corpus.channels == own(ONE)
    assert 'kind = "CT"' in capsys.readouterr().err
    assert command(["check", str(corpus.root)]) == 0
    assert "note: c0, c1, c2, c3: intensities look like Hounsfield units" in capsys.readouterr().out


def test_another_corpus_is_scaled_by_the_runs_window(scans: Path) -> None:
    (scans / "classes.toml").write_text(CLASSES + CT)
    own = learnt_from(prepared(scans))
    for number in range(4):
        image, _ = liver(number)
        nib.save(nib.Nifti1Image(image + 7, AFFINE), scans / "images" / f"c{number}.nii.gz")
        for part in ("images", "masks"):
            (scans / part / f"c{number}.nii.gz").rename(scans / part / f"d{number}.nii.gz")
    there = prepared(scans)
    assert there.channels != own.channels
    scored, _ = another(there.root, own)
    low, high = own.channels[0].window or (0.0, 0.0)
    wanted = np.clip((liver(0)[0].T + 7 - low) / (high - low), 0, 1)
    np.testing.assert_allclose(scored.load("d0").image[0], wanted, atol=1e-5)
    (scans / "classes.toml").write_text(CLASSES)
    with pytest.raises(InputError, match=r"channels are 1 \(image\), those of the run are 1 \(image \(CT\)\)"):
        another(prepared(scans).root, own)


def test_a_case_that_is_added_changes_the_window_and_no_file(scans: Path) -> None:
    (scans / "classes.toml").write_text(CLASSES + CT)
    before = follow.current(scans)
    image, mask = liver(9)
    for part, array in (("images", image), ("masks", mask)):
        nib.save(nib.Nifti1Image(array, AFFINE), scans / part / "c9.nii.gz")
    after = follow.current(scans)
    assert before.channels != after.channels
    assert [each.sha256 for each in before.entries] == [each.sha256 for each in after.entries[:4]]


def test_strokes_of_a_ct_keep_hounsfield_units(scans: Path) -> None:
    (scans / "classes.toml").write_text(CLASSES + CT)
    corpus = prepared(scans)
    assert command(["annotate", "points", str(corpus.root), "--out", str(scans.parent / "drawn")]) == 0
    drawn = Corpus.open(scans.parent / "drawn")
    assert drawn.channels == corpus.channels
    np.testing.assert_array_equal(drawn.load("c0").image, corpus.load("c0").image)


def test_without_structures_the_window_is_of_all_that_was_measured(tmp_path: Path) -> None:
    channels = [Channel("CT", "CT")]
    scans = []
    for number in range(2):
        image = liver(number)[0].T.astype(np.float32)
        image[:, :3] = -3024  # padding
        nothing = np.zeros(image.shape, np.uint8)
        scans.append(Case.from_arrays(image, name=f"a{number}", dense=nothing, channels=channels))
    corpus = make_corpus(tmp_path / "corpus", scans, classes=["background", "liver"], channels=channels)
    low, high = corpus.channels[0].window or (0.0, 0.0)
    assert -150 < low < -90
    assert 60 < high < 130


def test_what_is_said_of_channels_wrongly_is_refused(scans: Path, capsys: Capture) -> None:
    for told, words in (
        ('[[channel]]\nkind = "PET"\n', "has kind 'PET', allowed are MR, RGB, CT, noNorm"),
        ('[[channel]]\nkind = "RGB"\n', "1 channel of kind RGB, allowed are 3"),
        ('[[channel]]\nname = "a"\n[[channel]]\nname = "a"\n', "different names"),
        ('[[channel]]\nname = "a"\n[[channel]]\nname = "b"\n', "c0.nii.gz: has 1 channel (image)"),
        ('[[channel]]\nunit = "HU"\n', "'unit', allowed are name, kind, percentile and knee"),
        (
            "[[channel]]\npercentile = 0\n",
            "percentile 0, allowed is a number above 0 and at most 100",
        ),
        ("[[channel]]\nknee = 1.5\n", "knee 1.5, allowed is a number from 0 to 1, of kind MR"),
        (
            '[[channel]]\nkind = "CT"\nknee = 0.5\n',
            "of kind CT has knee 0.5, allowed is a number from 0 to 1, of kind MR",
        ),
        ('[[channel]]\npercentile = "most"\n', "channel 'image' has percentile 'most', allowed is a number"),
        ('[[channel]]\nkind = "noNorm"\n', "intensities are -1000 to"),
    ):
        (scans / "classes.toml").write_text(CLASSES + told)
        assert command(["prepare", "folder", str(scans), str(scans.parent / "no")]) == 2
        assert words in capsys.readouterr().err


def test_the_brightest_hundredth_has_contrast(scans: Path, capsys: Capture) -> None:
    """Two small bright structures differ on the network's scale, and the others do, too.

    Former corpora and runs keep their scale, which is told.
    """
    volume = np.random.default_rng(0).random((40, 32, 3)).astype(np.float32)
    volume[:4, :4, 1], volume[4:8, :4, 1] = 4.0, 6.0
    for path in (scans / "images").iterdir():
        nib.save(nib.Nifti1Image(volume, AFFINE), path)
    corpus = prepared(scans)
    bright = np.sort(corpus.load("c0").image.ravel())[-32:]
    np.testing.assert_allclose(bright, np.repeat([0.92, 1], 16), atol=0.01)  # from the knee, 1 became .8, to 6
    assert np.median(corpus.load("c0").image) == pytest.approx(0.4, abs=0.02), "all others have their contrast"
    (scans / "classes.toml").write_text(CLASSES + "[[channel]]\npercentile = 99\n")
    former = prepared(scans)
    assert np.ptp(np.sort(former.load("c0").image.ravel())[-32:]) == 0
    for path in [*(scans / "images").iterdir(), *(scans / "masks").iterdir()]:
        path.rename(path.with_name(path.name.replace("c", "d", 1)))
    capsys.readouterr()
    another(prepared(scans).root, learnt_from(corpus))
    told = "its intensities are scaled up to the percentile 99, those that the run learnt from up to 99.9 (knee 0.8)"
    assert told in capsys.readouterr().err


def test_no_norm_leaves_intensities_as_they_are(scans: Path) -> None:
    part = np.random.default_rng(0).random((40, 32, 3)).astype(np.float32) / 2
    for path in (scans / "images").iterdir():
        nib.save(nib.Nifti1Image(part, AFFINE), path)
    (scans / "classes.toml").write_text(CLASSES + '[[channel]]\nname = "map"\nkind = "noNorm"\n')
    corpus = prepared(scans)
    np.testing.assert_array_equal(corpus.load("c0").image[0], part.T)
    assert Corpus.open(corpus.root).channels == (Channel("map", "noNorm"),)


def test_nnunet_says_kinds_by_names(scans: Path, tmp_path: Path) -> None:
    (scans / "classes.toml").write_text(CLASSES + CT)
    corpus = prepared(scans)
    assert command(["export", "nnunet", str(corpus.root), str(tmp_path / "Dataset001_x")]) == 0
    told = json.loads((tmp_path / "Dataset001_x" / "dataset.json").read_text())
    assert told["channel_names"] == {"0": "CT"}
    back = nnunet.prepare(tmp_path / "Dataset001_x", tmp_path / "back")
    assert back.channels[0].window is not None
    image = nib.load(tmp_path / "Dataset001_x" / "imagesTr" / "c0_0000.nii.gz").get_fdata()  # pyright: ignore
    np.testing.assert_array_equal(image, liver(0)[0])


# Pictures


def pictures(root: Path, **images: np.ndarray) -> Path:
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True, exist_ok=True)
    (root / "classes.toml").write_text(CLASSES)
    mask = np.zeros((24, 32), np.uint8)
    mask[6:14, 8:20] = 1
    for name, pixels in images.items():
        Image.fromarray(pixels).save(root / "images" / f"{name}.png")
        Image.fromarray(mask).save(root / "masks" / f"{name}.png")
    return root


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, shape).astype(np.uint8)


def test_colours_become_grey_where_it_is_asked_for(tmp_path: Path, capsys: Capture) -> None:
    source = pictures(tmp_path / "mine", a=noise(24, 32, 3), b=noise(24, 32))
    grey = prepared(source, "--grey")
    assert grey.channels == own(ONE)
    assert "colours become grey in a.png\n" in capsys.readouterr().err
    assert prepared(source).channels == COLOURS
    assert "grey becomes red, green and blue in b.png\n" in capsys.readouterr().err
    assert folder.prepare(source, tmp_path / "python", colours=False).hash() == grey.hash()


def test_colours_go_out_to_nnunet_and_grey_among_them_is_refused(tmp_path: Path) -> None:
    corpus = prepared(pictures(tmp_path / "mine", a=noise(24, 32, 3), b=noise(24, 32, 3, seed=1)))
    assert command(["export", "nnunet", str(corpus.root), str(tmp_path / "Dataset001_x")]) == 0
    names = json.loads((tmp_path / "Dataset001_x" / "dataset.json").read_text())["channel_names"]
    assert list(names.values()) == ["R", "G", "B"]
    back = nnunet.prepare(tmp_path / "Dataset001_x", tmp_path / "back")
    assert back.channels == COLOURS
    np.testing.assert_allclose(back.load("a").image, corpus.load("a").image, atol=1e-2)
    natural = tmp_path / "Dataset002_x"
    for part in ("imagesTr", "labelsTr"):
        (natural / part).mkdir(parents=True)
    for name, pixels in {"a": noise(24, 32, 3), "b": noise(24, 32)}.items():
        Image.fromarray(pixels).save(natural / "imagesTr" / f"{name}_0000.png")
        Image.fromarray((pixels.reshape(24, 32, -1)[..., 0] > 99).astype(np.uint8)).save(
            natural / "labelsTr" / f"{name}.png"
        )
    told = {"channel_names": names, "labels": {"background": 0, "x": 1}, "file_ending": ".png", "numTraining": 2}
    (natural / "dataset.json").write_text(json.dumps(told))
    with pytest.raises(InputError, match=r"b_0000\.png: has one channel, dataset\.json says 3 \(R, G, B\)"):
        nnunet.prepare(natural, tmp_path / "no")
    assert nnunet.prepare(natural, tmp_path / "grey", colours=False).channels == own(ONE)


def sixteen(pixels: np.ndarray) -> bytes:
    """A PNG of 16 bits."""
    height, width, samples = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[samples], 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("samples", [2, 3, 4])
def test_sixteen_bits_and_opacity(tmp_path: Path, suffix: str, samples: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 2**16, (5, 7, samples)).astype(np.uint16)
    path = tmp_path / f"a{suffix}"
    if suffix == ".png":
        path.write_bytes(sixteen(pixels))
    else:
        extra: dict[str, Any] = {"extrasamples": ["unassalpha"]} if samples in (2, 4) else {}
        tifffile.imwrite(
            path, pixels, photometric="minisblack" if samples == 2 else "rgb", planarconfig="contig", **extra
        )
    volume = image_files.read(path)
    assert volume.notes == (() if samples == 3 else ("opacity (alpha) is left out",))
    if samples == 2:
        np.testing.assert_array_equal(volume.array[0], pixels[..., 0])
        assert volume.channels is None
    else:
        assert volume.channels is not None
        np.testing.assert_array_equal(volume.channels[:, 0], np.moveaxis(pixels[..., :3], -1, 0))


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_palette_is_looked_up(tmp_path: Path, suffix: str, capsys: Capture) -> None:
    source = pictures(tmp_path / "mine", a=noise(24, 32, 3))
    picture = Image.open(source / "images" / "a.png").quantize(16)
    (source / "images" / "a.png").unlink()
    for name in ("a", "b"):
        picture.save(source / "images" / f"{name}{suffix}")
    Image.open(source / "masks" / "a.png").save(source / "masks" / "b.png")
    corpus = prepared(source)
    assert corpus.channels == COLOURS
    assert f"colours of a palette are looked up in a{suffix}, b{suffix}\n" in capsys.readouterr().err
    rgb = np.moveaxis(np.asarray(picture.convert("RGB")), -1, 0)[:, None]
    stored = image_files.read(source / "images" / f"b{suffix}").channels
    assert stored is not None
    np.testing.assert_array_equal(stored, rgb)


def test_jpegs_have_colours_or_none(tmp_path: Path) -> None:
    for mode, count in (("RGB", 3), ("L", None), ("CMYK", 3)):
        Image.fromarray(noise(8, 8, 3)).convert(mode).save(tmp_path / "a.jpg")
        volume = image_files.read(tmp_path / "a.jpg")
        assert (None if volume.channels is None else len(volume.channels)) == count
        assert volume.notes == ()


# Several channels in one file


def stored(path: Path, channels: np.ndarray) -> Path:
    """Write channels ``c d h w`` as one file."""
    if path.name.endswith(".nii.gz"):
        nib.save(nib.Nifti1Image(channels.T, AFFINE), path)
    elif path.name.startswith("axis"):
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(channels, isVector=False), str(path))
    else:
        SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.moveaxis(channels, 0, -1), isVector=True), str(path))
    return path


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha", "axis.mha", "axis.nrrd"])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_short_axis_is_one_of_channels(tmp_path: Path, name: str, count: int) -> None:
    channels = np.random.default_rng(0).integers(0, 999, (count, 3, 7, 5)).astype(np.int16)
    path = stored(tmp_path / name, channels)
    volume = image_files.read(path)
    assert volume.channels is not None
    np.testing.assert_array_equal(volume.channels, channels)
    assert not volume.colours
    assert volume.notes == (f"the last axis, of {count}, is taken as channels",)
    assert image_files.channels(path) == count
    assert image_files.header(path).shape == (3, 7, 5)
    image_files.write_labels(tmp_path / f"labels-{name}", np.ones((3, 7, 5), np.uint8), volume)
    labels = image_files.read_labels(tmp_path / f"labels-{name}")
    assert labels.array.shape == (3, 7, 5)
    assert labels.affine is not None
    assert volume.affine is not None
    np.testing.assert_allclose(labels.affine, volume.affine)
    with pytest.raises(InputError, match="labels have"):
        image_files.read_labels(path)


def timed(seconds: bool, step: float) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        image = nib.Nifti1Image(np.zeros((5, 7, 3, 3), np.int16), AFFINE)
        image.header.set_xyzt_units("mm", "sec" if seconds else None)
        image.header["pixdim"][4] = step
        nib.save(image, path)

    return write


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (timed(True, 1.0), r"could be time: pixdim\[4\] is 1, and xyzt_units says seconds"),
        (timed(False, 0.04), r"could be time: pixdim\[4\] is 0.04"),
        (lambda path: stored(path, np.zeros((5, 3, 7, 5), np.int16)), r"has 4 axes \(5, 7, 3, 5\).*could be time"),
    ],
)
def test_a_nifti_axis_that_could_be_time_is_refused(tmp_path: Path, write: Callable[[Path], None], words: str) -> None:
    write(tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match=words):
        image_files.read(tmp_path / "a.nii.gz")


def test_nrrd_kinds_of_time_are_refused(tmp_path: Path) -> None:
    header = "NRRD0004\ntype: short\ndimension: 4\nsizes: 5 7 3 3\nkinds: domain domain domain time\nencoding: raw\n"
    header += "spacings: 1 1 8 0.5\nendian: little\n\n"
    (tmp_path / "a.nrrd").write_bytes(header.encode() + bytes(2 * 5 * 7 * 3 * 3))
    with pytest.raises(InputError, match=r"a\.nrrd: kinds: domain domain domain time: has 3 .* times"):
        image_files.read(tmp_path / "a.nrrd")


def test_components_of_bytes_are_colours(tmp_path: Path) -> None:
    pixels = noise(4, 3, 7, 5)
    volume = image_files.read(stored(tmp_path / "a.mha", pixels))
    assert volume.colours
    assert volume.notes == ("opacity (alpha) is left out",)
    assert volume.channels is not None
    np.testing.assert_array_equal(volume.channels, pixels[:3])


# Runs


def predictor(channels: tuple[Channel, ...]) -> Predictor:
    import torch

    from maskmixadv.networks.unet import UNet
    from maskmixadv.sampling.grid import Grid

    torch.manual_seed(0)
    return Predictor(UNet(len(channels), 2).eval(), Grid(48), ("background", "liver"), channels=channels)


def test_arrays_are_scaled_by_the_runs_window() -> None:
    image = liver(0)[0].T
    window = (-150.0, 250.0)
    run = predictor((Channel("CT", "CT", window),))
    wanted = run.probs(np.clip((image[None].astype(np.float32) + 150) / 400, 0, 1), None)
    np.testing.assert_allclose(run.probabilities(image), wanted.numpy().swapaxes(0, 1), atol=1e-5)


def test_a_run_refuses_images_of_other_channels(tmp_path: Path) -> None:
    from maskmixadv.corpus.channels import scaled

    two = (Channel("T1"), Channel("T2"))
    three = (*two, Channel("FLAIR"))
    grey, colour = tmp_path / "grey.png", tmp_path / "colour.png"
    Image.fromarray(noise(8, 8)).save(grey)
    Image.fromarray(noise(8, 8, 3)).save(colour)
    pair = stored(tmp_path / "pair.nii.gz", np.random.default_rng(0).random((2, 3, 7, 5)))
    for path, channels, words in (
        (grey, COLOURS, "has one channel, allowed are images with 3 (red, green, blue)"),
        (grey, two, "has one channel, allowed are images with 2 (T1, T2)"),
        (pair, ONE, "has 2 channels, allowed are images with 1 (image)"),
        (pair, three, "has 2 channels, allowed are images with 3 (T1, T2, FLAIR)"),
        (colour, three, "has red, green and blue, allowed are images with 3 (T1, T2, FLAIR), which are no colours"),
    ):
        with pytest.raises(InputError) as caught:
            scaled(image_files.read(path), channels, path.name)
        assert str(caught.value) == f"{path.name}: {words}"
    assert scaled(image_files.read(colour), ONE, "colour.png").shape == (1, 1, 8, 8)
