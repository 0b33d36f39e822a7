"""The search beside trying everything, on random small questions with the shipped profiles.

    python -m benchmarks.search_regret [--questions 24] [--seed 1] [--write]

Each question draws a load, a number of adapters, their popularity, limits, devices and drafts. Both see the
same requests: the trial is the whole workload. Regret is the search's price over the cheapest plan's, less
one; --write puts the table into docs/explanation/search.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from advisor.search.question import Question, resolve
from advisor.search.ranking import search
from advisor.spec.scenario import scenario_from_mapping
from benchmarks._exhaustive import exhaustive
from benchmarks._page import ROOT, replace_block, table

PAGE = ROOT / "docs" / "explanation" / "search.md"
_DEVICES = ("H100-80-SXM", "A100-80-SXM", "L40S", "B200-SXM")
_REPLICAS = 5
_BUDGETS = (2048, 4096)


@dataclass(frozen=True, slots=True)
class Compared:
    """One question: what was asked, and what both found."""

    asked: str
    regret: float | None  # None: neither found anything
    plans: int
    simulations: int
    plans_s: float
    search_s: float
    router: str


def drawn(rng: np.random.Generator) -> tuple[str, Question]:
    """A random question, and in words."""
    rate, adapters = round(float(rng.uniform(4, 40)), 1), int(rng.choice((2, 8, 24, 60)))
    exponent, preset = float(rng.choice((0.0, 1.0, 1.6))), str(rng.choice(("interactive", "chat", "server")))
    devices = [str(name) for name in rng.choice(_DEVICES, 2, replace=False)]
    slots = int(rng.choice((0, 0, 4)))
    raw: dict[str, Any] = {
        "schema_version": 1,
        "model": "Llama-3.1-8B",
        "adapters": {"count": adapters, "rank": 16, "popularity": {"kind": "zipf", "exponent": exponent}},
        "workload": {
            "kind": "generator",
            "arrivals": {"kind": "poisson", "rate": f"{rate} req/s"},
            "prompt_tokens": {"kind": "lognormal", "median": 300, "p95": 1200, "maximum": 4000},
            "output_tokens": {"kind": "lognormal", "median": 100, "p95": 400, "maximum": 800},
            "duration": "120s",
        },
        "objective": {"preset": preset},
        "devices": devices,
        "speculation": {"drafts": [{"method": "ngram"}] if rng.random() < 0.3 else []},
        "engine": {"max_loras": slots} if slots else {},
        "search": {"requests": 200, "ways": ["multi-lora", "merged"], "max_replicas": _REPLICAS, "draws": 0},
        "seed": int(rng.integers(1000)),
    }
    question = resolve(scenario_from_mapping(raw, "benchmark"), None, Path())
    words = f"{rate:g} requests/s, {adapters} adapters, Zipf {exponent:g}, {preset}, {' or '.join(devices)}"
    return words + (f", {slots} slots" if slots else ""), replace(question, whole=question.trial)


def compared(words: str, question: Question) -> Compared:
    """Try everything, then search."""
    start = time.process_time()
    best = exhaustive(question, most_replicas=_REPLICAS, budgets=_BUDGETS)
    middle = time.process_time()
    found = search(question)
    end = time.process_time()
    price = None if found.best is None else found.best.option.usd_per_hour
    regret = None
    if best.plan is not None:
        regret = float("inf") if price is None else price / best.usd_per_hour - 1
    router = "" if found.best is None else found.best.option.router
    return Compared(words, regret, best.plans, found.simulations, middle - start, end - middle, router)


def report(rows: list[Compared]) -> str:
    """The table in Markdown, and the worst regret in words."""
    answered = [row for row in rows if row.regret is not None]
    worst = max((row.regret or 0.0 for row in answered), default=0.0)
    above = sum((row.regret or 0.0) > 0.01 for row in answered)
    plans, simulations = sum(row.plans for row in rows), sum(row.simulations for row in rows)
    plans_s, search_s = sum(row.plans_s for row in rows), sum(row.search_s for row in rows)
    head = (
        f"{len(rows)} questions, {len(answered)} with an answer within {_REPLICAS} replicas a pool. Largest "
        f"regret {worst:.1%}; above 1 %: {above}. Trying everything took {plans:,} simulated plans and "
        f"{plans_s:.0f} CPU seconds, the search {simulations:,} simulations and {search_s:.0f}.\n\n"
    )
    return head + table(
        ("question", "regret", "plans", "simulations", "router"),
        (
            (row.asked, _share(row.regret), f"{row.plans:,}", f"{row.simulations:,}", row.router or "–")
            for row in rows
        ),
    )


def _share(regret: float | None) -> str:
    if regret is None:
        return "no answer"
    return f"{max(regret, -1.0):.1%}".replace("-0.0%", "0.0%")


def main() -> None:
    """Compare, print, and write where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--questions", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    rng = np.random.default_rng(asked.seed)
    rows = []
    for _ in range(asked.questions):
        rows.append(compared(*drawn(rng)))
        print(f"{rows[-1].asked}: regret {_share(rows[-1].regret)}", file=sys.stderr, flush=True)
    said = report(rows)
    sys.stdout.write(said)
    if asked.write:
        replace_block(PAGE, "regret", said)


if __name__ == "__main__":
    main()
