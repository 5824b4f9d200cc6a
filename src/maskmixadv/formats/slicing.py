"""How an image is seen: along which axis its slices are cut, and how these lie. Its own header decides.

One rule holds for all of a corpus. Where the files say where they lie in the patient, each slice is seen in the
radiological view, however the file stores it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float, Shaped

from maskmixadv.errors import InputError
from maskmixadv.types import Spacing

THICKER: Final = 1.1
"""By which factor a spacing must exceed the others for slices to be cut along its axis."""
ACROSS: Final = ("left-right", "posterior-anterior", "inferior-superior")
"""The patient's axes, in the order of the world's x, y, z (RAS)."""
LETTERS: Final = (("L", "R"), ("P", "A"), ("F", "H"))
"""Letters of the directions against and along the world's x, y, z (RAS)."""
ASKEW: Final = 0.35
"""The cosine above which a direction has an axis's letter: 70 degrees or nearer."""
RADIOLOGICAL: Final = (
    ((0, False), (2, False), (1, False)),
    ((1, False), (2, False), (0, False)),
    ((2, True), (1, False), (0, False)),
)
"""The radiological view of slices that are cut along the world's x, y or z (RAS): the world's axes along d, h and w,
and whether voxels run to its R, A or S. Axial: w to the left, h to posterior, d to superior. Coronal: w to the left, h
to inferior, d to posterior. Sagittal: w to posterior, h to inferior, d to the left."""
Value = TypeVar("Value", int, str)


@dataclass(frozen=True)
class View:
    """How an image is seen: its array's axes in the order slice, row, column, some of them reversed.

    Attributes
    ----------
    order
        Axes of the file's array ``d h w``, 0 to 2, that are slice, row and column.
    flipped
        Which of the three run backwards.

    Examples
    --------
    >>> array = np.arange(6).reshape(1, 2, 3)
    >>> view = View((1, 0, 2), (True, False, False))
    >>> view.seen(array).tolist()
    [[[3, 4, 5]], [[0, 1, 2]]]
    >>> np.array_equal(view.back(view.seen(array)), array)
    True
    """

    order: tuple[int, int, int] = (0, 1, 2)
    flipped: tuple[bool, bool, bool] = (False, False, False)

    @classmethod
    def along(cls, axis: int) -> "View":
        """Return the view with array axis `axis` as slices, and the other two in their order as rows and columns."""
        h, w = (other for other in range(3) if other != axis)
        return cls((axis, h, w))

    @property
    def axis(self) -> int:
        """The array axis along which slices are cut."""
        return self.order[0]

    def seen(self, array: Shaped[np.ndarray, "*c d h w"]) -> Shaped[np.ndarray, "*c _ _ _"]:
        """Return an array of the file as it is seen, without copying it; axes before the last three stay."""
        first = array.ndim - 3
        return array.transpose(*range(first), *(first + axis for axis in self.order))[self._steps]

    def back(self, array: Shaped[np.ndarray, "*c d h w"]) -> Shaped[np.ndarray, "*c _ _ _"]:
        """Return an array that is seen as the file stores it, without copying it."""
        first = array.ndim - 3
        return array[self._steps].transpose(*range(first), *(first + self.order.index(axis) for axis in range(3)))

    def stored(self, index: int, depth: int) -> int:
        """Return where the file stores seen slice `index` of `depth` ones; the same call leads back."""
        return depth - 1 - index if self.flipped[0] else index

    @property
    def _steps(self) -> tuple[Any, ...]:
        return (..., *(slice(None, None, -1 if backwards else 1) for backwards in self.flipped))


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
    >>> sagittal.radiological(0)
    View(order=(0, 1, 2), flipped=(True, True, True))
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

    def radiological(self, axis: int) -> View:
        """Return the radiological view of slices along array axis `axis`; as stored if the file has no place."""
        if self.affine is None or not (lies := self._anatomical()):
            return View.along(axis)
        stored = {ACROSS.index(name): own for own, name in lies.items()}
        columns = self.affine[:3, 2::-1]  # by array axis: d is z
        wanted = RADIOLOGICAL[ACROSS.index(lies[axis])]
        d, h, w = (stored[world] for world, _ in wanted)
        back = [bool((columns[world, stored[world]] > 0) != rising) for world, rising in wanted]
        return View((d, h, w), (back[0], back[1], back[2]))

    def edges(self, view: View) -> tuple[tuple[str, str], ...] | None:
        """Return where the first and the last slice, row and column of a view lie: R, L, A, P, H (head) or F (feet).

        Where an axis runs askew, a second letter names the next nearest direction, such as ``AL``. None if the file
        does not say where it lies.

        Examples
        --------
        >>> axial = Header((12, 64, 64), (8.0, 1.0, 1.0), np.diag([-1.0, -1.0, 8.0, 1.0]))
        >>> axial.edges(axial.radiological(0))
        (('F', 'H'), ('A', 'P'), ('R', 'L'))
        """
        if self.affine is None or not self._anatomical():
            return None
        columns = self.affine[:3, 2::-1] / np.linalg.norm(self.affine[:3, 2::-1], axis=0)  # by array axis: d is z
        ways = [
            -columns[:, axis] if back else columns[:, axis] for axis, back in zip(view.order, view.flipped, strict=True)
        ]
        return tuple((_lettered(-way), _lettered(way)) for way in ways)

    def stored_as(self, other: "Header") -> View | None:
        """Return the view in which this file's axes run as those of `other` do in the patient.

        None if a file does not say where it lies, or their axes are not parallel, or their voxels not of one size.
        """
        if self.affine is None or other.affine is None:
            return None
        steps = np.linalg.solve(other.affine[:3, :3], self.affine[:3, :3])[::-1, ::-1].round()
        ways = np.abs(steps)  # rows: array axes of `other`; columns: those of this file
        if not (np.array_equal(ways.sum(0), np.ones(3)) and np.array_equal(ways.sum(1), np.ones(3))):
            return None
        d, h, w = ways.argmax(1).tolist()
        back = (steps.sum(1) < 0).tolist()
        return View((d, h, w), (back[0], back[1], back[2]))

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


def _lettered(way: Float[np.ndarray, "3"]) -> str:
    """Return the letters of a direction (RAS, of length 1): the nearest first, of two at most."""
    near = sorted((axis for axis in range(3) if abs(way[axis]) > ASKEW), key=lambda axis: -abs(way[axis]))
    return "".join(LETTERS[axis][int(way[axis] > 0)] for axis in near[:2])


@dataclass(frozen=True)
class Slicing:
    """How the images of a corpus are seen, and so those that a run of it predicts.

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
    radiological
        Whether slices are turned to the radiological view (`RADIOLOGICAL`) where a file says where it lies in the
        patient. If not, the other two axes stay in the order of the file.

    Examples
    --------
    >>> slicing = Slicing(axis=0, thickest=True)
    >>> slicing.of(Header((256, 256, 12), (1.0, 1.0, 4.0)))
    View(order=(2, 0, 1), flipped=(False, False, False))
    >>> slicing.of(Header((256, 256, 12))).axis
    0
    """

    axis: int = 0
    thickest: bool = False
    across: str = ""
    radiological: bool = False

    def of(self, header: Header) -> View:
        """Return how an image is seen."""
        return self.along(self._cut(header), header)

    def along(self, axis: int, header: Header) -> View:
        """Return how an image is seen if its slices are cut along array axis `axis`."""
        return header.radiological(axis) if self.radiological else View.along(axis)

    def _cut(self, header: Header) -> int:
        """Return the array axis, 0 to 2, along which an image's slices are cut."""
        if header.single is not None:
            return header.single
        if self.thickest and header.thick is not None:
            return header.thick
        own = header.along(self.across) if self.across else None
        return self.axis if own is None else own


def common(headers: Sequence[Header]) -> Slicing:
    """Return how to cut images: along the thick axis, if most volumes have one, else along one axis of the patient.

    Where no axis is thicker, it is the one that the last axis of a NIfTI file has in most of them. Slices are seen in
    the radiological view if at least one file says where it lies.

    Examples
    --------
    >>> common([Header((12, 64, 64), (8.0, 1.0, 1.0)), Header((64, 64, 12), (1.0, 1.0, 8.0)), Header((64, 64, 1))])
    Slicing(axis=0, thickest=True, across='', radiological=False)
    """
    volumes = [each for each in headers if each.single is None]
    thick = [(each, each.thick) for each in volumes]
    clear = [(each, axis) for each, axis in thick if axis is not None]
    if thickest := 2 * len(clear) > len(volumes):
        cut = clear
    else:
        cut = [(each, 0) for each in volumes] or [(each, each.single or 0) for each in headers]
    across = [each.across(axis) for each, axis in cut if each.affine is not None]
    return Slicing(_most([axis for _, axis in cut], 0), thickest, _most(across, ""), placed(headers))


def placed(headers: Iterable[Header]) -> bool:
    """Return whether at least one image says where it lies in the patient.

    Examples
    --------
    >>> placed([Header((1, 64, 64)), Header((12, 64, 64), (4.0, 1.0, 1.0), np.diag([1.0, 1.0, 4.0, 1.0]))])
    True
    """
    return any(header.affine is not None for header in headers)


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
