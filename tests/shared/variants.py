"""Every method as its defaults have it, and with the switches that lead through other code."""

from maskmixadv import methods
from maskmixadv.methods import MaskMixAdv, Method, Scribble2Label, ShapePU, WalkTeacher, ZScribbleSeg
from quick import quick

VARIANTS: dict[str, Method] = {
    **{name: kind() for name, kind in methods.ALL.items()},
    "maskmixadv-feature": MaskMixAdv(level="feature"),
    "maskmixadv-shared": MaskMixAdv(decoders="shared"),
    "maskmixadv-no-critic": MaskMixAdv(adv=0.0),
    "maskmixadv-dpce": MaskMixAdv(rec=0.0, pse=0.0, adv=0.0),
    "flagship-critic": WalkTeacher(adv=0.1),
    "scribble2label-warm": Scribble2Label(warmup=0.0),
    "shapepu-warm": ShapePU(warmup=0.0),
    "zscribbleseg-warm": ZScribbleSeg(warmup=0.0),
    "maskmixadv-mixup": MaskMixAdv(perturbation="mixup", adv=0.0),
    "maskmixadv-cutmix": MaskMixAdv(perturbation="cutmix"),
    "maskmixadv-cyclemix": MaskMixAdv(perturbation="cyclemix", adv=0.0),
    "maskmixadv-noise": MaskMixAdv(perturbation="uniform-noise", level="image", adv=0.0),
    "maskmixadv-dropout2d": MaskMixAdv(perturbation="dropout2d", adv=0.0),
    "maskmixadv-vat": MaskMixAdv(perturbation="vat", adv=0.0),
}
ONE_OF_EACH = quick(
    VARIANTS, "walk-teacher", "maskmixadv", "pce", "pce-gatedcrf", "supervised", "uamt", "wsl4mis",
    "scribble2label-warm", "cyclemix", "shapepu-warm", "zscribbleseg", "maskmixadv-feature", "flagship-critic",
)  # fmt: skip
"""All variants; those that learn as another one does, by other terms, are slow tests."""
