"""What a server says of itself: names, longest request, version, memory."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from advisor.errors import InputError
from calibration.endpoint.ask import Prober
from calibration.endpoint.metrics import read_counts

_CACHE: Final = re.compile(r"^vllm:cache_config_info\{([^}]*)\}", re.MULTILINE)
_FEW_DIGITS: Final = re.compile("[0-9]{1,12}")
_LABEL: Final = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Server:
    """Facts; None where it does not tell."""

    names: tuple[str, ...] = ()
    longest_tokens: int | None = None  # prompt and answer of one request
    version: str = ""
    kv_tokens: int | None = None  # of the whole KV cache
    memory_share: float | None = None
    running: int | None = None  # requests of others, before anything is sent
    seats: int | None = None  # sequences at once
    adapters: int | None = None  # how many it has, numbered from 0 (llama.cpp)


async def look(prober: Prober) -> Server:
    """Read /v1/models, /version and /metrics, of llama.cpp /props; each may be missing."""
    _, models = await prober.get("/v1/models")
    _, said = await prober.get("/version")
    status, metrics = await prober.get("/metrics")
    rows = [row for row in _list(_json(models), "data") if isinstance(row, dict)]
    lengths = [row["max_model_len"] for row in rows if isinstance(row.get("max_model_len"), int)]
    version = _json(said).get("version")
    cache = _cache(metrics) if status == 200 else {}
    running = read_counts(metrics).value("running") if status == 200 else None
    names = tuple(row["id"] for row in rows if isinstance(row.get("id"), str))
    if prober.target.kind.name == "llama.cpp":
        return await _look_at_llama(prober, names, running)
    return Server(
        names,
        min(lengths, default=None),
        version if isinstance(version, str) else "",
        _kv_tokens(cache),
        _share(cache.get("gpu_memory_utilization", "")),
        None if running is None else int(running),
    )


async def _look_at_llama(prober: Prober, names: tuple[str, ...], running: float | None) -> Server:
    """Slots, tokens of a slot and build are in /props, adapters in /lora-adapters."""
    _, said = await prober.get("/props")
    status, listed = await prober.get("/lora-adapters")
    props, usual = _json(said), _json(said).get("default_generation_settings")
    slot_tokens = usual.get("n_ctx") if isinstance(usual, dict) else None
    seats, build = props.get("total_slots"), props.get("build_info")
    return Server(
        names,
        slot_tokens if isinstance(slot_tokens, int) else None,
        build if isinstance(build, str) else "",
        running=None if running is None else int(running),
        seats=seats if isinstance(seats, int) else None,
        adapters=_length(listed) if status == 200 else None,
    )


def check_seats(server: Server, url: str, seats: int) -> None:
    """Refuse a number of sequences at once that is not the server's (InputError); it may not tell."""
    if server.seats is not None and server.seats != seats:
        raise InputError(
            f"--max-num-seqs is {seats}, and {url} has {server.seats} slots; allowed: what the server was "
            f"started with. Say --max-num-seqs {server.seats}."
        )


def check_numbers(server: Server, url: str, adapters: Sequence[str]) -> None:
    """Refuse an adapter's number that the server does not have (InputError); it would take the base."""
    for name in adapters:
        if server.adapters is not None and int(name) >= server.adapters:
            have = (
                f"0 to {server.adapters - 1}" if server.adapters else "none, as it was started without --lora"
            )
            raise InputError(f"--adapter is {name}, which {url} does not have; allowed: {have}.")


def check_names(server: Server, url: str, model: str, adapters: Sequence[str]) -> None:
    """Refuse a name that the server does not list (InputError); it may list none."""
    for option, name in (("--model", model), *(("--adapter", name) for name in adapters)):
        if server.names and name not in server.names:
            raise InputError(
                f"{option} is {name!r}, which {url} does not serve; allowed: {', '.join(server.names[:12])}."
            )


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _length(text: str) -> int | None:
    """Rows of a JSON list; None: it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return len(found) if isinstance(found, list) else None


def _list(found: dict[str, Any], name: str) -> list[Any]:
    value = found.get(name)
    return value if isinstance(value, list) else []


def _cache(metrics: str) -> dict[str, str]:
    found = _CACHE.search(metrics)
    return dict(_LABEL.findall(found[1])) if found else {}


def _kv_tokens(cache: dict[str, str]) -> int | None:
    counts = [cache.get(name, "") for name in ("num_gpu_blocks", "block_size")]
    told = all(_FEW_DIGITS.fullmatch(count) for count in counts)
    return int(counts[0]) * int(counts[1]) if told else None


def _share(text: str) -> float | None:
    try:
        share = float(text)
    except ValueError:
        return None
    return share if 0 < share <= 1 else None
