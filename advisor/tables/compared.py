"""Profiles side by side: where their terms come from, how long telling steps take, how they were checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from advisor.errors import InputError
from advisor.profile import ModelTerms, Profile, Provenance
from advisor.spec.engine import EngineLimits
from advisor.spec.model import ALL_LINEAR, ModelShape, adapter_bytes
from advisor.steptime.batch import Batch
from advisor.steptime.clock import ProfileClock
from advisor.steptime.terms import terms_for
from advisor.tables.table import Cell, Column, Table

CONTEXT: Final = 1024
"""Tokens of context of each decoding sequence."""
SLOTS: Final = 8
RANK: Final = 16
"""Slots and padded rank of the steps with adapters, and of the loads."""

_STEPS: Final = {
    "decode_1": Batch(1, CONTEXT, outputs=1),
    "decode_32": Batch(32, 32 * CONTEXT, outputs=32),
    "prompt_512": Batch(0, 0, ((512, 0),), 1),
    "prompt_2048": Batch(0, 0, ((2048, 0),), 1),
}
_WITH_ADAPTERS: Final = {
    "lora_decode_32": Batch(32, 32 * CONTEXT, outputs=32, adapters=8),
    "lora_prompt_2048": Batch(0, 0, ((2048, 0),), 1, adapters=1),
}
_TITLES: Final = {
    "decode_1": "decode, 1 sequence",
    "decode_32": "decode, 32 sequences",
    "prompt_512": "prompt of 512 tokens",
    "prompt_2048": "prompt of 2048 tokens",
    "lora_decode_32": "LoRA adds: decode, 32 sequences, 8 adapters",
    "lora_prompt_2048": "LoRA adds: prompt of 2048 tokens",
    "load_disk_to_cpu": "load of an adapter, disk to CPU",
    "load_cpu_to_slot": "load of an adapter, CPU to slot",
}
_TERMS: Final = ("dense", "head", "attn_prefill", "attn_decode", "attn_mixed", "all_reduce", "lora")
_SHARED: Final = ("host", "frontend", "memory", "startup")
_LOADS: Final = ("disk_to_cpu", "cpu_to_slot")
_LIMITS: Final = EngineLimits(max_num_seqs=64, max_num_batched_tokens=2048)


@dataclass(frozen=True, slots=True)
class Side:
    """One profile with a model's terms in it, and what they say: seconds by name, None where not known."""

    profile: Profile
    terms: ModelTerms
    seconds: dict[str, float | None]

    def term(self, name: str) -> Provenance | None:
        """A term by its name, `load HOP` for a load."""
        if name.startswith("load "):
            return next((load for load in self.profile.loads if name == f"load {load.hop}"), None)
        owner = self.profile if name in _SHARED else self.terms
        figure: Provenance | None = getattr(owner, name)
        return figure


def compare(profiles: Sequence[Profile], model: ModelShape | None, tensor_parallel: int) -> list[Side]:
    """Look at the same model in every profile.

    Args:
        profiles: two or more; ratios are to the first.
        model: what is served; None takes the model that all have (Llama-3.1-8B, if it is one of them).
        tensor_parallel: devices of the group.

    Raises:
        InputError: no model is in all of them, or one cannot say anything about the model.
    """
    shape = model or _shared(profiles, tensor_parallel)
    sides = []
    for one in profiles:
        terms = terms_for(one, shape, tensor_parallel)
        sides.append(Side(one, terms, _seconds(one, terms)))
    return sides


def _shared(profiles: Sequence[Profile], tensor_parallel: int) -> ModelShape:
    seen: Counter[str] = Counter()
    shapes: dict[str, ModelShape] = {}
    for one in profiles:
        for terms in one.models:
            if terms.tensor_parallel == tensor_parallel:
                seen[terms.model.name] += 1
                shapes.setdefault(terms.model.name, terms.model)
    common = [name for name, count in seen.items() if count == len(profiles)]
    if not common:
        raise InputError(
            f"{', '.join(one.name for one in profiles)}: have no model in common at tensor parallel "
            f"{tensor_parallel}; allowed: profiles that do. Name a model of the catalog with --model."
        )
    return shapes["Llama-3.1-8B" if "Llama-3.1-8B" in common else common[0]]


def _seconds(profile: Profile, terms: ModelTerms) -> dict[str, float | None]:
    clock = ProfileClock(profile, terms, _LIMITS)
    found: dict[str, float | None] = {name: clock.parts(batch).total for name, batch in _STEPS.items()}
    slots = {"max_loras": SLOTS, "max_cpu_loras": SLOTS, "max_lora_rank": RANK}
    lora = None if terms.lora is None else ProfileClock(profile, terms, _LIMITS.model_copy(update=slots))
    for name, batch in _WITH_ADAPTERS.items():
        found[name] = None if lora is None else lora.parts(batch).total - clock.parts(batch).total
    size = adapter_bytes(terms.model, ALL_LINEAR, RANK)
    for hop in _LOADS:
        found[f"load_{hop}"] = profile.load(hop).seconds(size)
    return found


def seconds(sides: Sequence[Side]) -> Table:
    """Steps and loads in milliseconds, with ratios to the first profile."""
    columns = [Column("what"), Column("", "ms", sides[0].profile.name)]
    for side in sides[1:]:
        columns += [Column("", "ms", side.profile.name), Column("to the first", "times", weight=1)]
    rows = []
    for name, first in sides[0].seconds.items():
        row: list[Cell] = [_TITLES[name], first]
        for side in sides[1:]:
            row += [side.seconds[name], _ratio(side.seconds[name], first)]
        rows.append(tuple(row))
    model, degree = sides[0].terms.model.name, sides[0].terms.tensor_parallel
    caption = (
        f"{model} at tensor parallel {degree}: a step with host time, contexts of {CONTEXT} tokens; "
        f"adapters of rank {RANK}, {SLOTS} slots."
    )
    return Table("seconds", caption, tuple(columns), tuple(rows))


def _ratio(value: float | None, first: float | None) -> float | None:
    return None if value is None or not first else value / first


def origins(sides: Sequence[Side]) -> Table:
    """Where each term comes from, and how far off it may be."""
    rows = []
    for name in (*_TERMS, *(f"load {hop}" for hop in _LOADS), *_SHARED):
        figures = [side.term(name) for side in sides]
        if any(figures):
            rows.append((name, *(_origin(figure) for figure in figures)))
    columns = (Column("term"), *(Column(side.profile.name) for side in sides))
    return Table(
        "origins",
        "Where each term comes from; the interval holds the truth with about 90 %.",
        columns,
        tuple(rows),
    )


def _origin(figure: Provenance | None) -> str | None:
    return (
        None
        if figure is None
        else f"{figure.origin.value} × {figure.interval[0]:g} to {figure.interval[1]:g}"
    )


def checks(sides: Sequence[Side]) -> Table:
    """Device, engine, method, and the error against steps of an engine."""
    columns = (
        Column("profile"), Column("device"), Column("engine"), Column("method"), Column("date"),
        Column("points", "count"), Column("median", "share", "error"), Column("p90 of |error|", "share"),
        Column("held against", weight=1, cut=True),
    )  # fmt: skip
    rows = []
    for side in sides:
        one, held = side.profile, side.profile.residual
        facts = (one.name, one.device.name, f"{one.engine} {one.engine_version}", one.method)
        rows.append(
            (
                *facts,
                one.created.date().isoformat(),
                *((None, None, None, "nothing") if held is None else
                  (held.points, held.median_relative, held.p90_absolute_relative, held.source)),
            )
        )  # fmt: skip
    return Table(
        "checks",
        "What the profiles are, and their sums held against an engine's steps.",
        columns,
        tuple(rows),
    )


def facts(sides: Sequence[Side]) -> dict[str, Any]:
    """The comparison as plain values: seconds, ratios to the first, origins."""
    first = sides[0].seconds
    return {
        "schema_version": 1,
        "model": sides[0].terms.model.name,
        "tensor_parallel": sides[0].terms.tensor_parallel,
        "context_tokens": CONTEXT,
        "slots": SLOTS,
        "rank": RANK,
        "profiles": [
            {
                "name": side.profile.name,
                "device": side.profile.device.name,
                "engine": side.profile.engine,
                "engine_version": side.profile.engine_version,
                "method": side.profile.method,
                "created": side.profile.created.isoformat(),
                "residual": None if (held := side.profile.residual) is None else held.model_dump(mode="json"),
                "seconds": side.seconds,
                "ratio_to_first": {name: _ratio(value, first[name]) for name, value in side.seconds.items()},
                "terms": _provenance(side),
            }
            for side in sides
        ],
    }


def _provenance(side: Side) -> dict[str, Any]:
    names = (*_TERMS, *(f"load {hop}" for hop in _LOADS), *_SHARED)
    found = {name: side.term(name) for name in names}
    return {
        name: figure.model_dump(mode="json", include={"origin", "source", "licence", "interval"})
        for name, figure in found.items()
        if figure is not None
    }
