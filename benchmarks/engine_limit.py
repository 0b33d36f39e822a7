"""The live engine against the physical limit of its device: how much of it each kind of step reaches.

    python -m benchmarks.engine_limit [--device cpu|cuda] [--write]

The limit of a step is the longer of its operations at the measured rate of products and its bytes at the
measured rate of reads, both measured again beside every case. Weights are random: they change no time.
--write puts the table into docs/performance.md.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from advisor.catalog.resolve import resolve_model
from advisor.spec.model import ModelShape
from benchmarks._page import ROOT, replace_block, table
from calibration.engine.options import EngineOptions
from calibration.modelfiles import model_folder
from calibration.randomweights import write_model
from calibration.roofline.cases import CASES
from calibration.roofline.measure import Asked, Found, measure
from calibration.roofline.parts import PARTS
from calibration.roofline.rates import Rates, last_cache_bytes

PAGE = ROOT / "docs" / "performance.md"
MADE = ModelShape(
    name="made-168M",
    hidden_size=1024,
    layers=12,
    heads=16,
    kv_heads=4,
    head_dim=64,
    intermediate_size=2816,
    vocab_size=32000,
    tie_word_embeddings=True,
)
"""Ten times a last cache of 32 MiB in bfloat16, and small enough for a minute on a CPU."""


def folder_of(name: str, dtype: str, scratch: Path) -> Path:
    """The model to measure: the made one, or whatever `calibrate` takes."""
    if name == MADE.name:
        return write_model(MADE, scratch / MADE.name, dtype=dtype, max_positions=4096)
    return model_folder(name, dtype=dtype)


def cell(one: Found) -> tuple[str, ...]:
    """One row of the table."""
    low, high = min(one.fractions), max(one.fractions)
    text = f"{one.fraction:.0%} ({low:.0%} to {high:.0%})"
    parts = [f"{one.parts[part]:.0%}" if not one.graph else "–" for part in PARTS]
    step = f"{1e3 * one.step_s:,.0f}" if one.step_s >= 0.1 else f"{1e3 * one.step_s:.3g}"
    return (one.case.name, step, one.bound, text if one.fraction >= 0.5 else f"**{text}**", *parts)


def text_of(found: list[Found], rates: list[Rates], said: str) -> str:
    """The block of the page."""
    head = ("step", "ms", "bound by", "of the limit", *PARTS)
    flops, reads = ([getattr(one, name) for one in rates] for name in ("flops_per_s", "bytes_per_s"))
    return (
        f"{said}; products {max(flops) / 1e9:,.0f} GFLOP/s at best (median {np.median(flops) / 1e9:,.0f}), "
        f"reads {max(reads) / 1e9:.1f} GB/s (median {np.median(reads) / 1e9:.1f}), last cache "
        f"{last_cache_bytes() / 2**20:.0f} MiB. Bold: below half.\n\n"
        f"{table(head, [cell(one) for one in found])}"
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--model", default=MADE.name, help="made-168M, tiny, a folder, or a catalog name")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float32"))
    parser.add_argument("--graphs", default="auto", choices=("auto", "off", "static", "cuda"))
    parser.add_argument("--threads", type=int, default=1, help="of torch on a CPU")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    parser.add_argument("--write", action="store_true")
    return parser.parse_args()


def tell(share: float, what: str) -> None:
    print(f"{share:4.0%} {what}", file=sys.stderr)


def main() -> None:
    """Measure, print, and write where asked."""
    asked = arguments()
    torch.set_num_threads(asked.threads)
    options = EngineOptions(dtype=asked.dtype, device=asked.device, graphs=asked.graphs)
    cases = [case for case in CASES if asked.only in case.name]
    with TemporaryDirectory(prefix="engine-limit-") as scratch:
        model = folder_of(asked.model, asked.dtype, Path(scratch))
        wanted = Asked(model, Path(scratch), options, asked.threads, asked.rounds)
        found, rates = measure(wanted, cases, tell)
        shape = resolve_model(str(model / "config.json"), Path())
    threads = "" if asked.device != "cpu" else f", {asked.threads} thread{'s' * (asked.threads > 1)}"
    size = f"{shape.parameters / 1e6:,.0f} M parameters, {asked.dtype}"
    said = f"{asked.model} ({size}) on {asked.device}{threads}"
    text = text_of(found, rates, said)
    print(text)
    if asked.write:
        replace_block(PAGE, "engine", text)


if __name__ == "__main__":
    main()
