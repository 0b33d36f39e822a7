"""`advisor scenario`: examples to start from, and a check before a long run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import click

from advisor.cli import options, terminal

DEMO: Final = "platform-40-adapters"


def examples() -> dict[str, Path]:
    """The shipped scenarios by name."""
    from advisor.datafiles import data_dir

    return {path.stem: path for path in sorted((data_dir() / "scenarios").glob("*.yaml"))}


def example_path(name: str) -> Path:
    """The file of a shipped scenario.

    Raises:
        InputError: none of this name.
    """
    from advisor.errors import InputError

    known = examples()
    if name not in known:
        raise InputError(f"scenario {name!r:.60} is not shipped; allowed: {', '.join(known)}.")
    return known[name]


@click.group(epilog=options.example("advisor scenario example > mine.yaml\nadvisor scenario check mine.yaml"))
def scenario() -> None:
    """Print an example scenario, check your own."""


@scenario.command(epilog=options.example("advisor scenario example > mine.yaml"))
@click.argument("name", default=DEMO)
@click.option("--list", "only_names", is_flag=True, help="List the names of all examples.")
@options.as_json
def example(name: str, only_names: bool, as_json: bool) -> None:
    """Print the shipped scenario NAME, to be edited into your own."""
    if only_names:
        names = list(examples())
        terminal.say(json.dumps({"schema_version": 1, "examples": names}) if as_json else "\n".join(names))
        return
    text = example_path(name).read_text(encoding="utf-8")
    if as_json:
        from advisor.spec.scenario import load_scenario

        text = load_scenario(example_path(name)).model_dump_json(indent=2, exclude_defaults=True)
    terminal.say(text.rstrip("\n"))


@scenario.command(epilog=options.example("advisor scenario check mine.yaml"))
@click.argument("path")
@options.as_json
def check(path: str, as_json: bool) -> None:
    """Check the scenario file PATH (- for stdin): every fault with its line, or one line if it is good."""
    from advisor.spec.scenario import load_scenario

    found = load_scenario(path)
    if as_json:
        terminal.say(json.dumps({"schema_version": 1, "scenario": found.name, "valid": True}))
    else:
        terminal.say(
            f"{path}: scenario {found.name!r} is valid: {found.model}, workload {found.workload.kind}."
        )
