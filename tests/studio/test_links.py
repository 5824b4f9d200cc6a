"""A folder that somebody sends holds links where the studio writes: what they lead to stays as it is."""

import json
from collections.abc import Callable
from contextlib import suppress
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import own
import tiny
from maskmixadv.errors import InputError
from maskmixadv.files import make_directory, write_text
from maskmixadv.formats import nifti
from maskmixadv.inference.predictor import Predictor
from maskmixadv.methods.pce import PCE
from maskmixadv.runs.run import Run
from maskmixadv.studio.export import model as export
from maskmixadv.studio.http import server as http_server
from maskmixadv.studio.layout import Layout
from maskmixadv.studio.learning import job
from maskmixadv.studio.learning.training import Order, Training
from maskmixadv.studio.palette import PaletteClass
from maskmixadv.studio.session import Session, served
from maskmixadv.training import fit
from maskmixadv.training.recipe import Recipe
from quick import quick
from studio_server import strokes
from untrained import predictor

WRITTEN = (
    "studio.json", "classes.toml", "images/new.nii.gz", "scribbles/s0.nii.gz", "scribbles/m0.nii.gz", "masks",
    ".corpus", ".corpus/.lock", ".studio", ".studio/images.json", ".studio/.lock", ".studio/.lock.holder",
    ".studio/001", ".studio/001/order.json", ".studio/001/process.json", ".studio/001/phase", ".studio/001/stop",
    ".studio/001/output.txt", ".studio/001/left-out.json", ".studio/001/reason",
    "runs", "runs/001", "runs/001/run.json", "predictions",
    "predictions/001", "predictions/001/s0.nii.gz", "predictions/001/s0.npz", "predictions/001/probabilities",
    "predictions/001/probabilities/s0.npz", "predictions/000", "predictions/000/s0.nii.gz", "export", "export/masks",
    "export/masks/s0.nii.gz", "export/masks/slices.csv", "export/model-001", "export/model-001/model.onnx",
    "export/Dataset101_hearts", "corrected", "corrected/s0.nii.gz", "cases.json", "export/.lock",
    "export/.maskmixadv.json", "export/volumes.csv",
)  # fmt: skip
"""Names at which the studio and its trainings write, or make a directory."""
BESIDE = (".partial-{}", "{}.partial")
"""Names that an earlier version wrote under meanwhile."""
FILES = (".json", ".toml", ".gz", ".npz", ".csv", ".onnx", ".txt", ".lock", ".holder", "phase", "stop")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "outside" / "directory").mkdir(parents=True)
    for name in ("file.txt", "directory/file.txt", "directory/s0.nii.gz", "directory/order.json"):
        (tmp_path / "outside" / name).write_text("precious")
    return tmp_path / "outside"


@pytest.fixture(autouse=True)
def _no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings run where they are begun, and learn nothing."""

    class Ended:
        def poll(self) -> int:
            return 0

    def begun(self: Training, run: str, said: Path) -> Any:
        layout = self._layout

        def learn(*_: Any, **__: Any) -> None:
            make_directory(layout.runs / run)
            write_text(layout.runs / run / "run.json", json.dumps(tiny.run(PCE()).record()))
            write_text(layout.runs / run / "last.pt", "")

        monkeypatch.setattr(Recipe, "begin", learn)
        monkeypatch.setattr(fit, "fit", lambda *_, **__: True)
        said.touch(exist_ok=False)
        job.work(layout, run)
        return Ended()

    monkeypatch.setattr(Training, "_start_process", begun)

    def load(root: Path) -> Predictor:
        Run.open(root)  # refused where there is no such run, as the real one does
        return predictor("pce")

    monkeypatch.setattr(Predictor, "load", load)
    monkeypatch.setattr(export, "_export_model", lambda _, place: write_text(place / "model.json", "{}"))


def everything(session: Session, image: bytes) -> dict[str, str]:
    """Do all that a page can ask for; returns what was refused."""

    def upload() -> None:
        place = session.cases.new_upload("new.nii.gz")
        place.write_bytes(image)
        session.cases.take_upload(place, "new.nii.gz")

    layout = session.layout
    asked: dict[str, Callable[[], object]] = {
        "list": session.folder,
        "classes": lambda: session.set_classes(
            [PaletteClass(name, "#123456") for name in ("background", "a", "b", "c")]
        ),
        "draw": lambda: session.draw("s0", 1, strokes().tobytes(), 2.0),
        "draw first": lambda: session.draw("m0", 1, strokes().tobytes(), 2.0),
        "add": upload,
        "train": lambda: session.training.start(Order("cpu", "pce", 1)),
        "stop": session.training.stop,
        "accept proposal": lambda: session.accept_proposal("s0", 0, bytes(strokes().size)),
        "review": lambda: session.review("s0", 1, "accepted"),
        "paint": lambda: session.masks.correct("s0", 2, bytes(strokes().size), 1.0),
        "use": lambda: session.masks.set_use("s0", "teach"),
        "queue": session.queue,
        "measure": session.clinical,
        "masks": lambda: session.export("masks"),
        "volumes": lambda: session.export("volumes"),
        "nnunet": lambda: session.export("nnunet"),
        "model": lambda: session.export("model"),
        "list again": session.folder,
        "predict again": lambda: job.predict(layout, layout.next_run()),
    }
    refused = {}
    for name, ask in asked.items():
        try:
            ask()
        except InputError as error:
            refused[name] = str(error)
    return refused


def snapshot(root: Path) -> dict[str, str | None]:
    return {
        str(path.relative_to(root)): path.read_text() if path.is_file() else None
        for path in root.rglob("*")
    }  # fmt: skip


def sent(place: Path) -> tuple[Path, bytes]:
    """A folder as it comes, and an image for it."""
    folder = own.folder(place / "hearts", scribbled=1, masked=1)
    return folder, (folder / "images" / "s0.nii.gz").read_bytes()


def plant(folder: Path, name: str, target: Path) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        for inside in path.iterdir():
            inside.unlink()
        path.rmdir()
    path.unlink(missing_ok=True)
    path.symlink_to(target)


def test_a_new_folder_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "server", lambda _: SimpleNamespace(run=lambda **_: None))
    told = f"{tmp_path / 'nope' / 'x'}: a new folder, as there was none; images belong in its images/\n"
    for said in (told, ""):
        assert http_server.serve(tmp_path / "nope" / "x", port=0, browse=False) == 0
        assert capsys.readouterr().err == said


def test_a_folder_whose_images_lie_elsewhere_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "server", lambda _: SimpleNamespace(run=lambda **_: None))
    (tmp_path / "p1").mkdir()
    told = f"{tmp_path}: has no folder images/, which is made; what lies elsewhere in it is not shown\n"
    for said in (told, ""):
        assert http_server.serve(tmp_path, port=0, browse=False) == 0
        assert capsys.readouterr().err == said
    for name in ("a.png", "a_mask.png"):
        (tmp_path / "p1" / name).touch()
    assert http_server.serve(tmp_path / "p1", port=0, browse=False) == 0
    assert " is not shown; 'maskmixadv prepare folder " in capsys.readouterr().err


def test_without_links_nothing_is_refused(tmp_path: Path) -> None:
    folder, image = sent(tmp_path)
    with served(folder) as session:
        assert set(everything(session, image)) == {"stop", "predict again"}  # none runs, and none has that number
    written = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    # What is not there now is written by real trainings, or away again.
    assert set(WRITTEN) - written <= {
        ".corpus/.lock", ".studio/.lock.holder", ".studio/001/stop", ".studio/001/reason",
        "export/model-001/model.onnx",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "there"),
    quick(
        product(WRITTEN, [True, False]),
        *(
            "studio.json True",
            "images/new.nii.gz True",
            "masks True",
        ),
        *(".studio/001/order.json True", "predictions/001/s0.npz False"),
        "export/model-001/model.onnx False",
        *("corrected/s0.nii.gz True", "cases.json True"),
        name=lambda case: f"{case[0]} {case[1]}",
    ),
)
def test_what_a_link_leads_to_stays_as_it_is(tmp_path: Path, outside: Path, name: str, there: bool) -> None:
    folder, image = sent(tmp_path)
    of_its_kind = "file.txt" if name.endswith(FILES) else "directory"
    plant(folder, name, outside / (of_its_kind if there else "new"))
    before = snapshot(outside)
    with suppress(InputError), served(folder) as session:
        everything(session, image)
    assert snapshot(outside) == before


def test_links_under_names_of_what_is_not_whole_yet_are_not_written_through(tmp_path: Path, outside: Path) -> None:
    folder, image = sent(tmp_path)
    for name in WRITTEN:
        path = folder / name
        for beside in BESIDE:
            if not {"001", "model-001", "Dataset101_hearts"} & set(Path(name).parts[:-1]):
                plant(folder, str(path.with_name(beside.format(path.name)).relative_to(folder)), outside / "file.txt")
    before = snapshot(outside)
    with served(folder) as session:
        assert set(everything(session, image)) == {"stop", "predict again"}
    assert snapshot(outside) == before
    assert nifti.read(folder / "scribbles" / "s0.nii.gz").array[1].max() == 4
    assert Layout.open(folder).next_run() == "002"
