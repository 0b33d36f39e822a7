"""Writes docs/reference/scenario.md from the models: `python -m advisor.spec.reference`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import Enum
from typing import Any, Final, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from advisor.fieldpath import Type, bare, field_type, is_model, item_type, union_members
from advisor.rules import one_of, options_of, rule_of
from advisor.spec.objective import PRESETS
from advisor.spec.quantities import duration_text
from advisor.spec.scenario import Scenario

_HEAD: Final = """\
# The scenario file

One YAML file holds the whole question: `advisor recommend scenario.yaml`; `-` reads standard input.
This page is written from the models by `python -m advisor.spec.reference`; a test fails when it is stale.

- Quantities carry their unit: `500ms`, `12 req/s`, `2.5 USD/h`. A bare number is refused where one is meant.
- Unknown fields, a key given twice, references (`*name`) and files above 1 MiB are refused.
- Every problem is reported at once, each with its line and with what is allowed.
- Paths are relative to the scenario file.

The shortest scenario:

```yaml
schema_version: 1
model: Llama-3.1-8B
adapters: {count: 40, rank: 16}
workload:
  kind: generator
  arrivals: {kind: poisson, rate: 12 req/s}
  prompt_tokens: {kind: lognormal, median: 900, p95: 4000}
  output_tokens: {kind: lognormal, median: 120, p95: 500}
  duration: 10min
objective: {preset: chat}
```
"""
_COMMON: Final = {
    "kind": "Chooses this form.",
    "name": "Its name.",
    "source": "Where it was read.",
    "date": "When the source was read.",
}


def reference() -> str:
    """Return the reference page as Markdown: one section a mapping, one row a field."""
    sections = "\n".join(section(model) for model in reachable(Scenario))
    return f"{_HEAD}\n{sections}\n{_presets()}"


def reachable(*roots: type[BaseModel]) -> list[type[BaseModel]]:
    """List models and those inside them, in the order of reading."""
    found: list[type[BaseModel]] = []

    def visit(model: type[BaseModel]) -> None:
        if model not in found:
            found.append(model)
            for field in model.model_fields.values():
                for inner in _models_in(bare(field_type(field))):
                    visit(inner)

    for root in roots:
        visit(root)
    return found


def _models_in(given: Type) -> Iterator[type[BaseModel]]:
    """The models that a type is made of: itself, a union's members, a list's items."""
    if is_model(given.kind):
        yield given.kind
    for member in union_members(given):
        yield from _models_in(bare(Type(member)))
    if get_origin(given.kind) in (tuple, dict):
        yield from _models_in(bare(item_type(given.kind, 0)))


def section(model: type[BaseModel]) -> str:
    """Write one mapping (or one row of a table) as a heading, a sentence and a table of its fields."""
    doc = " ".join((model.__doc__ or "").split("\n\n", maxsplit=1)[0].split())
    head = f"## {model.__name__}\n\n{doc}\n\n| field | allowed | default | meaning |\n|---|---|---|---|\n"
    return head + "".join(_line(name, field) for name, field in model.model_fields.items())


def _line(name: str, field: FieldInfo) -> str:
    meaning = field.description or _COMMON.get(name, "")
    cells = (f"`{name}`", _allowed(field), _default(field), meaning)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _allowed(field: FieldInfo) -> str:
    """Say what a field takes; mappings are linked to their section."""
    given = bare(field_type(field))
    models = list(_models_in(given))
    options = options_of(Type(item_type(given.kind, 0).kind)) if get_origin(given.kind) is tuple else ()
    if options:
        return f"a list, each item {one_of(options)}"
    if not models:
        return rule_of(field_type(field))
    links = " or ".join(f"[{model.__name__}](#{model.__name__.lower()})" for model in models)
    return f"a list of {links}" if get_origin(given.kind) is tuple else links


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    assert value is not PydanticUndefined
    if isinstance(value, BaseModel):
        given = value.model_dump(mode="json", exclude_defaults=True)
        return f"`{_flow(given)}`" if given else "its defaults"
    return f"`{_flow(value)}`"


def _flow(value: Any) -> str:
    """Write a default as it would stand in YAML."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return str(value) or '""'


def _presets() -> str:
    lines = "".join(
        f"| `{name}` | " + (", ".join(_limit(slo) for slo in slos) or "no limit") + " |\n"
        for name, slos in PRESETS.items()
    )
    return (
        "## Presets of `objective.preset`\n\n"
        "| preset | limits |\n|---|---|\n" + lines + "\n"
        "Sources: interactive and server are MLPerf inference's for Llama-3.1-8B (mlperf.conf, 2025-26);\n"
        "chat is that of guidellm's guide to service levels (2026).\n"
    )


def _limit(slo: Any) -> str:
    return f"{slo.metric.value.upper()} p{slo.percentile:g} ≤ {duration_text(slo.limit)}"


if __name__ == "__main__":
    sys.stdout.write(reference())
