"""The one list of perturbations, by the names that the command line knows them by; each is imported when asked for."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Final, Literal

from maskmixadv.lazy import LazyMapping

if TYPE_CHECKING:
    from maskmixadv.perturb.perturbation import Perturbation

PerturbationName = Literal[
    "maskmix",
    "mixup",
    "cutout",
    "cutmix",
    "puzzle-mix",
    "co-mixup",
    "cyclemix",
    "uniform-noise",
    "gaussian-noise",
    "salt-and-pepper",
    "dropout2d",
    "feature-dropout",
    "vat",
]
"""The name of a perturbation."""

_PLACES: Final[Mapping[str, tuple[str, str]]] = {
    "maskmix": ("maskmix", "MaskMix"),
    "mixup": ("mixup", "Mixup"),
    "cutout": ("cutout", "Cutout"),
    "cutmix": ("cutmix", "CutMix"),
    "puzzle-mix": ("puzzlemix", "PuzzleMix"),
    "co-mixup": ("comixup", "CoMixup"),
    "cyclemix": ("cyclemix", "CycleMixPerturbation"),
    "uniform-noise": ("noise", "UniformNoise"),
    "gaussian-noise": ("noise", "GaussianNoise"),
    "salt-and-pepper": ("noise", "SaltAndPepper"),
    "dropout2d": ("dropout", "Dropout2d"),
    "feature-dropout": ("dropout", "FeatureDropout"),
    "vat": ("vat", "VAT"),
}
"""Module and class of each."""


def load(name: str) -> "type[Perturbation]":
    """Import the perturbation called `name`, with those that it is made of and no others.

    Raises
    ------
    KeyError
        Where there is no such perturbation.

    Examples
    --------
    >>> from maskmixadv.perturb.registry import load
    >>> load("cutmix")(alpha=1.0)
    CutMix(alpha=1.0)
    """
    module, kind = _PLACES[name]
    return getattr(import_module(f"maskmixadv.perturb.{module}"), kind)


ALL: Final[Mapping[str, "type[Perturbation]"]] = LazyMapping(_PLACES, load)
"""The classes of all perturbations by name, each imported when it is looked up."""
