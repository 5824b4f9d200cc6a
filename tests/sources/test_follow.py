"""A folder of images as a corpus, by several commands at once, and after one was killed."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

import own
from maskmixadv.errors import InputError
from maskmixadv.files import held
from maskmixadv.sources import follow
from maskmixadv.sources.follow import current
from maskmixadv.sources.opening import open_corpus

OPEN = """
import sys
from pathlib import Path
from maskmixadv.sources import follow, pairs
from maskmixadv.sources.opening import open_corpus
read, many = pairs.read, []
pairs.read = lambda *given: many.append(1) or read(*given)
print(len(open_corpus(Path(sys.argv[1])).entries), len(many))
"""


def states(source: Path) -> list[str]:
    return sorted(path.name for path in (source / ".corpus").iterdir() if not path.name.startswith(".lock"))


@pytest.mark.slow
def test_two_commands_at_once_make_it_once(tmp_path: Path) -> None:
    source = own.folder(tmp_path / "src", scribbled=12)
    command = [sys.executable, "-c", OPEN, str(source)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate(timeout=60)[0].split() for process in both]
    assert [entries for entries, _ in told] == ["14", "14"]
    assert sum(int(read) for _, read in told) == 14
    assert len(states(source)) == 1


def test_what_is_there_is_opened_without_waiting(tmp_path: Path) -> None:
    source = own.folder(tmp_path / "src")
    first = current(source)
    with held(source / ".corpus"):
        assert current(source).hash() == first.hash()


def test_what_changes_while_a_command_waits_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = own.folder(tmp_path / "src")
    with monkeypatch.context() as patch:
        patch.setattr(follow, "held", lambda *_, **__: (own.case(source, "late", 9), held(source / ".corpus"))[1])
        corpus = current(source)
    assert "late" in {entry.name for entry in corpus.entries}
    assert current(source).root == corpus.root
    assert len(states(source)) == 1


@pytest.mark.parametrize("suffix", [".mhd", ".nrrd", ".nhdr"])
def test_voxels_in_a_file_beside_their_header_are_followed(tmp_path: Path, suffix: str) -> None:
    """The header stays as it is when another program writes the voxels anew."""
    source = own.folder(tmp_path / "src", scribbled=1, masked=0)
    nifti = source / "scribbles" / "s0.nii.gz"
    for path in source.rglob("*.nii.gz"):  # on a grid that ITK takes
        oblique: Any = nib.load(path)
        nib.save(nib.Nifti1Image(np.asarray(oblique.dataobj), np.diag([1.5, 1.5, 8, 1])), path)
    stored = SimpleITK.ReadImage(str(nifti))
    voxels, head = nifti.with_name("s0.raw"), nifti.with_name(f"s0{suffix}")
    if suffix != ".nrrd":
        SimpleITK.WriteImage(stored, str(head), useCompression=False)
    else:
        SimpleITK.WriteImage(stored, str(head), useCompression=False)
        text, whole = head.read_bytes().split(b"\n\n", 1)
        head.write_bytes(text + b"\ndata file: s0.raw\n")
        voxels.write_bytes(whole)
    nifti.unlink()
    before = current(source)
    voxels.write_bytes(voxels.read_bytes().replace(b"\x01", b"\x02"))
    after = current(source)
    assert (before.load("s0").scribble == 1).any()
    assert not (after.load("s0").scribble == 1).any()


def test_what_a_killed_command_left_is_no_state(tmp_path: Path) -> None:
    source = own.folder(tmp_path / "src")
    left = source / ".corpus" / ".partial-0-1-ab-x"
    left.mkdir(parents=True)
    for name in ("corpus.json", "keys.json"):
        (left / name).write_text("[]")
    assert len(current(source).entries) == 5


@pytest.mark.parametrize("keys", ["[]", "null", "{", "[" * 10_000])
def test_damaged_keys_are_no_keys(tmp_path: Path, keys: str) -> None:
    source = own.folder(tmp_path / "src")
    (current(source).root / "keys.json").write_text(keys)
    own.case(source, "new", 9)
    assert len(current(source).entries) == 6


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    source = own.folder(tmp_path / "src")
    (source / ".corpus").write_text("a file, where the folder would have to be")
    with pytest.raises(InputError, match=r"\.corpus: can't be made a directory"):
        open_corpus(source)
