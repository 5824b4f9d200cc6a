"""What is told of verdicts and looks that were given on another image than a case has by now."""

from pathlib import Path

from maskmixadv.errors import counted
from maskmixadv.studio.review.looked import Looked
from maskmixadv.studio.review.reviews import Reviews


def held_back(reviews: Reviews, looked: Looked, case: str, image: Path) -> str:
    """Say what was said of the slices of another image, which had the place of `image`; empty if nothing was."""
    notes, looks = reviews.held_back(case), looked.held_back(case)
    if notes is None and (not looks or case in reviews.cases()):
        return ""
    counts = {"verdict": 0 if notes is None else len(notes.reviews), "look": looks}
    said = ", ".join(counted(count, word) for word, count in counts.items() if count)
    told = f"; held back: {said}" if said else ""
    return (
        f"images/{image.name}: is another image than the one that was worked on{told}; put that one back, or check "
        "what is drawn and judge the slices again"
    )
