"""Small made-up profiles with round numbers, valid by construction, for tests that need one."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from advisor.profile import (
    Curve,
    DecodeAttention,
    DraftTerm,
    FrontendTerm,
    GemmGrid,
    HostTerm,
    LoadTerm,
    LoraTerm,
    MemoryTerm,
    ModelTerms,
    PrefillAttention,
    Profile,
    StartupTerm,
)
from advisor.spec.device import Device
from advisor.spec.model import ModelShape
from advisor.spec.spec import Origin
from advisor.spec.speculation import Acceptance

_MARK: dict[str, Any] = {"origin": Origin.MEASURED, "source": "made up for a test"}

LLAMA_8B = ModelShape(
    name="llama-3.1-8b",
    hidden_size=4096,
    layers=32,
    heads=32,
    kv_heads=8,
    head_dim=128,
    intermediate_size=14336,
    vocab_size=128256,
)

DEVICE = Device(
    name="TEST-80",
    memory_bytes=80e9,
    bandwidth_bytes_per_s=3e12,
    bf16_flops_per_s=1e15,
    host_link_bytes_per_s=50e9,
    source="made up for a test",
    date="2026-11-25",
)

_NEW = (1.0, 64.0, 512.0, 4096.0)
_CONTEXT = (0.0, 1024.0, 8192.0, 65536.0)


def terms(model: ModelShape = LLAMA_8B, **changes: Any) -> ModelTerms:
    """Terms of one model: a decode step of 5 ms, prompts at 20 µs a token, LoRA 1 ms + 0.1 ms an adapter."""
    parts: dict[str, Any] = {
        "model": model,
        "dense": Curve(**_MARK, x=(1.0, 64.0, 256.0, 8192.0), y_s=(5e-3, 6e-3, 8e-3, 160e-3)),
        "head": Curve(**_MARK, x=(1.0, 256.0), y_s=(4e-4, 6e-4)),
        "attn_prefill": PrefillAttention(
            **_MARK,
            new_tokens=_NEW,
            context_tokens=_CONTEXT,
            seconds=tuple(tuple(1e-5 + 1e-9 * q * (c + q / 2) for c in _CONTEXT) for q in _NEW),
        ),
        "attn_decode": DecodeAttention(
            **_MARK, sequences=(1.0, 256.0), fixed_s=(1e-4, 4e-4), per_context_token_s=(5e-8, 5e-8)
        ),
        "lora": LoraTerm(
            **_MARK, fixed_s=1e-3, per_slot_s=1e-5, per_adapter_s=1e-4, per_token_s=1e-6, base_step_s=1e-5
        ),
        "drafts": (
            DraftTerm(
                **_MARK,
                method="ngram",
                fixed_s=1e-5,
                acceptance=Acceptance(marginals=(0.5, 0.3, 0.2), source="made up"),
            ),
        ),
    }
    return ModelTerms(**{**parts, **changes})


def profile(*models: ModelTerms, **changes: Any) -> Profile:
    """A profile of one device with vLLM."""
    parts: dict[str, Any] = {
        "schema_version": 1,
        "name": "test_80-vllm",
        "method": "import",
        "created": datetime(2026, 11, 25, tzinfo=UTC),
        "producer": "tests",
        "device": DEVICE,
        "engine": "vllm",
        "engine_version": "0.0",
        "graph_sizes": (1, 2, 4, 8, 16, 32, 64, 128, 256),
        "models": models or (terms(),),
        "host": HostTerm(**_MARK, fixed_s=1e-3, per_sequence_s=1e-5),
        "frontend": FrontendTerm(**_MARK, fixed_s=2e-3),
        "loads": (
            LoadTerm(**_MARK, hop="disk_to_cpu", fixed_s=50e-3, bandwidth_bytes_per_s=2e9),
            LoadTerm(**_MARK, hop="cpu_to_slot", fixed_s=5e-3, bandwidth_bytes_per_s=20e9),
        ),
        "memory": MemoryTerm(**_MARK, overhead_bytes=3e9),
        "startup": StartupTerm(**_MARK, base_s=60.0),
    }
    return Profile(**{**parts, **changes})


def gemm_grid() -> GemmGrid:
    """Products at 1 TFLOP/s with a floor of 2 µs, on a small grid."""
    m, n, k = (1.0, 64.0, 8192.0), (1024.0, 8192.0, 65536.0), (1024.0, 8192.0, 65536.0)
    seconds = tuple(tuple(tuple(max(2e-6, 2 * a * b * c / 1e15) for c in k) for b in n) for a in m)
    return GemmGrid(**_MARK, m=m, n=n, k=k, seconds=seconds)
