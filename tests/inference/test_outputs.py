"""Outputs never land among inputs, nor on files of others; what the program wrote itself may be replaced."""

import json
from pathlib import Path

import pytest

from maskmixadv.errors import InputError
from maskmixadv.inference import outputs


def put(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def write(folder: Path, **files: str) -> None:
    with outputs.recorded(folder, list(files)):
        put(folder, **files)


def test_outputs_lie_apart_from_inputs(tmp_path: Path) -> None:
    images = put(tmp_path / "images", a="image")
    (tmp_path / "link").symlink_to(images)
    (images / "deep").mkdir()
    for out in (images, tmp_path / "link", images / "deep" / "..", tmp_path / "none" / ".." / "images"):
        with pytest.raises(InputError, match="holds a, which is an input"):
            outputs.apart(out, [images / "a"])
    for out in (images, images / "deep", images / "new" / "er"):
        with pytest.raises(InputError, match="holds images, which is an input"):
            outputs.apart(out, [images])  # a series
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "b").symlink_to(images / "a")
    for out in (images, tmp_path / "linked"):
        with pytest.raises(InputError, match="holds b, which is an input"):
            outputs.apart(out, [tmp_path / "linked" / "b"])
    for out in (tmp_path / "labels", images / "deep"):
        outputs.apart(out, [images / "a", tmp_path / "gone" / "b"])


def test_what_was_written_here_may_be_replaced(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    write(out, a="1", b="2")
    write(out, b="3", c="4")
    write(out, a="5")
    assert {path.name: path.read_text() for path in out.iterdir() if not path.name.startswith(".")} == {
        "a": "5",
        "b": "3",
        "c": "4",
    }


def test_what_others_wrote_stays(tmp_path: Path) -> None:
    out = put(tmp_path, a="theirs")
    with pytest.raises(InputError, match=r"a: is there already and was not written by this program"):
        write(out, b="ours", a="ours")
    assert not (out / "b").exists()
    write(out, b="ours")
    (out / "b").write_text("corrected by hand")
    with pytest.raises(InputError, match=r"b: is there already and was changed since"):
        write(out, b="ours")
    assert (out / "b").read_text() == "corrected by hand"
    (out / "link").symlink_to(out / "nowhere")
    with pytest.raises(InputError, match="link: is there already"):
        write(out, link="ours")


def test_a_link_in_place_of_what_was_written_is_not_followed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, a="1")
    (out / "a").rename(tmp_path / "moved")
    (out / "a").symlink_to(tmp_path / "moved")
    with pytest.raises(InputError, match="a: is there already"):
        write(out, a="2")


def test_a_killed_process_can_be_repeated(tmp_path: Path) -> None:
    made = outputs.recorded(tmp_path, ["a", "b"])
    made.__enter__()
    put(tmp_path, a="half")  # and no more: it was killed
    write(tmp_path, a="1", b="2")
    assert (tmp_path / "a").read_text() == "1"


def test_what_failed_is_not_recorded(tmp_path: Path) -> None:
    with outputs.recorded(tmp_path, ["a", "b"]):
        put(tmp_path, a="1")
    assert list(json.loads((tmp_path / outputs.RECORD).read_text())["written"]) == ["a"]
    put(tmp_path, b="theirs")
    with pytest.raises(InputError, match="b: is there already"):
        write(tmp_path, b="ours")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"written": ["a"]}', '{"written": {"a": 5}}', "{" * 100_000])
def test_a_damaged_record_is_refused(tmp_path: Path, text: str) -> None:
    put(tmp_path, a="1", **{outputs.RECORD: text})
    with pytest.raises(InputError):
        write(tmp_path, a="2")
    assert (tmp_path / "a").read_text() == "1"


@pytest.mark.parametrize("names", [["a", "b"], ["b"]])
def test_two_at_once_do_not_mix_networks(tmp_path: Path, names: list[str]) -> None:
    """The second one begins while the first has written nothing yet, or has."""
    first, second = outputs.Made("9f3c", "flips off"), outputs.Made("51d0", "flips off")
    put(tmp_path, **{".used-by-one-that-was-killed": ""})
    with outputs.made_alike(tmp_path, first, ["a"]), outputs.recorded(tmp_path, ["a"]):
        for _ in range(2):
            told = "another process adds predictions of another network than this run's, and results would be mixed"
            with pytest.raises(InputError, match=told), outputs.made_alike(tmp_path, second, names):
                pass
            with outputs.made_alike(tmp_path, first, names):
                put(tmp_path, a="1")
    if "a" not in names:
        with pytest.raises(InputError, match="holds a of another"), outputs.made_alike(tmp_path, second, names):
            pass
        return
    with outputs.made_alike(tmp_path, second, names):
        assert sorted(outputs.written(tmp_path)) == []
    assert json.loads((tmp_path / outputs.RECORD).read_text())["network"] == "51d0"
    assert {path.name for path in tmp_path.iterdir()} == {".lock", outputs.RECORD}
