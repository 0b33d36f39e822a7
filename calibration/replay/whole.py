"""A replay from a file to a result, against the engine here or a server."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from advisor.errors import InputError
from advisor.replayed import OK, ReplayResult
from advisor.trace.readers import load_trace
from advisor.trace.scale import take
from advisor.trace.trace import BASE, Trace
from calibration.livesetup import LiveSetup
from calibration.replay.client import Target, replay_url
from calibration.replay.journal import Journal
from calibration.replay.prompts import prompts_for
from calibration.replay.rows import Row, result_of
from calibration.replay.servers import KINDS, ServerKind
from calibration.replay.words import WordCost, measured_cost, texts, tokenizer_cost

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the options say."""

    trace_file: str
    out: Path
    url: str | None = None
    model: str = "tiny"
    adapters: tuple[str, ...] = ()  # NAME=NAME-THERE for a server
    server: str = "vllm"
    speed: float = 1.0
    requests: int | None = None
    timeout: float = 300.0  # seconds
    max_concurrency: int = 1000
    api_key_env: str = ""
    vocab: int = 1000
    tokenizer: Path | None = None  # for servers that take words
    seed: int = 0
    resume: bool = False
    command: str = ""


def replay_trace(asked: Asked, setup: LiveSetup | None, tell: Progress | None = None) -> ReplayResult:
    """Read the trace and replay it; `setup` is the engine here, None: the server that `asked` names.

    Raises:
        InputError: a bad trace, URL, adapter or key.
        MeasurementError: the server cannot be reached, or refuses all.
    """
    trace = load_trace(asked.trace_file)
    if asked.requests is not None:
        trace = take(trace, np.arange(min(asked.requests, len(trace))))
    if not len(trace):
        raise InputError(f"{asked.trace_file}: holds no request; allowed: at least one.")
    if asked.url is None:
        assert setup is not None
        return _here(asked, setup, trace, tell)
    return _there(asked, trace, tell)


def _here(asked: Asked, setup: LiveSetup, trace: Trace, tell: Progress | None) -> ReplayResult:
    from calibration.replay.inprocess import replay_engine

    trace = _matched(trace, tuple(setup.adapters))
    engine = setup.engine()
    prompts = prompts_for(trace, engine.architecture.shape.vocab_size, asked.seed)
    try:
        result = replay_engine(engine, trace, prompts, speed=asked.speed, seed=asked.seed, progress=tell)
    finally:
        engine.close()
    header = result.header.model_copy(update={"command": asked.command})
    return replace(result, header=header)


def _matched(trace: Trace, names: tuple[str, ...]) -> Trace:
    """Adapters of the trace that the engine does not have take the engine's, in order."""
    if not trace.adapters or set(trace.adapters) <= set(names):
        return trace
    if not names:
        note = "the engine has no adapters; all requests went to the base."
        return replace(
            trace, adapter=np.full(len(trace), BASE, dtype=np.int64), adapters=(), notes=(*trace.notes, note)
        )
    adapter = np.where(trace.adapter == BASE, BASE, trace.adapter % len(names))
    note = f"adapters of the trace were sent to {', '.join(names)} in turn."
    return replace(trace, adapter=adapter, adapters=names, notes=(*trace.notes, note))


def _there(asked: Asked, trace: Trace, tell: Progress | None) -> ReplayResult:
    kind = KINDS[asked.server]
    pairs = [text.partition("=") for text in asked.adapters]
    target = Target(
        url=asked.url or "",
        model=asked.model,
        kind=kind,
        adapters={name: there or name for name, _, there in pairs},
        api_key_env=asked.api_key_env,
        timeout_s=asked.timeout,
        max_concurrency=asked.max_concurrency,
    )
    ids = prompts_for(trace, asked.vocab, asked.seed)
    target.endpoint()
    target.headers()
    cost = None if kind.token_ids else _word_cost(asked, target)
    prompts: list[list[int]] | list[str] = ids if cost is None else texts(ids, cost)
    fingerprint = {
        "trace": trace.name, "requests": len(trace), "url": asked.url, "model": asked.model,
        "seed": asked.seed, "speed": asked.speed, "server": asked.server, "vocab": asked.vocab,
        "adapters": list(asked.adapters), "content": _digest(trace),
    }  # fmt: skip
    with Journal(Path(f"{asked.out}.journal"), fingerprint, resume=asked.resume) as journal:
        resumed = len(journal.rows)
        rows = asyncio.run(
            replay_url(target, trace, prompts, speed=asked.speed, journal=journal, progress=tell)
        )
    notes = _notes(kind, resumed, rows, trace, cost)
    if journal.trouble:
        notes += (
            f"{journal.path}: could not be written ({journal.trouble}); --resume would have lacked it.",
        )
    header = {
        "target": asked.url, "engine": asked.server, "model": asked.model, "seed": asked.seed,
        "command": asked.command, "notes": notes,
    }  # fmt: skip
    return result_of(trace, rows, asked.speed, header, None)


def _word_cost(asked: Asked, target: Target) -> WordCost:
    """Tokens a word makes there."""
    return measured_cost(target) if asked.tokenizer is None else tokenizer_cost(asked.tokenizer)


def _notes(
    kind: ServerKind, resumed: int, rows: list[Row], trace: Trace, cost: WordCost | None
) -> tuple[str, ...]:
    """What a reader of a result over HTTP must know."""
    notes = [kind.note] if kind.note else []
    if resumed:
        notes.append(f"went on after an interruption: {resumed} requests were answered before it.")
    if cost is not None:
        counted = [(row.prompt_tokens, n) for row, n in zip(rows, trace.prompt_tokens.tolist(), strict=True)]
        off = [abs(have - wanted) / wanted for have, wanted in counted if have >= 0]
        notes.append(
            f"prompts were sent as words, {cost.per_word:.3g} tokens each ({cost.source}); the server "
            f"counted, in the median, {float(np.median(off)) if off else 0.0:.1%} off the trace's tokens."
        )
    if again := sum(row.again for row in rows):
        notes.append(
            f"{again} requests were sent again, as the server had closed the connection that was kept for "
            "them without a word."
        )
    pairs = zip(rows, trace.output_tokens.tolist(), strict=True)
    if short := sum(row.status == OK and row.output_tokens < wanted for row, wanted in pairs):
        notes.append(
            f"{short} answers are shorter than the trace wants: the server did not keep to the length."
        )
    return tuple(notes)


def _digest(trace: Trace) -> str:
    """Changes with any request of the trace."""
    found = hashlib.sha256()
    for column in (trace.arrival_s, trace.prompt_tokens, trace.output_tokens, trace.adapter):
        found.update(np.ascontiguousarray(column).tobytes())
    found.update("\n".join(trace.adapters).encode())
    return found.hexdigest()
