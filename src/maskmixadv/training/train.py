"""Training from Python: what the command ``train`` does, as one function."""

from dataclasses import fields
from pathlib import Path
from typing import Any, TypedDict, Unpack, cast

from maskmixadv.corpus.masks import Counted
from maskmixadv.device import pick_device
from maskmixadv.errors import InputError
from maskmixadv.methods.method import Method
from maskmixadv.methods.registry import DEFAULT_METHOD, METHODS, fields_of, method_from, present
from maskmixadv.runs.run import Run
from maskmixadv.runs.schedule import OFFERED, Changes, Optimiser, Precision, Preset, default_preset
from maskmixadv.training.begin import tell_unused
from maskmixadv.training.fit import fit
from maskmixadv.training.recipe import Recipe
from maskmixadv.typed import as_type, made
from maskmixadv.types import PathLike


class Replaced(TypedDict, total=False):
    """Fields of a preset that `train` can replace: those of `Changes`, which says what they are.

    Examples
    --------
    >>> Replaced(steps=300, lr=1e-3)
    {'steps': 300, 'lr': 0.001}
    """

    steps: int
    batch: int
    size: int
    window: int
    optimiser: Optimiser
    lr: float
    weight_decay: float
    ema: float
    precision: Precision
    validate_every: int


def train(
    corpus: PathLike,
    out: PathLike,
    *,
    method: str | Method = DEFAULT_METHOD,
    preset: Preset | None = None,
    folds: str | None = None,
    fold: int = 1,
    prior: PathLike | None = None,
    enclosure: bool = False,
    masks: str | int = "auto",
    masks_of: Counted = "patients",
    unlabelled: bool = False,
    start: PathLike | None = None,
    seed: int = 0,
    device: str | None = None,
    **changes: Unpack[Replaced],
) -> Run:
    """Learn from a corpus's strokes: what the command ``train`` does, with the same result.

    Progress is told on stderr. The directory `out` gets ``run.json``, the losses in ``log.csv``, TensorBoard's events,
    pictures of validation and the checkpoint ``last.pt``. Where `out` holds the same run, begun and not done, training
    goes on from its checkpoint, and ends with the same weights, bit for bit, as if it had not stopped.

    Parameters
    ----------
    corpus
        A `Corpus`, or the directory of one, or a folder of images (`open_corpus`).
    out
        Directory of the run: new, empty, or holding the same run, begun and not done.
    method
        How to learn: a name such as ``"walk-teacher"`` (``maskmixadv.methods.METHODS`` has all), or an object of one
        of `maskmixadv.methods`, such as ``methods.MaskMixAdv(rec=0.5)``.
    preset
        Resolution, length and optimiser: ``paper`` (256 pixels, 60,000 steps), ``fast`` (256 pixels, for a GPU),
        ``cpu`` (144 pixels in windows of 96, minutes). None: ``fast`` on a CUDA device, ``cpu`` elsewhere.
    folds
        Which scheme of the corpus's folds; None: its first.
    fold
        Whose patients to hold out, counted from 1.
    prior
        Corpus whose dense masks, of other patients, teach a critic shapes, for methods that have one.
    enclosure
        Take what lies beyond the hull of a slice's background stroke as background.
    masks
        Which dense masks to learn from beside strokes. ``"auto"``: those of cases without strokes, and those that know
        only some of a volume's pixels. ``"none"``, ``"all"``, or how many of them, chosen by the seed.
    masks_of
        What a number of masks counts: training ``"patients"``, or single ``"slices"`` that show a structure.
    unlabelled
        Learn from training slices without any annotation, too, if the method has a teacher that judges them
        (``"walk-teacher"``, ``"mean-teacher"``, ``"uamt"``, ``"ustm"``).
    start
        A run whose network this one begins with, of the same classes, channels and architecture: less training then
        does. None: begin with random weights.
    seed
        Of everything random.
    device
        Where to compute, such as ``"cpu"`` or ``"cuda:0"``; None: the fastest that is there.
    **changes
        What replaces the preset's fields (`Changes`): ``steps``, ``batch``, ``size`` (side of the canvas in pixels),
        ``window`` (side of what a step sees of it, a multiple of 16), ``optimiser``, ``lr``, ``weight_decay``,
        ``ema``, ``precision``, ``validate_every``.

    Returns
    -------
    The run, done. `Predictor.load` loads its network, `evaluate` scores it.

    Raises
    ------
    InputError
        Where corpus, fold, prior, start, method, a change, the device or `out` can't serve.
    DivergedError
        Where losses or weights are no finite numbers any more; the last finite checkpoint is kept.
    KeyboardInterrupt
        After Ctrl-C or a termination signal, once the step is done and saved: the same call goes on with it.

    Examples
    --------
    >>> import maskmixadv as mma
    >>> corpus = mma.make_phantoms("corpus", cases=6, size=64)
    >>> run = mma.train(corpus, "run", method="pce", preset="cpu", steps=3, size=48, window=32)
    >>> print(run)
    run in run
      method:  pce
      corpus:  phantom-0 in corpus
      fold:    1 of paper: 1 train, 1 val, 1 test patients
      steps:   3 of 4 slices, 32 × 32 pixels of 5.01 mm
      with:    enclosure off, seed 0
      weights: run/last.pt
    """
    root = Path(out)
    begun = {"fold": fold, "seed": seed, "enclosure": enclosure, "unlabelled": unlabelled}
    for name, value in begun.items():  # what run.json can't hold would be known only once it is written
        as_type(value, int if name in ("fold", "seed") else bool, f"train: {name}")
    recipe = Recipe(
        corpus_root=Path(corpus),
        method=_plain(method),
        preset=_known(preset) if preset else default_preset(pick_device(device).type),
        changes=made(Changes, changes, "train"),
        prior_root=None if prior is None else Path(prior),
        scheme=folds,
        fold=fold,
        enclosure=enclosure,
        masks=str(masks),
        masks_of=masks_of,
        unlabelled=unlabelled,
        start=None if start is None else Path(start),
        seed=seed,
    )
    tell_unused(method_from(recipe.method), prior=prior is not None, unlabelled=unlabelled, enclosure=enclosure)
    recipe.begin(root, device=device, command=recipe.command(root))
    run = Run.open(root)
    if not fit(run, device=device):
        raise KeyboardInterrupt(f"{root}: interrupted and saved; the same call goes on with it")
    return run


def _plain(method: str | Method) -> dict[str, Any]:
    """Return a method's name and those of its fields that are not at their defaults."""
    if isinstance(method, str):
        return {"name": present(method)}
    if type(method).__name__ not in {listed.kind for listed in METHODS.values()}:
        raise InputError(f"method: {type(method).__name__} is not listed in maskmixadv.methods.METHODS; add its line")
    changed = {each.name for each in fields(cast("Any", method)) if getattr(method, each.name) != each.default}
    return {key: value for key, value in fields_of(method).items() if key in {"name", *changed}}


def _known(preset: str) -> str:
    if preset not in OFFERED:
        raise InputError(f"preset: {preset!r}, allowed are {', '.join(OFFERED)}")
    return preset
