"""Downloads of public releases, file by file: each is checked against its hash, and kept if it is there already."""

import logging
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from maskmixadv.errors import InputError, say
from maskmixadv.files import cannot_write, make_directory

if TYPE_CHECKING:
    import pooch
    import requests

TRIES: Final = 3
"""Attempts at a file before it is given up."""
PATIENCE: Final = 30.0
"""Seconds without a byte after which an attempt ends."""


@dataclass(frozen=True)
class Release:
    """Files of one commit of a public repository.

    Attributes
    ----------
    address
        Address of the folder that holds the files.
    registry
        Name of a text in ``registries/``: a line for each file, with its name and its SHA-256.
    terms
        Authors of the files, and what they may be used for.

    Examples
    --------
    >>> print(MSCMR.terms)
    MSCMRseg (Zhuang 2019), scribbles of Zhang and Zhuang 2022; research use
    >>> len(ACDC.hashes()), len(MSCMR.hashes())
    (200, 60)
    """

    address: str
    registry: str
    terms: str

    def hashes(self) -> dict[str, str]:
        """Return the SHA-256 of each file by its name."""
        lines = files("maskmixadv.sources").joinpath("registries", self.registry).read_text().splitlines()
        return {line.split()[0]: line.split()[1] for line in lines}


ACDC: Final = Release(
    "https://raw.githubusercontent.com/HiLab-git/WSL4MIS/a594da8d99a42860bf1dad7cea02bd168e3683b1/"
    "data/ACDC/ACDC_training_volumes/",
    "acdc.txt",
    "ACDC (Bernard et al. 2018), scribbles of Valvano et al. 2021; CC BY-NC-SA 4.0, research use",
)
"""All 200 volumes of WSL4MIS's release, 123 MB."""
MSCMR: Final = Release(
    "https://raw.githubusercontent.com/BWGZK/CycleMix/76748303cdfa307a9ce1f5969d95f675a1cb9066/MSCMR_dataset/",
    "mscmr.txt",
    "MSCMRseg (Zhuang 2019), scribbles of Zhang and Zhuang 2022; research use",
)
"""The folders ``train`` and ``val`` of CycleMix's release: 60 files of 30 patients."""


def download(release: Release, folder: Path) -> None:
    """Fetch all files of `release` into `folder`, which is made if it is missing; whole files in it are kept.

    Raises
    ------
    InputError
        If a file can't be fetched, has another hash, or can't be written (`UnwritableError`). Files that were fetched
        stay.

    Examples
    --------
    >>> from pathlib import Path
    >>> download(Release("https://example.org/", "acdc.txt", ""), Path("acdc"))  # doctest: +SKIP
    """
    import pooch
    from rich.progress import track

    make_directory(folder)
    pooch.get_logger().setLevel(logging.WARNING)
    say(release.terms)
    hashes = release.hashes()
    keeper = pooch.create(path=folder, base_url=release.address, registry=hashes, retry_if_failed=TRIES - 1)
    for name in track(hashes, description="download", disable=not sys.stderr.isatty()):
        _fetch(keeper, name)


def _fetch(keeper: "pooch.Pooch", name: str) -> None:
    import pooch
    import requests

    downloader: Any = pooch.HTTPDownloader(timeout=PATIENCE)
    try:
        keeper.fetch(name, downloader=downloader)
    except requests.exceptions.RequestException as error:
        raise InputError(
            f"{keeper.get_url(name)}: can't be fetched ({_reason(error)}); try again, what is there is kept"
        ) from None
    except ValueError:
        raise InputError(
            f"{keeper.get_url(name)}: not the release's file, SHA-256 must be {keeper.registry[name]}; try again later"
        ) from None
    except OSError as error:
        raise cannot_write(keeper.abspath / name, error) from None


def _reason(error: "requests.exceptions.RequestException") -> str:
    """Return the server's answer, or the exception's class: libraries' own messages fill half a page."""
    found = error.response
    return f"{found.status_code} {found.reason}" if found is not None else type(error).__name__
