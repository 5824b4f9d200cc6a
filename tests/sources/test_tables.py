"""Tables of labels of ITK-SNAP, 3D Slicer and FreeSurfer beside masks: their names are taken, or compared."""

from pathlib import Path

import pytest

import own
import tiny
from maskmixadv.errors import InputError
from maskmixadv.sources import folder, follow, nnunet, nnunet_export, tables
from maskmixadv.sources.classes import Classes
from maskmixadv.studio import palette
from maskmixadv.studio.layout import Layout

SNAP = '# ITK-SnAP Label Description File\n    0     0    0    0        0  0  0    "Clear Label"\n'
FORMS = {
    "masks/labels.txt": SNAP + "".join(f'    {k}   255    0    0        1  1  1    "{{{k}}}"\n' for k in (1, 2, 3)),
    "heart.label": SNAP + "".join(f'{k} 255 0 0 0.5 1 1 "{{{k}}}"\n' for k in (1, 2, 3)),
    "scribbles/heart.ctbl": "# Color table file\n" + "".join(f"{k} {{{k}}} 200 10 0 255\n" for k in (1, 2, 3)),
    "masks/FreeSurferColorLUT.txt": "#No. Label R G B A\n0 Unknown 0 0 0 0\n"
    + "".join(f"{k}   {{{k}}}   200 10 0 0\n" for k in (1, 2, 3)),
    "dataset.json": '{"labels": {"background": 0, "{1}": 1, "{2}": 2, "{3}": 3, "ignore": 4}}',
    "masks/dataset.json": '{"labels": {"0": "background", "1": "{1}", "2": "{2}", "3": "{3}"}}',
    "heart.csv": "LabelValue,Name,Color_R\n" + "".join(f"{k},{{{k}}},0.5\n" for k in (1, 2, 3)),
}


def table(source: Path, name: str, *names: str) -> Path:
    text = FORMS[name]
    for place, each in enumerate(names, 1):
        text = text.replace(f"{{{place}}}", each)
    (source / name).write_text(text)
    return source / name


@pytest.mark.parametrize("name", FORMS)
def test_a_table_that_swaps_classes_is_refused(tmp_path: Path, name: str) -> None:
    source = own.folder(tmp_path / "src", scribbled=1)
    _, first, second, third = tiny.CLASSES
    path = table(source, name, second, first, third)
    with pytest.raises(InputError, match=rf"calls code 1 '{second}', which classes\.toml calls '{first}'") as caught:
        folder.prepare(source, tmp_path / "c")
    assert str(caught.value).startswith(str(path))


def test_a_folder_that_is_learnt_from_is_compared_and_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = own.folder(tmp_path / "src", scribbled=1, masked=1)
    _, first, second, third = tiny.CLASSES
    table(source, "scribbles/heart.ctbl", "cavity", second, third)
    follow.current(source)
    assert capsys.readouterr().err.count("names differ") == 1
    table(source, "scribbles/heart.ctbl", second, first, third)
    with pytest.raises(InputError, match="calls code 1"):
        follow.current(source)


@pytest.mark.parametrize("name", FORMS)
def test_other_names_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    source = own.folder(tmp_path / "src", scribbled=1, masked=1)
    _, first, second, third = tiny.CLASSES
    path = table(source, name, "cavity", second.lower(), third)
    assert folder.prepare(source, tmp_path / "c").classes == tuple(tiny.CLASSES)
    said = f"{path}: names differ: 1 'cavity' is '{first}' in classes.toml; those of classes.toml count\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("name", FORMS)
def test_a_table_names_classes_that_nobody_declared(tmp_path: Path, name: str) -> None:
    source = own.folder(tmp_path / "src", scribbled=1, masked=1)
    (source / "classes.toml").unlink()
    table(source, name, "right", "Label 2", "left")
    asked = list[Classes]()
    folder.prepare(source, tmp_path / "c", confirm=lambda classes: not asked.append(classes))
    assert asked == [Classes(("background", "right", "class2", "left"), 4)]
    assert [each.name for each in palette.read(Layout(source)).classes] == ["background", "right", "class2", "left"]


def test_a_table_beside_nnunets_labels_is_compared(tmp_path: Path) -> None:
    corpus = folder.prepare(own.folder(tmp_path / "src", scribbled=1, masked=1), tmp_path / "c")
    nnunet_export.export(corpus, tmp_path / "Dataset001_Heart")
    _, first, second, third = tiny.CLASSES
    text = FORMS["masks/labels.txt"].format("", second, first, third)
    (tmp_path / "Dataset001_Heart" / "labelsTr" / "labels.txt").write_text(text)
    with pytest.raises(InputError, match=rf"labels\.txt: calls code 1 '{second}', which dataset\.json calls '{first}'"):
        nnunet.prepare(tmp_path / "Dataset001_Heart", tmp_path / "d")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.label", "#!ascii label , from subject\n2\n1 0.5 2.0 3.0 0\n", "line 2 is no label of ITK-SNAP"),
        ("a.txt", '1 0 0 0 1 1 1 "LV"\nand so on\n', "line 2 is no label"),
        ("a.ctbl", "1 LV 0 0 0 255\n1 RV 0 0 0 255\n", "calls code 1 'LV' and 'RV', allowed is one name"),
        ("a.label", b"\xff\xfe1", "not a text in UTF-8"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, name: str, text: str | bytes, words: str) -> None:
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=words):
        tables.find([tmp_path])


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff\xfe1",
        b"drawn in June\n",
        b"name,patient\na,1\n",
        b"1 2 3\n",
        b"# only a note\n",
        b'{"labels": [1]}',
        b"[1]",
    ],
)
def test_other_texts_are_passed_over(tmp_path: Path, text: bytes) -> None:
    for name in ("notes.txt", "notes.csv", ".hidden.label", "dataset.json"):
        (tmp_path / name).write_bytes(text)
    assert tables.find([tmp_path]) == []


def test_tables_that_do_not_agree_are_no_names() -> None:
    guess = Classes(("background", "class1", "class2"), 3)
    one, other = tables.Table(Path("a.txt"), {1: "LV"}), tables.Table(Path("b.txt"), {1: "RV"})
    with pytest.raises(InputError, match=r"b\.txt: calls code 1 'RV', a\.txt calls it 'LV'; write classes\.toml"):
        tables.applied(guess, [one, other])
    with pytest.raises(InputError, match="calls code 2 the background, allowed is 0"):
        tables.applied(guess, [tables.Table(Path("a.txt"), {2: "Background"})])
