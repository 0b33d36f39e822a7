"""`advisor profile`: which devices are known by measurement, and how well."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from advisor.cli import options, terminal
from advisor.tables.table import Cell, Column, Table

if TYPE_CHECKING:
    from advisor.profile import Profile, Provenance


@click.group(epilog=options.example("advisor profile list\nadvisor profile show h100_sxm-vllm"))
def profile() -> None:
    """List and show device profiles: what is measured, what estimated."""


@profile.command("list", epilog=options.example("advisor profile list"))
@options.profiles_folder
@options.as_json
def list_(profiles_folder: str | None, as_json: bool) -> None:
    """List the profiles: device, engine, models, method, date."""
    from advisor.text import table

    found = options.read_profiles(profiles_folder or str(_shipped()))
    if as_json:
        terminal.say(json.dumps({"schema_version": 1, "profiles": [_facts(one) for one in found]}, indent=2))
        return
    rows = tuple(
        (
            p.name, p.device.name, f"{p.engine} {p.engine_version}", ", ".join(_models(p)), p.method,
            p.created.date().isoformat(),
        )
        for p in found
    )  # fmt: skip
    columns = ("profile", "device", "engine", "models", "method", "date")
    content = Table("profiles", "Profiles.", tuple(Column(name) for name in columns), rows)
    terminal.say(table(content, terminal.style()))


def _shipped() -> Path:
    from advisor.datafiles import data_dir

    return data_dir() / "profiles"


def _models(one: Profile) -> list[str]:
    return sorted({f"{terms.model.name} (TP {terms.tensor_parallel})" for terms in one.models})


def _facts(one: Profile) -> dict[str, object]:
    return {
        "name": one.name, "device": one.device.name, "engine": one.engine, "engine_version": one.engine_version,
        "method": one.method, "created": one.created.isoformat(), "models": _models(one),
    }  # fmt: skip


@profile.command(epilog=options.example("advisor profile show h100_sxm-vllm"))
@click.argument("name")
@options.profiles_folder
@options.as_json
def show(name: str, profiles_folder: str | None, as_json: bool) -> None:
    """Show the terms of the profile NAME (or a profile's file): origin, interval, source."""
    from advisor.profile import load_profile
    from advisor.text import heading, paragraph, table

    one = load_profile(_path(name, profiles_folder))
    if as_json:
        terminal.say(one.model_dump_json(indent=2))
        return
    style = terminal.style()
    parts = [heading(f"{one.name}: {one.device.name}, {one.engine} {one.engine_version}", style)]
    parts.append(paragraph(f"{one.method}, {one.created.date().isoformat()}, by {one.producer}.", style))
    parts.append(table(_terms(one), style))
    if one.residual is not None:
        r = one.residual
        parts.append(
            paragraph(
                f"Held against {r.points} end-to-end points: median error {r.median_relative:+.1%}, "
                f"90 % within {r.p90_absolute_relative:.1%} ({r.source}).",
                style,
            )
        )
    parts += [paragraph(f"- {note}", style) for note in one.notes]
    terminal.say("\n".join(parts))


def _path(name: str, folder: str | None) -> Path:
    from advisor.errors import InputError

    if name.endswith(".json"):
        return Path(name)
    known = {path.stem: path for path in sorted(Path(folder or _shipped()).glob("*.json"))}
    if name not in known:
        raise InputError(f"profile {name!r:.60} is not there; allowed: {', '.join(known)}, or a file that ends in .json.")
    return known[name]


def _terms(one: Profile) -> Table:
    rows: list[tuple[Cell, ...]] = []

    def add(model: str, term: str, figure: Provenance | None) -> None:
        if figure is not None:
            rows.append((model, term, figure.origin.value, *figure.interval, figure.source))

    for terms in one.models:
        model = f"{terms.model.name} (TP {terms.tensor_parallel})"
        for term in ("dense", "head", "attn_prefill", "attn_decode", "all_reduce", "lora"):
            add(model, term, getattr(terms, term))
        for draft in terms.drafts:
            add(model, f"draft {draft.method}", draft)
    for gemm in one.gemm:
        add("any", f"gemm {gemm.weights_dtype}", gemm)
    for load in one.loads:
        add("any", f"load {load.hop}", load)
    for term in ("host", "frontend", "memory", "startup"):
        add("any", term, getattr(one, term))
    return Table(
        "terms",
        "Terms of the profile.",
        (
            Column("model"), Column("term"), Column("figure is"), Column("from", "number", "interval", unit="×", weight=3),
            Column("to", "number", "interval", unit="×", weight=2), Column("source", weight=1, cut=True),
        ),
        tuple(rows),
    )  # fmt: skip
