"""The demo: phantoms are made, learnt and scored, unattended, in minutes on a CPU."""

from pathlib import Path

from maskmixadv.begin import begin
from maskmixadv.data import phantom
from maskmixadv.evaluate import evaluate, folder
from maskmixadv.files import claim
from maskmixadv.methods import MaskMixAdv
from maskmixadv.schedule import PRESETS
from maskmixadv.train import fit


def demo(out: Path) -> int:
    """Make a corpus and a prior of phantoms in `out`, train MaskMixAdv, score it on patients it never saw.

    Returns
    -------
    0, or 130 where it was interrupted.
    """
    claim(out)
    corpus = phantom.prepare(out / "corpus")
    phantom.prepare(out / "prior", seed=1)
    run = begin(
        corpus.root,
        out / "run",
        method=MaskMixAdv(),
        schedule=PRESETS["demo"],
        preset="demo",
        prior_root=out / "prior",
        enclosure=True,
    )
    if not fit(run):
        return 130
    print(evaluate(run.root))
    print(f"report: {folder(run.root, 'test') / 'report.html'}")
    return 0
