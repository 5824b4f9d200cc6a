"""The errors that the command line reports in one line, how lines reach stderr, and exit codes."""

import re
import sys
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Final

DIVERGED: Final = 3
"""Exit code of a training whose losses or weights are no longer finite."""
INTERRUPTED: Final = 130
"""Exit code of a command that Ctrl-C or a signal stopped."""
STOPPED: Final = "maskmixadv: interrupted; the same command, given again, goes on or begins anew"
"""The line that such a command ends with."""
_ALIKE: Final = 0.6
"""How similar two words must be for one to be meant by the other, from 0 to 1 (`difflib`)."""
_PLAIN: Final = re.compile(r"[\w@%+=:,./-]+")
"""What a shell takes as it is."""


class InputError(ValueError):
    """The user's input is wrong; the message is one line that names the file, the value and what is allowed.

    The command line prints it to stderr and ends with exit code 2.

    Examples
    --------
    >>> from maskmixadv.errors import InputError
    >>> from maskmixadv.methods.registry import load
    >>> try:
    ...     load("no-such-method")
    ... except InputError as error:
    ...     print(error)
    method: 'no-such-method', allowed are walk-teacher, maskmixadv, pce, ...
    """


class UnwritableError(InputError):
    """A place can't be written: its disk is full, fails or may only be read. Later the same may work.

    Parameters
    ----------
    message
        The line.
    number
        The system's number of the error, as ``errno.ENOSPC``; None where it is not known.

    Examples
    --------
    >>> from maskmixadv.errors import UnwritableError
    >>> issubclass(UnwritableError, InputError)
    True
    """

    def __init__(self, message: str, number: int | None = None) -> None:
        super().__init__(message)
        self.number = number


class DivergedError(ArithmeticError):
    """A training's losses or weights became NaN or infinite.

    The message is one line that names the term, the step, the learning rate and what to try. The command line prints it
    to stderr and ends with exit code ``DIVERGED``.

    Examples
    --------
    >>> from maskmixadv.errors import DIVERGED, DivergedError
    >>> issubclass(DivergedError, ArithmeticError), DIVERGED
    (True, 3)
    """


def report(error: InputError | DivergedError) -> int:
    """Print `error` to stderr in one line, as every command does; returns the command's exit code.

    Examples
    --------
    >>> report(InputError("steps: 0, allowed is 1 or more"))
    2
    """
    say(f"maskmixadv: {one_line(str(error))}")
    return DIVERGED if isinstance(error, DivergedError) else 2


def say(line: str) -> None:
    r"""Write a line to stderr at once, as threads read images side by side: ``print`` writes a line's end apart.

    Examples
    --------
    >>> import contextlib, io
    >>> with contextlib.redirect_stderr(io.StringIO()) as out:
    ...     say("a.nii.gz: cut off")
    >>> out.getvalue()
    'a.nii.gz: cut off\n'
    """
    sys.stderr.write(f"{line}\n")


def word(path: object) -> str:
    r"""Return a path as a word of a shell's command that a line tells: in double quotes where it needs them.

    Examples
    --------
    >>> word("runs/pce"), word("my runs/$1")
    ('runs/pce', '"my runs/\\$1"')
    """
    text = str(path)
    return text if _PLAIN.fullmatch(text) else '"' + re.sub(r'(["$`\\])', r"\\\1", text) + '"'


def counted(number: int, what: str) -> str:
    """Return a number of things, with an s, or es, where they are more or fewer than one.

    Examples
    --------
    >>> counted(1, "case"), counted(2_500, "slice"), counted(3, "class")
    ('1 case', '2,500 slices', '3 classes')
    """
    more = "es" if what.endswith("s") else "s"
    return f"{number:,} {what}{'' if number == 1 else more}"


def one_line(text: str) -> str:
    r"""Return `text` with every run of white space, line breaks included, as one space.

    Examples
    --------
    >>> one_line("no room\n  on the disk")
    'no room on the disk'
    """
    return " ".join(text.split())


def listed(words: Sequence[object], most: int = 8) -> str:
    """List words for people: the first `most` of them, and how many more there are.

    Examples
    --------
    >>> listed(["p1", "p2", "p3"], most=2), listed(["p1"], most=2)
    ('p1, p2 and 1 more', 'p1')
    """
    more = len(words) - most
    return ", ".join(map(str, words[:most])) + (f" and {more} more" if more > 0 else "")


def nearest(word: str, words: Sequence[object], most: int = 8) -> str:
    """List what is allowed in place of `word`: all of few words, else those first that are spelled most like it.

    Examples
    --------
    >>> nearest("Liver", ["spleen", "liver"]), nearest("Livr", ["spleen", "colon", "liver", "lung"], most=2)
    ('spleen, liver', 'liver, spleen and 2 more')
    """
    if len(words) <= most:
        return listed(words, most) or "none"
    texts, of = list(map(str, words)), SequenceMatcher(b=word.casefold())
    alike = dict[str, float]()
    for text in texts:
        of.set_seq1(text.casefold())
        alike[text] = of.ratio()
    near = sorted((text for text in texts if alike[text] >= _ALIKE), key=lambda text: -alike[text])
    return listed([*near, *(text for text in texts if alike[text] < _ALIKE)], most)


def apart(some: Sequence[object], others: Sequence[object], most: int = 8) -> tuple[str, str]:
    """List two sequences of words that differ: all words of short ones, else how many, and the first that differ.

    Parameters
    ----------
    some, others
        What is compared.
    most
        Words of the longer one, at most, up to which all are named; and of each that are named otherwise.

    Examples
    --------
    >>> apart(["background", "LV"], ["background", "liver"])
    ('background, LV', 'background, liver')
    >>> apart(["background", "a", "b", "c"], ["background", "a", "d"], most=3)
    ('4 (number 3 on: b, c)', '3 (number 3 on: d)')
    >>> apart(["background", "a", "b", "c"], ["background", "a"], most=3)
    ('4 (number 3 on: b, c)', '2 (no number 3)')
    """
    if max(len(some), len(others)) <= most:
        return listed(some, most) or "none", listed(others, most) or "none"
    pairs = zip(some, others, strict=False)
    alike = next((place for place, (one, other) in enumerate(pairs) if one != other), min(len(some), len(others)))
    rests = [
        f"number {alike + 1} on: {listed(each[alike:], most)}" if each[alike:] else f"no number {alike + 1}"
        for each in (some, others)
    ]
    return f"{len(some):,} ({rests[0]})", f"{len(others):,} ({rests[1]})"
