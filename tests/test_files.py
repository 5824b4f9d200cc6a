"""What is written is whole or not at all, one at a time holds a directory, and reading is bounded."""

import errno
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from full_disk import Full
from holder import Hold
from maskmixadv import files, moved
from maskmixadv.cli import app as cli
from maskmixadv.errors import InputError, UnwritableError
from maskmixadv.files import (
    HOLDER,
    LOCK,
    check_name,
    claim,
    held,
    make_directory,
    read_bytes,
    read_json,
    read_toml,
    replaced,
    together,
    whole,
    write_text,
    write_texts,
    written,
)
from maskmixadv.formats import image_files
from maskmixadv.inference import standalone_files, standalone_outputs
from maskmixadv.sources import film


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("way", ["written", "replaced", "text"])
def test_a_file_is_there_whole_or_as_it_was(tmp_path: Path, way: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")

    def write(text: str) -> None:
        if way == "text":
            write_text(path, text)
        elif way == "written":
            with written(path) as file:
                file.write(text.encode())
        else:
            with replaced(path) as place:
                place.write_text(text)

    with Full(100), pytest.raises(InputError, match=r"a\.txt: can't be written \(File too large\)"):
        write("x" * 1000)
    assert path.read_text() == "before"
    assert names(tmp_path) == ["a.txt"]
    write("after")
    assert path.read_text() == "after"
    assert names(tmp_path) == ["a.txt"]


def test_what_belongs_together_is_written_together(tmp_path: Path) -> None:
    write_texts({tmp_path / "a": "1", tmp_path / "b": "1"})
    with Full(100), pytest.raises(InputError, match="b: can't be written"):
        write_texts({tmp_path / "a": "2", tmp_path / "b": "2" * 1000})
    assert [(tmp_path / name).read_text() for name in names(tmp_path)] == ["1", "1"]


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("a", "a.partial", ".partial-a", ".a.partial"):
        (folder / name).symlink_to(victim)
    write_text(folder / "a", "mine")
    assert victim.read_text() == "precious"
    assert (folder / "a").read_text() == "mine"
    assert not (folder / "a").is_symlink()


def test_a_directory_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    root = tmp_path / "made"
    with Full(100), pytest.raises(InputError, match="made: can't be written"), whole(root) as place:
        (place / "a").write_text("x" * 1000)
    assert names(tmp_path) == []
    with whole(root) as place:
        (place / "a").write_text("x" * 1000)
    assert names(root) == ["a"]
    with pytest.raises(InputError, match="already holds 'a'"), whole(root):
        pass


def test_a_disk_of_its_own_is_refused_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a volume of a container: that nothing takes its place was told after the work."""
    monkeypatch.setattr(Path, "is_mount", lambda path: path == tmp_path / "made")
    with (
        pytest.raises(InputError, match="made: is a disk of its own, allowed is a folder in it"),
        whole(tmp_path / "made"),
    ):
        pytest.fail("work was done")
    with whole(tmp_path / "made" / "corpus") as place:
        (place / "a").write_text("1")
    assert names(tmp_path / "made") == ["corpus"]


def test_a_folder_that_takes_no_new_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "made").mkdir()
    monkeypatch.setattr(files, "make_directory", lambda _: None)
    monkeypatch.setattr(Path, "mkdir", raiser(PermissionError(errno.EACCES, "Permission denied")))
    with pytest.raises(InputError) as told, whole(tmp_path / "made"):
        pytest.fail("work was done")
    assert str(told.value).startswith(f"{tmp_path}: can't be written (Permission denied)")


def test_the_second_of_two_that_make_a_directory_is_told_what_is_there(tmp_path: Path) -> None:
    root = tmp_path / "made"
    with pytest.raises(InputError, match="made: already holds 'b'"), whole(root), whole(root) as place:
        (place / "b").write_text("theirs, which is there first")
    assert names(root) == ["b"]
    assert names(tmp_path) == ["made"]


def test_what_a_directory_lacks_is_named_as_it_would_lie_there(tmp_path: Path) -> None:
    root = tmp_path / "made"
    with Full(100), pytest.raises(InputError) as told, whole(root) as place:
        write_text(place / "a", "x" * 1000)
    assert str(told.value).startswith(f"{root / 'a'}: can't be written")
    with pytest.raises(InputError, match=r"^elsewhere$"), whole(root):
        raise InputError("elsewhere")


def test_what_killed_processes_left_is_swept_away(tmp_path: Path) -> None:
    killed = f"""
import os, signal
from pathlib import Path
from maskmixadv.files import whole, written
with whole(Path({str(tmp_path / "made")!r})) as place, written(Path({str(tmp_path / "file")!r})) as file:
    (place / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == -9
    assert len([name for name in names(tmp_path) if name.startswith(".partial-")]) == 2
    mine = files.partial_name(tmp_path / "mine")
    mine.write_text("of a process that lives")
    with whole(tmp_path / "made") as place:
        (place / "all").write_text("all")
    assert names(tmp_path) == [mine.name, "made"]
    assert names(tmp_path / "made") == ["all"]


def test_names_that_only_look_like_unfinished_files_stay(tmp_path: Path) -> None:
    """Of another machine, without a process, or with words for the random number: none of these is ours."""
    prefix, host, _, random, name = files.partial_name(tmp_path / "a").name.split("-", 4)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    ours = "-".join([prefix, host, str(gone.pid), random, name])
    others = [
        "-".join([prefix, "0", str(gone.pid), random, name]),
        "-".join([prefix, host, "mine", random, name]),
        "-".join([prefix, host, str(gone.pid), "random", name]),
        "-".join([prefix, host, str(gone.pid), random]),
    ]
    for each in (ours, *others):
        (tmp_path / each).touch()
    files.sweep(tmp_path)
    assert names(tmp_path) == sorted(others)


def test_names_of_parts_fit_the_file_system(tmp_path: Path) -> None:
    write_text(tmp_path / ("ü" * 120), "long")
    assert names(tmp_path) == ["ü" * 120]


def test_one_process_holds_a_directory(tmp_path: Path, hold: Hold) -> None:
    with hold(tmp_path) as holder:
        with pytest.raises(InputError, match=f"in use by process {holder.pid} on .* since .*; wait for it, or stop it"):
            held(tmp_path).__enter__()
        waited = threading.Event()

        def wait() -> None:
            with held(tmp_path, wait=True):
                waited.set()

        thread = threading.Thread(target=wait)
        thread.start()
        assert not waited.wait(0.2)
    thread.join(10)
    assert waited.is_set()
    claim(tmp_path)  # what is left of a lock takes no room


def test_a_killed_holder_holds_nothing(tmp_path: Path, hold: Hold) -> None:
    with hold(tmp_path) as holder:
        holder.kill()
        holder.wait()
        with held(tmp_path):
            assert str(os.getpid()) in (tmp_path / HOLDER).read_text()
    assert set(names(tmp_path)) <= {LOCK}


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_a_name_is_no_path(text: str) -> None:
    with suppress(InputError):
        name = check_name(text, "corpus.json")
        assert Path("folder", name).parent == Path("folder")
        assert Path("folder", name).resolve().parent == Path("folder").resolve()


@pytest.mark.parametrize("name", ["../x", "/x", "a/b", "a\\b", "..", ".", ".x", "", " ", "a\nb", "a\0b", "x" * 300, 7])
def test_paths_and_worse_are_refused(name: object) -> None:
    with pytest.raises(InputError, match=r"^corpus\.json: name .*, allowed is"):
        check_name(name, "corpus.json")


def test_what_can_t_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="can't be made a directory"):
        make_directory(tmp_path / "file" / "x")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(InputError, match="No space left on device"):
        write_text(tmp_path / "a.json", json.dumps({}))
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "1" * 100_000, "NaN", "[Infinity]", '"\\ud800"', "{", "\xff", ""]
)
def test_json_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"^\S*a\.json: ") as refused:
        read_json(path)
    assert "\n" not in str(refused.value)


def test_json_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": [1, "\\u00e4", "\\ud83d\\ude00"]}')
    assert read_json(path) == {"a": [1, "ä", "😀"]}
    with pytest.raises(InputError, match="more than 5 bytes"):
        read_json(path, most=5)
    with pytest.raises(InputError, match="no such file"):
        read_json(tmp_path)
    with pytest.raises(InputError, match="can't be read"):
        read_json(Path("a\0b"))


@pytest.mark.parametrize("text", ["a=" + "[" * 100_000, "a" + ".a" * 100_000 + "=1", "a=", "[[class]\n", "a=\xff"])
def test_toml_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"^\S*a\.toml: "):
        read_toml(path)


def test_a_folder_is_no_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file, but a folder"):
        read_bytes(tmp_path, most=4)
    with pytest.raises(InputError, match="no such file"):
        read_bytes(tmp_path / "gone", most=4)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)  # the whole path may be longer than a socket's can be


@pytest.mark.parametrize(("kind", "make"), [
    ("pipe", os.mkfifo),
    ("socket", make_socket),
    ("device", lambda path: path.symlink_to("/dev/null")),
])  # fmt: skip
def test_what_is_no_regular_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, make: Callable[[Path], None]
) -> None:
    monkeypatch.chdir(tmp_path)
    make(path := tmp_path / "a.png")
    said = f"is a {kind}, allowed is a regular file; save what it gives as one"
    for read in (lambda: read_bytes(path, most=4), lambda: image_files.read(path), lambda: film.read(path)):
        with pytest.raises(InputError, match=rf"a\.png: {said}"):
            read()
    with pytest.raises(ValueError, match=f"^{said}"):  # exported models put the file's name before it
        standalone_files.load(path, [])


SOURCES = {
    "mine": ("images/", "masks/"),
    "stroked": ("images/", "classes.toml"),
    "nnunet": ("labelsTr/", "dataset.json"),
}


def sources(root: Path) -> Path:
    """Make a folder for each of `SOURCES`, and two more that are none."""
    for folder, inside in {**SOURCES, "bare": ("images/",), "plain": ("labelsTr/", "masks/")}.items():
        for name in inside:
            (root / folder / name).mkdir(parents=True) if name.endswith("/") else (root / folder / name).touch()
    return root


@pytest.mark.parametrize("check", [files.must_not_be_read, standalone_outputs.must_not_be_read])
def test_outputs_that_would_be_read_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: Callable[[Path], None]
) -> None:
    monkeypatch.chdir(sources(tmp_path))
    (tmp_path / "link").symlink_to(tmp_path / "mine" / "images")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "masks").symlink_to(tmp_path / "bare")
    (tmp_path / "linked" / "images").mkdir()
    for out, kind in {
        "mine/images": "is read as images", "mine/images/a/b": "which is read as images", "mine/masks/a": "masks",
        "mine/scribbles": "strokes", "stroked/masks": "masks", "nnunet/imagesTr/a": "images", "link/a": "images",
        "nnunet/labelsTr": "labels", "mine/../mine/masks": "masks", "linked/masks/a": "masks",
    }.items():  # fmt: skip
        with pytest.raises((InputError, ValueError), match=f"^{re.escape(out)}: .*{kind} of .*; name another dir"):
            check(Path(out))
    for out in ("mine", "mine/run", "mine/images/.kept/run", "bare/images/run", "plain/masks", "plain/labelsTr/run"):
        check(Path(out))


def test_no_command_writes_what_would_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is refused before it reads what it needs, or where that is there, before it writes something."""
    for place in (sources(tmp_path) / "mine" / "images" / "new", tmp_path / "nnunet" / "labelsTr" / "new"):
        out = str(place)
        for command in (["prepare", "phantom", out, "--size", "64", "--cases", "5"], ["demo", "--out", out]):
            assert cli.run(command) == 2
            assert "which is read as" in capsys.readouterr().err
            assert not place.exists()
        assert cli.run(["check", str(tmp_path / "mine"), "--sheet", f"{place}.png"]) == 2
        assert "read as" in capsys.readouterr().err


@pytest.mark.parametrize("read", [read_json, read_toml])
def test_a_missing_file_is_named_once(read: Callable[[Path], object]) -> None:
    with pytest.raises(InputError) as told:
        read(Path("nope.toml"))
    assert str(told.value) == "nope.toml: no such file"


@pytest.mark.parametrize("stopped", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
@pytest.mark.parametrize("links", [True, False])
def test_files_that_are_not_all_in_place_are_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: BaseException, links: bool
) -> None:
    """The first ones stayed when a later one could not be renamed, so that a folder held the files of two calls."""
    rename, out = os.replace, tmp_path / "out"

    def replace(source: str, target: str) -> None:
        if Path(target) == out / "b" and Path(source).read_text() == "new":
            raise stopped
        rename(source, target)

    def by_folder() -> None:
        with together(out) as place:
            for name in "abc":
                write_text(place / name, "new")

    def by_texts() -> None:
        out.mkdir(exist_ok=True)
        write_texts({out / name: "new" for name in "abc"})

    monkeypatch.setattr("os.replace", replace)
    if not links:
        monkeypatch.setattr("os.link", raiser(PermissionError()))
    for write in (by_folder, by_texts):
        (out / "a").unlink(missing_ok=True)
        for earlier in (dict[str, str](), {"a": "earlier"}):
            for name, text in earlier.items():
                write_text(out / name, text)
            with pytest.raises((KeyboardInterrupt, InputError)):
                write()
            assert {path.name: path.read_text() for path in out.glob("*")} == earlier
            make_directory(out)
    assert names(out) == ["a"]


def raiser(error: BaseException) -> Callable[..., None]:
    def raised(*_: object, **__: object) -> None:
        raise error

    return raised


def test_files_of_two_processes_are_not_mixed(tmp_path: Path) -> None:
    """Both were renamed side by side: a folder could hold one's table and the other's summary."""
    begun, done = threading.Event(), threading.Event()

    def other() -> None:
        begun.set()
        write_texts({tmp_path / "a": "2", tmp_path / "b": "2"})
        done.set()

    thread = threading.Thread(target=other)
    with moved._alone([tmp_path]):
        thread.start()
        assert begun.wait(5)
        assert not done.wait(0.1)
    thread.join()
    assert names(tmp_path) == ["a", "b"]


def test_of_two_that_write_new_files_the_second_is_refused(tmp_path: Path) -> None:
    def two_at_once() -> None:
        with together(tmp_path, new=True) as one:
            write_texts({one / "a": "1", one / "b": "1"})
            with together(tmp_path, new=True) as two:
                write_text(two / "b", "2")

    with pytest.raises(InputError, match="b: exists, allowed is a name that is free"):
        two_at_once()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"b": "2"}


def test_what_files_of_a_folder_lack_is_named_as_it_would_lie_there(tmp_path: Path) -> None:
    with Full(100), pytest.raises(InputError) as told, together(tmp_path / "out") as place:
        write_text(place / "a", "x" * 1000)
    assert str(told.value).startswith(f"{tmp_path / 'out' / 'a'}: can't be written")
    assert names(tmp_path) == []


def test_files_of_a_killed_process_are_swept_from_their_folder(tmp_path: Path) -> None:
    """They lay beside it, where nothing deleted them, and where nobody may be allowed to write."""
    with together(tmp_path / "out") as place:
        assert place.parent == tmp_path / "out"
        write_text(place / "a", "1")
        assert names(tmp_path) == ["out"]


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "free space or name another place"),
        (errno.EDQUOT, "free space or name another place"),
        (errno.EACCES, "allow writing there or name another place"),
        (errno.EROFS, "allow writing there or name another place"),
        (errno.ENOENT, "make its folder again or name another place"),
        (errno.EIO, "name another place"),
    ],
)
def test_advice_is_that_of_the_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, advice: str) -> None:
    def fails(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    told = f"can't be [a-z]+ \\({os.strerror(number)}\\); {advice}$"
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", fails)
        with pytest.raises(UnwritableError, match=told):
            write_text(tmp_path / "a.txt", "all of it")
    with monkeypatch.context() as patch:
        patch.setattr(files.FileLock, "acquire", fails)
        with pytest.raises(UnwritableError, match=told), held(tmp_path):
            pass
