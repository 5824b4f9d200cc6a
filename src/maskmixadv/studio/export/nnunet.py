"""A data set for nnU-Net of what is known in the folder."""

import re
from pathlib import Path

from maskmixadv.corpus.corpus import Corpus
from maskmixadv.sources import nnunet_export
from maskmixadv.studio.layout import Layout


def write_nnunet(layout: Layout, corpus: Corpus, problems: list[str]) -> tuple[Path, int]:
    """Write the folder's `corpus` as nnU-Net's raw dataset, with the next free number.

    A line for each thing that is not written, or not known, is appended to `problems`.

    Returns
    -------
    The dataset's directory, and the number of its files.

    Raises
    ------
    InputError
        If a case can't be read, or a file can't be written.
    """
    names = [path.name.removeprefix("Dataset") for path in layout.export.glob("Dataset*_*")]
    number = 1 + max((int(name[:3]) for name in names if name[:3].isdecimal()), default=100)
    name = re.sub(r"[^A-Za-z0-9]", "", layout.root.name) or "Studio"
    out = layout.export / f"Dataset{number}_{name}"
    nnunet_export.export(corpus, out, told=problems)
    return out, sum(path.is_file() for path in out.rglob("*"))
