"""The command ``train``: its options; torch and the one method that is named are imported when it is read."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, make_dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Union, cast, get_args, get_type_hints

from tyro.conf import Positional, arg, subcommand

from maskmixadv.errors import InputError
from maskmixadv.methods import registry
from maskmixadv.runs.schedule import Changes, Preset, default_preset

if TYPE_CHECKING:
    from maskmixadv.methods.method import Method
    from maskmixadv.runs.run import Run
    from maskmixadv.training.distribute import Ranks

METAVARS: Final = {
    "steps": "INT", "batch": "INT", "size": "PIXELS", "window": "PIXELS", "lr": "RATE", "weight_decay": "DECAY",
    "ema": "DECAY", "validate_every": "STEPS",
}  # fmt: skip
"""What help calls the values of what replaces a preset's fields; those of a list of words are that list."""


class NotLoaded:
    """A method that the command line does not name, of which help shows a line."""

    name: ClassVar[str]

    def loaded(self) -> "Method":
        """Return the method, as it is by default."""
        return registry.load(self.name)()


@dataclass(frozen=True)
class Train(Changes):
    """Learn from a corpus's scribbles; the method and its own fields come last.

    Attributes
    ----------
    corpus
        Directory that 'maskmixadv prepare' made.
    method
        How to learn.
    out
        Directory of the run; must be new or empty, or hold the same run, begun and not done, which then goes on.
    resume
        Go on with the run in this directory; everything else is as it was begun.
    fold
        Which fold's patients to hold out, counted from 1.
    folds
        Which scheme of folds; by default the corpus's first.
    prior
        Corpus whose dense masks, of other patients, teach the critic shapes.
    preset
        Resolution, length and optimiser: paper (256 pixels, 60,000 steps), fast (256, GPU), cpu (96, minutes). By
        default fast on a CUDA device, cpu elsewhere.
    enclosure
        Take what lies beyond the hull of a slice's background stroke as background.
    seed
        Of everything random.
    device
        Where to compute, such as cpu or cuda:0; by default the fastest that is there.
    memory
        GB of the device's memory that slices may take; what is more streams from the run's directory, with the same
        result. By default half of what is free.
    compile
        Compile the networks, which takes a minute; results agree to rounding.
    graph
        On a CUDA device: record steps as graphs and replay them; results agree to rounding.
    deterministic
        On a GPU: the same bits from the same run, more slowly; a CPU's are the same anyway.
    """

    corpus: Annotated[Positional[Path | None], arg(metavar="CORPUS")] = None
    method: Any = None
    out: Annotated[Path | None, arg(metavar="RUN")] = None
    resume: Annotated[Path | None, arg(metavar="RUN")] = None
    fold: int = 1
    folds: Annotated[str | None, arg(metavar="SCHEME")] = None
    prior: Annotated[Path | None, arg(metavar="CORPUS")] = None
    preset: Annotated[Preset | None, arg(metavar="{paper,fast,cpu}")] = None
    enclosure: bool = False
    seed: int = 0
    device: Annotated[str | None, arg(metavar="DEVICE")] = None
    memory: Annotated[float | None, arg(metavar="GB")] = None
    compile: bool = False
    graph: bool = False
    deterministic: bool = False

    def run(self, line: str | None = None) -> int:
        """Train, together with the other processes that torchrun has started; returns 130 where it was interrupted.

        Parameters
        ----------
        line
            The command line, for the record.
        """
        if self.memory is not None and not self.memory >= 0:
            raise InputError(f"memory: {self.memory}, allowed is 0 GB (nothing) or more")
        from maskmixadv.device import pick_device
        from maskmixadv.training.distribute import joined
        from maskmixadv.training.engine import Engine
        from maskmixadv.training.fit import fit

        engine = Engine(self.compile, self.graph, self.deterministic)
        with joined(self.device) as ranks:
            engine.check(pick_device(ranks.device), ranks.size)
            run = self._open(ranks, line)
            if ranks.rank == 0:
                _announce(run)
            done = fit(run, device=ranks.device, ranks=ranks, engine=engine, memory=self.memory)
            if ranks.rank == 0:
                _tell(run, done=done)
        return 0 if done else 130

    def _begin(self, ranks: "Ranks", line: str | None) -> None:
        from maskmixadv.device import pick_device
        from maskmixadv.training.begin import begin

        if self.corpus is None or self.out is None:
            raise InputError("train: give a CORPUS and --out RUN, or --resume RUN")
        preset = self.preset or default_preset(pick_device(ranks.device or self.device).type)
        begin(
            self.corpus,
            self.out,
            method=self.method.loaded() if isinstance(self.method, NotLoaded) else self.method,
            schedule=self.on(preset),
            preset=preset,
            scheme=self.folds,
            fold=self.fold,
            prior_root=self.prior,
            enclosure=self.enclosure,
            seed=self.seed,
            device=ranks.device or self.device,
            ranks=ranks,
            command=line,
        )

    def _open(self, ranks: "Ranks", line: str | None) -> "Run":
        """Open the run to resume, or the one that the first rank begins."""
        from maskmixadv.runs.run import Run

        if self.resume is not None:
            return Run.open(self.resume)
        if ranks.rank == 0:
            self._begin(ranks, line)
        ranks.wait()
        return Run.open(cast("Path", self.out))


def train(words: Sequence[str]) -> type[Train]:
    """Return the command with the fields of those methods that `words` name; all methods have a line in its help.

    Of the other methods nothing is imported, so that help does not wait for torch.
    """
    kinds = [Annotated[_kind(name, words), subcommand(name)] for name in registry.METHODS]
    former = [name for name in registry.FORMER if name in words]
    kinds += [Annotated[registry.load(name), subcommand(name)] for name in former]
    default = field(default=_kind(registry.DEFAULT_METHOD, words)())
    return make_dataclass(
        "Train",
        [("method", Union[tuple(kinds)], default), *_replacing()],  # noqa: UP007
        bases=(Train,),
        frozen=True,
        namespace={"__doc__": Train.__doc__},
    )


def _replacing() -> Iterator[tuple[str, Any, Any]]:
    """Give the fields that replace the preset's, with what help calls their values."""
    for name, hint in get_type_hints(Changes).items():
        words = get_args(get_args(hint)[0])
        shown = f"{{{','.join(words)}}}" if words else METAVARS[name]
        yield name, Annotated[hint, arg(metavar=shown)], field(default=None)


@lru_cache
def _stub(name: str) -> type[NotLoaded]:
    """Return a class without fields, whose help is the method's line."""
    kind, about = registry.METHODS[name][:2]
    return make_dataclass(kind, (), bases=(NotLoaded,), frozen=True, namespace={"__doc__": about, "name": name})


def _kind(name: str, words: Sequence[str]) -> type:
    return registry.load(name) if name in words else _stub(name)


def _announce(run: "Run") -> None:
    """Say what is about to run, as much of it is chosen where nothing is said."""
    schedule, preset = run.schedule, run.facts.preset or "none"
    print(
        f"{run.root}: {registry.named(run.method)}, preset {preset}, {schedule.steps:,} steps of {schedule.batch} "
        f"slices, {schedule.window} × {schedule.window} pixels, on {run.facts.device}",
        file=sys.stderr,
    )


def _tell(run: "Run", *, done: bool) -> None:
    if done:
        print(f"{run.root}: done; score it with 'maskmixadv evaluate {run.root}'")
    else:
        print(
            f"{run.root}: interrupted and saved; go on with 'maskmixadv train --resume {run.root}'",
            file=sys.stderr,
        )
