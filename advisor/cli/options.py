"""Options that mean the same in every command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from advisor.deployment import Choice
    from advisor.profile import Profile
    from advisor.recommendation import Recommendation
    from advisor.spec.scenario import Scenario

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
MOST_JOBS: Final = 256
EXIT_CODES: Final = "Exit codes: 0 done; 2 input to mend; 130 interrupted."

as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object with schema_version, nothing else."
)
quiet = click.option("--quiet", "-q", is_flag=True, help="No progress and no remarks on stderr.")
no_color = click.option("--no-color", is_flag=True, help="No colour; NO_COLOR does the same.")
jobs = click.option(
    "--jobs",
    type=click.IntRange(1, MOST_JOBS),
    metavar="N",
    help="Processes; one a core if left out, 8 at most. The answer does not depend on it.",
)
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


@dataclass(frozen=True, slots=True)
class Face:
    """How the answer is wanted."""

    as_json: bool
    quiet: bool
    no_color: bool

    @property
    def silent(self) -> bool:
        """No progress, no remarks."""
        return self.quiet or self.as_json


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is read beside the scenario."""

    seed: int | None
    profiles_folder: str | None
    catalog_path: str | None


def face(function: Callable[..., Any]) -> Callable[..., Any]:
    """--json, --quiet and --no-color, handed on as `face`."""

    @wraps(function)
    def with_face(as_json: bool, quiet: bool, no_color: bool, **rest: Any) -> Any:
        return function(face=Face(as_json, quiet, no_color), **rest)

    return _with(with_face, as_json, quiet, no_color)


def inputs(function: Callable[..., Any]) -> Callable[..., Any]:
    """--seed, --profiles and --catalog, handed on as `inputs`."""

    @wraps(function)
    def with_inputs(
        seed: int | None, profiles_folder: str | None, catalog_path: str | None, **rest: Any
    ) -> Any:
        return function(inputs=Inputs(seed, profiles_folder, catalog_path), **rest)

    return _with(with_inputs, seed, profiles_folder, catalog_path)


def _with(function: Callable[..., Any], *options: Decorator) -> Callable[..., Any]:
    for option in reversed(options):
        function = option(function)
    return function


def doubt(function: Callable[..., Any]) -> Callable[..., Any]:
    """--sure and --load-spread, handed on as `doubt`: (draws, share)."""

    @wraps(function)
    def with_doubt(sure: int, load_spread: float, **rest: Any) -> Any:
        return function(doubt=(sure, load_spread), **rest)

    return _with(with_doubt, _SURE, _LOAD_SPREAD)


_SURE: Final = click.option(
    "--sure",
    metavar="N",
    default=0,
    show_default=True,
    type=click.IntRange(0, 10_000),
    help="Also say how sure the choice is: N draws of every uncertain term, of the requests and of the load. "
    "100 tell most and take minutes.",
)
_LOAD_SPREAD: Final = click.option(
    "--load-spread",
    metavar="SHARE",
    default=0.1,
    show_default=True,
    type=click.FloatRange(0, 10),
    help="With --sure: by which share the load may be off (90 %).",
)
_CHOICE: Final = (
    click.option(
        "--way",
        required=True,
        type=click.Choice(["base", "multi-lora", "merged", "hybrid"]),
        help="How to serve.",
    ),
    click.option("--hottest", type=int, help="Way hybrid: how many adapters are merged; 1 if left out."),
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
    click.option("--fp8", is_flag=True, default=None, help="16-bit weights, quantised by the engine."),
    click.option(
        "--by-batch", is_flag=True, default=None, help="Draft only at batch sizes at which it pays."
    ),
    click.option(
        "--router",
        type=click.Choice(["round-robin", "least-outstanding", "adapter-affinity"]),
        default="least-outstanding",
        show_default=True,
        help="Which replica gets a request.",
    ),
)
_CHOICE_FIELDS: Final = (
    "way", "hottest", "device", "tensor_parallel", "replicas", "max_loras", "max_cpu_loras", "max_num_seqs",
    "max_num_batched_tokens", "draft", "draft_length", "fp8", "by_batch", "router",
)  # fmt: skip


def choice(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that describe one deployment, handed on as `choice`, a mapping of those given."""

    @wraps(function)
    def with_choice(**given: Any) -> Any:
        fields = {name: given.pop(name) for name in _CHOICE_FIELDS}
        return function(choice={name: value for name, value in fields.items() if value is not None}, **given)

    return _with(with_choice, *_CHOICE)


def read_choice(given: Mapping[str, Any]) -> Choice:
    """The deployment that the options describe.

    Raises:
        InputError: an option out of its range.
    """
    from advisor.deployment import Choice
    from advisor.errors import validated

    return validated(Choice, dict(given), "options")


def read_inputs(path: str, inputs: Inputs) -> tuple[Scenario, list[Profile] | None, Path]:
    """The scenario, the profiles (None: the shipped ones), and the folder where its relative paths start.

    Raises:
        InputError: a file is missing or has a fault.
    """
    from advisor.spec.scenario import load_scenario

    take_catalog(inputs.catalog_path)
    scenario = load_scenario(path)
    if inputs.seed is not None:
        scenario = scenario.model_copy(update={"seed": inputs.seed})
    profiles = None if inputs.profiles_folder is None else read_profiles(inputs.profiles_folder)
    return scenario, profiles, Path() if path == "-" else Path(path).parent


def read_answer(path: str) -> Recommendation:
    """An answer that `advisor recommend --json` wrote.

    Raises:
        InputError: it cannot be read, or is none.
    """
    from advisor.errors import validated
    from advisor.files import read_json
    from advisor.recommendation import Recommendation

    return validated(Recommendation, read_json(path, schema_version=1), path)


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
