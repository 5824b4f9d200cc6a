"""At the end of a training: decide by what its network draws how predictions are made, and keep it with the run."""

from dataclasses import replace

from maskmixadv.errors import say
from maskmixadv.inference.predictor import Predictor
from maskmixadv.runs import odds, pieces
from maskmixadv.runs.odds import Odds
from maskmixadv.runs.origin import same_corpus
from maskmixadv.runs.pieces import Pieces
from maskmixadv.runs.run import Run
from maskmixadv.training.odds import found_odds
from maskmixadv.training.pieces import found_pieces


def settle(run: Run, device: str | None = None) -> tuple[Odds, Pieces]:
    """Decide on classes' odds and on structures in one piece, unless it is decided, and keep both with the run.

    Odds are those with which the masks of validation patients are met better, where at least three of them have masks
    (`maskmixadv.training.odds`). With these odds, structures are looked for that are in one piece: all together first,
    then each one in what is left. They are if at most 1 % of them lies outside the largest piece, in masks or else in
    what the network draws, and if at most .1 % of what people annotated would be lost (`maskmixadv.training.pieces`).

    Parameters
    ----------
    run
        A run whose training has ended.
    device
        Where to predict, such as ``cpu`` or ``cuda:0``; None: the fastest device that is there.

    Raises
    ------
    InputError
        Where the corpus has changed, a case or the checkpoint can't be read, or what is decided is another network's.

    Examples
    --------
    >>> import maskmixadv as mma
    >>> corpus = mma.make_phantoms("corpus", cases=6, size=64)
    >>> run = mma.train(corpus, "run", method="pce", preset="cpu", steps=2, size=48, window=32)
    >>> shares, found = settle(run, "cpu")
    >>> str(shares), [str(piece) for piece in found.found]
    ('neutral', ['all structures together', 'RV', 'Myo', 'LV'])
    """
    decided = (run.root / pieces.FILE).is_file()
    predictor = Predictor.load(run.root, device, odds=decided, deciding=True)
    if decided:
        return predictor.odds, predictor.pieces
    corpus = same_corpus(run.learnt_from)
    shares = found_odds(run, corpus, predictor)
    found = found_pieces(run, corpus, replace(predictor, odds=shares))
    if shares.patients:
        shares.write(run.root, predictor.network)
    else:
        (run.root / odds.FILE).unlink(missing_ok=True)  # found for another network
    found.write(run.root, predictor.network)  # the last one: with it, both are decided
    if shares.used:
        told = f"odds of classes by the masks of {shares.patients} validation patients: {shares}"
        better = f"mean Dice of each one {shares.before:.3f}, with odds by the others' masks {shares.after:.3f}"
        say(f"{run.root}: {told}; {better} ({odds.FILE}; '--odds neutral' leaves them out)")
    if found.kept:
        told = f"of these only the largest connected piece is kept in predictions: {found}"
        say(f"{run.root}: {told} ({pieces.FILE}; '--pieces all' keeps all)")
    return shares, found
