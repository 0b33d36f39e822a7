"""A type and its bounds in a user's words: "a whole number, at least 1 and at most 512"."""

from __future__ import annotations

import datetime
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from enum import Enum
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BeforeValidator, PlainValidator

from advisor.fieldpath import Type, bare, discriminator_of, is_model, item_type, tags_of, union_members

_WORDS: Final[dict[Any, str]] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    datetime.date: "a date such as 2025-01-31",
    datetime.datetime: "a date and time with its zone, such as 2025-01-31T12:00:00Z",
    pathlib.Path: "a path",
    type(None): "null",
}
_BOUNDS: Final = (  # attribute of the metadata, in words; {unit} is for lengths
    ("ge", "at least {bound}"),
    ("gt", "more than {bound}"),
    ("le", "at most {bound}"),
    ("lt", "less than {bound}"),
    ("multiple_of", "a multiple of {bound}"),
    ("min_length", "at least {bound} {unit}"),
    ("max_length", "at most {bound} {unit}"),
    ("pattern", "matching {bound}"),
)


def rule_of(given: Type) -> str:
    """Say what a type takes, with its bounds."""
    given = bare(given)
    asked = _asked(given.meta)
    if asked:
        return asked
    words, bounds = _words(given), bounds_of(given)
    return f"{words}, {bounds}" if bounds else words


def bounds_of(given: Type) -> str:
    """Say the bounds alone: "at least 1 and at most 512"; empty where there are none."""
    unit = "character" if given.kind is str else "item"
    said: dict[str, str] = {}
    for attribute, form in _BOUNDS:
        for one in given.meta:
            bound = getattr(one, attribute, None)
            if bound is not None:
                said[attribute] = form.format(bound=bound, unit=unit if bound == 1 else f"{unit}s")
    return " and ".join(said.values())


def options_of(given: Type) -> tuple[str, ...]:
    """The words that a choice (Literal, Enum) takes; empty for any other type."""
    given = bare(given)
    if get_origin(given.kind) is Literal:
        return tuple(str(getattr(value, "value", value)) for value in get_args(given.kind))
    if isinstance(given.kind, type) and issubclass(given.kind, Enum):
        return tuple(str(member.value) for member in given.kind)
    return ()


def one_of(options: Iterable[str]) -> str:
    """List options: "a", or "one of a, b, c"."""
    listed = tuple(dict.fromkeys(options))
    return f"{'one of ' if len(listed) > 1 else ''}{', '.join(listed)}"


def _words(given: Type) -> str:
    kind = given.kind
    if options := options_of(given):
        return one_of(options)
    if members := union_members(given):
        return _union_words(given, members)
    if is_model(kind):
        return _model_words(kind)
    return _WORDS.get(kind) or _container_words(kind)


def _model_words(model: Any) -> str:
    """Name a mapping's fields, those that must be given first."""
    fields = sorted(model.model_fields.items(), key=lambda pair: not pair[1].is_required())
    return f"a mapping with the fields {', '.join(info.alias or name for name, info in fields)}"


def _union_words(given: Type, members: tuple[Any, ...]) -> str:
    discriminator = discriminator_of(given)
    if discriminator:
        tags = (tag for member in members for tag in tags_of(member, discriminator))
        return f"a mapping whose {discriminator} is {one_of(tags)}"
    return ", or ".join(dict.fromkeys(rule_of(Type(member)) for member in members))


def _container_words(kind: Any) -> str:
    origin = get_origin(kind) or kind
    if not isinstance(origin, type):
        return "another value"
    if issubclass(origin, Mapping):
        return "a mapping"
    if issubclass(origin, tuple) and get_args(kind) and Ellipsis not in get_args(kind):
        return f"a list of {len(get_args(kind))} items"
    if issubclass(origin, Sequence | Set):
        item = _WORDS.get(bare(item_type(kind, 0)).kind)
        return f"a list, each item {item}" if item else "a list"
    return "another value"


def _asked(meta: Iterable[Any]) -> str:
    """Ask a field's own parser (such as that of units) what it takes: it says so when given nothing."""
    for one in meta:
        if isinstance(one, BeforeValidator | PlainValidator):
            parser: Callable[..., object] = one.func
            try:
                parser(None)
            except ValueError as error:
                return str(error)
            except (TypeError, AttributeError):  # it cannot be asked
                pass
    return ""
