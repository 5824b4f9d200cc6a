"""Scoring a run on another corpus than its own, without patients that are in both."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from maskmixadv.corpus.channels import named, same, told_scale
from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Split
from maskmixadv.errors import InputError, apart, counted, listed, say
from maskmixadv.runs.lineage import shared, tell_by_name
from maskmixadv.runs.origin import LearntFrom, otherwise_seen
from maskmixadv.sources.opening import open_corpus


def another(root: Path, own: LearntFrom, before: Sequence[LearntFrom] = ()) -> tuple[Corpus, Split]:
    """Open a corpus on which to score a run that learnt from corpus `own`.

    Parameters
    ----------
    root
        Directory of the corpus to score on.
    own
        The corpus that the run learnt from.
    before
        What runs learnt from with whose networks it began (`maskmixadv.runs.lineage`).

    Returns
    -------
    The corpus, and the patients of each part of its first fold, without those that are the run's own. A line on stderr
    names these.

    Raises
    ------
    InputError
        Where it has other classes or channels, or no other patients.

    Examples
    --------
    >>> from maskmixadv.runs.origin import corpus_fields
    >>> from maskmixadv.sources.phantoms import phantom
    >>> here, there = (phantom.prepare(Path(f"corpus{seed}"), cases=6, size=64, seed=seed) for seed in (0, 1))
    >>> own = LearntFrom(**corpus_fields(here), **here.split("paper", 1)._asdict())
    >>> corpus, patients = another(there.root, own)
    >>> corpus.name, patients.test
    ('phantom-1', ('phantom000',))
    """
    corpus = open_corpus(root)
    if tuple(corpus.classes) != own.classes:
        found, allowed = apart(corpus.classes, own.classes)
        raise InputError(f"{root}: classes {found}, allowed are {allowed}")
    if not same(corpus.channels, own.channels):
        has, of = (f"{len(each)} ({named(each)})" for each in (corpus.channels, own.channels))
        raise InputError(f"{root}: channels are {has}, those of the run are {of}; allowed are the same")
    told = [told_scale(channels) for channels in (corpus.channels, own.channels)]
    if told[0] != told[1]:
        scaled = (
            f"intensities are scaled up to the percentile {told[0]}, those that the run learnt from up to {told[1]}"
        )
        say(f"maskmixadv: {root}: its {scaled}")
    corpus = replace(corpus, channels=own.channels)  # the run's window of a CT
    for line in otherwise_seen(corpus, own):
        say(f"maskmixadv: {root}: {line}")
    tell_by_name((own, *before))
    known = shared(corpus, own).union(*(shared(corpus, each, (*each.train, *each.val)) for each in before))
    if known >= {entry.patient for entry in corpus.entries}:
        first = "" if own.root.exists() else f"put its corpus, or a link to where that is now, at {own.root}, and "
        raise InputError(f"{root}: all its patients are the run's own; {first}score the run without --corpus")
    if known:
        are = f"{counted(len(known), 'patient')} {'is' if len(known) == 1 else 'are'}"
        told = f"{are} the run's own and left out: {listed(sorted(known))}"
        say(f"maskmixadv: {root}: {told}")
    split = corpus.split(next(iter(corpus.folds)), 1)
    return corpus, Split(*(tuple(each for each in part if each not in known) for part in split))
