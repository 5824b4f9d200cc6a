"""Phantoms: synthetic patients with true masks and with strokes like people's; a heart's ejection fraction is known.

A patient's numbers are drawn first, such as those of a `Heart`, and then an image is made of them. They depend on the
seed and on the patient's own number alone, so the first patients stay the same if more are asked for.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, UInt8
from scipy import ndimage

from maskmixadv.corpus.case import Case
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Split
from maskmixadv.corpus.scale import normalise
from maskmixadv.errors import InputError
from maskmixadv.memory import free
from maskmixadv.sources.phantoms.anatomy import SliceValues, millimetres, scanned
from maskmixadv.sources.phantoms.kidneys import Kidneys
from maskmixadv.sources.phantoms.prostate import Prostate
from maskmixadv.strokes.draw import draw_strokes
from maskmixadv.typed import whole

CLASSES = ("background", "RV", "Myo", "LV")
RV, MYO, LV = 1, 2, 3
LEAST_CASES, LEAST_SIZE = 5, 64
DEEPEST = 10
"""About how many slices a patient has at most."""
BYTES = 6
"""Bytes that a voxel takes: image, strokes and mask."""
APEX_OF_RV = 0.8
"""How far from base (0) to apex (1) the right ventricle reaches."""

STILL: Final[Mapping[str, type[Kidneys | Prostate]]] = {"prostate": Prostate, "kidney": Kidneys}
"""Organs other than the heart, by their name on the command line."""
ORGANS: Final = ("heart", *STILL)


@dataclass(frozen=True)
class Heart:
    """One patient's heart in short-axis slices: lengths in mm, angles in radians, brightness of blood about 1.

    Attributes
    ----------
    shape, spacing
        Voxels, and mm between them, along d, h, w.
    centre
        Middle of the left ventricle, in mm from the image's middle, along h and w.
    radius, wall
        Radius of the left ventricle's cavity and thickness of its muscle, at the base, at end-diastole.
    ejection
        The left ventricle's ejection fraction, from 0 to 1.
    angle
        Angle of the line from the right to the left ventricle.
    right
        Radius of the right ventricle's disc over that of the left's outer wall.
    lobes
        Amplitude and phase of the outline's second and third harmonic.
    blood, muscle, lung, fat, organ
        Brightness of tissues.
    bias, noise
        Strength of the receiver's shading, standard deviation of the noise.

    Examples
    --------
    >>> heart = Heart.draw(np.random.default_rng(0), size=128)
    >>> diastole, systole = heart.radii(0.0, systole=False)[0], heart.radii(0.0, systole=True)[0]
    >>> round(float(1 - (systole / diastole) ** 2 - heart.ejection), 6)  # what is lost of the area is ejected
    0.0
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    centre: tuple[float, float]
    radius: float
    wall: float
    ejection: float
    angle: float
    right: float
    lobes: tuple[float, float, float, float]
    blood: float
    muscle: float
    lung: float
    fat: float
    organ: float
    bias: float
    noise: float

    @classmethod
    def draw(cls, rng: np.random.Generator, size: int) -> "Heart":
        """Draw a patient whose slices have about `size` pixels a side."""
        h, w = (round(size * rng.uniform(0.82, 1.0)) for _ in range(2))
        mm = rng.uniform(240, 290) / size
        return cls(
            shape=(int(rng.integers(6, 10)), h, w),
            spacing=(round(rng.uniform(8, 10), 1), mm, mm),
            centre=(rng.uniform(-20, 20), rng.uniform(-15, 25)),
            radius=rng.uniform(21, 31),
            wall=rng.uniform(8, 13),
            ejection=rng.uniform(0.22, 0.68),
            angle=np.deg2rad(rng.uniform(-25, 25)),
            right=rng.uniform(0.85, 1.15),
            lobes=(rng.uniform(0, 0.09), rng.uniform(0, 6.28), rng.uniform(0, 0.06), rng.uniform(0, 6.28)),
            blood=rng.uniform(0.75, 1.0),
            muscle=rng.uniform(0.22, 0.38),
            lung=rng.uniform(0.04, 0.12),
            fat=rng.uniform(0.8, 1.2),
            organ=rng.uniform(0.35, 0.75),
            bias=rng.uniform(0.1, 0.45),
            noise=rng.uniform(0.03, 0.08),
        )

    def radii(self, depth: float, *, systole: bool) -> tuple[float, float]:
        """Return the radii in mm of cavity and outer wall at `depth`, from base (0) to apex (1).

        The cavity loses the ejected fraction of its area in every slice; the muscle keeps its area.
        """
        taper = np.sqrt(1 - (0.93 * depth) ** 2.4)
        inner, outer = self.radius * taper, self.radius * taper + self.wall * (0.7 + 0.3 * taper)
        if not systole:
            return inner, outer
        squeezed = inner * np.sqrt(1 - self.ejection)
        return squeezed, float(np.sqrt(squeezed**2 + outer**2 - inner**2))


def prepare(root: Path, *, organ: str = "heart", cases: int = 20, seed: int = 0, size: int = 128) -> Corpus:
    """Make a corpus of phantoms.

    Its directory also has ``truth.csv``, with each patient's volumes and a heart's ejection fraction.

    Parameters
    ----------
    root
        A new or empty directory.
    organ
        One of `ORGANS`.
    cases
        Number of volumes, at least 5; each heart has two, end-diastole and end-systole.
    seed
        Chooses the patients; 0 or more.
    size
        Side of a slice in pixels, at least 64; slices have 0.82 to 1 of it.

    Raises
    ------
    InputError
        If there is no such organ, a number is none or out of its range, the memory does not suffice, or `root` is not
        empty.

    Examples
    --------
    >>> corpus = prepare(Path("corpus"), cases=6, size=64)
    >>> corpus
    Corpus('phantom-0', root='corpus', 6 cases, 4 classes)
    >>> print(Path("corpus/truth.csv").read_text())
    patient,lv_edv_ml,lv_esv_ml,ef_percent,rv_edv_ml,rv_esv_ml
    phantom000,...
    """
    for name, value, least in (("cases", cases, LEAST_CASES), ("size", size, LEAST_SIZE), ("seed", seed, 0)):
        if whole(value, name) < least:
            raise InputError(f"{name}: {value}, allowed is {least} or more")
    _must_fit(cases, size)
    if organ not in ORGANS:
        raise InputError(f"organ: {organ!r}, allowed are {', '.join(ORGANS)}")
    if organ == "heart":
        made = [_case(number // 2, systole=bool(number % 2), seed=seed, size=size) for number in range(cases)]
    else:
        made = [_still(organ, number, seed=seed, size=size) for number in range(cases)]
    classes, name = (CLASSES, "phantom") if organ == "heart" else (STILL[organ].classes, f"phantom-{organ}")
    return Corpus.write(
        root,
        made,
        name=f"{name}-{seed}",
        classes=classes,
        folds={"paper": folds(list(dict.fromkeys(case.patient for case in made)))},
        source=f"maskmixadv's {'phantoms' if organ == 'heart' else f'{organ} phantoms'}, seed {seed}",
        beside={"truth.csv": _truth(made) if organ == "heart" else _volumes(made, classes)},
    )


def _must_fit(cases: int, size: int) -> None:
    """Refuse patients for whom the memory does not suffice: all are drawn before the first one is written."""
    needed, there = cases * DEEPEST * size**2 * BYTES, free()
    if needed > there:
        told = f"cases: {cases:,} of {size:,} × {size:,} pixels a slice take {needed / 2**30:,.1f} GiB"
        raise InputError(f"{told}, and {there / 2**30:,.1f} GiB of memory are free; ask for fewer or smaller ones")


def folds(patients: Sequence[str]) -> tuple[Split, ...]:
    """Return up to five folds; each tests a block of patients, and validates on the first of the others.

    Examples
    --------
    >>> folds(["a", "b", "c"])[0]
    Split(train=('c',), val=('b',), test=('a',))
    """
    count = min(5, len(patients))
    blocks = [tuple(map(str, block)) for block in np.array_split(np.array(patients), count)]
    return tuple(_fold(patients, block) for block in blocks)


def _fold(patients: Sequence[str], test: tuple[str, ...]) -> Split:
    first, *rest = [patient for patient in patients if patient not in test]
    return Split(tuple(rest), (first,), test)


def _case(patient: int, *, systole: bool, seed: int, size: int) -> Case:
    heart = Heart.draw(np.random.default_rng((seed, patient)), size)
    rng = np.random.default_rng((seed, patient, 1 + systole))
    dense, image = zip(*_slices(heart, systole, np.random.default_rng((seed, patient, 0))), strict=True)
    name = f"phantom{patient:03d}"
    masks = np.stack(dense)
    d, h, w = heart.spacing
    return Case(
        name=f"{name}_{'ES' if systole else 'ED'}",
        patient=name,
        image=normalise(scanned(np.stack(image), bias=heart.bias, noise=heart.noise, rng=rng), where=name)[None],
        scribble=draw_strokes(masks, rng=rng),
        dense=masks,
        spacing=heart.spacing,
        affine=np.diag([w, h, d, 1.0]),
        phase="ES" if systole else "ED",
    )


def _still(organ: str, patient: int, *, seed: int, size: int) -> Case:
    drawn = STILL[organ].draw(np.random.default_rng((seed, patient)), size)
    rng = np.random.default_rng((seed, patient, 1))
    dense, image = zip(*drawn.slices(np.random.default_rng((seed, patient, 0))), strict=True)
    name = f"{organ}{patient:03d}"
    masks = np.stack(dense)
    d, h, w = drawn.spacing
    return Case(
        name=name,
        patient=name,
        image=normalise(scanned(np.stack(image), bias=drawn.bias, noise=drawn.noise, rng=rng), where=name)[None],
        scribble=draw_strokes(masks, rng=rng),
        dense=masks,
        spacing=drawn.spacing,
        affine=np.diag([w, h, d, 1.0]),
    )


def _slices(
    heart: Heart, systole: bool, rng: np.random.Generator
) -> Iterator[tuple[UInt8[np.ndarray, "h w"], SliceValues]]:
    """Yield class indices and brightness of each slice, base first; `rng` places the tissues round the heart."""
    rows, columns = millimetres(heart.shape, heart.spacing)
    body = _body(heart, rows, columns, rng)
    for k in range(heart.shape[0]):
        depth = k / (heart.shape[0] - 1)
        masks = _masks(heart, rows, columns, depth, systole)
        yield masks, _painted(heart, rows, columns, depth, systole, masks, body)


def _masks(
    heart: Heart, rows: SliceValues, columns: SliceValues, depth: float, systole: bool
) -> UInt8[np.ndarray, "h w"]:
    inner, outer = heart.radii(depth, systole=systole)
    distance, theta = _polar(heart, rows, columns, 0.0)
    amplitude, phase, third, turn = heart.lobes
    outline = 1 + amplitude * np.cos(2 * theta + phase) + third * np.cos(3 * theta + turn)
    masks = np.zeros(rows.shape, np.uint8)
    if depth <= APEX_OF_RV:
        reach = heart.right * outer * (1 - 0.35 * depth) * (0.9 if systole else 1.0)
        masks[_polar(heart, rows, columns, 0.85 * outer)[0] < reach * (1 + 0.5 * (outline - 1))] = RV
    masks[distance < outer * outline] = MYO
    masks[distance < inner * outline] = LV
    return masks


def _polar(heart: Heart, rows: SliceValues, columns: SliceValues, left: float) -> tuple[SliceValues, SliceValues]:
    """Return distance in mm and angle from a point that lies `left` mm from the middle towards the right ventricle."""
    y = rows - heart.centre[0] + left * np.sin(heart.angle)
    x = columns - heart.centre[1] + left * np.cos(heart.angle)
    return np.hypot(y, x), np.arctan2(y, x) - heart.angle


def _body(heart: Heart, rows: SliceValues, columns: SliceValues, rng: np.random.Generator) -> SliceValues:
    """Paint chest wall, lungs, liver, stomach, spine and vessels, as bright as the structures."""
    reach = np.hypot(rows / 105, columns / 125)
    body = np.where(reach < 1, heart.muscle * 1.2, 0.02)
    body[(reach > 0.9) & (reach < 1)] = heart.fat
    body[np.hypot(rows / 80, columns / 100) < 1] = heart.lung
    for _ in range(9):
        place, size = rng.uniform((-80, -100), (80, 100)), rng.uniform(3, 9)
        body[np.hypot(rows - place[0], columns - place[1]) < size] = heart.blood * rng.uniform(0.7, 1.1)
    below = heart.centre[0] + heart.radius + heart.wall + rng.uniform(14, 26)
    liver = np.hypot((rows - below - 30) / rng.uniform(28, 36), (columns + rng.uniform(0, 30)) / rng.uniform(50, 80))
    body[liver < 1] = heart.organ
    for _ in range(2):
        place, size = (below + rng.uniform(5, 40), rng.uniform(-40, 70)), rng.uniform(8, 20)
        body[np.hypot(rows - place[0], columns - place[1]) < size] = heart.blood * rng.uniform(0.8, 1.1)
    return body


def _painted(
    heart: Heart,
    rows: SliceValues,
    columns: SliceValues,
    depth: float,
    systole: bool,
    masks: UInt8[np.ndarray, "h w"],
    body: SliceValues,
) -> SliceValues:
    image = body.copy()
    around = np.asarray(ndimage.binary_dilation(masks > 0, iterations=max(1, round(5 / heart.spacing[1]))), dtype=bool)
    # Fat sits on the heart in patches; elsewhere its thin dark lining meets the lung.
    image[around] = heart.muscle
    theta = _polar(heart, rows, columns, 0.0)[1]
    image[around & (np.sin(2 * theta + heart.lobes[1]) > 0.3)] = heart.fat
    image[(masks == RV) | (masks == LV)] = heart.blood
    image[masks == MYO] = heart.muscle
    inner, _ = heart.radii(depth, systole=systole)
    for side in (-0.9, 1.1):
        y = rows - heart.centre[0] - 0.62 * inner * np.sin(heart.angle + side)
        x = columns - heart.centre[1] - 0.62 * inner * np.cos(heart.angle + side)
        image[(np.hypot(y, x) < 0.2 * inner) & (masks == LV)] = heart.muscle
    return image


def _truth(cases: Sequence[Case]) -> str:
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(["patient", "lv_edv_ml", "lv_esv_ml", "ef_percent", "rv_edv_ml", "rv_esv_ml"])
    for patient in dict.fromkeys(case.patient for case in cases):
        phases = {case.phase: case for case in cases if case.patient == patient}
        if len(phases) == 2:
            edv, esv, rv_edv, rv_esv = (_ml(phases[phase], label) for label in (LV, RV) for phase in ("ED", "ES"))
            table.writerow([patient, *(f"{v:.2f}" for v in (edv, esv, 100 * (edv - esv) / edv, rv_edv, rv_esv))])
    return buffer.getvalue()


def _volumes(cases: Sequence[Case], classes: Sequence[str]) -> str:
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(["patient", *(f"{name.replace(' ', '_')}_ml" for name in classes[1:])])
    table.writerows([case.patient, *(f"{_ml(case, k):.2f}" for k in range(1, len(classes)))] for case in cases)
    return buffer.getvalue()


def _ml(case: Case, label: int) -> float:
    held: Bool[np.ndarray, "d h w"] = case.dense == label
    return float(held.sum() * np.prod(case.spacing or (1.0, 1.0, 1.0)) / 1000)
