"""What the parser of the command line complains of, as one line."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tyro import _errors as failed

from maskmixadv.errors import InputError


@contextmanager
def told(argv: Sequence[str], commands: Collection[str]) -> Iterator[None]:
    """Have a command line that can't be read end with an `InputError` of one line, which names where help is."""
    command = argv[0] if argv and argv[0] in commands else ""
    place = " ".join(filter(None, ("maskmixadv", command, "--help")))

    def refuse(event: failed.ParseErrorEvent) -> None:
        raise InputError(f"{_line(event)}; see '{place}'")

    with failed.on_parse_error(refuse):
        yield


def _line(event: failed.ParseErrorEvent) -> str:
    match event:
        case failed.MissingArgs():
            stray = f"; not known: {' '.join(event.unrecognized_tokens)}" if event.unrecognized_tokens else ""
            return f"missing: {', '.join(_name(each.arg) for each in event.missing_arguments)}{stray}"
        case failed.MissingSubcommand():
            return f"missing: one of {', '.join(event.subcommand_spec.parser_from_name)}"
        case failed.UnrecognizedArgs():
            return f"not known here: {' '.join(event.tokens)}"
        case failed.InvalidChoice():
            allowed = ", ".join(sorted(choice for choice in event.choices if choice != "None"))
            return f"{_name(event.argument)}: {event.value!r}, allowed are {allowed}"
        case failed.BadValue():
            return f"{_name(event.argument)}: its value is missing"
        case failed.SubcommandConflict():
            return f"{event.trigger_flag}: is one of {event.already_selected}, put it behind {event.attempted}"
        case failed.InstantiationFailure():
            # A field's own complaint is its own; the parser's name of the place says nothing to a user.
            return event.message if event.argument is None else f"{_name(event.argument)}: {event.message}"
    return f"the command line can't be read ({type(event).__name__})"


def _name(argument: Any) -> str:  # noqa: ANN401
    """Return an argument's name as help shows it: an option with its dashes, or the word for a place."""
    return (argument.is_positional() and argument.lowered.metavar) or argument.display_name()
