"""Options that mean the same in every command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    from advisor.deployment import Choice
    from advisor.profile import Profile
    from advisor.spec.scenario import Scenario

Function = TypeVar("Function", bound=Callable[..., Any])
EXIT_CODES: Final = "Exit codes: 0 done; 2 input to mend; 130 interrupted."

as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object with schema_version, nothing else."
)
quiet = click.option("--quiet", "-q", is_flag=True, help="No progress and no remarks on stderr.")
no_color = click.option("--no-color", is_flag=True, help="No colour; NO_COLOR does the same.")
seed = click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="In place of the scenario's seed.")
profiles_folder = click.option(
    "--profiles",
    "profiles_folder",
    metavar="DIR",
    help="Folder of device profiles in place of the shipped ones.",
)
catalog_path = click.option(
    "--catalog", "catalog_path", metavar="PATH", help="Folder or file with catalog rows of your own."
)


def example(lines: str, codes: str = EXIT_CODES) -> str:
    """The end of a help page: an example and the exit codes."""
    block = "\n".join(f"  {line}" for line in lines.splitlines())
    return f"\b\nExample:\n{block}\n\n{codes}"


def face(function: Function) -> Function:
    """--json, --quiet and --no-color."""
    for option in (no_color, quiet, as_json):
        function = option(function)
    return function


def inputs(function: Function) -> Function:
    """--seed, --profiles and --catalog."""
    for option in (catalog_path, profiles_folder, seed):
        function = option(function)
    return function


def choice(function: Function) -> Function:
    """Options that describe one deployment."""
    options = (
        click.option(
            "--way", required=True, type=click.Choice(["base", "multi-lora", "merged"]), help="How to serve."
        ),
        click.option("--device", required=True, help="A device of the catalog that has a profile."),
        click.option("--tensor-parallel", type=int, default=1, show_default=True, help="Devices a replica."),
        click.option("--replicas", type=int, help="Sized until the objective holds if left out."),
        click.option("--max-loras", type=int, help="Adapter slots; searched if left out."),
        click.option("--max-cpu-loras", type=int, help="Adapters cached in CPU memory."),
        click.option("--max-num-seqs", type=int, help="Largest running batch."),
        click.option("--max-num-batched-tokens", type=int, help="Token budget of a step."),
        click.option(
            "--draft",
            type=click.Choice(["none", "ngram", "draft_model", "eagle3"]),
            default="none",
            show_default=True,
            help="Speculative decoding.",
        ),
        click.option(
            "--draft-length", type=int, default=3, show_default=True, help="Draft tokens a verify step."
        ),
        click.option(
            "--router",
            type=click.Choice(["round-robin", "least-outstanding", "adapter-affinity"]),
            default="least-outstanding",
            show_default=True,
            help="Which replica gets a request.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def read_choice(given: dict[str, Any]) -> Choice:
    """The deployment that the options describe.

    Raises:
        InputError: an option out of its range.
    """
    from advisor.deployment import Choice
    from advisor.errors import validated

    return validated(Choice, {name: value for name, value in given.items() if value is not None}, "options")


def read_inputs(
    path: str, seed: int | None, profiles_folder: str | None, catalog_path: str | None
) -> tuple[Scenario, list[Profile] | None, Path]:
    """The scenario, the profiles (None: the shipped ones), and the folder where its relative paths start.

    Raises:
        InputError: a file is missing or has a fault.
    """
    from advisor.spec.scenario import load_scenario

    take_catalog(catalog_path)
    scenario = load_scenario(path)
    if seed is not None:
        scenario = scenario.model_copy(update={"seed": seed})
    profiles = None if profiles_folder is None else read_profiles(profiles_folder)
    return scenario, profiles, Path() if path == "-" else Path(path).parent


def take_catalog(catalog_path: str | None) -> None:
    """Take the user's catalog rows, if any are given.

    Raises:
        InputError: no such file, or not a catalog.
    """
    if catalog_path is not None:
        from advisor.catalog.tables import use_catalog

        use_catalog(catalog_path)


def profiles_place(folder: str | None) -> Path:
    """The folder of profiles: the given one, or the shipped one.

    Raises:
        InputError: the given one is no folder.
    """
    from advisor.datafiles import data_dir
    from advisor.errors import InputError

    place = data_dir() / "profiles" if folder is None else Path(folder)
    if not place.is_dir():
        raise InputError(f"{place}: no such folder; allowed: a folder of profiles. Check --profiles.")
    return place


def read_profiles(folder: str | None) -> list[Profile]:
    """Every profile of a folder; None: the shipped ones.

    Raises:
        InputError: no such folder, none in it, or one with a fault.
    """
    from advisor.errors import InputError
    from advisor.profile import load_profile

    place = profiles_place(folder)
    files = sorted(place.glob("*.json"))
    if not files:
        raise InputError(f"{place}: holds no profile; allowed: files that end in .json. Check --profiles.")
    return [load_profile(file) for file in files]
