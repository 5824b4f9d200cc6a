"""Along which axis of an image its slices are cut: each image's own header decides, by one rule for all of a corpus."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float

from maskmixadv.errors import InputError
from maskmixadv.types import Spacing

THICKER: Final = 1.1
"""By which factor a spacing must exceed the others for slices to be cut along its axis."""
ACROSS: Final = ("left-right", "posterior-anterior", "inferior-superior")
"""The patient's axes, in the order of the world's x, y, z (RAS)."""
Value = TypeVar("Value", int, str)


class Header(NamedTuple):
    """What a file says of its grid, without its voxels.

    Attributes
    ----------
    shape
        Voxels along d, h, w.
    spacing
        Millimetres between voxels along d, h, w; None if the file does not say.
    affine
        Matrix from voxel (x, y, z, 1) to the patient (mm, RAS); None if the file does not say.

    Examples
    --------
    >>> sagittal = Header((12, 256, 256), (4.0, 1.0, 1.0), np.array([[0, 0, 4, 0], [1, 0, 0, 0], [0, 1, 0, 0.0]]))
    >>> sagittal.thick, sagittal.across(0)
    (0, 'left-right')
    """

    shape: tuple[int, ...]
    spacing: Spacing | None = None
    affine: Float[np.ndarray, "_ 4"] | None = None

    @property
    def single(self) -> int | None:
        """The array axis across a single slice: the only one of one voxel; None for a volume."""
        ones = [axis for axis, length in enumerate(self.shape) if length == 1]
        return ones[0] if len(ones) == 1 else None

    @property
    def thick(self) -> int | None:
        """The array axis along which the spacing is clearly the largest; None if there is none."""
        if self.spacing is None:
            return None
        axis = int(np.argmax(self.spacing))
        return axis if self.spacing[axis] > THICKER * np.delete(self.spacing, axis).max() else None

    def across(self, axis: int) -> str:
        """Return the patient's axis that array axis `axis` lies along most; empty if the file does not say."""
        return self._anatomical().get(axis, "")

    def along(self, across: str) -> int | None:
        """Return the array axis that lies along a patient's axis most; None if the file does not say."""
        return next((axis for axis, name in self._anatomical().items() if name == across), None)

    def _anatomical(self) -> dict[int, str]:
        """Return the patient's axis by array axis: each one once, the clearest first."""
        if self.affine is None:
            return {}
        columns = np.abs(self.affine[:3, 2::-1])  # by array axis: d is z
        lengths = np.linalg.norm(columns, axis=0)
        if not lengths.min() > 0:
            return {}
        left, found = columns / lengths, dict[int, str]()
        for axis in sorted(range(3), key=lambda axis: -left[:, axis].max()):
            world = int(left[:, axis].argmax())
            found[axis] = ACROSS[world]
            left[world] = -1
        return found


@dataclass(frozen=True)
class Slicing:
    """How the images of a corpus are cut into slices, and so those that a run of it predicts.

    An image of a single slice is cut across that. Else its thick axis counts, if `thickest`; else its axis that lies
    along the patient's axis `across`, where both are known; else the array axis `axis`.

    Attributes
    ----------
    axis
        Array axis ``d h w`` of most images, 0 to 2.
    thickest
        Whether most images have slices that are clearly thicker than their pixels, and were cut along that axis.
    across
        The patient's axis along which most were cut, one of `ACROSS`; empty where that is unknown.

    Examples
    --------
    >>> slicing = Slicing(axis=0, thickest=True)
    >>> slicing.of(Header((256, 256, 12), (1.0, 1.0, 4.0))), slicing.of(Header((256, 256, 12)))
    (2, 0)
    """

    axis: int = 0
    thickest: bool = False
    across: str = ""

    def of(self, header: Header) -> int:
        """Return the array axis, 0 to 2, along which an image's slices are cut."""
        if header.single is not None:
            return header.single
        if self.thickest and header.thick is not None:
            return header.thick
        own = header.along(self.across) if self.across else None
        return self.axis if own is None else own


def common(headers: Sequence[Header]) -> Slicing:
    """Return how to cut images: along the thick axis, if most volumes have one, else along one axis of the patient.

    Where no axis is thicker, it is the one that the last axis of a NIfTI file has in most of them.

    Examples
    --------
    >>> common([Header((12, 64, 64), (8.0, 1.0, 1.0)), Header((64, 64, 12), (1.0, 1.0, 8.0)), Header((64, 64, 1))])
    Slicing(axis=0, thickest=True, across='')
    """
    volumes = [each for each in headers if each.single is None]
    thick = [(each, each.thick) for each in volumes]
    clear = [(each, axis) for each, axis in thick if axis is not None]
    if thickest := 2 * len(clear) > len(volumes):
        cut = clear
    else:
        cut = [(each, 0) for each in volumes] or [(each, each.single or 0) for each in headers]
    placed = [each.across(axis) for each, axis in cut if each.affine is not None]
    return Slicing(_most([axis for _, axis in cut], 0), thickest, _most(placed, ""))


def check_across(across: str, where: str) -> None:
    """Check the name of a patient's axis that a record has.

    Raises
    ------
    InputError
        If it is no such name.

    Examples
    --------
    >>> check_across("up", "corpus.json")
    Traceback (most recent call last):
    maskmixadv.errors.InputError: corpus.json: across 'up', allowed are left-right, posterior-anterior, ...
    """
    if across not in ("", *ACROSS):
        raise InputError(f"{where}: across {across[:40]!r}, allowed are {', '.join(ACROSS)}")


def _most(values: Sequence[Value], otherwise: Value) -> Value:
    """Return the most frequent value, the first of those that are equally frequent; `otherwise` if there is none."""
    return Counter(values).most_common(1)[0][0] if values else otherwise
