"""The command ``train``. Only the method that the command line names is imported, and torch when it runs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Union, cast, get_args, get_type_hints

from tyro.conf import Positional, arg, subcommand

from maskmixadv.corpus.masks import Counted, Masks
from maskmixadv.errors import INTERRUPTED, InputError, counted, listed, say, word
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
"""The words for values in the help of the options that replace a preset's fields; a list of choices shows itself."""

ALONGSIDE: Final = ("resume", "device", "memory", "compile", "graph", "deterministic")
"""Fields that say how to compute, not what."""


class NotLoaded:
    """A method that the command line does not name: help shows one line for it."""

    name: ClassVar[str]

    def loaded(self) -> "Method":
        """Import the method; returns it with its default fields."""
        return registry.load(self.name)()


@dataclass(frozen=True)
class Train(Changes):
    """Learn from a corpus's scribbles; the method and its own fields come last.

    Attributes
    ----------
    corpus
        Directory that 'maskmixadv prepare' made, or a folder of images. Needed unless --resume is given.
    method
        How to learn.
    out
        Directory of the run; must be new or empty. If it holds the same run, unfinished, that run goes on. Needed
        unless --resume is given.
    resume
        Go on with the run in this directory, with the options that it was begun with.
    fold
        Which fold's patients to hold out, counted from 1.
    folds
        Name of the scheme of folds; by default the corpus's first.
    prior
        Corpus of other patients; its dense masks teach the critic shapes.
    preset
        Resolution, length and optimiser: paper (256 pixels, 60,000 steps), fast (256 pixels, 6,000 steps, for a GPU),
        cpu (144 pixels in windows of 96, 1,500 steps, minutes). By default fast on a CUDA device, cpu elsewhere.
    enclosure
        Treat everything outside the hull of a slice's background stroke as background.
    masks
        Which dense masks to learn from beside strokes: auto (of cases without strokes, and masks that know only some
        pixels of a volume), none, all, or a number, chosen by the seed.
    masks_of
        What a number of masks counts: training patients, or single slices that show a structure.
    unlabelled
        Learn from slices and patients without any annotation, too: walk-teacher, mean-teacher, uamt and ustm, whose
        teachers judge them.
    start
        Begin with the network of this run, of the same classes and channels, not with random weights.
    seed
        Seed of all random numbers.
    device
        Device to compute on, such as cpu or cuda:0; by default the fastest one.
    memory
        GB of the device's memory for slices; by default half of the free memory. Slices beyond it are streamed from the
        run's directory, with the same result.
    compile
        Compile the networks, which takes a minute; results agree to rounding.
    graph
        On a CUDA device: record steps as graphs and replay them, two to three times as fast; results agree to
        rounding.
    deterministic
        On a GPU: make results repeatable to the bit, which is slower. On a CPU they always are.
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
    masks: Annotated[str, arg(metavar="{auto,none,all,INT}")] = "auto"
    masks_of: Counted = "patients"
    unlabelled: bool = False
    start: Annotated[Path | None, arg(metavar="RUN")] = None
    seed: int = 0
    device: Annotated[str | None, arg(metavar="DEVICE")] = None
    memory: Annotated[float | None, arg(metavar="GB")] = None
    compile: bool = False
    graph: bool = True
    deterministic: bool = False

    def run(self, line: str | None = None) -> int:
        """Train, together with the other processes of torchrun; returns 130 if the training was interrupted.

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

        with joined(self.device) as ranks:
            told = {"compile": self.compile, "graph": self.graph, "deterministic": self.deterministic}
            engine = Engine.usual(pick_device(ranks.device), ranks.size, **told)
            run = self._open(ranks, line)
            if ranks.rank == 0:
                _announce(run)
            done = fit(run, device=ranks.device, ranks=ranks, engine=engine, memory=self.memory)
            if ranks.rank == 0:
                _tell(run, done=done)
        return 0 if done else INTERRUPTED

    def _check_alone(self) -> None:
        """Refuse what would be passed over: a run goes on with the options that it was begun with."""
        given = [each.name for each in fields(self) if getattr(self, each.name) != each.default]
        if stray := [name for name in given if name not in ALONGSIDE]:
            raise InputError(
                f"{_options(stray)}: not with --resume, which goes on with what the run was begun with; allowed beside "
                f"it are {_options(ALONGSIDE[1:])}"
            )

    def _begin(self, ranks: "Ranks", line: str | None) -> None:
        from maskmixadv.device import pick_device
        from maskmixadv.training.begin import begin, tell_unused

        if self.corpus is None or self.out is None:
            raise InputError("train: give a CORPUS and --out RUN, or --resume RUN")
        preset = self.preset or default_preset(pick_device(ranks.device or self.device).type)
        method = self.method.loaded() if isinstance(self.method, NotLoaded) else self.method
        tell_unused(method, prior=self.prior is not None, unlabelled=self.unlabelled, enclosure=self.enclosure)
        begin(
            self.corpus,
            self.out,
            method=method,
            schedule=self.on(preset),
            preset=preset,
            fit_canvas=self.fit_canvas(preset),
            scheme=self.folds,
            fold=self.fold,
            prior_root=self.prior,
            enclosure=self.enclosure,
            masks=Masks(self.masks, self.masks_of),
            unlabelled=self.unlabelled,
            start=self.start,
            seed=self.seed,
            device=ranks.device or self.device,
            ranks=ranks,
            command=line,
        )

    def _open(self, ranks: "Ranks", line: str | None) -> "Run":
        """Open the run to resume, or the one that the first process begins."""
        from maskmixadv.runs.run import Run

        if self.resume is not None:
            self._check_alone()
            return Run.open(self.resume)
        if ranks.rank == 0:
            self._begin(ranks, line)
        ranks.wait()
        return Run.open(cast("Path", self.out))


def train(words: Sequence[str]) -> type[Train]:
    """Return the command for a command line with `words`.

    It has the options of those methods that `words` name, and one line of help for each other method. The other methods
    are not imported, so that help does not wait for torch.
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
    """Yield the fields that replace a preset's, with the words for their values."""
    for name, hint in get_type_hints(Changes).items():
        words = get_args(get_args(hint)[0])
        shown = f"{{{','.join(words)}}}" if words else METAVARS[name]
        yield name, Annotated[hint, arg(metavar=shown)], field(default=None)


def _options(names: Sequence[str]) -> str:
    positional = {"corpus": "CORPUS", "method": "METHOD"}
    return listed([positional.get(name, f"--{name.replace('_', '-')}") for name in names])


@lru_cache
def _stub(name: str) -> type[NotLoaded]:
    """Return a class without fields whose docstring is the method's line of help."""
    kind, about = registry.METHODS[name][:2]
    return make_dataclass(kind, (), bases=(NotLoaded,), frozen=True, namespace={"__doc__": about, "name": name})


def _kind(name: str, words: Sequence[str]) -> type:
    return registry.load(name) if name in words else _stub(name)


def _announce(run: "Run") -> None:
    """Print what is about to run, since many options have defaults."""
    schedule, preset = run.schedule, run.facts.preset or "none"
    say(
        f"{run.root}: {registry.named(run.method)}, preset {preset}, {counted(schedule.steps, 'step')} of "
        f"{counted(schedule.batch, 'slice')}, {schedule.window} × {schedule.window} pixels, on {run.facts.device}"
    )


def _next(run: "Run") -> str:
    """Say which command shows what a finished run is worth, as only patients with masks can be scored."""
    from maskmixadv.runs.origin import same_corpus

    corpus, named = same_corpus(run.learnt_from), run.learnt_from.split._asdict()
    scorable = [part for part, names in named.items() if any(entry.dense for entry in corpus.of(names))]
    if "test" in scorable:
        return f"score it with 'maskmixadv evaluate {word(run.root)}'"
    if "val" in scorable:
        return f"score it with 'maskmixadv evaluate {word(run.root)} --split val', as no test patient has a mask"
    unscored = "no patient that it did not learn from has a mask to score it by"
    return f"segment images with 'maskmixadv predict {word(run.root)} IMAGE --out DIR'; {unscored}"


def _tell(run: "Run", *, done: bool) -> None:
    if done:
        print(f"{run.root}: done; {_next(run)}")
    else:
        say(f"{run.root}: interrupted and saved; go on with 'maskmixadv train --resume {word(run.root)}'")
