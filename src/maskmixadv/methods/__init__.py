"""Methods, by the names that the command line knows them by."""

from maskmixadv.methods.cyclemix import CycleMix
from maskmixadv.methods.flagship import Flagship
from maskmixadv.methods.maskmixadv import MaskMixAdv
from maskmixadv.methods.mean_teacher import MeanTeacher
from maskmixadv.methods.method import Method
from maskmixadv.methods.method import Phase as Phase
from maskmixadv.methods.pce import PCE
from maskmixadv.methods.pce_dice import PCEDice
from maskmixadv.methods.pce_entropy import PCEEntropy
from maskmixadv.methods.pce_gatedcrf import PCEGatedCRF
from maskmixadv.methods.pce_mumfordshah import PCEMumfordShah
from maskmixadv.methods.pce_tv import PCETotalVariation
from maskmixadv.methods.random_walker import RandomWalker
from maskmixadv.methods.regularized import Regularized
from maskmixadv.methods.scribble2label import Scribble2Label
from maskmixadv.methods.shapepu import ShapePU
from maskmixadv.methods.supervised import Supervised
from maskmixadv.methods.uamt import UAMT
from maskmixadv.methods.ustm import USTM
from maskmixadv.methods.wsl4mis import WSL4MIS
from maskmixadv.methods.zscribbleseg import ZScribbleSeg

ALL: dict[str, type[Method]] = {
    "flagship": Flagship,
    "maskmixadv": MaskMixAdv,
    "pce": PCE,
    "pce-dice": PCEDice,
    "pce-entropy": PCEEntropy,
    "pce-gatedcrf": PCEGatedCRF,
    "pce-mumfordshah": PCEMumfordShah,
    "pce-tv": PCETotalVariation,
    "random-walker": RandomWalker,
    "regularized": Regularized,
    "supervised": Supervised,
    "mean-teacher": MeanTeacher,
    "uamt": UAMT,
    "ustm": USTM,
    "wsl4mis": WSL4MIS,
    "scribble2label": Scribble2Label,
    "cyclemix": CycleMix,
    "shapepu": ShapePU,
    "zscribbleseg": ZScribbleSeg,
}
