"""Which patients a network has seen: those of its run, and of the runs with whose networks that one began."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress

from maskmixadv.corpus.alike import same_images
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.errors import InputError, say
from maskmixadv.runs.origin import LearntFrom, same_corpus
from maskmixadv.runs.run import Run


def lineage(run: Run) -> list[Run]:
    """Return a run, the run with whose network it began, and so on, as far as they are there.

    A line on stderr names one that is gone.

    Examples
    --------
    >>> import maskmixadv as mma
    >>> corpus = mma.make_phantoms("corpus", cases=6, size=64)
    >>> few = {"method": "pce", "preset": "cpu", "steps": 2, "size": 48, "window": 32}
    >>> _ = mma.train(corpus, "first", **few)
    >>> [each.root.name for each in lineage(mma.train(corpus, "second", start="first", **few))]
    ['second', 'first']
    """
    runs = [run]
    while (start := runs[-1].start) is not None and start.root not in [each.root.resolve() for each in runs]:
        try:
            runs.append(Run.open(start.root))
        except InputError:
            told = f"{start.root}: with its network {runs[-1].root} began, and it can't be read any more"
            say(f"maskmixadv: note: {told}; which patients it had seen is unknown")
            break
    return runs


def shared(corpus: Corpus, own: LearntFrom, of: Collection[str] | None = None) -> set[str]:
    """Return the patients of `corpus` whose images a run's corpus has, too, even under other names and annotated anew.

    Where the run's corpus is gone or has changed, patients of the same name are taken as the same, in a corpus of the
    same name or content (`tell_by_name`).

    Parameters
    ----------
    corpus
        A corpus.
    own
        The corpus that the run learnt from.
    of
        Patients of the run's corpus that count; None: all of them.

    Examples
    --------
    >>> from maskmixadv.runs.origin import corpus_fields
    >>> from maskmixadv.sources.phantoms import phantom
    >>> from pathlib import Path
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> own = LearntFrom(**corpus_fields(corpus), **corpus.split("paper", 1)._asdict())
    >>> sorted(shared(corpus, own)), shared(corpus, own, own.train)
    (['phantom000', 'phantom001', 'phantom002'], {'phantom002'})
    """
    return set(_shared(corpus, own, of))


def tell_by_name(runs: Iterable[LearntFrom]) -> None:
    """Say on stderr of which runs' corpora patients are known by their names alone, as these are gone or have changed.

    Examples
    --------
    >>> import contextlib, sys
    >>> from pathlib import Path
    >>> told = {"name": "hearts", "hash": "9f3c", "classes": ("background", "LV"), "train": (), "val": (), "test": ()}
    >>> with contextlib.redirect_stderr(sys.stdout):
    ...     tell_by_name([LearntFrom(root=Path("gone"), **told)])
    maskmixadv: note: gone: a run learnt from it, and it is gone or has changed; its patients are known by ...
    """
    for own in runs:
        try:
            same_corpus(own)
        except InputError:
            by = f"by name alone, and in a corpus called {own.name!r} or of the same content"
            told = f"a run learnt from it, and it is gone or has changed; its patients are known {by}"
            say(f"maskmixadv: note: {own.root}: {told}")


def in_both(corpus: Corpus, home: Corpus, of: Collection[str] | None = None) -> set[str]:
    """Return the patients of `corpus` whose images another corpus has, too, even under other names.

    Parameters
    ----------
    corpus, home
        Two corpora.
    of
        Patients of `home` that count; None: all of them.

    Examples
    --------
    >>> from maskmixadv.sources.phantoms import phantom
    >>> from pathlib import Path
    >>> some, more = (phantom.prepare(Path(name), cases=cases, size=64) for name, cases in (("a", 5), ("b", 6)))
    >>> sorted(in_both(more, some)), sorted(in_both(more, some, ("phantom001",)))
    (['phantom000', 'phantom001', 'phantom002'], ['phantom001'])
    """
    return set(_in_both(corpus, home, of))


def _shared(corpus: Corpus, own: LearntFrom, of: Collection[str] | None) -> Iterator[str]:
    home = None
    with suppress(InputError):  # it may be gone or have changed
        home = same_corpus(own)
    if home is None:
        alike = corpus.hash() == own.hash  # it was moved
        named = {patient for part in own.split for patient in part if of is None or patient in of}
        if alike or corpus.name == own.name:
            yield from (each.patient for each in corpus.entries if (alike and of is None) or each.patient in named)
        return
    yield from _in_both(corpus, home, of)


def _in_both(corpus: Corpus, home: Corpus, of: Collection[str] | None) -> Iterator[str]:
    others = [entry for entry in home.entries if of is None or entry.patient in of]
    yield from (entry.patient for entry, _ in same_images(corpus, corpus.entries, home, others))
