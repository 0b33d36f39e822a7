"""Findings to a profile."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from advisor import __version__
from advisor.errors import InputError
from advisor.profile import MemoryTerm, Profile, StartupTerm
from advisor.spec.device import Device
from advisor.spec.engine import EngineLimits
from advisor.spec.model import ALL_LINEAR, ModelShape, adapter_bytes
from advisor.spec.spec import Origin
from calibration.endpoint.loads import load_terms
from calibration.endpoint.samples import Findings
from calibration.endpoint.server import Server
from calibration.endpoint.terms import (
    Found,
    fit_samples,
    frontend_of,
    host_of,
    residual_of,
    terms_of,
)
from calibration.replay.client import Target

_SPECULATES: Final = 1.05
"""Tokens a part of an answer above which the engine speculates, or packs tokens."""
_CACHED: Final = 0.02
_PASSES: Final = (
    "Does not hold for a llama.cpp with -np and without --kv-unified: its steps are several passes, and "
    "those that hold prompts take longer than said. The server does not tell."
)


@dataclass(frozen=True, slots=True)
class Mark:
    """What a profile says beside its terms."""

    shape: ModelShape
    device: Device
    limits: EngineLimits
    tensor_parallel: int
    target: Target
    server: Server
    command: str
    seed: int


def profile_of(findings: Findings, mark: Mark, *, lora: bool) -> Profile:
    """Fit, and say how far each term may be trusted.

    Raises:
        MeasurementError: too little was measured.
    """
    facts = findings.facts
    a_part = facts.get("output_tokens", 0) / max(facts.get("parts", 0), 1)
    speculates = a_part > _SPECULATES
    found = fit_samples(findings.samples, mark.limits.max_num_batched_tokens, mark.seed)
    found = replace(found, speculates=speculates)
    source = f"calibrate endpoint {__version__}, {facts.get('requests', 0)} requests"
    terms = terms_of(found, mark.shape, mark.limits.max_num_seqs, source, lora=lora)
    kind = mark.target.kind.name
    return Profile(
        schema_version=1,
        name=f"{mark.device.name}-{kind}",
        method="endpoint",
        created=datetime.now(UTC).replace(microsecond=0),
        producer=f"lora-advisor {__version__}",
        command=mark.command,
        device=mark.device,
        engine=kind,
        engine_version=mark.server.version or "not told",
        models=(terms.model_copy(update={"tensor_parallel": mark.tensor_parallel}),),
        host=host_of(found, source),
        frontend=frontend_of(found, source),
        loads=load_terms(findings.loads, source),
        memory=_memory(mark, source),
        startup=StartupTerm(
            origin=Origin.ESTIMATED,
            source=f"{source}; not seen from outside",
            interval=(0.05, 20.0),
            base_s=0.0,
        ),
        residual=residual_of(found, findings.samples),
        notes=tuple(_notes(findings, found, mark, a_part)),
        software={"lora-advisor": __version__},
    )


def _memory(mark: Mark, source: str) -> MemoryTerm:
    """So much that the KV cache is as large as the server says; 0, an estimate, where it does not say."""
    kv_tokens, shape, limits = mark.server.kv_tokens, mark.shape, mark.limits
    if kv_tokens is None:
        told = f"{source}; the server does not tell its KV cache: what is left beside weights and slots"
        return MemoryTerm(origin=Origin.ESTIMATED, source=told, overhead_bytes=0.0)
    degree = mark.tensor_parallel
    slots = (
        limits.max_loras * adapter_bytes(shape, ALL_LINEAR, limits.max_lora_rank) if limits.max_loras else 0
    )
    share = mark.server.memory_share or memory_share(mark.target.kind.name)
    kv_bytes = kv_tokens * shape.kv_bytes_per_token / min(degree, shape.kv_heads)
    left = share * mark.device.memory_bytes - shape.weights_bytes / degree - slots - kv_bytes
    return MemoryTerm(
        origin=Origin.FITTED,
        source=f"{source}; the server's KV cache of {kv_tokens} tokens at a memory share of {share:g}",
        overhead_bytes=max(left, 0.0),
    )


def memory_share(engine: str) -> float:
    """The engine's default; all of it for one that the catalog lacks."""
    from advisor.catalog.capabilities import engine as capability

    try:
        return capability(engine).memory_share
    except InputError:
        return 1.0


def _notes(findings: Findings, found: Found, mark: Mark, a_part: float) -> list[str]:
    facts, limits = findings.facts, mark.limits
    notes = [*findings.notes]
    if found.speculates:
        drafts = facts.get("server", {}).get("drafts", 0)
        why = "the server speculates" if drafts else "the server speculates, or sends several tokens at once"
        notes.append(
            f"{a_part:.2f} tokens a part: {why}. Decode terms are seconds a token, not a step, and hold for "
            "this load alone."
        )
    if facts.get("cached_tokens", 0) > _CACHED * max(facts.get("prompt_tokens", 0), 1):
        notes.append(
            f"{facts['cached_tokens']} prompt tokens came from the prefix cache, although none repeat."
        )
    notes.append(
        f"Taken off every first token: {1e3 * facts['client_s']:.2f} ms of the client, "
        f"{1e3 * facts['network_s']:.2f} ms of the network, "
        f"{1e6 * facts['client_prompt_token_s']:.3f} µs a prompt token."
    )
    notes.append(
        f"Server assumed: max_num_seqs {limits.max_num_seqs}, max_num_batched_tokens "
        f"{limits.max_num_batched_tokens}, max_loras {limits.max_loras}, "
        f"max_cpu_loras {limits.max_cpu_loras}, max_lora_rank {limits.max_lora_rank}. "
        "LoRA terms hold for these slots and this rank alone."
    )
    if mark.target.kind.name == "llama.cpp":
        notes.append(_PASSES)
    notes += found.loose()
    if findings.levels:
        notes.append(_saturation(findings))
    return notes


def _saturation(findings: Findings) -> str:
    best: Any = max(findings.levels, key=lambda level: level.tokens_per_s)
    text = f"Saturation ramp: most were {best.tokens_per_s:.4g} output tokens/s, at {best.streams} streams"
    queues = [level for level in findings.levels if level.queue_s is not None]
    if queues:
        last = queues[-1]
        text += f"; at {last.streams} streams {1e3 * (last.queue_s or 0.0):.3g} ms of TTFT were queueing"
    return text + "."
