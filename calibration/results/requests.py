"""One row a request from a load generator's file, as `calibrate replay` writes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from advisor.replayed import OK, ReplayHeader, ReplayResult


@dataclass(frozen=True, slots=True)
class Answer:
    """One request: seconds on any clock; NaN: did not happen. `gaps_s`: between parts of the answer."""

    arrival_s: float
    sent_s: float
    first_token_s: float
    last_token_s: float
    prompt_tokens: int
    output_tokens: int
    wanted_tokens: int = 0
    status: str = OK
    gaps_s: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """What a file says of itself."""

    tool: str
    engine: str
    model: str
    trace: str
    command: str = ""
    producer: str = "lora-advisor"
    engine_version: str = ""
    target: str = "a server"
    notes: tuple[str, ...] = field(default=())


def replay_of(answers: list[Answer], facts: Facts) -> ReplayResult:
    """Put requests into the replay's contract, in the order of their arrival, from time 0."""
    rows = sorted(answers, key=lambda answer: answer.arrival_s)
    start_s = rows[0].arrival_s if rows else 0.0
    late = np.asarray([max(row.sent_s - row.arrival_s, 0.0) for row in rows] or [0.0])
    late = late[np.isfinite(late)] if np.isfinite(late).any() else np.zeros(1)
    chunks = [_chunks(row, start_s) for row in rows]
    header = ReplayHeader(
        created=datetime.now(UTC).replace(microsecond=0),
        producer=facts.producer,
        command=facts.command,
        target=facts.target,
        engine=facts.engine or "unknown",
        engine_version=facts.engine_version,
        model=facts.model or "unknown",
        trace=facts.trace,
        lateness_p50_s=float(np.percentile(late, 50)),
        lateness_p99_s=float(np.percentile(late, 99)),
        lateness_max_s=float(late.max()),
        environment={"tool": facts.tool},
        notes=facts.notes,
    )

    def times(name: str) -> Any:
        return np.asarray([getattr(row, name) - start_s for row in rows], dtype=np.float64)

    def counts(name: str) -> Any:
        return np.asarray([getattr(row, name) for row in rows], dtype=np.int64)

    zero = np.zeros(len(rows), dtype=np.int64)
    return ReplayResult(
        header=header,
        arrival_s=times("arrival_s"),
        sent_s=times("sent_s"),
        scheduled_s=np.full(len(rows), np.nan),
        first_token_s=times("first_token_s"),
        last_token_s=times("last_token_s"),
        prompt_tokens=counts("prompt_tokens"),
        wanted_tokens=np.maximum(counts("wanted_tokens"), counts("output_tokens")),
        output_tokens=counts("output_tokens"),
        adapter=zero - 1,
        status=np.asarray([row.status for row in rows], dtype=np.str_),
        preemptions=zero,
        cached_tokens=zero,
        verify_steps=zero,
        chunk_offsets=np.concatenate([[0], np.cumsum([len(c) for c in chunks])]).astype(np.int64),
        chunk_s=np.asarray([time for c in chunks for time in c], dtype=np.float64),
        chunk_tokens=np.ones(sum(len(c) for c in chunks), dtype=np.int64),
    )


def _chunks(row: Answer, start_s: float) -> list[float]:
    if row.status != OK or not np.isfinite(row.first_token_s):
        return []
    first = row.first_token_s - start_s
    return [first, *(first + np.cumsum(row.gaps_s)).tolist()]
