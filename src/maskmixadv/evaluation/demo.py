"""The demo: it makes phantoms, trains on them and scores the run, in minutes on a CPU."""

from pathlib import Path

from maskmixadv.errors import InputError
from maskmixadv.evaluation.evaluate import evaluate, folder
from maskmixadv.files import make_directory, must_not_be_read
from maskmixadv.methods.registry import DEFAULT_METHOD, load
from maskmixadv.runs.run import Run
from maskmixadv.runs.schedule import PRESETS
from maskmixadv.sources.opening import open_corpus
from maskmixadv.sources.phantoms import phantom
from maskmixadv.training.begin import begin
from maskmixadv.training.fit import fit

CORPUS, RUN = "corpus", "run"


def demo(out: Path, *, command: str | None = None) -> int:
    """Make a corpus of phantoms in `out`, train the default method on it, and score it on patients that it never saw.

    Where an earlier call was stopped, this one goes on from there.

    Parameters
    ----------
    out
        Directory to make: new, empty, or that of an earlier call.
    command
        Command line that asked for it, for the record; None: it is called from Python.

    Returns
    -------
    The exit code: 0, or 130 where it was interrupted.

    Raises
    ------
    InputError
        Where `out` holds something else, or can't be written.

    Examples
    --------
    It takes minutes, so here is only a folder that it leaves alone:

    >>> Path("thesis").mkdir()
    >>> _ = Path("thesis/chapter1.tex").write_text("")
    >>> demo(Path("thesis"))
    Traceback (most recent call last):
    maskmixadv.errors.InputError: thesis: already holds 'chapter1.tex'; name a new or an empty directory
    """
    must_not_be_read(out)
    make_directory(out)
    strange = next((path.name for path in sorted(out.iterdir()) if path.name not in (CORPUS, RUN)), None)
    if strange is not None:
        raise InputError(f"{out}: already holds {strange!r}; name a new or an empty directory")
    if not fit(_begun(out, command)):
        return 130
    print(evaluate(out / RUN, command=command))
    print(f"report: {folder(out / RUN, 'test') / 'report.html'}")
    return 0


def _begun(out: Path, command: str | None) -> Run:
    corpus = open_corpus(out / CORPUS) if (out / CORPUS / "corpus.json").is_file() else phantom.prepare(out / CORPUS)
    if (out / RUN / "run.json").is_file():
        return Run.open(out / RUN)
    method, schedule = load(DEFAULT_METHOD)(), PRESETS["demo"]
    return begin(
        corpus.root, out / RUN, method=method, schedule=schedule, preset="demo", enclosure=True, command=command
    )
