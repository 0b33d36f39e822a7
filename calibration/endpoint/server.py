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


async def look(prober: Prober) -> Server:
    """Read /v1/models, /version and /metrics; each may be missing."""
    _, models = await prober.get("/v1/models")
    _, said = await prober.get("/version")
    status, metrics = await prober.get("/metrics")
    rows = [row for row in _list(_json(models), "data") if isinstance(row, dict)]
    lengths = [row["max_model_len"] for row in rows if isinstance(row.get("max_model_len"), int)]
    version = _json(said).get("version")
    cache = _cache(metrics) if status == 200 else {}
    running = read_counts(metrics).value("running") if status == 200 else None
    return Server(
        tuple(row["id"] for row in rows if isinstance(row.get("id"), str)),
        min(lengths, default=None),
        version if isinstance(version, str) else "",
        _kv_tokens(cache),
        _share(cache.get("gpu_memory_utilization", "")),
        None if running is None else int(running),
    )


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


def _list(found: dict[str, Any], name: str) -> list[Any]:
    value = found.get(name)
    return value if isinstance(value, list) else []


def _cache(metrics: str) -> dict[str, str]:
    found = _CACHE.search(metrics)
    return dict(_LABEL.findall(found[1])) if found else {}


def _kv_tokens(cache: dict[str, str]) -> int | None:
    counts = [cache.get(name, "") for name in ("num_gpu_blocks", "block_size")]
    return int(counts[0]) * int(counts[1]) if all(count.isdigit() for count in counts) else None


def _share(text: str) -> float | None:
    try:
        share = float(text)
    except ValueError:
        return None
    return share if 0 < share <= 1 else None
