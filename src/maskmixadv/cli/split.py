"""The command ``split``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True)
class Split:
    """Save each volume of a file or series of several as NIfTI: OUT/NAME_v01.nii.gz, NAME_v02.nii.gz and so on.

    Attributes
    ----------
    source
        A NIfTI, NRRD or MetaImage file with a fourth axis, such as a cine, an enhanced multi-frame DICOM file, or a
        folder with DICOM slices, of which several lie at each place.
    out
        Directory for the files; made if missing. No file there is replaced.
    """

    source: Annotated[Positional[Path], arg(metavar="SRC")]
    out: Annotated[Positional[Path], arg(metavar="OUT")]

    def run(self) -> int:
        """Split; returns the exit code."""
        from maskmixadv.sources import film

        found = film.read(self.source)
        names = film.write(found, self.out)
        by = f" ({found.told})" if found.told else ""
        print(f"{self.out}: {len(names)} volumes, {names[0]} to {names[-1]}{by}")
        print(f"they are of one patient: give 'prepare folder' --patient '{film.PATIENT}'")
        return 0
