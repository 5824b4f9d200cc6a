"""Folds of a user's own images: patients with scribbles are for training, those with masks alone are held out."""

import math
from collections.abc import Iterable
from typing import Final

from maskmixadv.corpus.entry import Entry, Split
from maskmixadv.errors import InputError, counted

FIVE: Final = 5
FEW: Final = 10
"""Patients with masks up to whom each may be tested in a fold of its own."""


def folds(cases: Iterable[Entry], validate: float | None = None) -> dict[str, tuple[Split, ...]]:
    """Make the folds of a folder's cases.

    Masks count here only where they cover whole volumes. One that knows a few slices teaches, as scribbles do.

    The scheme ``own`` is one fold. Patients with scribbles are for training, patients with masks alone for validation.
    With `validate`, that many patients with masks are for validation: first those with masks alone, then others, who
    are taken out of training. If there are more patients with masks alone than that, the rest is for testing. If no
    patient has scribbles, training uses masks.

    The scheme ``five`` is there if five patients or more have masks: each of these is tested in one of five folds. In
    each fold, a tenth of the other patients with masks is for validation. The scheme ``one-out`` is there if two to ten
    patients have masks: each of these is tested in a fold of its own (leave one patient out).

    Parameters
    ----------
    cases
        All cases of the corpus.
    validate
        Patients to validate on: a number from 1 on, or a fraction below 1 of those with masks.

    Returns
    -------
    Folds by the name of their scheme.

    Raises
    ------
    InputError
        If fewer patients have masks than `validate` asks for, or none is left to train on.

    Examples
    --------
    >>> scribbled = [Entry(f"s{i}", f"s{i}", (1, 8, 8), None, True, False, "0") for i in range(3)]
    >>> masked = [Entry(f"m{i}", f"m{i}", (1, 8, 8), None, False, True, "0") for i in range(2)]
    >>> made = folds([*scribbled, *masked])
    >>> made["own"]
    (Split(train=('s0', 's1', 's2'), val=('m0', 'm1'), test=()),)
    >>> made["one-out"][0]
    Split(train=('m1', 's0', 's1', 's2'), val=(), test=('m0',))
    >>> folds([*scribbled, *masked], validate=1.0)["own"]
    (Split(train=('s0', 's1', 's2'), val=('m0',), test=('m1',)),)
    """
    scribbled, masked, partly = set[str](), set[str](), set[str]()
    for case in cases:
        scribbled |= {case.patient} if case.scribble or case.partly else set()
        masked |= {case.patient} if case.masked else set()
        partly |= {case.patient} if case.partly else set()
    masked -= partly  # held out, they would teach nothing
    drawn = scribbled or masked
    alone = sorted(masked - drawn)
    val = alone if validate is None else _chosen(alone, sorted(masked & drawn), validate, learners=len(drawn))
    made: dict[str, tuple[Split, ...]] = {
        "own": (Split(_without(drawn, val), tuple(val), _without(alone, val)),),
    }
    if len(masked) >= FIVE:
        made["five"] = tuple(_held_out(scribbled | masked, sorted(masked), fold, FIVE) for fold in range(FIVE))
    if 2 <= len(masked) <= FEW:
        count = len(masked)
        made["one-out"] = tuple(_held_out(scribbled | masked, sorted(masked), fold, count) for fold in range(count))
    return made


def _chosen(alone: list[str], both: list[str], validate: float, *, learners: int) -> list[str]:
    available = len(alone) + len(both)
    count = round(validate * available) if 0 < validate < 1 else int(validate) if math.isfinite(validate) else 0
    if not available and validate > 0:
        raise InputError(f"--validate {validate:g}: no patient has a mask of a whole volume, allowed is no --validate")
    if 0 < validate < 1 and count < 1:
        none = f"is none of {counted(available, 'patient')} with masks"
        raise InputError(f"--validate {validate:g}: {none}, allowed are 1 to {available}")
    if count < 1 or (validate >= 1 and count != validate):
        raise InputError(f"--validate {validate:g}: allowed is a whole number from 1 on, or a fraction below 1")
    if count > available:
        have = f"{counted(available, 'patient')} {'has' if available == 1 else 'have'}"
        raise InputError(f"--validate {validate:g}: only {have} masks, allowed are 1 to {available}")
    more = count - len(alone)
    if more >= learners:
        raise InputError(f"--validate {validate:g}: leaves no patient to learn from, allowed are 1 to {available - 1}")
    # Spread over the patients, as their order may tell time or place.
    return alone[:count] if more <= 0 else sorted([*alone, *(both[place * len(both) // more] for place in range(more))])


def _held_out(patients: set[str], masked: list[str], fold: int, of: int) -> Split:
    test = masked[fold::of]
    val = [patient for patient in masked if patient not in test][4::10]
    return Split(_without(patients, [*test, *val]), tuple(val), tuple(test))


def _without(patients: Iterable[str], held: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(patients) - set(held)))
