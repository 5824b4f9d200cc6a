"""The command ``studio``."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True)
class Studio:
    """Scribble, train and review in the browser. Prints the address; only this machine can open it.

    Attributes
    ----------
    folder
        Folder with images/, or a new one. Everything that is drawn, trained and predicted is kept in it.
    port
        Port of the loopback address to listen on; 0 takes a free one.
    open
        Open the address in the browser.
    """

    folder: Annotated[Positional[Path], arg(metavar="FOLDER")]
    port: int = 0
    open: bool = False

    def run(self) -> int:
        """Serve until Ctrl-C."""
        # NumPy reads this when it is imported, here and in trainings. A second thread makes no stroke's answer come
        # sooner, and takes a core from a training (docs/decisions/0004).
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        from maskmixadv.studio.http.server import serve

        return serve(self.folder, port=self.port, browse=self.open)
