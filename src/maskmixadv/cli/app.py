"""The command line: a command is a dataclass with ``run()``; the module that has it is imported when it is named."""

import os
import sys
from dataclasses import make_dataclass
from importlib import import_module
from typing import Annotated, Any, Final, NamedTuple, Union

import tyro
from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, subcommand

from maskmixadv.cli.complaint import told
from maskmixadv.errors import DIVERGED, DivergedError, InputError

UNREAD: Final = 141
"""Exit code where a reader went away, as of what the signal ends (128 + SIGPIPE)."""
ABOUT: Final = (
    "Learn to segment medical images from a few scribbles per slice, and compare the ways of doing so fairly."
)


class Group(NamedTuple):
    """A command, or several of one kind.

    Attributes
    ----------
    module, name
        Where it is defined: a dataclass, a union of some, or, with `made`, a function of the words behind the command's
        name that makes one.
    about
        What it does, in one line.
    recorded
        Whether its ``run`` takes the command line, for the record.
    """

    module: str
    name: str
    about: str
    made: bool = False
    recorded: bool = False


COMMANDS: Final = {
    "prepare": Group("prepare", "Prepare", "Make a corpus of a data set, or of patients made up."),
    "check": Group("check", "Check", "Say what is in a corpus, and what is wrong with it."),
    "annotate": Group("annotate", "Annotate", "Make a corpus with scribbles or points drawn from dense masks."),
    "train": Group("train", "train", "Learn from a corpus's scribbles.", made=True, recorded=True),
    "evaluate": Group("use", "Evaluate", "Score a run on patients that it did not learn from.", recorded=True),
    "predict": Group("use", "Predict", "Segment images."),
    "export": Group("export", "Export", "Write what other programs read."),
    "bench": Group("bench", "Bench", "Run a table of methods × folds × seeds and render it."),
    "studio": Group("studio", "Studio", "Scribble, train and review in the browser."),
    "demo": Group(
        "demo", "Demo", "Make phantoms, train on their scribbles, score and report; minutes on a CPU.", recorded=True
    ),
}


def main() -> None:
    """Run the command line.

    Exits with 0, with 2 where the user's input is wrong, with 3 where a training left the finite numbers, with 130
    after Ctrl-C, with 141 where nobody reads on what it prints (``| head``).
    """
    try:
        sys.exit(_flushed(run(sys.argv[1:])))
    except BrokenPipeError:
        # What is left in the streams goes nowhere, or the interpreter would complain of it at its end.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        sys.exit(UNREAD)


def _flushed(code: int) -> int:
    sys.stdout.flush()
    return code


def run(argv: list[str]) -> int:
    """Run one command; returns its exit code."""
    # OpenMP reads it when torch is loaded: its threads then wait some microseconds for work before they sleep, which
    # a step's many small operators need, and leave the cores to others soon (docs/decisions/0004).
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        command = parse(argv)
    except InputError as error:
        # All processes of torchrun are given the same words, one of them complains.
        return _refuse(error) if os.environ.get("RANK", "0") == "0" else 2
    try:
        if not COMMANDS[argv[0]].recorded:
            return command.run()
        from maskmixadv.provenance import command_line  # help is quicker without

        return command.run(command_line(argv))
    except InputError as error:
        return _refuse(error)
    except DivergedError as error:
        return _refuse(error, DIVERGED)


def _refuse(error: Exception, code: int = 2) -> int:
    print(f"maskmixadv: {' '.join(str(error).split())}", file=sys.stderr)
    return code


def parse(argv: list[str]) -> Any:  # noqa: ANN401
    """Return the command that `argv` names.

    Raises
    ------
    InputError
        Where it names none, or its words can't be read.
    """
    with told(argv, COMMANDS):
        return tyro.cli(
            _commands(argv),
            prog="maskmixadv",
            description=ABOUT,
            args=argv,
            config=(OmitArgPrefixes, OmitSubcommandPrefixes),
        )


def _commands(argv: list[str]) -> Any:  # noqa: ANN401
    """Return the union of the commands, of which the one that `argv` names is imported, and no other."""
    return Union[tuple(_command(name, group, argv) for name, group in COMMANDS.items())]  # noqa: UP007


def _command(name: str, group: Group, argv: list[str]) -> Any:  # noqa: ANN401
    if argv[:1] != [name]:
        return Annotated[make_dataclass(group.name, (), namespace={"__doc__": group.about}), subcommand(name)]
    found = getattr(import_module(f"maskmixadv.cli.{group.module}"), group.name)
    if group.made:
        found = found(argv[1:])
    if isinstance(found, type):
        return Annotated[found, subcommand(name)]
    return Annotated[found, subcommand(name, description=group.about)]
