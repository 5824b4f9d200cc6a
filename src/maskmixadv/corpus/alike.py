"""Cases that have the same image, whatever is drawn on it and whoever's it is said to be: a leak where one is tested.

A file of a case says in its directory, without being unpacked, what its image's checksum is.
"""

import zipfile
from collections.abc import Iterable, Iterator
from contextlib import suppress

import numpy as np

from maskmixadv.corpus.corpus import Corpus
from maskmixadv.corpus.entry import Entry
from maskmixadv.errors import InputError, listed
from maskmixadv.formats.reading import reading

Mark = tuple[object, ...]
"""What two cases with the same image have in common."""


def same_images(
    corpus: Corpus, entries: Iterable[Entry], home: Corpus, others: Iterable[Entry], *, renamed: bool = False
) -> Iterator[tuple[Entry, Entry]]:
    """Yield each case of which another one has the image, with the first such one.

    Intensities that differ, as those of another preparation, make another image.

    Parameters
    ----------
    corpus, entries
        Cases of a corpus.
    home, others
        Cases of another one, or of the same.
    renamed
        Whether only a case of a patient with another name counts.

    Examples
    --------
    >>> from pathlib import Path
    >>> from maskmixadv.sources.phantoms import phantom
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> [(one.name, other.name) for one, other in same_images(corpus, corpus.entries[:1], corpus, corpus.entries)]
    [('phantom000_ED', 'phantom000_ED')]
    """
    known: dict[Mark, list[Entry]] = {}
    for other in others:
        for mark in _marks(home, other, renamed):
            known.setdefault(mark, []).append(other)
    for entry in entries:
        alike = (other for mark in _marks(corpus, entry, renamed) for other in known.get(mark, ()))
        for other in alike:
            if renamed and entry.patient == other.patient:
                continue
            if entry.sha256 == other.sha256 or _equal(corpus, entry, home, other):
                yield entry, other
                break


def twins(corpus: Corpus, entries: Iterable[Entry], others: Iterable[Entry]) -> str:
    """Name cases whose image another patient's case has, too, each with that one; empty where there are none.

    Examples
    --------
    >>> from pathlib import Path
    >>> from maskmixadv.sources.phantoms import phantom
    >>> corpus = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> twins(corpus, corpus.entries, corpus.entries)
    ''
    """
    pairs = dict[frozenset[str], str]()
    for one, other in same_images(corpus, entries, corpus, others, renamed=True):
        pairs.setdefault(frozenset((one.name, other.name)), f"{one.name} and {other.name}")
    return listed(list(pairs.values()))


def _marks(corpus: Corpus, entry: Entry, renamed: bool) -> Iterator[Mark]:
    """Yield what another case with the same image may have, too: the file, the image's checksum, or the patient."""
    yield ("file", entry.sha256)
    path = corpus.root / "cases" / f"{entry.name}.npz"
    with (
        suppress(InputError),  # whoever reads the case tells of it
        reading(path, "archive of arrays", wrong="damaged"),
        zipfile.ZipFile(path) as archive,
    ):
        member = archive.getinfo("image.npy")
        yield ("image", entry.shape, entry.channels, member.CRC, member.file_size)
    if not renamed:  # one that is stored in another type or order has another checksum
        yield ("patient", entry.patient, entry.shape, entry.channels)


def _equal(corpus: Corpus, entry: Entry, home: Corpus, other: Entry) -> bool:
    """Whether two cases have the same image before a CT's window is laid over it, which differs by corpus."""
    return np.array_equal(corpus.measured.load(entry).image, home.measured.load(other).image)
