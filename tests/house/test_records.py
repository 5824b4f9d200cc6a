"""What was measured says nothing of the machine's folders."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES = ("/home/", "/root/", "/tmp/", "/work/")


RECORDS = sorted([*(ROOT / "benchmarks" / "records").glob("*.jsonl"), *(ROOT / "results").iterdir()])


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.name)
def test_places_are_given_from_where_one_stands(path: Path) -> None:
    for each in [path] if path.is_file() else path.rglob("*"):
        if each.suffix in (".csv", ".json", ".jsonl", ".md"):
            text = each.read_text()
            assert not [place for place in PLACES if place in text], each
