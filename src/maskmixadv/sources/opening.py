"""Opening a corpus by its directory: one that was prepared, or a folder of images, of which a corpus is made."""

from pathlib import Path

from maskmixadv.corpus.corpus import Corpus
from maskmixadv.sources.follow import current


def open_corpus(root: Path) -> Corpus:
    """Open the corpus in directory `root`; of a folder of images, make a corpus first (`maskmixadv.sources.follow`).

    Raises
    ------
    InputError
        If `root` is neither a corpus of this version nor a folder of images, or an image is damaged.

    Examples
    --------
    >>> from maskmixadv.sources.phantoms import phantom
    >>> _ = phantom.prepare(Path("corpus"), cases=6, size=64)
    >>> open_corpus(Path("corpus"))
    Corpus(corpus: phantom-0, 6 cases of 3 patients, classes background, RV, Myo, LV, folds paper)
    """
    if (root / "images").is_dir() and not (root / "corpus.json").is_file():
        return current(root)
    return Corpus.open(root)
