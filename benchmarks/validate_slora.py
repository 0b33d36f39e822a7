"""The simulator against public runs of S-LoRA, another engine: `python -m benchmarks.validate_slora`.

Asked is the order and the crossings: which runs keep up, until how many adapters or requests per second, and
when serving unmerged beats merging. Reads the public measurements in the folder named by LORA_ADVISOR_DATA;
writes tables into docs/validation.md, every pair into benchmarks/results/slora_pairs.csv and a plot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from joblib import Parallel, delayed

from advisor.datafiles import data_dir
from advisor.errors import AdvisorError
from advisor.memory import Room, plan_memory
from advisor.profile import load_profile
from advisor.sim.result import SimResult
from benchmarks import _slora_runs
from benchmarks._page import ROOT, replace_block, table
from benchmarks._pairs import percent, plot_pairs, write_pairs
from benchmarks._slora_runs import LATE_S, STARVED, Run, requests_of, settings
from benchmarks._slora_server import MACHINES, simulate
from benchmarks.build_profiles import data_folder

PAGE = ROOT / "docs" / "validation.md"
METRICS = {"throughput_rps": "requests/s", "latency_s": "E2E (H100: TPOT), s", "ttft_s": "TTFT, s"}
COPIES_SHARE = 0.95
"""--vllm-mem-ratio of the paper's client, shared among its copies."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the simulator says of a run, counted as its client counts."""

    throughput_rps: float
    latency_s: float
    ttft_s: float
    keeps_up: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """One run: measured, predicted with the machine's host time, and with the profile as shipped."""

    run: Run
    predicted: Found
    shipped: Found


@click.command(help=__doc__)
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="Processes.")
@click.option(
    "--runs", type=click.IntRange(1), default=None, help="Only so many of each kind; writes nothing."
)
def main(jobs: int, runs: int | None) -> None:
    """Simulate, print, write."""
    try:
        folder = data_folder()
        pool = _slora_runs.read_pool(folder) + _slora_runs.read_scaling(folder)
        host_s = {name: host_time(pool, name) for name in MACHINES}
        if runs is not None:
            pool = [run for kind in ("paper", "scaling") for run in _some(pool, kind, runs)]
        pairs = predict(pool, host_s, jobs)
        merging = predict(_slora_runs.read_merging(folder)[: 2 * runs if runs else None], host_s, jobs)
        text = "\n".join(
            [hosts(host_s), summary(pairs), crossings(pairs), merged_or_not(merging), copies(folder)]
        )
        print(text)
        if runs is None:
            write_pairs("slora_pairs", [row(pair) for pair in pairs + merging])
            plot_pairs("slora", [row(pair) for pair in pairs], METRICS, "server")
            replace_block(PAGE, "slora", text)
    except AdvisorError as error:
        raise SystemExit(str(error)) from None


def _some(runs: Sequence[Run], kind: str, count: int) -> list[Run]:
    return [run for run in runs if run.kind == kind][:count]


def gives_host_time(run: Run) -> bool:
    """Whether a run is its machine's lightest, from which the host time comes."""
    setting, adapters, rate = MACHINES[run.machine].lightest
    same = (run.setting, run.adapters, run.cv) == (setting, adapters, 1.0)
    return same and run.kind != "merge" and abs(run.rate_rps - rate) < 1e-9


def host_time(runs: Sequence[Run], machine: str) -> float:
    """Host time of a step at which the machine's lightest run takes as long as it did, by halving."""
    (light,) = (run for run in runs if run.machine == machine and gives_host_time(run))
    low, high = 0.0, 0.1
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (middle, high) if predicted(light, middle).latency_s < light.latency_s else (low, middle)
    return (low + high) / 2


def predict(runs: Sequence[Run], host_s: dict[str, float], jobs: int) -> list[Pair]:
    """Every run, twice; those with most requests first."""
    order = sorted(range(len(runs)), key=lambda i: -runs[i].sent)
    work = (delayed(_pair)(runs[i], host_s[runs[i].machine]) for i in order)
    done = dict(zip(order, Parallel(n_jobs=jobs, batch_size=1)(work), strict=True))
    return [done[i] for i in range(len(runs))]


def _pair(run: Run, host_s: float) -> Pair:
    return Pair(run, predicted(run, host_s), predicted(run, None))


def predicted(run: Run, host_s: float | None) -> Found:
    """Simulate a run and count it as its client does."""
    requests = requests_of(run)
    result = simulate(run, settings()[run.setting], requests, host_s)
    return _scaling(run, result) if run.kind == "scaling" else _paper(result)


def _paper(result: SimResult) -> Found:
    ttft_s = float(np.mean(result.ttft_s))
    end_s = float(np.max(result.last_token_s))
    return Found(len(result.ttft_s) / end_s, float(np.mean(result.e2e_s)), ttft_s, ttft_s <= LATE_S)


def _scaling(run: Run, result: SimResult) -> Found:
    done = result.done & (result.last_token_s <= run.duration_s)
    late = np.full(run.sent - int(done.sum()), run.duration_s)  # the client's rule for what has not ended
    ttft_s = float(np.median(np.concatenate([result.ttft_s[done], late])))
    ended = float(done.sum())
    tpot_s = float(np.mean(result.tpot_s[done]))
    return Found(ended / run.duration_s, tpot_s, ttft_s, ended >= STARVED * run.sent)


def row(pair: Pair) -> dict[str, Any]:
    """One line of the file of pairs."""
    run = pair.run
    line: dict[str, Any] = {
        "kind": run.kind, "server": f"{run.machine}, {run.setting}", "system": run.system,
        "adapters": run.adapters, "alpha": run.alpha, "rate_rps": run.rate_rps, "cv": run.cv,
        "duration_s": run.duration_s, "input_max": run.input_max, "output_max": run.output_max,
        "sent": run.sent,
    }  # fmt: skip
    for metric in METRICS:
        for side, found in (("predicted", pair.predicted), ("shipped", pair.shipped), ("measured", run)):
            line[f"{side}_{metric}"] = getattr(found, metric)
    return line


def hosts(host_s: dict[str, float]) -> str:
    """The one constant of each machine."""
    cells = [(name, f"{1e3 * value:.1f}") for name, value in host_s.items()]
    return table(("machine", "host time of a step, ms"), cells)


def summary(pairs: Sequence[Pair]) -> str:
    """Errors by server, and whether runs are on the right side of the knee, without the lightest runs."""
    pairs = [pair for pair in pairs if not gives_host_time(pair.run)]
    groups: dict[str, list[Pair]] = {"**all runs**": pairs}
    for pair in pairs:
        groups.setdefault(f"{pair.run.machine}, {pair.run.setting}", []).append(pair)
    rows = []
    for name, some in groups.items():
        cells = [name, str(len(some))]
        for of in (_predicted, _shipped):
            right = float(np.mean([of(pair).keeps_up == pair.run.keeps_up for pair in some]))
            cells += [
                _error(some, of, "throughput_rps"),
                _error(some, of, "latency_s"),
                f"{100 * right:.0f} %",
            ]
        rows.append(cells)
    each = ("requests/s", "E2E or TPOT", "right side")
    head = ("server", "runs", *each, *(f"as shipped: {name}" for name in each))
    return table(head, rows)


def _predicted(pair: Pair) -> Found:
    return pair.predicted


def _shipped(pair: Pair) -> Found:
    return pair.shipped


def _error(pairs: Sequence[Pair], of: Callable[[Pair], Found], metric: str) -> str:
    """Mean symmetric absolute error, 2 |p - m| / (p + m)."""
    both = [(getattr(of(pair), metric), getattr(pair.run, metric)) for pair in pairs]
    return percent(float(np.mean([2.0 * abs(p - m) / (p + m) for p, m in both])))


def crossings(pairs: Sequence[Pair]) -> str:
    """The last value of a sweep that keeps up, measured and predicted; the H100's sweeps in a sentence."""
    rows, same, every = [], 0, 0
    for name, found in sweeps(pairs).items():
        values = sorted(value for value, _ in found)
        cells = [_last(found, of) for of in (_measured, _predicted, _shipped)]
        if found[0][1].run.kind == "scaling":
            every += 1
            same += cells[0] == cells[1]
        else:
            rows.append((name, f"{values[0]:g} to {values[-1]:g}", *cells))
    text = table(("sweep", "range", "keeps up to: measured", "predicted", "as shipped"), rows)
    if not every:
        return text
    return (
        f"{text}\nH100, {every} sweeps over requests/s, one for each number of adapters: {same} end alike.\n"
    )


def sweeps(pairs: Sequence[Pair]) -> dict[str, list[tuple[float, Pair]]]:
    """Runs that differ in nothing but rate, or adapters; three or more of them."""
    found: dict[str, list[tuple[float, Pair]]] = {}
    for pair in pairs:
        run = pair.run
        if run.cv != 1 or (run.kind == "paper" and run.duration_s != 300.0):
            continue
        place = f"{run.machine}, {run.setting}"
        rates = f"{place}, {run.adapters} adapters: requests/s"
        found.setdefault(rates, []).append((run.rate_rps, pair))
        if run.kind == "paper":
            adapters = f"{place}, {run.rate_rps:g} requests/s: adapters"
            found.setdefault(adapters, []).append((run.adapters, pair))
    return {name: some for name, some in found.items() if len(some) >= 3}


def _last(found: Sequence[tuple[float, Pair]], of: Callable[[Pair], Run | Found]) -> str:
    last = None
    for value, pair in sorted(found, key=lambda one: one[0]):
        if not of(pair).keeps_up:
            break
        last = value
    return "none" if last is None else f"{last:g}"


def merged_or_not(pairs: Sequence[Pair]) -> str:
    """How often merging one adapter at a time ends more requests a second than serving unmerged."""
    sides: dict[tuple[Any, ...], dict[str, Pair]] = {}
    for pair in pairs:
        run = pair.run
        key = (run.adapters, run.alpha, run.cv, run.input_max, run.output_max)
        sides.setdefault(key, {})[run.system] = pair
    cells: dict[tuple[int, float], list[tuple[bool, bool]]] = {}
    for key, both in sides.items():
        if len(both) == 2:
            wins = [
                of(both["merge"]).throughput_rps > of(both["slora"]).throughput_rps
                for of in (_measured, _predicted)
            ]
            cells.setdefault((key[0], key[1]), []).append((wins[0], wins[1]))
    rows = [
        (
            f"{adapters}, alpha {alpha:g}",
            f"{sum(m for m, _ in found)} of {len(found)}",
            f"{sum(p for _, p in found)} of {len(found)}",
            f"{sum(m == p for m, p in found)} of {len(found)}",
        )
        for (adapters, alpha), found in sorted(cells.items())
    ]
    every = [one for found in cells.values() for one in found]
    rows.append(("**all**", "", "", f"{sum(m == p for m, p in every)} of {len(every)}"))
    return table(("adapters on an A10G", "merging wins: measured", "predicted", "the same"), rows)


def _measured(pair: Pair) -> Run:
    return pair.run


def copies(folder: Path) -> str:
    """Merged copies of a 7B on one A100: what the memory plan leaves each, and what they served."""
    profile = load_profile(data_dir() / "profiles" / f"{MACHINES['a100-80'].profile}.json")
    model = settings()["S2"].model
    rows = []
    for count, rps in sorted(_slora_runs.read_copies(folder).items()):
        room = Room(profile.device.memory_bytes, COPIES_SHARE / count, 1, 16)
        plan = plan_memory(model, profile.memory, room)
        rows.append((str(count), f"{plan.kv_tokens:,}", f"{rps:.2f}"))
    head = ("merged copies on one A100", "KV tokens of each, planned", "requests/s of 10, measured")
    return table(head, rows)


if __name__ == "__main__":
    main()
