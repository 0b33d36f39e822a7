"""`advisor profile`: which devices are known by measurement, and how well."""

from __future__ import annotations

import json
from pathlib import Path

import click

from advisor.cli import options, terminal


@click.group(epilog=options.example("advisor profile list\nadvisor profile show h100_sxm-vllm"))
def profile() -> None:
    """List, show and compare device profiles: what is measured, what estimated."""


@profile.command("list", epilog=options.example("advisor profile list"))
@options.profiles_folder
@options.as_json
def list_(profiles_folder: str | None, as_json: bool) -> None:
    """List the profiles: device, engine, models, method, date."""
    from advisor.profile import find_datasheets, load_profile
    from advisor.tables.known import models_of, profiles
    from advisor.text import table

    found = options.read_profiles(profiles_folder)
    if profiles_folder is None:
        found += [load_profile(path) for path in find_datasheets().values()]
    if as_json:
        facts = [
            {**one.model_dump(mode="json", include={"name", "engine", "engine_version", "method", "created"}),
             "device": one.device.name, "models": models_of(one).split(", ")}
            for one in found
        ]  # fmt: skip
        terminal.say(json.dumps({"schema_version": 1, "profiles": facts}, indent=2))
    else:
        terminal.say(table(profiles(found), terminal.style()))


@profile.command(epilog=options.example("advisor profile show h100_sxm-vllm"))
@click.argument("name")
@options.profiles_folder
@options.as_json
def show(name: str, profiles_folder: str | None, as_json: bool) -> None:
    """Show the terms of the profile NAME (or of a profile's file): origin, interval, source."""
    from advisor.profile import load_profile
    from advisor.report.plain import profile as text

    one = load_profile(_path(name, profiles_folder))
    terminal.say(one.model_dump_json(indent=2) if as_json else text(one, terminal.style()))


@profile.command(
    epilog=options.example(
        "advisor profile compare h100_sxm-vllm h200_sxm-vllm\n"
        "advisor profile compare l40s-vllm mine.json --model Qwen3-8B --json"
    )
)
@click.argument("names", nargs=-1, required=True)
@click.option("--model", help="A model of the catalog; one that all profiles have if left out.")
@click.option(
    "--tensor-parallel",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Devices of the group.",
)
@options.profiles_folder
@options.catalog_path
@options.as_json
def compare(
    names: tuple[str, ...],
    model: str | None,
    tensor_parallel: int,
    profiles_folder: str | None,
    catalog_path: str | None,
    as_json: bool,
) -> None:
    """Put the profiles NAMES (or profiles' files) side by side; ratios are to the first."""
    from advisor.catalog.shapes import model as model_of
    from advisor.errors import InputError
    from advisor.profile import load_profile
    from advisor.tables import compared
    from advisor.text import table

    if len(names) < 2:
        raise InputError(f"{names[0]}: is one profile; allowed: two or more to compare.")
    options.take_catalog(catalog_path)
    found = [load_profile(_path(name, profiles_folder)) for name in names]
    sides = compared.compare(found, None if model is None else model_of(model), tensor_parallel)
    if as_json:
        terminal.say(json.dumps(compared.facts(sides), indent=2))
        return
    style = terminal.style()
    parts = (compared.checks(sides), compared.seconds(sides), compared.origins(sides))
    terminal.say("\n\n".join(table(part, style) for part in parts))


def _path(name: str, folder: str | None) -> Path:
    from advisor.errors import InputError
    from advisor.profile import find_datasheets

    if name.endswith(".json"):
        return Path(name)
    known = {path.stem: path for path in sorted(options.profiles_place(folder).glob("*.json"))}
    if folder is None:
        known |= find_datasheets()
    if name not in known:
        raise InputError(
            f"profile {name!r:.60} is not there; allowed: {', '.join(known)}, or a file that ends in .json."
        )
    return known[name]
