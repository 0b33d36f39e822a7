"""Rows of a replay while it runs; they become a `ReplayResult`."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from advisor import __version__
from advisor.replayed import ReplayHeader, ReplayResult
from advisor.trace.trace import Ints, Trace

NOT_SENT: Final = "not_sent"
_LATE_S: Final = 0.010
_LATE_SHARE: Final = 0.05
"""A client is late whose 99th percentile of lateness is above 10 ms and above 5 % of the median TTFT."""


@dataclass(slots=True)
class Row:
    """One request."""

    sent_s: float = float("nan")
    late_s: float = float("nan")  # the client's own lateness, where it is not sent minus wanted
    scheduled_s: float = float("nan")
    output_tokens: int = 0
    prompt_tokens: int = -1  # as the engine counted; -1: as the trace says
    status: str = NOT_SENT
    preemptions: int = 0
    cached_tokens: int = 0
    verify_steps: int = 0
    again: int = 0  # times that it was sent again, on a new connection
    chunk_s: list[float] = field(default_factory=list)
    chunk_tokens: list[int] = field(default_factory=list)


def result_of(
    trace: Trace, rows: list[Row], speed: float, header: dict[str, Any], counters: dict[str, float] | None
) -> ReplayResult:
    """Close the columns; lateness is of requests that were sent."""
    arrival = trace.arrival_s / speed
    sent = np.array([row.sent_s for row in rows])
    first = np.array([row.chunk_s[0] if row.chunk_s else np.nan for row in rows])
    own = np.array([row.late_s for row in rows])
    late = np.maximum(np.where(np.isfinite(own), own, sent - arrival)[np.isfinite(sent)], 0.0)
    p50, p99, most = (float(v) for v in np.percentile(late, [50, 99, 100])) if len(late) else (0.0, 0.0, 0.0)
    ttft = (first - arrival)[np.isfinite(first)]
    too_late = p99 > max(_LATE_S, _LATE_SHARE * float(np.median(ttft))) if len(ttft) else p99 > _LATE_S
    counts = [len(row.chunk_s) for row in rows]
    return ReplayResult(
        header=ReplayHeader(
            created=datetime.now(UTC).replace(microsecond=0),
            producer=f"lora-advisor {__version__}",
            trace=trace.name,
            adapters=trace.adapters,
            speed=speed,
            complete=all(row.status != NOT_SENT for row in rows),
            lateness_p50_s=p50,
            lateness_p99_s=p99,
            lateness_max_s=most,
            client_late=bool(too_late),
            counters=counters,
            environment=environment(),
            **header,
        ),
        arrival_s=arrival,
        sent_s=sent,
        scheduled_s=np.array([row.scheduled_s for row in rows]),
        first_token_s=first,
        last_token_s=np.array([row.chunk_s[-1] if row.chunk_s else np.nan for row in rows]),
        prompt_tokens=_prompt_tokens(trace, rows),
        wanted_tokens=trace.output_tokens.astype(np.int64),
        output_tokens=np.array([row.output_tokens for row in rows], dtype=np.int64),
        adapter=trace.adapter.astype(np.int64),
        status=np.array([row.status for row in rows], dtype=np.str_),
        preemptions=np.array([row.preemptions for row in rows], dtype=np.int64),
        cached_tokens=np.array([row.cached_tokens for row in rows], dtype=np.int64),
        verify_steps=np.array([row.verify_steps for row in rows], dtype=np.int64),
        chunk_offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        chunk_s=np.array([at for row in rows for at in row.chunk_s], dtype=np.float64),
        chunk_tokens=np.array([n for row in rows for n in row.chunk_tokens], dtype=np.int64),
    )


def _prompt_tokens(trace: Trace, rows: list[Row]) -> Ints:
    counted = np.array([row.prompt_tokens for row in rows], dtype=np.int64)
    return np.where(counted < 0, trace.prompt_tokens, counted)


def environment() -> dict[str, str]:
    """Machine and versions, as far as they bear on time."""
    from importlib.metadata import PackageNotFoundError, version

    found = {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(os.cpu_count()),
    }
    for package in ("torch", "numpy", "aiohttp"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
