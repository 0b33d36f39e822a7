"""What is known beforehand as tables: models, devices, prices, engines, profiles; with source and date."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.profile import Profile, Provenance
from advisor.spec.device import Device
from advisor.spec.engine import EngineCapability
from advisor.spec.model import ModelShape
from advisor.spec.price import DevicePrice
from advisor.tables.table import Cell, Column, Table

_SOURCE = Column("source", weight=1, cut=True)


def models(found: Sequence[ModelShape]) -> Table:
    """Sizes of models."""
    columns = (
        Column("model"), Column("parameters", "number", unit="1e9"), Column("layers", "count", weight=2),
        Column("weights", "gib"), Column("KV a token", "count", unit="bytes"), _SOURCE,
    )  # fmt: skip
    rows = tuple(
        (m.name, m.parameters / 1e9, m.layers, m.weights_bytes, m.kv_bytes_per_token, m.source) for m in found
    )
    return Table("models", "Known models.", columns, rows)


def devices(found: Sequence[Device]) -> Table:
    """Memory, peaks and links of devices."""
    columns = (
        Column("device"), Column("memory", "gib"), Column("bandwidth", "number", unit="GB/s"),
        Column("bf16", "number", unit="TFLOP/s"), Column("host link", "number", unit="GB/s"),
        Column("date", weight=2), _SOURCE,
    )  # fmt: skip
    rows = tuple(
        (
            d.name, d.memory_bytes, d.bandwidth_bytes_per_s / 1e9, d.bf16_flops_per_s / 1e12,
            d.host_link_bytes_per_s / 1e9, d.date, d.source,
        )
        for d in found
    )  # fmt: skip
    return Table("devices", "Known devices, by their datasheets.", columns, rows)


def prices(found: Sequence[DevicePrice]) -> Table:
    """Dated prices of devices by the hour."""
    columns = (
        Column("device"), Column("provider"), Column("tier"), Column("$/h", "usd"), Column("date"),
        Column("from", "count", unit="devices", weight=2), _SOURCE,
    )  # fmt: skip
    rows = tuple(
        (p.device, p.provider, p.tier, p.usd_per_hour, p.date, p.min_devices, p.source) for p in found
    )
    return Table("prices", "Dated list prices of one device for an hour.", columns, rows)


def engines(found: Sequence[EngineCapability]) -> Table:
    """What serving engines can do, and their defaults."""
    columns = (
        Column("engine"), Column("version"), Column("multi-LoRA"), Column("adapter loads"),
        Column("drafts with LoRA"), Column("max_num_seqs", "count", weight=3), Column("date", weight=2),
        _SOURCE,
    )  # fmt: skip
    rows = tuple(
        (
            e.name, e.version, "yes" if e.multi_lora else "no", e.load_mode,
            ", ".join(s.method for s in e.speculation if s.with_lora) or "none",
            e.default_max_num_seqs, e.date, e.source,
        )
        for e in found
    )  # fmt: skip
    return Table("engines", "Known serving engines.", columns, rows)


def models_of(profile: Profile) -> str:
    """The models that a profile has terms for."""
    degrees: dict[str, set[int]] = {}
    for terms in profile.models:
        degrees.setdefault(terms.model.name, set()).add(terms.tensor_parallel)
    return ", ".join(
        f"{name} (TP {', '.join(map(str, sorted(found)))})" for name, found in sorted(degrees.items())
    )


def profiles(found: Sequence[Profile]) -> Table:
    """Device profiles: what was measured on which device and engine."""
    columns = (
        Column("profile"), Column("device"), Column("engine"), Column("method"), Column("date"),
        Column("models", weight=1, cut=True),
    )  # fmt: skip
    rows = tuple(
        (
            p.name,
            p.device.name,
            f"{p.engine} {p.engine_version}",
            p.method,
            p.created.date().isoformat(),
            models_of(p),
        )
        for p in found
    )
    return Table("profiles", "Device profiles: the step times that the advice rests on.", columns, rows)


def profile_terms(profile: Profile) -> Table:
    """Every term of a profile with its origin, interval and source."""
    rows: list[tuple[Cell, ...]] = []

    def add(model: str, term: str, figure: Provenance | None) -> None:
        if figure is not None:
            rows.append((model, term, figure.origin.value, *figure.interval, figure.source))

    for terms in profile.models:
        model = f"{terms.model.name} (TP {terms.tensor_parallel})"
        for term in ("dense", "head", "attn_prefill", "attn_decode", "attn_mixed", "all_reduce", "lora"):
            add(model, term, getattr(terms, term))
        for draft in terms.drafts:
            add(model, f"draft {draft.method}", draft)
    for gemm in profile.gemm:
        add("any", f"gemm {gemm.weights_dtype}", gemm)
    for load in profile.loads:
        add("any", f"load {load.hop}", load)
    for term in ("host", "frontend", "memory", "startup"):
        add("any", term, getattr(profile, term))
    columns = (
        Column("model"), Column("term"), Column("figure is"),
        Column("from", "number", "interval", unit="×", weight=3),
        Column("to", "number", "interval", unit="×", weight=2), _SOURCE,
    )  # fmt: skip
    return Table(
        "terms",
        "Terms of the step time; interval: a factor that holds the truth with about 90 %.",
        columns,
        tuple(rows),
    )
