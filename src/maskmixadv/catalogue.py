"""What there is to choose from: methods and presets by name, in the one list of them. Nothing here imports torch."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, get_args

Preset = Literal["paper", "fast", "cpu"]
PRESETS: Final[tuple[str, ...]] = get_args(Preset)
"""Names of the schedules that a user may choose (`maskmixadv.schedule`)."""


class Listed(NamedTuple):
    """A method's line.

    Attributes
    ----------
    kind
        Name of its class, in the module of `maskmixadv.methods` that is called as the method is.
    dense
        Whether it learns from dense masks alone, not from strokes.
    without_prior
        Options of the command line that switch its wish for masks of other patients off; none where it has none.
    """

    kind: str
    dense: bool = False
    without_prior: tuple[str, ...] = ()

    @property
    def wants_prior(self) -> bool:
        """Whether it wants masks of other patients, as it is by default."""
        return bool(self.without_prior)


METHODS: Final[Mapping[str, Listed]] = {
    "flagship": Listed("Flagship"),
    "maskmixadv": Listed("MaskMixAdv", without_prior=("--adv", "0")),
    "pce": Listed("PCE"),
    "pce-dice": Listed("PCEDice"),
    "pce-entropy": Listed("PCEEntropy"),
    "pce-gatedcrf": Listed("PCEGatedCRF"),
    "pce-mumfordshah": Listed("PCEMumfordShah"),
    "pce-tv": Listed("PCETotalVariation"),
    "random-walker": Listed("RandomWalker"),
    "regularized": Listed("Regularized"),
    "supervised": Listed("Supervised", dense=True),
    "mean-teacher": Listed("MeanTeacher"),
    "uamt": Listed("UAMT"),
    "ustm": Listed("USTM"),
    "wsl4mis": Listed("WSL4MIS"),
    "scribble2label": Listed("Scribble2Label"),
    "cyclemix": Listed("CycleMix"),
    "shapepu": Listed("ShapePU"),
    "zscribbleseg": Listed("ZScribbleSeg"),
}
"""By the names that the command line and the studio know them by, the best one first."""

DEFAULT_METHOD: Final = "flagship"
"""What learns where nobody chose a method."""
FROM_SCRIBBLES: Final = tuple(name for name, listed in METHODS.items() if not listed.dense)
"""Methods that learn from strokes."""
