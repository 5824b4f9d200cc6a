"""One line for a command line that can't be read: what is wrong, what was perhaps meant, and where help is."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from itertools import takewhile
from types import NoneType, UnionType
from typing import Annotated, Any, Final, NamedTuple, Union, get_args, get_origin, get_type_hints

from tyro import _errors as failed
from tyro.conf import Positional, subcommand

from maskmixadv.errors import InputError, one_line

NEAR: Final = 0.7
"""How similar two words must be for one to be meant by the other, from 0 to 1 (`difflib`)."""
KINDS: Final = {int: ("a whole number", "whole numbers"), float: ("a number", "numbers")}
"""What the value of an option must be, and the values of one that takes several, by the option's type."""
_SUBCOMMAND: Final[Any] = type(subcommand())


class Word(NamedTuple):
    """A word that a command understands: an option, or the name of a subcommand.

    Attributes
    ----------
    text
        The word, with the dashes of an option.
    owner
        Name of the subcommand that the option belongs to; empty for one of the command itself, and for a name.
    """

    text: str
    owner: str = ""

    @property
    def is_name(self) -> bool:
        """Whether it is the name of a subcommand."""
        return not self.text.startswith("-")


@contextmanager
def told(argv: Sequence[str], command: Any, commands: Collection[str]) -> Iterator[None]:  # noqa: ANN401
    """Raise an `InputError` of one line if the parser refuses the command line in the block.

    Parameters
    ----------
    argv
        The command line, without the program's name.
    command
        The dataclass or union that the parser is given; options of the command that `argv` names are looked up in it.
    commands
        Names of all commands.
    """

    def refuse(event: failed.ParseErrorEvent) -> None:
        known = list(words(command))
        named = {word.text for word in known if word.is_name}
        place = ["maskmixadv"]
        for word in argv:
            if word not in (commands if len(place) == 1 else named):
                break
            place.append(word)
        line = by_option(_line(event, argv, known), command, argv)
        raise InputError(f"{line}; see '{' '.join(place)} --help'")

    with failed.on_parse_error(refuse):
        yield


def words(found: Any, owner: str = "") -> Iterator[Word]:  # noqa: ANN401
    """Give the words that a dataclass, or a union of dataclasses, understands as a command."""
    if get_origin(found) is Annotated:
        inner, *marks = get_args(found)
        name = next((mark.name for mark in marks if isinstance(mark, _SUBCOMMAND)), None)
        if name:
            yield Word(name)
        yield from words(inner, name or owner)
    elif get_origin(found) in (Union, UnionType):
        for each in get_args(found):
            yield from words(each, owner)
    elif isinstance(found, type) and is_dataclass(found):
        hints = get_type_hints(found, include_extras=True)
        for field in fields(found):
            yield from _of_field(field.name.replace("_", "-"), hints[field.name], owner)


def by_option(said: str, command: Any, argv: Sequence[str]) -> str:  # noqa: ANN401
    """Return a line on a field's value with the name of the option that sets it; other lines stay as they are.

    Parameters
    ----------
    said
        Line that may begin with the name of a field, as it is called in Python.
    command
        The command's dataclass, or a union of them.
    argv
        The command line. A folder in it may have the name of a field: such a line is on the folder.

    Examples
    --------
    >>> from dataclasses import make_dataclass
    >>> command = make_dataclass("Train", [("weight_decay", float, 0.0)])
    >>> by_option("weight_decay: -1.0, allowed is 0 or more", command, ["train", "--weight-decay", "-1"])
    '--weight-decay: -1.0, allowed is 0 or more'
    """
    name, colon, _ = said.partition(": ")
    option = f"--{name.replace('_', '-')}"
    known = colon and name not in argv and any(word.text == option for word in words(command))
    return f"{option}{said[len(name) :]}" if known else said


def _of_field(name: str, hint: Any, owner: str) -> Iterator[Word]:  # noqa: ANN401
    inner = list(words(hint))
    if inner:  # subcommands
        yield from inner
    elif Positional not in getattr(hint, "__metadata__", ()):
        yield Word(f"--{name}", owner)
        if hint is bool:
            yield Word(f"--no-{name}", owner)


def _line(event: failed.ParseErrorEvent, argv: Sequence[str], known: Sequence[Word]) -> str:
    match event:
        case failed.MissingArgs():
            missing = f"missing: {', '.join(_name(each.arg) for each in event.missing_arguments)}"
            stray = event.unrecognized_tokens
            return f"{missing}; {_unknown(stray, argv, known)}" if stray else missing
        case failed.MissingSubcommand():
            return f"missing: one of {', '.join(event.subcommand_spec.parser_from_name)}"
        case failed.UnrecognizedArgs():
            return _unknown(event.tokens, argv, known)
        case failed.InvalidChoice():
            allowed = ", ".join(sorted(choice for choice in event.choices if choice != "None"))
            return f"{_name(event.argument)}: {event.value!r}, allowed are {allowed}"
        case failed.BadValue():
            return f"{_name(event.argument)}: its value is missing"
        case failed.SubcommandConflict():
            return f"{event.trigger_flag} is an option of {event.already_selected}: write it behind that name"
        case failed.InstantiationFailure():
            return _bad_value(event, argv)
    return f"the command line can't be read ({type(event).__name__})"


def _unknown(tokens: Sequence[str], argv: Sequence[str], known: Sequence[Word]) -> str:
    """Say which words are not known, and which word was perhaps meant."""
    line = f"unknown: {' '.join(tokens)}"
    texts = {word.text.lstrip("-"): word.text for word in known}
    for each in tokens:
        token = each.partition("=")[0]
        place = next((word for word in known if word.text == token), None)
        if place is not None:
            return f"{line}; {_misplaced(place, argv, known)}"
        near = get_close_matches(token.lstrip("-"), texts, n=1, cutoff=NEAR)
        if near:
            return f"{line}; did you mean {texts[near[0]]}?"
    return line


def _misplaced(word: Word, argv: Sequence[str], known: Sequence[Word]) -> str:
    """Say where a word belongs that the command has, but not where it stands."""
    if word.owner:
        return f"{word.text} is an option of {word.owner}: write it behind that name"
    names = {each.text for each in known if each.is_name}
    chosen = next((text for text in argv[1:] if text in names), argv[0])
    return f"{chosen} is given already" if word.is_name else f"write {word.text} before {chosen}"


def _bad_value(event: failed.InstantiationFailure, argv: Sequence[str]) -> str:
    if event.argument is None:  # a class refuses its fields, and says which
        return one_line(event.message)
    name, hint = _name(event.argument), event.argument.field.type_stripped
    kinds = {kind for kind in get_args(hint) or (hint,) if kind not in (NoneType, Ellipsis)}
    several, given = get_origin(hint) is tuple, _given(event.argument.lowered.name_or_flags, argv)
    for kind, (one, many) in KINDS.items():
        if kinds == {kind} and given:
            return f"{name}: {' '.join(given if several else given[:1])!r}, must be {many if several else one}"
    return f"{name}: {one_line(event.message)}"


def _given(flags: Sequence[str], argv: Sequence[str]) -> list[str]:
    """Return the words behind an option, up to the next option; of the last one if it is given several times."""
    found: list[str] = []
    for place, word in enumerate(argv):
        flag, equals, value = word.partition("=")
        if flag in flags:
            found = [value] if equals else list(takewhile(lambda each: not each.startswith("--"), argv[place + 1 :]))
    return found


def _name(argument: Any) -> str:  # noqa: ANN401
    """Return an argument's name as help shows it: an option with its dashes, or the word for a place."""
    return (argument.is_positional() and argument.lowered.metavar) or argument.display_name()
