"""The one list of methods, by the names that the command line and the studio know them by.

Torch is imported when a method is loaded, not before, and then with that method's module alone.
"""

from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from maskmixadv.errors import InputError
from maskmixadv.lazy import LazyMapping
from maskmixadv.typed import made

if TYPE_CHECKING:
    from maskmixadv.methods.method import Method


NO_CRITIC: Final[Mapping[str, float]] = {"adv": 0.0}
"""Values of the fields that leave out a method's critic, which alone needs masks of other patients."""
NO_CRITIC_OPTIONS: Final = " ".join(f"--{field} {value:g}" for field, value in NO_CRITIC.items())
"""The same as options of the command line."""


class Listed(NamedTuple):
    """A method's line in the list.

    Attributes
    ----------
    kind
        Name of its class, in the module of `maskmixadv.methods` that is called as the method is.
    about
        What it does, in one line.
    dense
        Whether it learns from dense masks alone, not from strokes.
    own_network
        Whether its network differs from that of all other methods, so that none begins with another's.
    wants_prior
        Whether it needs masks of other patients, as it is by default: its critic learns from them.
    formerly
        A name that it had before, which is understood wherever the present one is; empty where it had none.
    retired
        Fields that it had before. A run's record that names them can be read: its network predicts as it did.
    before
        What it did before it had some of its fields, as their values: what a run's record without them means.

    Examples
    --------
    >>> from maskmixadv.methods.registry import METHODS
    >>> METHODS["maskmixadv"].kind, METHODS["maskmixadv"].without_prior
    ('MaskMixAdv', {'adv': 0.0})
    """

    kind: str
    about: str
    dense: bool = False
    own_network: bool = False
    wants_prior: bool = False
    formerly: str = ""
    retired: tuple[str, ...] = ()
    before: Mapping[str, Any] = MappingProxyType({})

    @property
    def without_prior(self) -> Mapping[str, float]:
        """Values of its fields with which it needs no masks of other patients; empty where the defaults need none."""
        return NO_CRITIC if self.wants_prior else {}


METHODS: Final[Mapping[str, Listed]] = {
    "walk-teacher": Listed(
        "WalkTeacher",
        "random walks from the strokes and a mean teacher agree on labels; dense slices correct them",
        formerly="flagship",
        retired=("thin", "odds"),
        before=MappingProxyType(
            {
                "certainty": 0.0,
                "study": 0,
                "paste": 0.0,
                "rehearse": 0.0,
                "appearance": 0.0,
                "evened": False,
                "heads": "shared",
                "colours": "changed",
            }
        ),
    ),
    "maskmixadv": Listed(
        "MaskMixAdv",
        "two masked views, mixed pseudo labels, restoration, a critic of shapes",
        own_network=True,
        wants_prior=True,
    ),
    "pce": Listed("PCE", "cross-entropy on the strokes alone"),
    "pce-dice": Listed("PCEDice", "cross-entropy and Dice on labelled pixels: nnU-Net's ignore label"),
    "pce-entropy": Listed("PCEEntropy", "sure predictions: entropy minimisation"),
    "pce-gatedcrf": Listed("PCEGatedCRF", "neighbours that look alike agree: gated CRF"),
    "pce-mumfordshah": Listed("PCEMumfordShah", "classes of even intensity with short borders: Mumford-Shah"),
    "pce-tv": Listed("PCETotalVariation", "short contours: total variation"),
    "random-walker": Listed("RandomWalker", "labels that a random walk makes of the strokes"),
    "regularized": Listed("Regularized", "sure predictions of classes that differ in intensity"),
    "supervised": Listed("Supervised", "dense masks: what strokes are measured against", dense=True),
    "mean-teacher": Listed("MeanTeacher", "agreement with the average of past networks, under noise"),
    "uamt": Listed("UAMT", "agreement with the average of past networks where that is certain"),
    "ustm": Listed("USTM", "agreement with the average of past networks, which see the image turned"),
    "wsl4mis": Listed("WSL4MIS", "two decoders, dynamically mixed pseudo labels", own_network=True),
    "scribble2label": Listed("Scribble2Label", "pseudo labels where the average of past predictions is sure"),
    "cyclemix": Listed("CycleMix", "mixed, occluded, turned images, and consistency"),
    "shapepu": Listed(
        "ShapePU",
        "positive-unlabelled learning, and consistency under occlusion",
        before=MappingProxyType({"occluded": 0.0}),
    ),
    "zscribbleseg": Listed("ZScribbleSeg", "mixtures, ratios of classes, a spatial and a shape prior"),
}
"""All methods, the best one first."""

DEFAULT_METHOD: Final = "walk-teacher"
"""The method that is used where none is chosen."""
FROM_SCRIBBLES: Final = tuple(name for name, listed in METHODS.items() if not listed.dense)
"""Methods that learn from strokes."""
FORMER: Final[Mapping[str, str]] = {listed.formerly: name for name, listed in METHODS.items() if listed.formerly}
"""Present names by former ones."""


def present(name: str) -> str:
    """Return the present name of a method, given its present or former one.

    Raises
    ------
    InputError
        Where there is no such method.

    Examples
    --------
    >>> from maskmixadv.methods.registry import present
    >>> present("flagship")
    'walk-teacher'
    """
    name = FORMER.get(name, name)
    if name not in METHODS:
        raise InputError(f"method: {name!r}, allowed are {', '.join(METHODS)}")
    return name


def load(name: str) -> "type[Method]":
    """Import the method called `name`, and no other.

    Raises
    ------
    InputError
        Where there is no such method.

    Examples
    --------
    >>> from maskmixadv.methods.registry import load
    >>> load("pce-tv")(tv=0.02)
    PCETotalVariation(tv=0.02)
    """
    name = present(name)
    return getattr(import_module(f"maskmixadv.methods.{name.replace('-', '_')}"), METHODS[name].kind)


ALL: Final[Mapping[str, "type[Method]"]] = LazyMapping(METHODS, load)
"""The classes of all methods by name, each imported when it is looked up."""


def named(method: "Method") -> str:
    """Return the name by which the command line knows `method`.

    Examples
    --------
    >>> from maskmixadv.methods import PCEDice
    >>> from maskmixadv.methods.registry import named
    >>> named(PCEDice())
    'pce-dice'
    """
    return next(name for name, listed in METHODS.items() if listed.kind == type(method).__name__)


def method_from(raw: Mapping[str, Any]) -> "Method":
    """Make a method from its name and fields, as `fields_of` gives them.

    Parameters
    ----------
    raw
        ``name``, and any of the method's fields; the others have their defaults.

    Raises
    ------
    InputError
        Where there is no such method, or it has no such field, or a value is not allowed.

    Examples
    --------
    >>> from maskmixadv.methods.registry import method_from
    >>> method_from({"name": "pce-dice", "dice": 0.5})
    PCEDice(ce=1.0, dice=0.5)
    """
    name = raw.get("name")
    if not isinstance(name, str):
        raise InputError(f"method: {name!r}, allowed are {', '.join(METHODS)}")
    left = ("name", *METHODS[present(name)].retired)
    return made(load(name), {key: value for key, value in raw.items() if key not in left}, f"method {name}")


def recorded(raw: Mapping[str, Any]) -> "Method":
    """Make the method of a run's record, as `fields_of` gave it: a field that it lacks was not there yet.

    Raises
    ------
    InputError
        As in `method_from`.

    Examples
    --------
    >>> from maskmixadv.methods.registry import method_from, recorded
    >>> recorded({"name": "walk-teacher"}).appearance, method_from({"name": "walk-teacher"}).appearance
    (0.0, 0.5)
    """
    name = raw.get("name")
    before = METHODS[present(name)].before if isinstance(name, str) else {}
    return method_from({**before, **raw})


def as_begun(method: "Method", raw: Mapping[str, Any]) -> "Method":
    """Return a method as a run's record has it whose fields were fewer; what differs from the defaults stays.

    Parameters
    ----------
    method
        What is asked for now.
    raw
        The record's method.

    Examples
    --------
    >>> from maskmixadv.methods import WalkTeacher
    >>> from maskmixadv.methods.registry import as_begun
    >>> as_begun(WalkTeacher(trust=2.0), {"name": "walk-teacher"}).appearance
    0.0
    >>> as_begun(WalkTeacher(appearance=0.7), {"name": "walk-teacher"}).appearance
    0.7
    """
    defaults = fields_of(method_from({"name": named(method)}))
    asked, before = fields_of(method), METHODS[named(method)].before
    lacking = [name for name in before if name not in raw and asked[name] == defaults[name]]
    return method_from(asked | {name: before[name] for name in lacking})


def fields_of(method: "Method") -> dict[str, Any]:
    """Return a method's name and fields, as a run records them; `method_from` reads them.

    Examples
    --------
    >>> from maskmixadv.methods import PCEDice
    >>> from maskmixadv.methods.registry import fields_of
    >>> fields_of(PCEDice())
    {'name': 'pce-dice', 'ce': 1.0, 'dice': 1.0}
    """
    return {"name": named(method)} | {field.name: getattr(method, field.name) for field in fields(cast("Any", method))}
