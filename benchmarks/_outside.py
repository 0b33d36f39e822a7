"""A server of this machine, known from outside alone: calibrated, predicted, replayed."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from advisor.profile import Profile, save_profile
from advisor.sim.result import SimResult
from advisor.spec.engine import EngineLimits
from advisor.spec.model import ModelShape
from advisor.steptime.batch import Batch
from advisor.steptime.clock import ProfileClock
from advisor.trace.trace import BASE, Trace
from advisor.trace.writers import save_trace
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

LOAD: Final = 0.6
"""Offered over predicted capacity."""
_PULSES: Final = 3


@dataclass(frozen=True, slots=True)
class Case:
    """One way of serving and what is asked of it."""

    name: str
    limits: EngineLimits
    adapters: int = 0  # of those that the server has; 0: the base alone
    base_share: float = 0.25  # of the requests, where there are adapters


@dataclass(frozen=True, slots=True)
class Bench:
    """One kind of server, and how long it is measured. `calibrated` first, then `case` for each case."""

    kind: str  # of calibration/replay/servers.py
    shape: ModelShape
    kv_blocks: int
    names: tuple[str, ...]  # of its adapters there; the traces call them a0, a1, ...
    out: Path
    given: dict[str, Any]  # calibration, duration, replays
    command: str
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    load_average: float = field(default_factory=lambda: os.getloadavg()[0])

    def target(self, url: str) -> Target:
        """The base of this server."""
        return Target(url, "base", KINDS[self.kind], timeout_s=120.0)

    def result(
        self, version: str, profiles: dict[str, Profile], cases: list[dict[str, Any]]
    ) -> dict[str, Any]:
        """The whole run as JSON takes it: how, on what, and each case."""
        return {
            "schema_version": 1,
            "created": self.began.isoformat(timespec="seconds"),
            "took_s": round((datetime.now(UTC) - self.began).total_seconds()),
            "version": version,
            "device": this_processor().name,
            "cores": os.cpu_count(),
            "load_average": {"before": self.load_average, "after": os.getloadavg()[0]},
            "options": {name: value for name, value in self.given.items() if name != "port"},
            "residuals": {
                name: None if profile.residual is None else profile.residual.model_dump()
                for name, profile in profiles.items()
            },
            "notes": {name: profile.notes for name, profile in profiles.items()},
            "cases": cases,
        }

    def calibrated(self, name: str, url: str, limits: EngineLimits, adapters: int) -> Profile:
        """A profile from outside; kept beside its samples."""
        print(f"calibrating {name}", flush=True)
        wish = Wish(
            target=self.target(url),
            adapters=dict.fromkeys(self.names[:adapters], ""),
            shape=self.shape,
            limits=limits,
            device=this_processor(),
            bounds=Bounds(self.given["calibration"], 20_000, 16),
            longest_tokens=600,
            command=self.command,
        )
        profile, findings = calibrate_endpoint(wish)
        save_findings(findings, self.out / f"{name}.samples.jsonl")
        save_profile(profile, self.out / f"{name}.json")
        return profile

    def case(self, case: Case, profile: Profile, url: str) -> dict[str, Any]:
        """Replay a trace, the machine's slowness before and after; predict it for a machine so slow."""
        rate = LOAD * self.capacity_rps(profile, case)
        trace = trace_of(case, rate, self.given["duration"])
        file = self.out / "trace.csv"
        save_trace(trace, file)
        replays, predicted, slowness = [], [], []
        for turn in range(self.given["replays"]):
            print(f"{case.name}: {rate:.2f}/s, replay {turn + 1}", flush=True)
            before = asyncio.run(self.slowness_of(profile, case, url))
            asked = Asked(
                str(file), self.out / "replay.parquet", url, "base", vocab=self.shape.vocab_size, seed=turn,
                timeout=120.0, server=self.kind,
                adapters=tuple(f"a{index}={name}" for index, name in enumerate(self.names)),
            )  # fmt: skip
            Path(f"{asked.out}.journal").unlink(missing_ok=True)
            replays.append(figures_of(replay_trace(asked, None)))
            slowness.append(0.5 * (before + asyncio.run(self.slowness_of(profile, case, url))))
            predicted.append(figures_of(self.predict(profile, case, trace, slowness[-1])))
        foreseen = figures_of(self.predict(profile, case, trace))
        return {
            "name": case.name,
            "rate_rps": rate,
            "requests": len(trace),
            "slowness": slowness,
            "foreseen": foreseen.model_dump(),
            "predicted": [one.model_dump() for one in predicted],
            "replays": [one.model_dump() for one in replays],
        }

    def capacity_rps(self, profile: Profile, case: Case) -> float:
        """Requests a second that the profile foresees where all come at once."""
        trace = trace_of(case, 1.0, 120.0)
        found = self.predict(profile, case, replace(trace, arrival_s=np.zeros(len(trace))))
        return len(trace) / float(np.nanmax(found.last_token_s))

    def predict(self, profile: Profile, case: Case, trace: Trace, slowness: float = 1.0) -> SimResult:
        """The simulator's answer."""
        return predict_server(
            profile, case.limits, trace, kv_blocks=self.kv_blocks, warm=trace.adapters, slowness=slowness
        )

    async def slowness_of(self, profile: Profile, case: Case, url: str) -> float:
        """One and four streams of the base now, over the profile's times for these steps. Warms adapters."""
        clock = ProfileClock(profile, profile.models[0], case.limits)
        prompts, ratios = Prompts(self.shape.vocab_size), []
        async with Prober(self.target(url), Bounds(60.0, 1000, 16)) as prober:
            for name in self.names[: case.adapters]:
                await prober.ask(prompts.next(16), 2, name)
            for streams in (1, 4) * _PULSES:
                answers = await asyncio.gather(*(prober.ask(prompts.next(16), 40) for _ in range(streams)))
                low, high = max(a.part_s[0] for a in answers), min(a.part_s[-1] for a in answers)
                times = [at for at in answers[-1].part_s if low <= at <= high]
                step_s = (times[-1] - times[4]) / (len(times) - 5)
                ratios.append(step_s / clock.parts(Batch(streams, 36 * streams, outputs=streams)).total)
        return float(np.median(ratios))


def trace_of(case: Case, rate_rps: float, duration_s: float) -> Trace:
    """Poisson arrivals; a share of the requests to the base, the rest to adapters alike."""
    draws = np.random.default_rng(11)
    arrival = np.cumsum(draws.exponential(1.0 / rate_rps, 4 * int(rate_rps * duration_s) + 20))
    arrival = arrival[arrival < duration_s]
    count = len(arrival)
    prompt = np.clip(np.exp(draws.normal(4.0, 0.7, count)), 12, 400).astype(np.int64)
    output = np.clip(np.exp(draws.normal(2.9, 0.6, count)), 4, 80).astype(np.int64)
    adapter = np.full(count, BASE, dtype=np.int64)
    if case.adapters:
        base = draws.random(count) < case.base_share
        adapter = np.where(base, BASE, draws.integers(0, case.adapters, count))
    names = tuple(f"a{number}" for number in range(case.adapters))
    return Trace(arrival, prompt, output, adapter, names, name=case.name)
