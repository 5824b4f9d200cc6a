"""Tables that are wrong: one line each, before anything is trained."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

import tiny
from maskmixadv import methods
from maskmixadv.bench.cells import Job, cells
from maskmixadv.bench.table import Table, read
from maskmixadv.cli.app import parse, run
from maskmixadv.errors import InputError
from maskmixadv.methods import MaskMixAdv, registry

SHIPPED = sorted((Path(__file__).parents[2] / "benchmarks" / "tables").glob("*.toml"))
TABLE = """
title = "Squares"
flagship = "Flag"
corpus = "{root}/corpus"
preset = "cpu"
folds = [1]

[schedule]
steps = 2
batch = 2
size = 48
window = 48

[[rows]]
name = "Flag"
method = "pce"

[[rows]]
name = "Other"
method = "maskmixadv"
fields = {{ adv = 0 }}
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tables")
    tiny.corpus(root / "corpus")
    return root


def written(root: Path, text: str) -> Path:
    path = root / "squares.toml"
    path.write_text(text.format(root=root))
    return path


def refused(path: Path, capsys: pytest.CaptureFixture[str], *words: str) -> None:
    capsys.readouterr()
    out = path.parent / "out"
    assert run(["bench", str(path), "--out", str(out), "--runs", str(path.parent / "runs")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    for word in words:
        assert word in error
    assert not out.exists()
    assert not (path.parent / "runs").exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("folds = [1]", "folds = [1", ("not valid TOML", "line 8")),
        ("folds = [1]", "folds = [1]\nfolds = [2]", ("not valid TOML", "line 7")),
        ("folds = [1]", "folds = [9]", ("'Flag'", "no fold 9", "1 to 1")),
        ("folds = [1]", "folds = [1]\nscheme = 'mine'", ("'mine'", "paper")),
        ("folds = [1]", "folds = [0]", ("folds", "at least 1")),
        ("folds = [1]", "folds = [1, 1]", ("folds", "different")),
        ("folds = [1]", "folds = []", ("folds", "empty")),
        ("folds = [1]", "folds = 1", ("folds", "a list")),
        ("folds = [1]", "folds = [1.0]", ("folds", "whole number")),
        ("folds = [1]", "folds = [1]\nseeds = [-1]", ("seeds", "at least 0")),
        ("folds = [1]", "folds = [1]\nsplit = 'all'", ("split", "'all'", "test, val, train")),
        ("folds = [1]", "folds = [1]\nenclosure = 1", ("enclosure", "true or false")),
        ("folds = [1]", 'folds = [1]\nmasks = "some"', ("masks", "auto, none, all")),
        ("folds = [1]", "folds = [1]\nmasks = 4", ("masks", "a text in quotes")),
        ("folds = [1]", 'folds = [1]\nmasks = "9"', ("masks: 9", "only 4 training patients")),
        ("folds = [1]", "folds = [1]\nprio = 'x'", ("'prio'", "allowed are")),
        ('flagship = "Flag"', 'flagship = "None"', ("reference", "'None'", "Flag, Other")),
        ('preset = "cpu"', 'preset = "gpu"', ("'Flag'", "gpu")),
        ("corpus = ", "prior = ", ("'Flag'", "corpus is missing")),
        ("{root}/corpus", "{root}/none", ("'Flag'", "not a corpus")),
        ("steps = 2", "step = 2", ("schedule", "'step'", "steps")),
        ("steps = 2", "steps = 0", ("steps: 0", "allowed")),
        ("steps = 2", "steps = 2.5", ("steps", "whole number")),
        ("window = 48", "window = 50", ("window: 50", "multiple of 16")),
        ('name = "Other"', 'name = "flag"', ("'Flag' and 'flag'", "rename")),
        ('name = "Other"', 'name = "+"', ("'+'", "letter")),
        ('name = "Other"', "", ("row 2", "name is missing")),
        ('"maskmixadv"', '"maskmix"', ("'Other'", "method: 'maskmix'", "maskmixadv, ")),
        ("adv = 0", "adw = 0", ("'Other'", "'adw'", "adv")),
        ("adv = 0", "adv = 0, ratio = 1.5", ("'Other'", "ratio: 1.5", "allowed")),
        ("adv = 0", "adv = -1", ("'Other'", "adv: -1", "allowed")),
        ("adv = 0", "adv = 'much'", ("'Other'", "adv", "much")),
        ("adv = 0", "adv = {{ a = 1 }}", ("'Other'", "adv", "must be a number")),
        ("adv = 0", "adv = 1", ("'Other'", "--prior")),
        ("fields", "published = {{ dice = {{ RV = 'x' }} }}\nfields", ("published.dice.RV", "a number")),
        ("fields", "published = {{ dice = {{ rv = 1 }} }}\nfields", ("published.dice", "'rv'", "RV, Myo, LV, mean")),
        ("fields", "published = {{ assd = {{ RV = 1 }} }}\nfields", ("published", "'assd'", "dice, hd95")),
        ("[schedule]", "prepare = {{ x = 'train {{out}}' }}\n[schedule]", ("prepare 'x'", "annotate")),
        ("[schedule]", "prepare = {{ x = 'prepare nothing {{out}}' }}\n[schedule]", ("nothing",)),
        ("[schedule]", "prepare = {{ x = 'prepare phantom {{out}} --cases 1' }}\n[schedule]", ("cases: 1",)),
    ],
)
def test_refused(root: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, words: tuple[str, ...]) -> None:
    assert old in TABLE
    refused(written(root, TABLE.replace(old, new, 1)), capsys, *words)


def test_a_command_with_an_open_quote_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(root, TABLE + '[prepare]\n"x" = "prepare phantom {{out}} --cases \'20"\n')
    refused(path, capsys, "prepare 'x'", "No closing quotation", "mend its quotes")


def test_a_table_lands_on_no_files_of_others(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(root, TABLE)

    def told() -> str:
        assert run(["bench", str(path), "--out", str(tmp_path / "out"), "--runs", str(tmp_path / "runs"), "--dry"]) == 2
        return capsys.readouterr().err

    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.nii.gz").touch()
    assert "out: holds a.nii.gz, an image, and a report among images stops 'prepare folder'" in told()
    for name in ("table.md", "results.csv", "tests.csv"):
        (tmp_path / "out" / name).write_text("mine")
        assert f"{name}: is there already, and not of a table of runs; name another directory by --out" in told()
        (tmp_path / "out" / name).unlink()
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["a.nii.gz"]


def test_refused_altogether(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(root / "none.toml", capsys, "none.toml: no such file")
    refused(written(root, ""), capsys, "title is missing")
    refused(written(root, TABLE.split("[[rows]]")[0]), capsys, "rows is missing")


def test_options_are_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(written(root, TABLE))
    for options, words in {
        ("--fold", "2"): ("fold: 2", "it has 1"),
        ("--seed", "7"): ("seed: 7", "it has 0"),
        ("--only", "Nobody"): ("'Nobody'", "Flag, Other"),
        ("--jobs", "0"): ("jobs: 0", "1 or more"),
        ("--devices", "cuda:99"): ("devices: 'cuda:99'",),
        ("--devices", "cpu,gpu"): ("devices: 'gpu'",),
        ("--engine", "cloud"): ("cloud",),
    }.items():
        capsys.readouterr()
        assert run(["bench", path, "--out", str(root / "out"), *options]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1, error
        assert all(word in error for word in words), error


def test_a_missing_corpus_is_made_as_the_table_says(root: Path) -> None:
    line = "prepare = {{ '{root}/made' = 'prepare phantom {{out}} --cases 6 --size 64' }}\n[schedule]"
    text = TABLE.replace("[schedule]", line).replace("{root}/corpus", "{root}/made")
    (root / "made").mkdir()  # as a call that was killed leaves it
    assert len(listed(read(written(root, text)), root)) == 2
    assert (root / "made" / "corpus.json").is_file()


def listed(table: Table, root: Path) -> list[str]:
    return [str(cell.folder.relative_to(root)) for cell in cells(table, parse, out=root / "out", runs=root / "runs")]


def test_the_grid_is_rows_by_folds_by_seeds(root: Path) -> None:
    text = TABLE.replace("folds = [1]", "folds = [1]\nseeds = [0, 3]")
    found = cells(read(written(root, text)), parse, out=root / "out", runs=root / "runs")
    names = [f"{cell.row.name} {cell.fold} {cell.seed}" for cell in found]
    assert names == ["Flag 1 0", "Other 1 0", "Flag 1 3", "Other 1 3"]
    assert found[3].folder == root / "out" / "other" / "fold1-seed3"
    assert len({cell.job.identity for cell in found}) == 4
    recipe = found[3].job.recipe
    words = shlex.split(recipe.command(root / "run"))
    assert words[:5] == ["maskmixadv", "train", f"{root}/corpus", "--out", f"{root}/run"]
    assert words[-3:] == ["maskmixadv", "--adv", "0"]
    assert Job.from_json(found[3].job.json()) == found[3].job
    begun = recipe.begin(root / "run", write=False)
    assert (begun.seed, begun.schedule.steps, begun.method) == (3, 2, MaskMixAdv(adv=0.0, every=4))


def test_identity_is_what_the_run_depends_on(root: Path) -> None:
    def identities(text: str) -> list[str]:
        return [c.job.identity for c in cells(read(written(root, text)), parse, out=root / "o", runs=root / "r")]

    before = identities(TABLE)
    assert identities(TABLE.replace('"Other"', '"Renamed"').replace("Squares", "Title")) == before
    for change in (("steps = 2", "steps = 3"), ("folds", "enclosure = true\nfolds"), ("folds", "seeds = [1]\nfolds")):
        assert not set(identities(TABLE.replace(*change, 1))) & set(before)
    assert identities(TABLE.replace("folds", 'masks = "auto"\nfolds', 1)) == before  # as before there were masks
    assert not set(identities(TABLE.replace("folds", 'masks = "2"\nfolds', 1))) & set(before)
    assert (
        identities(TABLE.replace("folds", "unlabelled = true\nfolds", 1)) == before
    )  # no method of these has a teacher
    walks = TABLE.replace('"pce"', '"walk-teacher"')
    flag, other = identities(walks)
    assert identities(walks.replace("folds", "unlabelled = false\nfolds", 1)) == [flag, other]
    changed = walks.replace('method = "walk-teacher"', 'method = "walk-teacher"\nfields = {{ colours = "changed" }}', 1)
    assert identities(changed) == [flag, other]  # the corpus has no colours
    assert (
        sum(each not in (flag, other) for each in identities(walks.replace("folds", "unlabelled = true\nfolds", 1)))
        == 1
    )
    flag, other = identities(TABLE.replace("adv = 0", "adv = 0, pse = 0"))
    assert flag == before[0]
    assert other != before[1]
    tiny.corpus(root / "elsewhere")
    assert identities(TABLE.replace("{root}/corpus", "{root}/elsewhere")) == before
    tiny.corpus(root / "changed", [tiny.case(f"p{number}", number + 9) for number in range(6)])
    assert not set(identities(TABLE.replace("{root}/corpus", "{root}/changed"))) & set(before)


def test_rows_that_ask_for_the_same_run_share_it(root: Path) -> None:
    twin = '\n[[rows]]\nname = "Twin"\nmethod = "pce"\n'
    flag, _, other = cells(read(written(root, TABLE + twin)), parse, out=root / "out", runs=root / "runs")
    assert flag.job == other.job
    assert flag.job.folders == (flag.folder, other.folder)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_tables_are_right(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that needs no corpus: keys, methods, fields and their values."""
    monkeypatch.chdir(tmp_path)
    table = read(path)
    for words in table.prepare.values():
        parse(list(words))
    with pytest.raises(InputError, match="not a corpus"):
        cells(replace(table, prepare={}), parse, out=Path("out"), runs=Path("runs"))


def test_all_tables_are_shipped() -> None:
    acdc = {f"acdc-{name}" for name in ("comparison", "ablation", "perturbations", "points", "levers", "seeds")}
    others = {"mscmr-comparison", "phantom-smoke", "spinal-cord", "spinal-cord-near", "wbc", "wbc-long", "wbc-longest"}
    assert {path.stem for path in SHIPPED} == acdc | others


@pytest.mark.parametrize("name", ["acdc-comparison", "phantom-smoke"])
def test_comparisons_have_every_method(name: str) -> None:
    path = next(path for path in SHIPPED if path.stem == name)
    assert {registry.present(row.method) for row in read(path).rows} == set(methods.ALL)


@pytest.mark.parametrize("figure", ["nan", "inf", "-0.1", "87.5"])
def test_published_figures_that_are_none_are_refused(
    root: Path, capsys: pytest.CaptureFixture[str], figure: str
) -> None:
    path = written(root, f"{TABLE}published.dice.mean = {figure}\n")
    refused(path, capsys, "published.dice.mean", "allowed are numbers from 0 to 1")


def test_a_name_that_is_no_folder_s_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder could not be made when the row's first run had trained."""
    path = written(root, f'{TABLE}\n[[rows]]\nname = "{"b" * 300}"\nmethod = "pce"\n')
    refused(path, capsys, "name has 300 signs, allowed are up to 200")
