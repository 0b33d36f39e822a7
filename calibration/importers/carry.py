"""Write the figures that `carried` reads: fits of public runs, each with its source."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from advisor.profile import FrontendTerm, HostTerm, LoadTerm, MemoryTerm, ModelTerms, Profile, StartupTerm
from advisor.spec.spec import Origin
from calibration.importers.carried import EAGLE3_VOCABULARY, Carried, Eagle3, Groups
from calibration.importers.public_fits import epsilon_s, fit_host
from calibration.importers.published import read_points
from calibration.importers.server_files import SOURCE
from calibration.importers.server_profile import DEVICE, MEMORY_SHARE, ServerFits

_EAGLE3_DRAFTS = 3
_EAGLE3_S = 2.135e-3
_EAGLE3_PER_SEQUENCE_S = 0.84e-6
"""Three EAGLE-3 drafts of Llama-3.1-8B on one H100 (facts.md 4.1, arXiv 2601.11580)."""

_CACHED_START_S, _WEIGHTS_S, _WEIGHTS_BYTES = 64.0, 18.0, 16.06e9
"""vLLM with Llama-3.1-8B on an L40S, cached volume, fewer graph sizes: 82 s, of them 18 for the weights
(facts.md 3.4; tensorfuse, 2025)."""


def fit_carried(servers: dict[str, ServerFits], device_only: Profile, folder: Path) -> Carried:
    """Fit what no operator table holds.

    Args:
        servers: fits of the public multi-LoRA server, by model.
        device_only: H100 profile without host time, with Qwen3-32B and Llama-3.3-70B-FP8 at degrees 2, 4, 8
            and Llama-3.1-8B at 1.
        folder: the public data's `e2e` folder.
    """
    llama = servers["llama-3.1-8b"]
    target = next(t for t in device_only.models if t.model.name == "Llama-3.1-8B")
    return Carried(
        schema_version=1,
        groups=Groups(
            per_adapter_s=_digits(llama.lora.per_adapter_s),
            per_slot_s=_digits(llama.lora.per_slot_s),
            per_slot_token_s=_digits(llama.lora.per_slot_token_s),
            per_slot_prompt_token_s=_digits(llama.lora.per_slot_prompt_token_s),
            source=f"{SOURCE}, vLLM 0.8.5.dev, Llama-3.1-8B on an H100 64 GB",
        ),
        host=_host(device_only, folder),
        frontend=FrontendTerm(
            origin=Origin.EXTRAPOLATED,
            source=f"{SOURCE}: first token of single short requests, vLLM 0.8.5.dev",
            licence="Apache-2.0",
            interval=(0.4, 1.5),
            fixed_s=_digits(float(np.mean([fits.frontend for fits in servers.values()]))),
        ),
        disk_to_cpu=LoadTerm(
            hop="disk_to_cpu",
            origin=Origin.EXTRAPOLATED,
            source=f"{SOURCE}: loads of Llama-3.1-8B; Qwen2.5-7B's took an eighth, cold files up to 0.5 s",
            licence="Apache-2.0",
            interval=(0.15, 2.5),
            fixed_s=_digits(llama.disk.fixed_s),
            bandwidth_bytes_per_s=_digits(llama.disk.bandwidth_bytes_per_s),
        ),
        cpu_to_slot_s=_digits(llama.slot.fixed_s),
        cpu_to_slot_source=f"{SOURCE}: loads of Llama-3.1-8B, flat in rank; Qwen2.5-7B's took half",
        memory=_memory(llama),
        startup=StartupTerm(
            origin=Origin.EXTRAPOLATED,
            source=f"vLLM, Llama-3.1-8B on L40S, compiled before (tensorfuse, 2025); slots: {SOURCE}",
            licence="Apache-2.0",
            interval=(0.3, 3.0),
            base_s=_CACHED_START_S,
            per_slot_s=_digits(llama.startup[1]),
            weights_bandwidth_bytes_per_s=_digits(_WEIGHTS_BYTES / _WEIGHTS_S),
        ),
        eagle3=_eagle3(target),
    )


def _host(device_only: Profile, folder: Path) -> HostTerm:
    points = read_points(folder, system="h100_sxm")
    fit = fit_host(device_only, points)
    return HostTerm(
        origin=Origin.EXTRAPOLATED,
        source="TPOT beyond the device terms on H100 (aiconfigurator @ 095f58a51c4c silicon_sample.csv): "
        "vLLM 0.12 with Qwen3-32B; epsilon: autumn 2025 with Llama-3.1-70B in fp8",
        licence="Apache-2.0",
        interval=(0.5, 2.0),
        fixed_s=_digits(fit.values["fixed"]),
        per_sequence_s=_digits(fit.values["sequence"]),
        overlapped=True,
        epsilon_s=_digits(epsilon_s(device_only, points)),
    )


def _memory(llama: ServerFits) -> MemoryTerm:
    return MemoryTerm(
        origin=Origin.EXTRAPOLATED,
        source=f"{SOURCE}: KV capacity of Llama-3.1-8B, vLLM 0.8.5.dev; slots as computed, because newer "
        "engines have no buffers for added words",
        licence="Apache-2.0",
        interval=(0.4, 1.4),
        overhead_bytes=_digits(MEMORY_SHARE * DEVICE.memory_bytes - llama.memory.usable_minus_overhead_bytes),
        slot_factor=1.0,
    )


def _eagle3(target: ModelTerms) -> Eagle3:
    """What one published draft costs beyond a layer of the target and a head of 32,000 words."""
    layer = (target.dense.y_s[0] + target.attn_decode.fixed_s[0]) / target.model.layers
    head = target.head.y_s[0] * EAGLE3_VOCABULARY / target.model.vocab_size
    return Eagle3(
        overhead_s=_digits(max(_EAGLE3_S / _EAGLE3_DRAFTS - layer - head, 0.0)),
        per_sequence_s=_digits(_EAGLE3_PER_SEQUENCE_S / _EAGLE3_DRAFTS),
        source="arXiv 2601.11580 (SpecDecode-Bench): three drafts cost 2.135 ms + 0.84 µs a token, "
        "Llama-3.1-8B on one H100",
    )


def _digits(value: float) -> float:
    return float(f"{value:.5g}")
