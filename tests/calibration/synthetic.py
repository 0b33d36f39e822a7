"""Operator tables with known laws in the package's layout, and server runs with known coefficients."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

GEMM_M = (1, 8, 64, 512, 4096)
GEMM_NK = (64, 512, 1024, 4096, 8192, 16384, 65536)
PAIR_MS = 2e-8
DECODE_START_MS = 0.01
DECODE_TOKEN_MS = 1e-6
REDUCE_MS = 0.005
HEADS = ((32, 8), (16, 4), (8, 2), (4, 1))
VERSION = "0.24.0"


def gemm_ms(m: float, n: float, k: float) -> float:
    """A pure power law, so that log-linear interpolation is exact."""
    return 1e-6 * (m * n * k) ** 0.5


def write_tables(root: Path, system: str = "h100_sxm", engine: str = "vllm") -> Path:
    """Write every table of one system and engine; returns the `systems` folder.

    SGLang's decode table holds a second, ten times slower kernel for some of the shapes.
    """
    reduces = {"vllm": "vLLM_custom", "sglang": "SGLang_CustomAllReduce"}[engine]
    gemm = [(m, n, k) for m in GEMM_M for n in GEMM_NK for k in GEMM_NK]
    _write(
        root,
        system,
        f"gemm/{engine}",
        "gemm_perf",
        {
            "gemm_dtype": ["bfloat16"] * len(gemm),
            "m": [m for m, _, _ in gemm],
            "n": [n for _, n, _ in gemm],
            "k": [k for _, _, k in gemm],
            "latency": [gemm_ms(*shape) for shape in gemm],
        },
    )
    prompts = [(b, 2**e, h) for b in (1, 4, 16) for e in range(4, 15) for h in HEADS]
    _write(
        root,
        system,
        f"attention/{engine}",
        "context_attention_perf",
        {
            "kernel_source": ["vllm_flash_attn_fa3"] * len(prompts),
            "batch_size": [b for b, _, _ in prompts],
            "isl": [q for _, q, _ in prompts],
            "num_heads": [h[0] for _, _, h in prompts],
            "num_key_value_heads": [h[1] for _, _, h in prompts],
            "head_dim": [128] * len(prompts),
            "step": [0] * len(prompts),
            "kv_cache_dtype": ["bfloat16"] * len(prompts),
            "latency": [0.01 + b * 0.5 * q * q * PAIR_MS for b, q, _ in prompts],
        },
    )
    decode = [(2**b, 2**s - 1, h) for b in range(11) for s in range(1, 16) for h in HEADS]
    kernels: list[object] = ["main"] * len(decode)
    if engine == "sglang":
        decode += decode[: len(decode) // 2]
        kernels += ["other"] * (len(decode) - len(kernels))
    _write(
        root,
        system,
        f"attention/{engine}",
        "generation_attention_perf",
        {
            "batch_size": [b for b, _, _ in decode],
            "step": [s for _, s, _ in decode],
            "num_heads": [h[0] for _, _, h in decode],
            "num_key_value_heads": [h[1] for _, _, h in decode],
            "head_dim": [128] * len(decode),
            "kv_cache_dtype": ["bfloat16"] * len(decode),
            "kernel_source": kernels,
            "latency": [
                (1 if kernel == "main" else 10) * (DECODE_START_MS + DECODE_TOKEN_MS * b * (s + 1) * h[1] / 8)
                for (b, s, h), kernel in zip(decode, kernels, strict=True)
            ],
        },
    )
    sizes = [(n, 2**e, kind) for n in (2, 4, 8) for e in range(7, 28) for kind in ("graph", "eager")]
    _write(
        root,
        system,
        f"comm/{engine}",
        "custom_allreduce_perf",
        {
            "kernel_source": [f"{reduces}_{kind}" for _, _, kind in sizes],
            "num_gpus": [n for n, _, _ in sizes],
            "message_size": [e for _, e, _ in sizes],
            "latency": [REDUCE_MS if kind == "graph" else 4 * REDUCE_MS for _, _, kind in sizes],
        },
    )
    return root


def _write(root: Path, system: str, family: str, name: str, columns: dict[str, list[object]]) -> None:
    folder = root / "data" / system / family / VERSION
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / f"{name}.parquet")


SLOT_S, SLOT_TOKEN_S, SLOT_PROMPT_S, ADAPTER_S = 2e-5, 1.5e-7, 1e-7, 3e-4
BASE_S, TOKEN_S, KV_S = 0.012, 2e-5, 6e-8


def write_server_runs(folder: Path, model: str = "m") -> None:
    """Estimator runs of a server whose step is exactly linear; prompts of one token hardly count."""
    header = (
        "experiment,model,case,num_prompts,completed,duration,total_input_tokens,total_output_tokens,"
        "mean_ttft_ms,median_ttft_ms,mean_tpot_ms"
    )
    rows = [header]
    for batch in (50, 100, 200, 400, 600, 800, 1000):
        for output in (100, 200, 400):
            step = BASE_S + TOKEN_S * batch + KV_S * batch * (1 + output / 2)
            waves = 4000 / batch
            rows.append(
                _run(
                    "predictor_default_latency",
                    model,
                    f"output/_{batch}__1_{output}",
                    4000,
                    waves * (output - 1) * step + waves * (BASE_S + TOKEN_S * batch),
                    1,
                    output,
                    step,
                )
            )
    for tokens in (100, 200, 400):
        steps = 4000 * tokens / 2048
        rows.append(
            _run(
                "predictor_default_latency",
                model,
                f"input/_100__{tokens}_1",
                4000,
                steps * (BASE_S + TOKEN_S * 2048),
                tokens,
                1,
                0.0,
            )
        )
    for slots in (8, 64, 128, 256):
        step = BASE_S + TOKEN_S + KV_S * (1 + 60) + ADAPTER_S + slots * (SLOT_S + SLOT_TOKEN_S)
        rows.append(_run("find_available_gpu_memory", model, f"_{slots}_16_", 1, 120 * step, 1, 120, step))
    for adapters in (1, 32, 128, 300):
        distinct = adapters * (1 - (1 - 1 / adapters) ** 220)
        step = (
            BASE_S
            + TOKEN_S * 220
            + KV_S * 220 * 51
            + ADAPTER_S * distinct
            + 300 * (SLOT_S + SLOT_TOKEN_S * 220)
        )
        rows.append(
            _run(
                "predictor_latency_overhead",
                model,
                f"overhead_small/output/_220_300_8__1_100_{adapters}",
                4096,
                18 * 100 * step,
                1,
                100,
                step,
            )
        )
    for slots in (200, 300, 400):
        prompts = 256 / 200 * 400
        all_tokens = 256 + prompts
        distinct = slots * (1 - (1 - 1 / slots) ** 256)
        step = BASE_S + TOKEN_S * all_tokens + KV_S * 256 * 500 + ADAPTER_S * distinct
        step += slots * (SLOT_S + SLOT_TOKEN_S * all_tokens + SLOT_PROMPT_S * prompts)
        rows.append(
            _run(
                "predictor_latency_overhead",
                model,
                f"find_max_batch_small/_{slots}_8__200_200",
                4096,
                4096 * 200 / 256 * step,
                400,
                200,
                step,
            )
        )
    (folder / "bsc_vllm_estimator_runs.csv.gz").write_bytes(gzip.compress("\n".join(rows).encode()))


def _run(*cells: object) -> str:
    experiment, model, case, requests, duration, prompt, output, step = cells
    count, seconds = int(str(requests)), float(str(step))
    return (
        f"{experiment},{model},{case},{count},{count},{duration},{count * float(str(prompt))},"
        f"{count * float(str(output))},{2e3 * seconds},{2e3 * seconds},{1e3 * seconds}"
    )
