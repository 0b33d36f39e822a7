"""From the location in a pydantic error to the place in the user's file and the field's contract."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel, RootModel
from pydantic.fields import FieldInfo

Path: TypeAlias = tuple[str | int, ...]
"""Keys and indices as a user counts them in the file."""

_PLAIN_KEY = re.compile(r"[^\W\d][\w-]*")


@dataclass(frozen=True, slots=True)
class Type:
    """A type with what `Annotated` and `Field` say about it (bounds, validators, discriminator)."""

    kind: Any = None
    meta: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Spot:
    """Where an error points.

    Attributes:
        path: the place in the file, without the labels that pydantic adds for the members of a union.
        at: the type that the value was held to, down to the member of a union.
        whole: the type of the field or item before a member of a union was tried.
        owner: the model that holds the last named field.
        field: that field's contract.
        branches: the unions passed, each as (path, label of the member tried).
        key: the type of the mapping's keys, where the last part is one.
        is_key: whether the error is about that key, not its value; `at` and `whole` are the key's then.
    """

    path: Path
    at: Type
    whole: Type
    owner: type[BaseModel] | None = None
    field: FieldInfo | None = None
    branches: tuple[tuple[Path, str], ...] = ()
    key: Type = Type()
    is_key: bool = False


def path_text(path: Iterable[str | int]) -> str:
    """Write a path as users read it: `adapters[0].rank`, and quoted where a key is no plain word."""
    parts = (f".{p}" if isinstance(p, str) and _PLAIN_KEY.fullmatch(p) else f"[{p!r}]" for p in path)
    return "".join(parts).removeprefix(".")


def locate(model: type[BaseModel], location: Sequence[str | int]) -> Spot:
    """Walk the contract along a pydantic error's location."""
    start = bare(Type(model))
    spot = Spot((), start, start)
    for part in location:
        spot = _step(spot, part)
    return spot


def _step(spot: Spot, part: str | int) -> Spot:
    kind, members = spot.at.kind, union_members(spot.at)
    if len(members) > 1:
        branches = (*spot.branches, (spot.path, str(part)))
        return replace(spot, at=_member(spot.at, members, str(part)), branches=branches)
    if part == "[key]" and spot.key.kind is not None:  # else a field of a user who calls it so
        return replace(spot, at=spot.key, whole=spot.key, is_key=True)
    spot = replace(spot, path=(*spot.path, part))
    if is_model(kind):
        field = _field(kind, str(part))
        inner = bare(field_type(field)) if field else Type()
        return replace(spot, at=inner, whole=inner, owner=kind, field=field)
    inner = bare(item_type(kind, part))
    return replace(spot, at=inner, whole=inner, key=bare(key_type(kind)))


def is_model(kind: Any) -> bool:
    """Whether a type is a pydantic model."""
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def bare(given: Type) -> Type:
    """Strip aliases, `Annotated`, root models and `| None`, keeping what they say."""
    kind, meta = given.kind, given.meta
    while True:
        if get_origin(kind) is Annotated:
            kind, *more = get_args(kind)
            meta = (*meta, *more)
        elif hasattr(kind, "__value__"):  # type X = ...
            kind = kind.__value__
        elif is_model(kind) and issubclass(kind, RootModel):
            kind = kind.model_fields["root"].annotation
        elif len(members := union_members(Type(kind))) == 1:
            kind = members[0]
        else:
            return Type(kind, tuple(_flat(meta)))


def union_members(given: Type) -> tuple[Any, ...]:
    """The members of a union but None; empty for any other type."""
    if get_origin(given.kind) not in (Union, types.UnionType):
        return ()
    return tuple(member for member in get_args(given.kind) if member is not type(None))


def field_type(field: FieldInfo) -> Type:
    """The type of a field with its metadata."""
    return Type(field.annotation, (field,))


def item_type(kind: Any, part: str | int) -> Type:
    """The type of a container's item; unknown for anything else."""
    origin, inner = get_origin(kind) or kind, get_args(kind)
    if not inner or not isinstance(origin, type):
        return Type()
    if issubclass(origin, Mapping):
        return Type(inner[1])
    if issubclass(origin, tuple) and Ellipsis not in inner:
        return Type(inner[part]) if isinstance(part, int) and part < len(inner) else Type()
    if issubclass(origin, Sequence | Set):
        return Type(inner[0])
    return Type()


def key_type(kind: Any) -> Type:
    """The type of a mapping's keys; unknown for anything else."""
    origin, inner = get_origin(kind) or kind, get_args(kind)
    is_mapping = bool(inner) and isinstance(origin, type) and issubclass(origin, Mapping)
    return Type(inner[0]) if is_mapping else Type()


def discriminator_of(given: Type) -> str | None:
    """The field that tells the members of a union apart, if it has one."""
    for one in given.meta:
        name = getattr(one, "discriminator", None)
        if isinstance(name, str):
            return name
    return None


def tags_of(kind: Any, discriminator: str) -> tuple[str, ...]:
    """The values of the discriminator that choose this member (or one inside it)."""
    inner = bare(Type(kind))
    if members := union_members(inner):
        nested = discriminator_of(inner) or discriminator
        return tuple(tag for member in members for tag in tags_of(member, nested))
    if not is_model(inner.kind) or discriminator not in inner.kind.model_fields:
        return ()
    annotation = bare(Type(inner.kind.model_fields[discriminator].annotation)).kind
    return tuple(str(value) for value in get_args(annotation)) if get_origin(annotation) is Literal else ()


def _member(union: Type, members: tuple[Any, ...], label: str) -> Type:
    """The member that a label means: a tag, a model's name, or pydantic's name of a type."""
    discriminator = discriminator_of(union)
    for member in members:
        if discriminator and label in tags_of(member, discriminator):
            return bare(Type(member))
    named = [member for member in members if _is_named(bare(Type(member)).kind, label)]
    return bare(Type(named[0])) if named else Type()


def _is_named(kind: Any, label: str) -> bool:
    name = getattr(get_origin(kind) or kind, "__name__", "").lower()
    if is_model(kind):
        return label == kind.__name__ or label.endswith(f" {kind.__name__}]")
    return label == name or label.startswith(f"{name}[") or label.endswith((f" {name}]", f"[{name}]"))


def _field(model: type[BaseModel], name: str) -> FieldInfo | None:
    """The field of a name or alias."""
    if name in model.model_fields:
        return model.model_fields[name]
    return next((f for f in model.model_fields.values() if name in (f.alias, f.validation_alias)), None)


def _flat(meta: Iterable[Any]) -> Iterable[Any]:
    for one in meta:
        yield one
        if isinstance(one, FieldInfo):
            yield from one.metadata
