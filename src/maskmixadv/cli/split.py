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
        A NIfTI, NRRD or MetaImage file with a fourth axis, such as a cine, a multi-frame DICOM file, or a folder with
        DICOM slices, of which several lie at each place, or which are several stacks. Frames that lie nowhere in the
        patient, as those of an ultrasound cine, become DICOM pictures: NAME_v01.dcm and so on.
    out
        Directory for the files; made if missing. No file there is replaced.
    """

    source: Annotated[Positional[Path], arg(metavar="SRC")]
    out: Annotated[Positional[Path], arg(metavar="OUT")]

    def run(self) -> int:
        """Split; returns the exit code."""
        from maskmixadv.sources import film

        names, told = film.split(self.source, self.out)
        by = f" ({told[0]})" if len(told) == 1 else ""
        what = "pictures" if names[0].endswith(film.PICTURE) else "volumes"
        print(f"{self.out}: {len(names)} {what}, {names[0]} to {names[-1]}{by}")
        for name, label in zip(names, told if not by else (), strict=False):
            print(f"{name}: {label}")
        print(f"they are of one patient: give 'prepare folder' --patient '{film.PATIENT}'")
        return 0
