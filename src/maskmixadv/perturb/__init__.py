"""Perturbations, by the names that the command line knows them by: two views of a batch, and the way back."""

from maskmixadv.perturb.collage import Collage as Collage
from maskmixadv.perturb.comixup import CoMixup
from maskmixadv.perturb.cutmix import CutMix
from maskmixadv.perturb.cutout import Cutout
from maskmixadv.perturb.cyclemix import CycleMix
from maskmixadv.perturb.dropout import Dropout2d, FeatureDropout
from maskmixadv.perturb.maskmix import MaskMix
from maskmixadv.perturb.maskmix import Masks as Masks
from maskmixadv.perturb.mixup import Mixup
from maskmixadv.perturb.noise import GaussianNoise, SaltAndPepper, UniformNoise
from maskmixadv.perturb.perturbation import Forward as Forward
from maskmixadv.perturb.perturbation import Level as Level
from maskmixadv.perturb.perturbation import Perturbation
from maskmixadv.perturb.perturbation import Views as Views
from maskmixadv.perturb.puzzlemix import PuzzleMix
from maskmixadv.perturb.saliency import as_tested as as_tested
from maskmixadv.perturb.vat import VAT

ALL: dict[str, type[Perturbation]] = {
    "maskmix": MaskMix,
    "mixup": Mixup,
    "cutout": Cutout,
    "cutmix": CutMix,
    "puzzle-mix": PuzzleMix,
    "co-mixup": CoMixup,
    "cyclemix": CycleMix,
    "uniform-noise": UniformNoise,
    "gaussian-noise": GaussianNoise,
    "salt-and-pepper": SaltAndPepper,
    "dropout2d": Dropout2d,
    "feature-dropout": FeatureDropout,
    "vat": VAT,
}
