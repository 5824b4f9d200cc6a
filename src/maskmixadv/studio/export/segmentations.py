"""Masks as DICOM segmentations (SEG), of images that are DICOM series."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from maskmixadv.errors import InputError
from maskmixadv.formats.dicom_geometry import SeriesGeometry
from maskmixadv.studio.export.folders import renewed
from maskmixadv.studio.export.masks import CaseMask
from maskmixadv.studio.palette import PaletteClass


def write_segmentations(
    out: Path, masks: Iterable[CaseMask], classes: Sequence[PaletteClass], problems: list[str]
) -> int:
    """Write ``NAME.dcm`` for each case whose image is a DICOM series, in the palette's colours; returns how many.

    For each case that can't be written, and each one that lacks slices, a line is appended to `problems`.

    Raises
    ------
    RequestError
        If no case can be written.
    InputError
        If a file can't be written.
    """
    names, colours = [each.name for each in classes], [each.colour for each in classes]
    with renewed(out, problems) as new:
        for mask in masks:
            geometry = mask.shown.volume.geometry
            if not isinstance(geometry, SeriesGeometry):
                problems.append(f"{mask.case}: no DICOM SEG, as its image is no DICOM; export its mask as NIfTI")
                continue
            path = new.place / f"{mask.case}.dcm"
            try:
                geometry.write_labels(path, mask.without_rejected(0), names, colours)
            except InputError as error:
                problems.append(str(error).replace(f"{path}:", f"{mask.case}:"))
                continue
            problems += filter(None, [mask.lacking()])
    return new.files
