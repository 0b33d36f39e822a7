"""What runs where: an option as servers, each with its weights, adapters and replicas."""

from __future__ import annotations

import re
from dataclasses import dataclass

from advisor.errors import InputError
from advisor.recommendation import Option, SpecChoice
from advisor.spec.adapter import AdapterFolders
from advisor.spec.engine import EngineLimits
from advisor.spec.scenario import Scenario

BASE = "base"
PORT = 8000


@dataclass(frozen=True, slots=True)
class Places:
    """Where the user keeps things; shell variables where it was not said."""

    base_model: str = "$BASE_MODEL"  # folder or hub name
    adapters: str = "$ADAPTERS"  # folder with one PEFT folder an adapter
    merged: str = "$MERGED"  # folder that merge.py writes
    draft_model: str = "$DRAFT_MODEL"  # of draft_model and eagle3


@dataclass(frozen=True, slots=True)
class Server:
    """One kind of engine process, and how many of it."""

    name: str  # a DNS label
    model: str  # weights to load
    serves: str  # the name that requests give for these weights
    adapters: tuple[tuple[str, str], ...]  # (name, PEFT folder), hottest first
    replicas: int
    share_of_requests: float


@dataclass(frozen=True, slots=True)
class ServingPlan:
    """All servers of one option."""

    option: Option
    limits: EngineLimits
    servers: tuple[Server, ...]
    places: Places
    max_lora_rank: int

    @property
    def drafts(self) -> SpecChoice | None:
        """Speculative decoding, if any."""
        return self.option.speculation

    @property
    def devices(self) -> int:
        """Devices of one replica."""
        return self.option.tensor_parallel

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names of all adapters, unmerged or merged."""
        merged = tuple(server.serves for server in self.servers if server.serves != BASE)
        return merged + tuple(name for server in self.servers for name, _ in server.adapters)


def plan_of(option: Option, scenario: Scenario, places: Places) -> ServingPlan:
    """The servers of a feasible option.

    Raises:
        InputError: the option was not sized, so that there is nothing to run.
    """
    if option.limits is None or not option.pools:
        raise InputError(
            f"option is {option.key!r}; allowed: one that was sized. {option.reason or 'It was not.'}"
        )
    folders = _folders(option, scenario, places)
    names = _labels([pool.name for pool in option.pools])
    servers = []
    for pool, label in zip(option.pools, names, strict=True):
        servers.append(
            Server(
                name=label,
                model=f"{places.merged}/{pool.adapters[0]}" if pool.merged else places.base_model,
                serves=pool.adapters[0] if pool.merged else BASE,
                adapters=tuple((name, folders[name]) for name in pool.adapters if name != BASE)
                if option.way in ("multi-lora", "hybrid") and not pool.merged
                else (),
                replicas=pool.replicas,
                share_of_requests=pool.share_of_requests,
            )
        )
    return ServingPlan(option, option.limits, tuple(servers), places, option.limits.max_lora_rank)


def _folders(option: Option, scenario: Scenario, places: Places) -> dict[str, str]:
    """PEFT folder of each adapter: the scenario's own paths, or a folder of the adapter's name."""
    names = [name for pool in option.pools for name in pool.adapters if name != BASE]
    if isinstance(scenario.adapters, AdapterFolders):
        own = {path.rstrip("/").rsplit("/", 1)[-1]: path for path in scenario.adapters.paths}
        return {name: own.get(name, f"{places.adapters}/{name}") for name in names}
    return {name: f"{places.adapters}/{name}" for name in names}


def _labels(names: list[str]) -> list[str]:
    """Names as DNS labels, each once (RFC 1123: at most 63 of a-z, 0-9 and -; room is left for suffixes)."""
    labels: list[str] = []
    for number, name in enumerate(names):
        label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-") or "pool"
        if label[0].isdigit():
            label = f"m-{label}"
        labels.append(label if label not in labels else f"{label}-{number}")
    return labels
