"""A recipe: all texts for one option, and the page that says how to use them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from advisor.errors import InputError
from advisor.files import write_text
from advisor.recipe.alerts import alert_rules
from advisor.recipe.compose import compose_file, compose_nginx, variables
from advisor.recipe.kubernetes import manifests
from advisor.recipe.loadtest import load_test
from advisor.recipe.others import other_engines
from advisor.recipe.plan import Places, Server, ServingPlan, plan_of
from advisor.recipe.scaling import scaled_objects
from advisor.recipe.shell import command
from advisor.recipe.vllm import vllm_arguments
from advisor.recommendation import Option, Recommendation
from advisor.spec.scenario import Scenario, scenario_to_yaml
from advisor.tables.units import counted

_MERGE: Final = Path(__file__).with_name("merge.py.txt")


@dataclass(frozen=True, slots=True)
class Recipe:
    """File name -> text. `README.md` is to be read first."""

    option: str
    files: dict[str, str]


def recipe_of(
    rec: Recommendation, scenario: Scenario, *, key: str | None = None, places: Places | None = None
) -> Recipe:
    """Everything to paste for one option of an answer. The same input gives the same bytes.

    Args:
        rec: the answer.
        scenario: the question; its adapter folders are used.
        key: the option; None: the recommended one.
        places: where model, adapters, merged weights and draft lie.

    Raises:
        InputError: no such option, or it was not sized, or its engine is none that we write for.
    """
    option = _option(rec, key)
    if option.engine != "vllm":
        raise InputError(f"engine is {option.engine!r}; allowed: vllm. Recipes begin with vLLM's flags.")
    plan = plan_of(option, scenario, places or Places())
    files = {
        "README.md": _readme(plan, rec),
        "serve-vllm.sh": _serve(plan),
        "compose.yaml": compose_file(plan),
        "nginx.conf": compose_nginx(plan),
        "kubernetes.yaml": manifests(plan),
        "alerts.yaml": alert_rules(plan, rec),
        "load-test.sh": load_test(plan, rec),
        "scenario.yaml": scenario_to_yaml(scenario),
    }
    if option.scaling is not None:
        files["keda.yaml"] = scaled_objects(plan, option.scaling)
    if any(pool.merged for pool in option.pools):
        files["merge.py"] = _MERGE.read_text(encoding="utf-8")
        files["merge-all.sh"] = _merge_all(plan)
    return Recipe(option.key, files)


def write_recipe(recipe: Recipe, folder: Path) -> list[Path]:
    """Write all files into a folder; returns their paths.

    Raises:
        InputError: the folder cannot be written.
    """
    for name, text in recipe.files.items():
        write_text(folder / name, text)
    return [folder / name for name in recipe.files]


def _option(rec: Recommendation, key: str | None) -> Option:
    wanted = key or rec.recommended
    if wanted is None:
        raise InputError("option: the answer recommends none. Name one with its key.")
    for option in rec.options:
        if option.key == wanted:
            return option
    sized = ", ".join(o.key for o in rec.options if o.feasible)
    raise InputError(f"option is {wanted!r}; allowed: a key of the answer, such as {sized or 'none'}.")


def _serve(plan: ServingPlan) -> str:
    lines = [
        "#!/usr/bin/env bash",
        "# One replica of each server; pick one by its name.",
        "set -euo pipefail",
    ]
    lines += [f': "${{{name[1:]}:?set it to a folder}}"' for name in variables(plan)]
    lines.append(f'case "${{1:-{plan.servers[0].name}}}" in')
    for server in plan.servers:
        lines += [f"{server.name})", command(["vllm", "serve", *vllm_arguments(plan, server)]), ";;"]
    return "\n".join([*lines, "*) echo 'no such server' >&2; exit 2 ;;", "esac", ""])


def _merge_all(plan: ServingPlan) -> str:
    places = plan.places
    lines = ["#!/usr/bin/env bash", "# Each adapter into its own copy of the base.", "set -euo pipefail"]
    for server in plan.servers:
        if server.model != places.base_model:
            source = f"{places.adapters}/{server.serves}"
            lines.append(command(["python", "merge.py", places.base_model, source, server.model]))
    return "\n".join([*lines, ""])


def _readme(plan: ServingPlan, rec: Recommendation) -> str:
    option = plan.option
    price = "" if option.usd_per_hour is None else f", {option.usd_per_hour:.2f} USD/h"
    head = [
        f"# {option.key}",
        f"For: {rec.scenario} ({rec.model}, {rec.workload.rate_rps:.3g} requests/s).",
        f"Objective: {rec.objective}.",
        (
            f"{counted(option.replicas, 'replica')} on {option.devices} x {option.device}, {option.engine} "
            f"{option.engine_version}{price}."
        ),
    ]
    head += [f"Mind: {warning}" for warning in option.warnings]
    steps = ["1. Set " + ", ".join(f"`{name[1:]}`" for name in variables(plan)) + " to your folders."]
    if any(pool.merged for pool in option.pools):
        steps.append("1. `merge-all.sh` merges every adapter and checks that it still answers the same.")
    if option.scaling is not None:
        steps.append(
            "1. `keda.yaml` scales the cluster's pool with the load, as it was simulated: read its head. "
            "Pods are behind a plain service, which picks one at random where the simulation picks the least "
            "busy. compose.yaml stands for the most replicas, all the time."
        )
    steps += [
        (
            "1. One machine: `docker compose up` (compose.yaml, nginx.conf). A cluster: `kubectl apply -f "
            "kubernetes.yaml` (weights on a claim named `weights`: base/, adapters/, merged/, draft/). By "
            "hand: `serve-vllm.sh`."
        ),
        "1. `load-test.sh replay` sends the simulated traffic and shows whether the limits hold.",
        "1. `alerts.yaml` goes to Prometheus.",
    ]
    where = _where(plan)
    return "\n\n".join([*head, "\n".join(steps), where, _others(plan)]) + "\n"


def _where(plan: ServingPlan) -> str:
    if len(plan.servers) == 1:
        name = "the adapter's name" if plan.option.way == "multi-lora" else f"`{plan.servers[0].serves}`"
        return f"Requests go to port 8000 with {name} as `model`."
    first = plan.servers[0]
    return (
        f"Each model has its own path: requests for `{first.serves}` go to "
        f"`http://HOST:8000/{first.name}/v1/...`."
    )


def _others(plan: ServingPlan) -> str:
    server: Server = plan.servers[0]
    parts = [
        "## The same on other engines",
        "The figures of the answer are for vLLM; these are starting points.",
    ]
    for other in other_engines(plan, server):
        notes = " ".join(note[0].upper() + note[1:] for note in other.notes)
        if not other.command:
            parts.append(f"**{other.engine}**: {' '.join(other.notes)}")
            continue
        environment = "".join(f"{name}={value} \\\n  " for name, value in other.environment)
        parts.append(f"**{other.engine}**. {notes}\n\n```sh\n{environment}{command(other.command)}\n```")
    return "\n\n".join(parts)
