"""What people did in a folder, by the names of cases, whatever images there are."""

from collections.abc import Container, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from maskmixadv.errors import InputError, counted
from maskmixadv.files import read_json
from maskmixadv.studio.cache import Stamp, stamp
from maskmixadv.studio.layout import LOOKED, PROPOSED, REVIEWS, Layout, case_of

_Notes = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Work:
    """What is noted of a case beside its files of strokes and masks.

    Attributes
    ----------
    accepted, rejected, looked
        How many slices were judged and looked at.
    seconds
        How long people drew.
    use
        Whether somebody said what its dense slices are for.
    proposed
        Whether a proposal was accepted as a mask.
    """

    accepted: int = 0
    rejected: int = 0
    looked: int = 0
    seconds: float = 0.0
    use: bool = False
    proposed: bool = False

    def __str__(self) -> str:
        counts = {"accepted": self.accepted, "rejected": self.rejected, "looked at": self.looked}
        slices = [f"{counted(count, 'slice')} {what}" for what, count in counts.items() if count]
        told = {
            _duration(self.seconds): self.seconds > 0,
            "a file of accepted proposals": self.proposed and not self.accepted,
            "what its slices are for": self.use,
        }
        return ", ".join([*slices, *(words for words, holds in told.items() if holds)])


def _duration(seconds: float) -> str:
    if seconds < 57:  # less than is written as a minute
        return f"{counted(max(1, round(seconds)), 'second')} of drawing"
    return f"{seconds / 60:.1f} minutes of drawing"


def noted(layout: Layout) -> dict[str, Work]:
    """Return what is noted of each case; files that are malformed count as empty, as their readers tell of them."""
    reviews, looked = _cases(layout, REVIEWS), _cases(layout, LOOKED)
    folder = layout.predictions / PROPOSED
    proposed = {case_of(path.name) for path in (folder.iterdir() if folder.is_dir() else ())} - {""}
    works = {
        case: _work(reviews.get(case, {}), looked.get(case, {}), proposed=case in proposed)
        for case in sorted({*reviews, *looked, *proposed})
    }
    return {case: work for case, work in works.items() if work != Work()}


def without_image(layout: Layout, images: Container[str]) -> list[str]:
    """Return a line for each case of which there are notes and that is none of `images`."""
    return [
        f"{case}: no image of this name, but {held}; call its image so again, and all that is known of it"
        for case, held in noted(layout).items()
        if case not in images
    ]


def cases(layout: Layout) -> set[str]:
    """Return the cases of which there is any work: strokes, masks, verdicts, looks, or accepted proposals."""
    parts = (layout.scribbles, layout.masks, layout.corrected)
    return {*(case for part in parts for case in layout.listing(part).files), *noted(layout)}


def axes(layout: Layout) -> dict[str, tuple[int, Any]]:
    """Return the file's axis along which a case was cut when somebody first worked in it, as far as that is noted.

    Beside it stands what is noted of the image that the file held then (`maskmixadv.sources.marks`).
    """
    noted = _cases(layout, LOOKED).items()
    return {case: (notes["axis"], notes.get("image")) for case, notes in noted if notes.get("axis") in (0, 1, 2)}


def _work(reviews: Mapping[str, Any], looked: Mapping[str, Any], *, proposed: bool) -> Work:
    verdicts = [said["verdict"] for said in reviews.get("reviews", {}).values()]
    return Work(
        accepted=verdicts.count("accepted"),
        rejected=verdicts.count("rejected"),
        looked=len(looked.get("looked", {})),
        seconds=sum(reviews.get("seconds", {}).values(), start=0.0),
        use=looked.get("use", "auto") != "auto",
        proposed=proposed,
    )


def _cases(layout: Layout, name: str) -> _Notes:
    path = layout.root / name
    with suppress(InputError):
        return _read(stamp(layout.check(path))) if path.is_file() else {}
    return {}


@lru_cache(maxsize=16)
def _read(state: Stamp) -> _Notes:
    """Read a file in one of its states, as each request asks for it; only cases that are well-formed."""
    raw = read_json(state[0])
    found = raw.get("cases") if isinstance(raw, dict) else None
    return {case: notes for case, notes in found.items() if _sound(notes)} if isinstance(found, dict) else {}


def _sound(notes: object) -> bool:
    with suppress(KeyError, TypeError, AttributeError, OverflowError):
        if isinstance(notes, dict):
            _work(notes, notes, proposed=False)
            return True
    return False
