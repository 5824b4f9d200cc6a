"""Where a run comes from: the corpora that it learnt from and the facts of its beginning, as ``run.json`` has them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from maskmixadv.corpus.channels import ONE, Channel, check_channels, records
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Split
from maskmixadv.corpus.names import check_classes
from maskmixadv.errors import InputError
from maskmixadv.formats.slicing import Slicing, check_across
from maskmixadv.sources.opening import open_corpus
from maskmixadv.sources.states import followed
from maskmixadv.typed import made
from maskmixadv.types import Spacing


@dataclass(frozen=True, kw_only=True)
class CorpusRecord:
    """A corpus as a run records it: enough to find it again and to see whether it has changed.

    Attributes
    ----------
    root
        Directory of the corpus.
    name
        Name of the corpus.
    hash
        SHA-256 of its content, in hexadecimal.
    classes
        Names of the k classes, background first.
    axis
        Axis of the images' arrays along which most were cut into slices: 0, 1 or 2.
    thickest, across
        Whether that was the thick axis of most, and the patient's axis along which it lay, as
        `maskmixadv.formats.slicing.Slicing` has them. Runs of early versions do not say.
    radiological
        Whether slices were turned to the radiological view, as there.
    channels
        What the images' channels are.
    grids
        SHA-256 of whose the cases are and of their spacings. Runs of early versions do not say.
    nominal
        Millimetres along d, h, w that are assumed for cases without a spacing; None where all have one, and in runs of
        early versions.

    Examples
    --------
    >>> from pathlib import Path
    >>> CorpusRecord(root=Path("corpus"), name="hearts", hash="9f3c", classes=("background", "LV")).table()
    {'root': 'corpus', 'name': 'hearts', 'hash': '9f3c', 'classes': ['background', 'LV']}
    """

    root: Path
    name: str
    hash: str
    classes: tuple[str, ...]
    axis: int = 0
    thickest: bool = False
    across: str = ""
    channels: tuple[Channel, ...] = ONE
    radiological: bool = False
    grids: str = ""
    nominal: Spacing | None = None

    @property
    def slicing(self) -> Slicing:
        """How the corpus's images are seen; of early runs its cases say so, while they are what they were."""
        recorded = Slicing(self.axis, self.thickest, self.across, self.radiological)
        if recorded != Slicing(self.axis):
            return recorded
        try:
            found = same_corpus(self).slicing
        except InputError:  # it is gone, or another one by now
            return recorded
        return replace(found, axis=self.axis, radiological=False)

    def table(self) -> dict[str, Any]:
        """Return the record as ``run.json`` holds it: plain values, without the fields that are at their defaults."""
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        plain["channels"] = records(self.channels)
        unset = {each.name for each in fields(self) if getattr(self, each.name) == each.default}
        return {key: value for key, value in {**plain, "root": str(self.root)}.items() if key not in unset}


@dataclass(frozen=True, kw_only=True)
class LearntFrom(CorpusRecord):
    """The corpus that a run learns from, and which of its patients the run uses for what.

    Attributes
    ----------
    scheme, fold
        Name of the corpus's scheme of folds, and the fold's number, counted from 1. None in runs of early versions.
    train
        Patients that the run learns from.
    val
        Patients on which the run is validated while it trains. They change no step of it; in the end their masks say
        which odds classes have (`maskmixadv.runs.odds`).
    test
        Patients that training never reads.

    Examples
    --------
    >>> from pathlib import Path
    >>> classes = ("background", "LV")
    >>> learnt_from = LearntFrom(
    ...     root=Path("corpus"), name="hearts", hash="9f3c", classes=classes, train=("p1", "p2"), val=("p3",), test=()
    ... )
    >>> learnt_from.split
    Split(train=('p1', 'p2'), val=('p3',), test=())
    """

    scheme: str | None = None
    fold: int | None = None
    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]

    @property
    def split(self) -> Split:
        """Patients of the three parts."""
        return Split(self.train, self.val, self.test)


@dataclass(frozen=True, kw_only=True)
class PriorFrom(CorpusRecord):
    """The corpus whose dense masks teach a critic what shapes look like.

    Attributes
    ----------
    cases
        Names of the cases whose masks are used. Their patients are none of the run's.

    Examples
    --------
    >>> from pathlib import Path
    >>> classes = ("background", "LV")
    >>> PriorFrom(root=Path("masks"), name="shapes", hash="77ab", classes=classes, cases=("a", "b")).table()["cases"]
    ['a', 'b']
    """

    cases: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What was there when a run began. Its course does not depend on these facts.

    Attributes
    ----------
    preset
        Name of the preset that the schedule came from, or None.
    command
        Command line that began the run; ``called from Python`` where none did.
    commit
        Commit of this package's code, or None where it is unknown.
    device
        What computes, in words.
    versions
        Versions of Python and of the libraries, by name.

    Examples
    --------
    >>> facts = Facts(preset="cpu", command="called from Python", commit=None, device="cpu", versions={"torch": "2.11"})
    >>> facts.device, facts.versions["torch"]
    ('cpu', '2.11')
    """

    preset: str | None
    command: str
    commit: str | None
    device: str
    versions: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class StartedFrom:
    """The run whose network a run begins with.

    Attributes
    ----------
    root
        Directory of that run.
    step
        Step that its network had reached.
    hash
        SHA-256 of that network's weights, in hexadecimal.

    Examples
    --------
    >>> from pathlib import Path
    >>> StartedFrom(root=Path("runs/001"), step=1500, hash="9f3c").table()
    {'root': 'runs/001', 'step': 1500, 'hash': '9f3c'}
    """

    root: Path
    step: int
    hash: str

    def table(self) -> dict[str, Any]:
        """Return the record as ``run.json`` holds it: plain values."""
        return {**asdict(self), "root": str(self.root)}


Record = TypeVar("Record", bound=CorpusRecord)


def corpus_record(kind: type[Record], table: object, where: str) -> Record:
    """Read what ``run.json`` says of a corpus.

    Parameters
    ----------
    kind
        `LearntFrom` or `PriorFrom`.
    table
        Value out of JSON.
    where
        Beginning of error messages.

    Raises
    ------
    InputError
        Where a field is missing, unknown, or of another type, or an axis or the classes are not allowed.

    Examples
    --------
    >>> told = {"root": "masks", "name": "shapes", "hash": "77ab", "classes": ["background", "LV"], "cases": ["a"]}
    >>> corpus_record(PriorFrom, told, "run.json: prior").cases
    ('a',)
    """
    found = made(kind, table, where)
    if found.axis not in (0, 1, 2):
        raise InputError(f"{where}: axis {found.axis}, allowed are 0, 1 and 2")
    check_channels(found.channels, where)
    check_across(found.across, where)
    check_classes(found.classes, where)
    return found


def corpus_fields(corpus: Corpus) -> Mapping[str, Any]:
    """Return the fields of a `CorpusRecord` that say which corpus `corpus` is.

    Examples
    --------
    >>> from pathlib import Path
    >>> from maskmixadv.sources.phantoms import phantom
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> fields = corpus_fields(corpus)
    >>> fields["name"], fields["classes"], fields["axis"]
    ('phantom-0', ('background', 'RV', 'Myo', 'LV'), 0)
    """
    return {
        "root": corpus.root.resolve(),
        "name": corpus.name,
        "hash": corpus.hash(),
        "classes": tuple(corpus.classes),
        "axis": corpus.axis,
        "channels": corpus.channels,
        "thickest": corpus.slicing.thickest,
        "across": corpus.across,
        "radiological": corpus.radiological,
        "grids": corpus.grids(),
        "nominal": corpus.nominal if any(entry.spacing is None for entry in corpus.entries) else None,
    }


def as_recorded(found: Record, recorded: Record) -> Record:
    """Return what is found of a corpus, without what a record of an early version does not say.

    Of a folder of images it is the state that the record has, where another one has the same content.

    Examples
    --------
    >>> told = PriorFrom(root=Path("masks"), name="shapes", hash="77ab", classes=("background", "LV"), cases=("a",))
    >>> as_recorded(replace(told, grids="9f3c", nominal=(8.0, 1.5, 1.5)), told) == told
    True
    """
    found = replace(found, grids=found.grids if recorded.grids else "")
    if found.hash == recorded.hash and found.root.parent == recorded.root.parent and followed(found.root):
        found = replace(found, root=recorded.root)  # of a folder whose files have other times, as copies have
    return replace(found, nominal=None if recorded.nominal is None else found.nominal)


def same_corpus(recorded: CorpusRecord) -> Corpus:
    """Open the corpus that a run records.

    Raises
    ------
    InputError
        Where it is gone, can't be read, or has another content than when the run began.

    Examples
    --------
    >>> from pathlib import Path
    >>> from maskmixadv.sources.phantoms import phantom
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> len(same_corpus(CorpusRecord(**corpus_fields(corpus))).entries)
    6
    >>> same_corpus(CorpusRecord(**{**corpus_fields(corpus), "hash": "another"}))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: ...corpus: has changed since the run began; restore it or train anew
    """
    corpus = open_corpus(recorded.root) if recorded.root.exists() else _elsewhere(recorded)
    if corpus.hash() != recorded.hash or recorded.grids not in ("", corpus.grids()):
        raise InputError(f"{corpus.root}: has changed since the run began; restore it or train anew")
    if recorded.nominal not in (None, corpus.nominal):
        here, there = (" × ".join(f"{mm:g}" for mm in each) for each in (corpus.nominal, recorded.nominal or ()))
        told = f"{here} mm are assumed for cases without a spacing, {there} mm were when the run began"
        raise InputError(f"{corpus.root}: {told}; restore it or train anew")
    return corpus


def _elsewhere(recorded: CorpusRecord) -> Corpus:
    """Return a corpus of the same content as one that is gone: another state of the same folder of images."""
    from maskmixadv.sources import follow  # its readers of images are slow to import

    source = followed(recorded.root)
    if source is None:
        told = "not a corpus, though the run learnt from it; put it back, or lay a link there to where it is now"
        raise InputError(f"{recorded.root}: {told}")
    if (found := follow.alike(source, recorded.hash)) is None:
        told = f"what it was then is not kept (of its states the last {follow.KEPT} are)"
        raise InputError(f"{source}: has changed since the run began, and {told}; restore it or train anew")
    return found


def otherwise_seen(corpus: Corpus, learnt: CorpusRecord) -> list[str]:
    """Say in which ways slices of a corpus lie otherwise than those that a run learnt from.

    Examples
    --------
    >>> from pathlib import Path
    >>> from maskmixadv.sources.phantoms import phantom
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> otherwise_seen(corpus, CorpusRecord(**{**corpus_fields(corpus), "radiological": True, "across": "left-right"}))
    ['its slices lie as their files store them, the run learnt from slices in the radiological view']
    """
    here, there = corpus.slicing, learnt.slicing
    told = list[str]()
    if here.radiological != there.radiological:
        lie = [("as their files store them", "in the radiological view")[each.radiological] for each in (here, there)]
        told.append(f"its slices lie {lie[0]}, the run learnt from slices {lie[1]}")
    if here.across and there.across and here.across != there.across:
        told.append(f"its slices are cut along {here.across}, those that the run learnt from along {there.across}")
    if not (here.across or there.across) and here.axis != there.axis:
        axes = f"axis {here.axis} of their arrays, those that the run learnt from along axis {there.axis}"
        told.append(f"its slices are cut along {axes}")
    return told
