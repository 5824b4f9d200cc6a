"""Any corpus by its directory: one that was prepared, or a folder of images, of which one is made."""

from pathlib import Path

from maskmixadv.corpus.corpus import Corpus
from maskmixadv.sources.follow import current


def open_corpus(root: Path) -> Corpus:
    """Open the corpus in directory `root`, or that of the images which a folder holds now.

    Raises
    ------
    InputError
        Where `root` is no corpus, one of another version, or a folder whose images can't become one.
    """
    if (root / "images").is_dir() and not (root / "corpus.json").is_file():
        return current(root)
    return Corpus.open(root)
