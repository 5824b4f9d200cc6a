"""How help shows options that may be left out: without Python's `None`, as their descriptions say what holds then."""

from dataclasses import replace
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from tyro.conf import arg
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo

SHOWN: Final = ConstructorRegistry()
"""What the parser is given, so that it shows fields so."""
_ARGUMENT: Final[Any] = type(arg())
_asked: Final[list[StructTypeInfo]] = []


@SHOWN.struct_rule
def _fields(info: StructTypeInfo) -> StructConstructorSpec | None:
    """Return what the parser's own rules make of a dataclass, with fields shown anew."""
    if _asked:  # its own rules are to answer
        return None
    _asked.append(info)
    try:
        spec = ConstructorRegistry.get_struct_spec(info)
    finally:
        _asked.clear()
    if not isinstance(spec, StructConstructorSpec):
        return None
    return replace(spec, fields=tuple(_shown(field) for field in spec.fields))


def _shown(field: StructFieldSpec) -> StructFieldSpec:
    """Return the field without a default in its help, if that is `None` or an empty tuple."""
    if field.default not in (None, ()):
        return field
    kind, *said = get_args(field.type) if get_origin(field.type) is Annotated else (field.type,)
    word = next((each.metavar for each in said if isinstance(each, _ARGUMENT) and each.metavar), _word(kind))
    return replace(field, type=Annotated[(kind, *said, arg(metavar=word, help_behavior_hint=""))])


def _word(kind: Any) -> str | None:  # noqa: ANN401
    """Return what stands for a value in help: the words that are allowed, or the type's name."""
    if get_origin(kind) not in (Union, UnionType):
        return None
    values = [each for each in get_args(kind) if each is not NoneType]
    if all(get_origin(each) is Literal for each in values):
        return f"{{{','.join(str(word) for each in values for word in get_args(each))}}}"
    return "|".join(each.__name__.upper() for each in values)
