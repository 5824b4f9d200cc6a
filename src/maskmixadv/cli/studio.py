"""The command ``studio``: its options."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True)
class Studio:
    """Scribble, train and review in the browser; prints the address, which this machine alone can open.

    Attributes
    ----------
    folder
        Folder with images/, or one to make; all that is drawn, trained and predicted lies in it.
    port
        To listen on, of this machine's loopback address; 0 takes a free one.
    open
        Open the address in the browser.
    """

    folder: Annotated[Positional[Path], arg(metavar="FOLDER")]
    port: int = 0
    open: bool = False

    def run(self) -> int:
        """Serve until Ctrl-C."""
        from maskmixadv.studio.http.server import serve

        return serve(self.folder, port=self.port, browse=self.open)
