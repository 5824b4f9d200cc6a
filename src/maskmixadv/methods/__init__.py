"""Methods, by the names that the command line knows them by (`maskmixadv.catalogue`)."""

from importlib import import_module

from maskmixadv.catalogue import METHODS
from maskmixadv.methods.cyclemix import CycleMix as CycleMix
from maskmixadv.methods.flagship import Flagship as Flagship
from maskmixadv.methods.maskmixadv import MaskMixAdv as MaskMixAdv
from maskmixadv.methods.mean_teacher import MeanTeacher as MeanTeacher
from maskmixadv.methods.method import Method as Method
from maskmixadv.methods.method import Phase as Phase
from maskmixadv.methods.pce import PCE as PCE
from maskmixadv.methods.pce_dice import PCEDice as PCEDice
from maskmixadv.methods.pce_entropy import PCEEntropy as PCEEntropy
from maskmixadv.methods.pce_gatedcrf import PCEGatedCRF as PCEGatedCRF
from maskmixadv.methods.pce_mumfordshah import PCEMumfordShah as PCEMumfordShah
from maskmixadv.methods.pce_tv import PCETotalVariation as PCETotalVariation
from maskmixadv.methods.random_walker import RandomWalker as RandomWalker
from maskmixadv.methods.regularized import Regularized as Regularized
from maskmixadv.methods.scribble2label import Scribble2Label as Scribble2Label
from maskmixadv.methods.shapepu import ShapePU as ShapePU
from maskmixadv.methods.supervised import Supervised as Supervised
from maskmixadv.methods.uamt import UAMT as UAMT
from maskmixadv.methods.ustm import USTM as USTM
from maskmixadv.methods.wsl4mis import WSL4MIS as WSL4MIS
from maskmixadv.methods.zscribbleseg import ZScribbleSeg as ZScribbleSeg


def _class(name: str, kind: str) -> type[Method]:
    return getattr(import_module(f"{__name__}.{name.replace('-', '_')}"), kind)


ALL: dict[str, type[Method]] = {name: _class(name, listed.kind) for name, listed in METHODS.items()}
