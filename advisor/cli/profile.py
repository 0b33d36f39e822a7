"""`advisor profile`: which devices are known by measurement, and how well."""

from __future__ import annotations

import json
from pathlib import Path

import click

from advisor.cli import options, terminal


@click.group(epilog=options.example("advisor profile list\nadvisor profile show h100_sxm-vllm"))
def profile() -> None:
    """List and show device profiles: what is measured, what estimated."""


@profile.command("list", epilog=options.example("advisor profile list"))
@options.profiles_folder
@options.as_json
def list_(profiles_folder: str | None, as_json: bool) -> None:
    """List the profiles: device, engine, models, method, date."""
    from advisor.tables.known import models_of, profiles
    from advisor.text import table

    found = options.read_profiles(profiles_folder)
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


def _path(name: str, folder: str | None) -> Path:
    from advisor.errors import InputError

    if name.endswith(".json"):
        return Path(name)
    known = {path.stem: path for path in sorted(options.profiles_place(folder).glob("*.json"))}
    if name not in known:
        raise InputError(
            f"profile {name!r:.60} is not there; allowed: {', '.join(known)}, or a file that ends in .json."
        )
    return known[name]
