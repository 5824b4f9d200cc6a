"""Tables come back as they were, and hold no formulas."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskmixadv import tabular
from maskmixadv.errors import InputError


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1), min_size=1))
def test_cells_come_back_as_they_were(cells: list[str]) -> None:
    text = tabular.csv_text(["a"], [{"a": cell} for cell in cells])
    lines = [line.strip('"') for line in text.split("\n")]
    assert not any(line[:1] in "=+@" and not tabular._number(line) for line in lines if line)
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"cells-{os.getpid()}.csv"
    path.write_bytes(text.encode())
    try:
        assert [row["a"] for row in tabular.read_csv(path)] == cells
    finally:
        path.unlink()


@pytest.mark.parametrize("value", ["=1+1", "+x", "-1+1", "@SUM(A1)", "'=1", "\t=1"])
def test_a_formula_is_text(value: str) -> None:
    assert tabular.csv_text(["a"], [{"a": value}]).splitlines()[1].lstrip('"').startswith("'")


@pytest.mark.parametrize("value", ["-1.5", "nan", "-inf", "1e-3", "plain", "'tis"])
def test_numbers_and_words_stay(value: str) -> None:
    assert tabular.csv_text(["a"], [{"a": value}]) == f"a\n{value}\n"


def test_a_broken_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    twice = ("a,b,a\n1,2,3\n", "two columns are called 'a'")
    for text, told in (
        twice,
        ("a,b\n1\n", "another number of cells"),
        ('a\n"' + "x" * 200_000 + '"\n', "field larger"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=told):
            tabular.read_csv(path)
