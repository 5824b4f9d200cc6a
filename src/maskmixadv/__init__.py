"""Learn to segment medical images from a few scribbles per slice, and compare the ways of doing so fairly.

From images to masks in Python; each name below is imported when it is used first::

    import maskmixadv as mma

Data: `open_corpus`, `make_corpus`, `make_phantoms`; `Corpus`, `Case`, `Channel`, `Split`, `IGNORE`.
Learning: `train`, `Run`. Use: `Predictor`. Scores: `evaluate`, `score`. Errors: `InputError`, `DivergedError`.
By module: `methods`, `perturb`, `losses`, `metrics`, `pictures`.

Arrays are NumPy's. Volumes have axes ``(d, h, w)``: slices, rows, columns, and a spacing in mm along these. Labels are
uint8: class indices from 0, the background, on; `IGNORE`, 255, where nothing was drawn.

Examples
--------
>>> import maskmixadv as mma
>>> corpus = mma.make_phantoms("corpus", cases=6, size=64)
>>> case = corpus.load("phantom000_ED")
>>> case.image.dtype, case.scribble.dtype, mma.IGNORE in case.scribble
(dtype('float32'), dtype('uint8'), True)
>>> scores = mma.score(case.dense, case.dense, classes=corpus.classes, spacing=case.spacing)
>>> [round(each.dice, 1) for each in scores]
[1.0, 1.0, 1.0]
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, _, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__", "__doc__"])
