"""How good the shipped profiles are: `python -m benchmarks.check_profiles`, printed as Markdown tables.

Reads the installed package aiconfigurator-core and the public measurements in the folder named by
LORA_ADVISOR_DATA: interpolation of products, kernels against a second source, closed loops, live runs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import click
import numpy as np

from advisor.catalog.shapes import model as catalog_model
from advisor.errors import AdvisorError
from advisor.profile import Profile, find_profiles, load_profile
from advisor.spec.spec import WeightsDtype
from advisor.tables.compared import compare
from benchmarks.build_profiles import PROFILES, SYSTEMS, data_folder
from calibration.importers.attention import CONTEXT_TOKENS, NEW_TOKENS, DecodeTable, Heads, PrefillTable
from calibration.importers.csvrows import csv_rows
from calibration.importers.datasheet import MEASURED, datasheet_profile
from calibration.importers.gemms import cross_validation, gemm_table
from calibration.importers.public_fits import busy_shares, predicted, read_ticks
from calibration.importers.published import read_points
from calibration.importers.tables import find_tables
from calibration.steady import steady_state

_EIGHT_B = Heads(32, 8, 128)
_ITL_PROMPT_TOKENS = 200
"""Not published for the ML.ENERGY chat task; a few hundred tokens hardly matter below 32 requests."""


@click.command(help=__doc__)
def main() -> None:
    """Print every table."""
    try:
        folder = data_folder()
        _print(
            "Products left out and predicted from their neighbours",
            "GPU | weights | median | p90",
            products(),
        )
        _print(
            "Attention, RTX PRO 6000, against LLMServingSim (Llama-3.1-8B)",
            "kernel | points | median | p90 of |error|",
            attention(folder),
        )
        _print(
            "TPOT of published closed loops",
            "GPU | model | degree | points | median | p90 of |error|",
            closed_loops(folder),
        )
        _print(
            "Median ITL of ML.ENERGY chat runs on H100",
            "model | degree | requests | measured ms | predicted ms | error",
            chat_runs(folder),
        )
        _print(
            "vLLM 0.19 on an RTX PRO 6000, saturated", "seconds | median | p90 of |error|", saturated(folder)
        )
        _print(
            "Datasheet profiles: each measured GPU from the shares of the five others",
            "GPU | model | degree | decode 1 | decode 32 | prompt 512 | prompt 2048",
            datasheets(),
        )
    except AdvisorError as error:
        raise SystemExit(str(error)) from None


def products() -> Iterable[str]:
    """Cross-validation of the GEMM tables."""
    for system in SYSTEMS:
        for dtype in WeightsDtype:
            table = gemm_table(find_tables(system, "vllm"), dtype.value)
            if table is not None:
                errors = np.abs(cross_validation(table))
                yield f"{system} | {dtype.value} | {np.median(errors):.1%} | {np.quantile(errors, 0.9):.1%}"


def attention(folder: Path) -> Iterable[str]:
    """Both attention tables of the RTX PRO 6000 against another profiler's on the same GPU."""
    tables = find_tables("rtx_pro_6000_server", "vllm")
    grid, fit = PrefillTable(tables).grid(_EIGHT_B), DecodeTable(tables).fit(_EIGHT_B)
    decode, prompt = [], []
    columns = ("gpu", "model", "tp", "prefill_chunk", "kv_prefill", "n_decode", "kv_decode", "time_us")
    for row in csv_rows(folder / "gpu" / "llmservingsim_attention.csv.gz", columns):
        if row["gpu"] != "RTXPRO6000" or "8B" not in row["model"] or row["tp"] != "1":
            continue
        new, before, count, context = (int(float(row[name])) for name in columns[3:7])
        seconds = 1e-6 * float(row["time_us"])
        if new == 0 and count in fit.sequences and context >= 128:
            place = fit.sequences.index(count)
            decode.append(
                (fit.fixed_s[place] + fit.per_context_token_s[place] * count * context) / seconds - 1
            )
        elif count == 0 and new in NEW_TOKENS and before in CONTEXT_TOKENS:
            guess = grid[NEW_TOKENS.index(new), CONTEXT_TOKENS.index(before)] + fit.fixed_s[0]
            prompt.append(guess / seconds - 1)
    yield f"decode | {_errors(decode)}"
    yield f"prompt chunk (with the launch) | {_errors(prompt)}"


def closed_loops(folder: Path) -> Iterable[str]:
    """Published points by GPU, model and degree."""
    for name, path in find_profiles(PROFILES).items():
        profile, groups = load_profile(path), defaultdict(list)
        for point in read_points(folder / "e2e", system=name.removesuffix("-vllm")):
            steady = predicted(profile, point)
            if steady is not None:
                groups[point.model, point.precision, point.tensor_parallel].append(
                    steady.tpot_s / point.tpot_s - 1
                )
        for (model, precision, degree), errors in sorted(groups.items()):
            yield f"{name} | {model} {precision} | {degree} | {_errors(errors)}"


def chat_runs(folder: Path) -> Iterable[str]:
    """ML.ENERGY's median inter-token latencies at small batches, where unknown prompts hardly matter."""
    profile = load_profile(PROFILES / "h100_sxm-vllm.json")
    columns = (
        "task",
        "model_id",
        "gpu_model",
        "tensor_parallel",
        "avg_batch_size",
        "avg_output_len",
        "median_itl_ms",
    )
    for row in csv_rows(folder / "e2e" / "mlenergy_vllm_itl_vs_batch.csv.gz", columns):
        batch = round(float(row["avg_batch_size"]))
        if row["task"] != "lm-arena-chat" or row["gpu_model"] != "H100" or batch > 32:
            continue
        seconds = _itl_s(
            profile, row["model_id"], int(row["tensor_parallel"]), batch, int(float(row["avg_output_len"]))
        )
        if seconds is not None:
            measured = float(row["median_itl_ms"])
            name = row["model_id"].rpartition("/")[2]
            yield (
                f"{name} | {row['tensor_parallel']} | {batch} | {measured:.2f} | "
                f"{1e3 * seconds:.2f} | {1e3 * seconds / measured - 1:+.0%}"
            )


def _itl_s(profile: Profile, model: str, degree: int, batch: int, output_tokens: int) -> float | None:
    name = model.rpartition("/")[2].removesuffix("-Instruct").replace("Llama-3.1-70B", "Llama-3.3-70B")
    terms = next((t for t in profile.models if t.model.name == name and t.tensor_parallel == degree), None)
    if terms is None:
        return None
    return steady_state(
        profile, terms, concurrency=batch, prompt_tokens=_ITL_PROMPT_TOKENS, output_tokens=output_tokens
    ).tpot_s


def saturated(folder: Path) -> Iterable[str]:
    """Predicted over measured work of each saturated second."""
    profile = load_profile(PROFILES / "rtx_pro_6000_server-vllm.json")
    terms = next(t for t in profile.models if t.model.name == "Llama-3.1-8B" and t.tensor_parallel == 1)
    yield _errors([share - 1 for share in busy_shares(profile, terms, read_ticks(folder / "e2e"))])


def datasheets() -> Iterable[str]:
    """Predicted over measured steps, less one."""
    for name in MEASURED:
        measured = load_profile(PROFILES / f"{name}.json")
        guess = datasheet_profile(
            measured.device.name, created=measured.created, producer="check_profiles", leave_out=name
        )
        for model, degree in (("Llama-3.1-8B", 1), ("Llama-3.1-8B-FP8", 1), ("Llama-3.3-70B", 8)):
            if not any(t.model.name == model and t.tensor_parallel == degree for t in measured.models):
                continue
            sides = compare([measured, guess], catalog_model(model), degree)
            steps = ("decode_1", "decode_32", "prompt_512", "prompt_2048")
            errors = [
                (sides[1].seconds[step] or 0.0) / (sides[0].seconds[step] or 1.0) - 1.0 for step in steps
            ]
            yield f"{measured.device.name} | {model} | {degree} | {' | '.join(f'{e:+.0%}' for e in errors)}"


def _errors(errors: list[float]) -> str:
    return f"{len(errors)} | {np.median(errors):+.1%} | {np.quantile(np.abs(errors), 0.9):.1%}"


def _print(title: str, head: str, rows: Iterable[str]) -> None:
    click.echo(f"\n{title}\n\n| {head} |\n|{'---|' * len(head.split(' | '))}")
    for row in rows:
        click.echo(f"| {row} |")


if __name__ == "__main__":
    main()
