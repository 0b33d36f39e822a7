"""Every model of advisor/spec, and plain data that each takes."""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import advisor.spec
from advisor.catalog.capabilities import engines
from advisor.catalog.hardware import device
from advisor.catalog.prices import device_prices, token_prices
from advisor.catalog.shapes import model
from advisor.errors import validated
from advisor.spec.engine import EngineLimits
from advisor.spec.scenario import load_scenario, scenario_from_mapping
from advisor.spec.spec import Spec
from tests.fuzz import seeds

ROOT = Path(__file__).parents[2]


def _below(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for one in kind.__subclasses__():
        yield one
        yield from _below(one)


def _all() -> dict[str, type[BaseModel]]:
    for module in pkgutil.iter_modules(advisor.spec.__path__):
        importlib.import_module(f"advisor.spec.{module.name}")
    found = sorted(
        {one for one in _below(Spec) if one.__module__.startswith("advisor.spec.")},
        key=lambda one: (one.__module__, one.__name__),
    )
    return {f"{one.__module__.rpartition('.')[2]}.{one.__name__}": one for one in found}


MODELS = _all()
"""By module and name, such as `workload.Streams`."""


def read_models(value: Any, _: Path) -> None:
    """Data of models by name: {"workload.Streams": {...}}."""
    for name, raw in value.items() if isinstance(value, dict) else ():
        if name in MODELS:
            validated(MODELS[name], raw, name)


def good_models() -> list[bytes]:
    """A content for each model: taken from shipped files, else written here."""
    found: dict[str, Any] = {}
    names = {kind: name for name, kind in MODELS.items()}
    for instance in _instances():
        name = names.get(type(instance))
        if name is not None:
            found.setdefault(name, instance.model_dump(mode="json", exclude_defaults=True))
    return [json.dumps({name: raw}).encode() for name, raw in sorted((found | _WRITTEN).items())]


def _instances() -> Iterator[BaseModel]:
    for file in sorted((ROOT / "data" / "scenarios").glob("*.yaml")):
        yield from _inside(load_scenario(file))
    for raw in (seeds.STREAMS, seeds.GENERATOR, seeds.TRACE_FILE):
        yield from _inside(scenario_from_mapping(raw, "seed"))
    shape, card = model("Llama-3.1-8B"), device("L40S")
    yield from _inside(
        (engines(), shape, card, device_prices(card)[:1], token_prices(shape)[:1], EngineLimits())
    )


def _inside(value: Any) -> Iterator[BaseModel]:
    if isinstance(value, BaseModel):
        yield value
        for name in type(value).model_fields:
            yield from _inside(getattr(value, name))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _inside(one)


_WRITTEN: dict[str, Any] = {
    "huggingface._Config": seeds.LLAMA,
    "peft._Config": seeds.ADAPTER,
    "mergecheck.MergeCheck": seeds.MERGE_CHECK,
    "mergecheck.TypeCheck": seeds.MERGE_CHECK["types"][0],
    "mergecheck.ModuleCheck": seeds.MERGE_CHECK["modules"][0][0],
    "mergecheck.Parity": seeds.MERGE_CHECK["types"][0]["parity"],
}
