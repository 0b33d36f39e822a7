"""The profile of the public multi-LoRA server, one for each of its models.

Loads and slots of the two models were measured on different folders and tensor layouts, so one profile
cannot hold both.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from advisor.catalog.shapes import model as catalog_model
from advisor.profile import (
    Curve,
    DecodeAttention,
    FrontendTerm,
    HostTerm,
    LoadTerm,
    LoraTerm,
    MemoryTerm,
    ModelTerms,
    PrefillAttention,
    Profile,
    Residual,
    StartupTerm,
)
from advisor.spec.device import Device
from advisor.spec.model import ModelShape
from advisor.spec.spec import Origin
from calibration.importers.server_blocks import (
    BlockFit,
    fit_blocks,
    rank_growth,
    read_ranks,
)
from calibration.importers.server_files import LICENCE, SOURCE, read_runs
from calibration.importers.server_lora import LoraFit, fit_lora
from calibration.importers.server_memory import (
    LoadFit,
    MemoryFit,
    fit_loads,
    fit_memory,
    fit_startup,
    frontend_s,
    kv_capacity_tokens,
)
from calibration.importers.server_step import BaseFit, fit_base
from calibration.importers.server_traffic import TrafficFit, fit_traffic

MODELS = {
    "llama-3.1-8b": ("llama-3.1-8b-instruct", "Llama-3.1-8B"),
    "qwen-2.5-7b": ("qwen-2.5-7b-instruct", "Qwen2.5-7B"),
}
"""Ending of the profile's name: name in the files, name in the catalog."""

MEMORY_SHARE = 0.9
"""gpu_memory_utilization of that vLLM; the overhead was fitted for it."""

DEVICE = Device(
    name="H100-64-SXM",
    memory_bytes=64 * 2.0**30,
    bandwidth_bytes_per_s=2.0e12,
    bf16_flops_per_s=989e12,
    fp8_flops_per_s=1978e12,
    host_link_bytes_per_s=64e9,
    peer_link_bytes_per_s=450e9,
    max_tensor_parallel=4,
    source="64 GB variant of the H100, inferred from the site of the runs; memory and bandwidth recalled",
    date="2026-11-25",
)

_PAIR_S = 2.5e-11 / 32
"""Seconds of one query-key pair, layer and head of prompt attention on an H100: 3.31 ms for 16384 tokens and
with 32 heads (aiconfigurator-core 0.12.0, h100_sxm, vLLM 0.24.0). A small part of these prompts."""
_CHUNKS = (16, 64, 256, 512, 1024, 2048)
_CONTEXTS = (0, 512, 2048, 8192)
_GRAPHS = (1, 2, 4, *range(8, 513, 8))


@dataclass(frozen=True, slots=True)
class ServerFits:
    """Everything fitted for one model of the server."""

    shape: ModelShape
    base: BaseFit
    lora: LoraFit
    blocks: BlockFit
    traffic: TrafficFit
    rank_growth: float
    disk: LoadFit
    slot: LoadFit
    memory: MemoryFit
    startup: tuple[float, float]
    frontend: float


def fit_server(folder: Path, ending: str, *, like: ServerFits | None = None) -> ServerFits:
    """Fit one model of the server from its calibration files.

    Args:
        folder: the public data's `e2e` folder.
        ending: key of MODELS.
        like: a model that has prompt-only and ten-minute runs, for one that has none: its prompt cost in
            proportion to linear parameters, its cost of adapters under traffic in proportion to theirs in
            batches of decodes.
    """
    name, catalog_name = MODELS[ending]
    shape = catalog_model(catalog_name)
    runs = read_runs(folder, name)
    prompt_token_s = None
    if like is not None:
        prompt_token_s = like.base.prompt_token_s * shape.layer_parameters / like.shape.layer_parameters
    base = fit_base(runs, kv_capacity_tokens=kv_capacity_tokens(folder, name), prompt_token_s=prompt_token_s)
    lora = fit_lora(runs, base)
    blocks = fit_blocks(runs, base, shape, lora.per_adapter_s)
    traffic = (
        fit_traffic(folder, base, blocks)
        if like is None
        else like.traffic.scaled(lora.per_adapter_s / like.lora.per_adapter_s)
    )
    return ServerFits(
        shape=shape,
        base=base,
        lora=lora,
        blocks=blocks,
        traffic=traffic,
        rank_growth=rank_growth(read_ranks(name, "output"), base, blocks, traffic.per_adapter_cached_s),
        disk=fit_loads(folder, name, shape, "disk"),
        slot=fit_loads(folder, name, shape, "memory"),
        memory=fit_memory(folder, name, shape),
        startup=fit_startup(folder, name),
        frontend=frontend_s(runs, base),
    )


def fit_servers(folder: Path) -> dict[str, ServerFits]:
    """Fit both models; the second lacks prompt-only and ten-minute runs and takes them from the first."""
    llama = fit_server(folder, "llama-3.1-8b")
    return {"llama-3.1-8b": llama, "qwen-2.5-7b": fit_server(folder, "qwen-2.5-7b", like=llama)}


def server_profile(ending: str, fits: ServerFits, *, created: datetime, producer: str) -> Profile:
    """Put the fits into the profile contract."""
    base, memory = fits.base, fits.memory
    overhead = MEMORY_SHARE * DEVICE.memory_bytes - memory.usable_minus_overhead_bytes
    residuals = np.asarray(
        [
            *base.fit.relative_residuals,
            *fits.blocks.step_residuals,
            *fits.traffic.step_residuals,
        ]
    )
    return Profile(
        schema_version=1,
        name=f"h100_64gb-vllm-0.8-{ending}",
        method="import",
        created=created,
        producer=producer,
        command="python -m benchmarks.build_profiles",
        device=DEVICE,
        engine="vllm",
        engine_version="0.8.5 (V1 development build, spring 2025)",
        graph_sizes=_GRAPHS,
        models=(_model_terms(fits),),
        host=HostTerm(
            **_measured("the serial engine loop's host time is part of dense"), fixed_s=0.0, overlapped=False
        ),
        frontend=FrontendTerm(
            **_measured("time to the first token of single short requests, less a step", (0.8, 1.3)),
            fixed_s=_digits(fits.frontend),
        ),
        loads=(
            _load("disk_to_cpu", fits.disk, "single loads from disk, the first of each start left out"),
            _load("cpu_to_slot", fits.slot, "single loads from CPU memory into a slot"),
        ),
        memory=MemoryTerm(
            **_measured(
                f"KV capacity over slots and ranks at a memory share of {MEMORY_SHARE}", (0.95, 1.05)
            ),
            overhead_bytes=_digits(overhead),
            slot_factor=_digits(memory.slot_factor),
        ),
        startup=StartupTerm(
            **_measured("engine_init over slots", (0.9, 1.1)),
            base_s=_digits(fits.startup[0]),
            per_slot_s=_digits(fits.startup[1]),
        ),
        residual=Residual(
            points=len(residuals),
            median_relative=_digits(float(np.median(residuals))),
            p90_absolute_relative=_digits(float(np.quantile(np.abs(residuals), 0.9))),
            source="steps of the calibration runs themselves",
        ),
        notes=(
            f"Fitted to calibration runs only. Plan memory with a share of {MEMORY_SHARE}.",
            "The GPU is inferred from the paper's site, not stated in the files.",
        ),
        software={"vllm": "0.8.5.dev"},
    )


def _model_terms(fits: ServerFits) -> ModelTerms:
    base, blocks, traffic, shape = fits.base, fits.blocks, fits.traffic, fits.shape
    start_s = base.per_chunk_s + traffic.per_start_s
    last = base.tokens[-1]
    tokens = (*base.tokens, 2048.0, 8192.0)
    dense = (*base.dense_s, *(base.dense_s[-1] + (t - last) * base.prompt_token_s for t in (2048.0, 8192.0)))
    chunk = tuple(
        tuple(
            _digits(start_s + shape.layers * shape.heads * _PAIR_S * new * (context + 0.5 * new))
            for context in _CONTEXTS
        )
        for new in _CHUNKS
    )
    return ModelTerms(
        model=shape,
        dense=Curve(
            **_measured("TPOT of decode runs, prompt-only runs; host time included", (0.97, 1.03)),
            x=tokens,
            y_s=tuple(map(_digits, dense)),
        ),
        head=Curve(
            **_measured("decode tokens beyond prompt tokens (head, sampling)", (0.8, 1.2)),
            x=(1.0, 1024.0),
            y_s=(_digits(base.per_row_s), _digits(1024.0 * base.per_row_s)),
        ),
        attn_prefill=PrefillAttention(
            **_measured(
                "start of a request with an adapter (host included); pairs at the H100's rate", (0.7, 1.3)
            ),
            new_tokens=tuple(map(float, _CHUNKS)),
            context_tokens=tuple(map(float, _CONTEXTS)),
            seconds=chunk,
        ),
        attn_decode=DecodeAttention(
            **_measured("TPOT over context", (0.95, 1.05)),
            sequences=(1.0,),
            fixed_s=(0.0,),
            per_context_token_s=(_digits(base.per_context_token_s),),
        ),
        lora=LoraTerm(
            **_measured(
                "slots: an idle engine at three ranks, full batches of one adapter; adapters: ten-minute "
                "runs under traffic, rank 8; ranks: decode batches of 64",
                (0.93, 1.07),
            ),
            fixed_s=_digits(blocks.enabled_s),
            slot_shrink_block_s=_digits(blocks.shrink_block_s),
            slot_expand_block_s=_digits(blocks.expand_block_s),
            per_adapter_s=_digits(traffic.per_adapter_s),
            per_adapter_cached_s=_digits(traffic.per_adapter_cached_s),
            rank_growth=_digits(fits.rank_growth),
        ),
    )


def _load(hop: Literal["disk_to_cpu", "cpu_to_slot"], fit: LoadFit, what: str) -> LoadTerm:
    off = max(round(fit.fit.p90_absolute, 2), 0.05)
    return LoadTerm(
        **_measured(what, (1.0 - off, 1.0 + off)),
        hop=hop,
        fixed_s=_digits(fit.fixed_s),
        bandwidth_bytes_per_s=_digits(fit.bandwidth_bytes_per_s),
    )


def _measured(what: str, interval: tuple[float, float] = (1.0, 1.0)) -> dict[str, Any]:
    return {"origin": Origin.FITTED, "source": f"{SOURCE}: {what}", "licence": LICENCE, "interval": interval}


def _digits(value: float) -> float:
    return float(f"{value:.5g}")
