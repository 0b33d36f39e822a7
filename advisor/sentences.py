"""What pydantic found, as problems that a user understands: one a fault, none that follows from another."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from advisor.fieldpath import Path, Spot, Type, discriminator_of, locate, path_text, tags_of, union_members
from advisor.problem import ABSENT, Problem
from advisor.rules import bounds_of, one_of, options_of, rule_of

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

_BOUND_ERRORS: Final = frozenset(
    {
        "greater_than",
        "greater_than_equal",
        "less_than",
        "less_than_equal",
        "multiple_of",
        "string_pattern_mismatch",
        "string_too_long",
        "string_too_short",
        "too_long",
        "too_short",
    }
)
_SAID_BY_VALIDATOR: Final = frozenset({"value_error", "assertion_error"})


@dataclass(frozen=True, slots=True)
class _Fault:
    details: ErrorDetails
    spot: Spot

    @property
    def is_whole(self) -> bool:
        """Whether a validator refuses a whole mapping or list, in a sentence of its own."""
        return self.details["type"] in _SAID_BY_VALIDATOR and isinstance(self.details["input"], dict | list)


def problems_of(source: str, model: type[BaseModel], error: ValidationError) -> list[Problem]:
    """Return the problems behind a validation error, in the order of the model's fields."""
    faults = [_Fault(details, locate(model, details["loc"])) for details in error.errors(include_url=False)]
    faults = _without_echoes(_of_nearest_members(faults))
    groups: dict[tuple[Path, bool], list[_Fault]] = {}
    for fault in faults:
        groups.setdefault((fault.spot.path, fault.spot.is_key), []).append(fault)
    return [_problem(source, group) for group in groups.values()]


def _of_nearest_members(faults: list[_Fault]) -> list[_Fault]:
    """Of a union whose members all failed inside, keep the member with the fewest faults."""
    inside: Counter[tuple[Path, str]] = Counter()
    for fault in faults:
        for path, label in fault.spot.branches:
            if fault.spot.path != path or fault.is_whole:
                inside[path, label] += 1
    nearest: dict[Path, str] = {}
    for (path, label), count in inside.items():
        if path not in nearest or count < inside[path, nearest[path]]:
            nearest[path] = label
    return [f for f in faults if all(nearest.get(path, label) == label for path, label in f.spot.branches)]


def _without_echoes(faults: list[_Fault]) -> list[_Fault]:
    """Drop faults whose place holds another fault: a list counts as too short when its items are bad."""
    holders = {fault.spot.path[:depth] for fault in faults for depth in range(len(fault.spot.path))}
    return [fault for fault in faults if fault.spot.path not in holders]


def _problem(source: str, group: list[_Fault]) -> Problem:
    """Say the faults of one place; there are several where each member of a union refused."""
    details, spot = group[0].details, group[0].spot
    where, kind = path_text(spot.path), details["type"]
    mend = (spot.field.description if spot.field else None) or ""
    if kind == "extra_forbidden":
        return _unknown_field(source, where, spot)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _wrong_tag(source, where, details, spot)
    if kind == "json_invalid":
        return Problem(source, where, text=f"not valid JSON: {details['msg'].removeprefix('Invalid JSON: ')}")
    if spot.is_key:
        return _wrong_key(source, where, spot)
    if group[0].is_whole:
        return Problem(source, where, details["input"], mend=mend, text=_said(details))
    value = ABSENT if kind == "missing" else details["input"]
    return Problem(source, where, value, _rule(group), _hint(value, spot.whole) or mend)


def _rule(group: list[_Fault]) -> str:
    details, spot = group[0].details, group[0].spot
    if len(group) > 1:
        return rule_of(spot.whole)
    if details["type"] in _SAID_BY_VALIDATOR:
        return _said(details)
    if details["type"] == "finite_number":
        return "a finite number"
    if details["type"] in _BOUND_ERRORS and bounds_of(spot.at):
        return bounds_of(spot.at)
    if spot.whole.kind is None:
        return details["msg"].removeprefix("Input should be ")
    return rule_of(spot.whole)


def _said(details: ErrorDetails) -> str:
    """The validator's own words."""
    error = details.get("ctx", {}).get("error")
    return str(error) if error is not None and str(error) else details["msg"].split(", ", 1)[-1]


def _unknown_field(source: str, where: str, spot: Spot) -> Problem:
    fields = spot.owner.model_fields if spot.owner is not None else {}
    known = [info.alias or name for name, info in fields.items()]
    return Problem(source, where, text=f"no such field; {_nearest(str(spot.path[-1]), known)}")


def _nearest(word: str, known: Iterable[str]) -> str:
    """Return "did you mean rank?" or the list of what is known."""
    listed = tuple(known)
    near = difflib.get_close_matches(word, listed, 1)
    if near:
        return f"did you mean {near[0]}?"
    return f"known: {', '.join(listed)}" if listed else ""


def _hint(value: object, given: Type) -> str:
    near = difflib.get_close_matches(value, options_of(given), 1) if isinstance(value, str) else []
    return f"Did you mean {near[0]}?" if near else ""


def _wrong_key(source: str, where: str, spot: Spot) -> Problem:
    key, options = str(spot.path[-1]), options_of(spot.whole)
    if options:
        return Problem(source, where, text=f"no such key; {_nearest(key, options)}")
    return Problem(source, where, text=f"the key is {key!r}; allowed: {rule_of(spot.whole)}")


def _wrong_tag(source: str, where: str, details: ErrorDetails, spot: Spot) -> Problem:
    """The field that chooses the form is missing or unknown."""
    context, name = details.get("ctx", {}), discriminator_of(spot.at)
    tag = context.get("tag", ABSENT)
    if name is None:  # a function tells the forms apart
        return Problem(source, where, details["input"], rule_of(spot.at))
    tags = tuple(tag for member in union_members(spot.at) for tag in tags_of(member, name))
    near = difflib.get_close_matches(str(tag), tags, 1)
    mend = f"Did you mean {near[0]}?" if near else ""
    return Problem(source, f"{where}.{name}".removeprefix("."), tag, one_of(tags), mend)
