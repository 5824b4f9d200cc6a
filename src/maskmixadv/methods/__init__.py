"""Methods, by the names that the command line knows them by."""

from maskmixadv.methods.maskmixadv import MaskMixAdv
from maskmixadv.methods.method import Method
from maskmixadv.methods.method import Phase as Phase
from maskmixadv.methods.pce import PCE

ALL: dict[str, type[Method]] = {"maskmixadv": MaskMixAdv, "pce": PCE}
