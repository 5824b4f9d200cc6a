"""Opening a corpus by its directory: one that was prepared, or a folder of images, of which a corpus is made."""

from pathlib import Path

from maskmixadv.corpus.corpus import Corpus
from maskmixadv.errors import InputError
from maskmixadv.types import PathLike


def open_corpus(root: PathLike) -> Corpus:
    """Open the corpus in directory `root`, or that of the images which a folder holds now.

    Parameters
    ----------
    root
        What ``maskmixadv prepare`` or `maskmixadv.make_corpus` made; or a folder with ``images/``, ``scribbles/``,
        ``masks/`` and ``classes.toml``, of which a corpus is made and kept in its ``.corpus``.

    Raises
    ------
    InputError
        Where `root` is no corpus, one of another version, or a folder whose images can't become one.

    Examples
    --------
    >>> import maskmixadv as mma
    >>> made = mma.make_phantoms("corpus", cases=6, size=64)
    >>> corpus = open_corpus("corpus")
    >>> corpus
    Corpus('phantom-0', root='corpus', 6 cases, 4 classes)
    >>> corpus.load("phantom000_ED")
    Case(name='phantom000_ED', patient='phantom000', shape=(6, 60, 56), spacing=(9.6, 3.782, 3.782), phase='ED', ...)
    """
    root = Path(root)
    if (root / "images").is_dir() and not (root / "corpus.json").is_file():
        from maskmixadv.sources.follow import current  # its readers of images are slow to import

        return current(root)
    if not (root / "corpus.json").is_file():
        from maskmixadv.sources.layouts import advice

        if told := advice.taker(root):
            raise InputError(f"{root}: not a corpus (no corpus.json), nor a folder with images/; {told}")
    return Corpus.open(root)
