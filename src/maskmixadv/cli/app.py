"""The command line. A command is a dataclass with ``run()``; its module is imported when the command is named."""

import errno
import os
import sys
from dataclasses import make_dataclass
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, TextIO, Union, get_args

import tyro
from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, subcommand

from maskmixadv import __version__
from maskmixadv.cli.complaint import by_option, told
from maskmixadv.cli.shown import SHOWN
from maskmixadv.errors import INTERRUPTED, STOPPED, DivergedError, InputError, UnwritableError, report, say

UNREAD: Final = 141
"""Exit code if the reader of the output went away: what a shell shows for SIGPIPE (128 + 13)."""
FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Errors of a disk that takes no more, as of one to which the output is sent."""
ABOUT: Final = (
    "Learn to segment medical images from a few scribbles per slice, and compare the ways of doing so fairly. "
    "'maskmixadv --version' prints the version."
)


class Group(NamedTuple):
    """A command, or a group of commands.

    Attributes
    ----------
    module, name
        Where it is defined: a dataclass, a union of dataclasses, or, if `made`, a function that returns a dataclass for
        the words behind the command's name.
    about
        What the command does, in one line.
    made
        Whether it is such a function.
    recorded
        Whether the command's ``run`` takes the command line, for the record.
    """

    module: str
    name: str
    about: str
    made: bool = False
    recorded: bool = False


COMMANDS: Final = {
    "prepare": Group("prepare", "Prepare", "Make a corpus of a data set, or of patients made up."),
    "split": Group("split", "Split", "Save each volume of a film, such as a cine, as a file."),
    "check": Group("check", "Check", "Show what is in a corpus, and what is wrong with it."),
    "annotate": Group(
        "annotate", "Annotate", "Make a corpus with other scribbles: drawn from dense masks, fewer, or wrong."
    ),
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
    """Run the command line and exit.

    The exit code is 0; 2 if the user's input is wrong; 3 if a training diverged; 130 after Ctrl-C; 141 if the reader of
    the output went away (``| head``).
    """
    _open_streams()
    try:
        sys.exit(_flushed(run(sys.argv[1:])))
    except BrokenPipeError:
        _discard(sys.stdout, sys.stderr)
        sys.exit(UNREAD)
    except OSError as error:
        if error.filename is not None or error.errno not in FULL:
            raise
        told = f"the output can't be written ({error.strerror}); free space, or send it elsewhere"
        code = report(UnwritableError(told))
        _discard(sys.stdout)
        sys.exit(code)


def _discard(*streams: TextIO) -> None:
    """Discard what streams have not written yet; otherwise the interpreter would complain when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nowhere, stream.fileno())


def _open_streams() -> None:
    """Open what a program without a terminal has closed, as a service: else a file of ours would be its output."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest number that is free: this one
            os.set_inheritable(number, True)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)
    # As stderr: a sign that it lacks must not end the work. In locale C names that are no text pass, and signs do not.
    lossy = ("strict",) if sys.stdout.encoding.lower() == "utf-8" else ("strict", "surrogateescape")
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors in lossy:
        sys.stdout.reconfigure(errors="backslashreplace")


def _flushed(code: int) -> int:
    sys.stdout.flush()
    return code


def run(argv: list[str]) -> int:
    """Run one command; returns its exit code."""
    try:
        return _run(argv)
    except KeyboardInterrupt:  # also while the command's modules are imported, which takes seconds
        say(STOPPED)
        return INTERRUPTED


def _run(argv: list[str]) -> int:
    if argv == ["--version"]:
        print(f"maskmixadv {__version__}")
        return 0
    # OpenMP reads this when torch is loaded. Its threads then wait for work some microseconds before they sleep: a step
    # has many small operators, and other processes get the cores soon (docs/decisions/0004).
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        _must_be_somewhere()
        command = parse(argv)
    except InputError as error:
        # torchrun gives all processes the same words; only the first one reports the error.
        return report(error) if os.environ.get("RANK", "0") == "0" else 2
    try:
        if not COMMANDS[argv[0]].recorded:
            return command.run()
        from maskmixadv.provenance import command_line  # help is quicker without

        return command.run(command_line(argv))
    except DivergedError as error:
        return report(error)
    except InputError as error:
        return report(InputError(by_option(str(error), type(command), argv)))
    except OSError as error:
        if isinstance(error, BrokenPipeError) or error.filename is None:
            raise
        said = f"{os.fsdecode(error.filename)!r:.300}: can't be read or written ({error.strerror or error})"
        return report(InputError(said))


def parse(argv: list[str]) -> Any:  # noqa: ANN401
    """Return the command that `argv` names.

    Raises
    ------
    InputError
        If it names no command, or its words can't be parsed.
    """
    _must_say_something(argv)
    commands = _commands(argv)
    named = _named(argv, commands)
    groups = named is not commands and not isinstance(named, type)
    with told(argv, named, COMMANDS):
        parsed = tyro.cli(
            commands if groups else _words(commands),
            prog="maskmixadv",
            description=ABOUT,
            args=argv,
            config=(OmitArgPrefixes, OmitSubcommandPrefixes),
            registry=SHOWN,
        )
    return parsed if groups else parsed.command


def _must_be_somewhere() -> None:
    """Refuse a working directory that was removed: paths mean nothing there, and torch's library of algebra aborts."""
    try:
        Path.cwd()
    except OSError as error:
        told = f"the working directory can't be found ({error.strerror}); go to one that is there"
        raise InputError(f"{os.environ.get('PWD', '.')}: {told}") from None


def _must_say_something(argv: list[str]) -> None:
    """Refuse an empty word: as a path it would be the current folder, which nobody named."""
    for before, each in zip(["", *argv], argv, strict=False):
        if not each or (each.startswith("--") and each.endswith("=")):
            name = each.rstrip("=") or before or "maskmixadv"
            raise InputError(f"{name}: an empty word, allowed is one with a sign; a variable of the shell may be empty")


def _words(commands: Any) -> type[Any]:  # noqa: ANN401
    """Return a class whose one field is the command.

    tyro makes one of its own for a bare union, and then parses the source of the module `typing` for the field's help,
    which takes longer than all the rest. A command that is a union itself would stay wrapped in a field, though.
    """
    documented = "A command.\n\nAttributes\n----------\ncommand\n    What to do.\n"
    return make_dataclass("Words", [("command", commands)], namespace={"__doc__": documented})


def _commands(argv: list[str]) -> Any:  # noqa: ANN401
    """Return the union of all commands. Only the command that `argv` names is imported."""
    return Union[tuple(_command(name, group, argv) for name, group in COMMANDS.items())]  # noqa: UP007


def _named(argv: list[str], commands: Any) -> Any:  # noqa: ANN401
    """Return the command of the union that `argv` names; the union if it names none."""
    place = list(COMMANDS).index(argv[0]) if argv and argv[0] in COMMANDS else None
    return commands if place is None else get_args(get_args(commands)[place])[0]


def _command(name: str, group: Group, argv: list[str]) -> Any:  # noqa: ANN401
    if argv[:1] != [name]:
        return Annotated[make_dataclass(group.name, (), namespace={"__doc__": group.about}), subcommand(name)]
    found = getattr(import_module(f"maskmixadv.cli.{group.module}"), group.name)
    if group.made:
        found = found(argv[1:])
    if isinstance(found, type):
        return Annotated[found, subcommand(name)]
    return Annotated[found, subcommand(name, description=group.about)]
