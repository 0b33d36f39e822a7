"""What is tried: at least ten scenarios, each with options that differ in one knob."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from advisor.trace.trace import BASE, Trace


@dataclass(frozen=True, slots=True)
class Variation:
    """One option of a scenario: what differs from the usual engine."""

    name: str
    max_loras: int | None = None
    max_cpu_loras: int | None = None
    max_num_batched_tokens: int | None = None
    merged: bool = False
    draft: Literal["", "ngram", "stock", "custom"] = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One scenario. Load is a share of the first option's predicted capacity."""

    name: str
    load: float
    options: tuple[Variation, ...]
    adapters: int = 0
    zipf: float = 0.0  # popularity; 0 is even
    prompt_tokens: int = 48  # median
    output_tokens: int = 32  # median
    warm: bool = True  # adapters were used before
    text: bool = False  # real text, for drafts
    objective: str = "e2e p90"


_BUDGETS: Final = (Variation("256 tokens"), Variation("32 tokens", max_num_batched_tokens=32))
_DRAFTS: Final = (
    Variation("no drafts"),
    Variation("stock draft", draft="stock"),
    Variation("n-gram", draft="ngram"),
)
_SHORT_BUDGET: Final = Variation("64 tokens", max_loras=8, max_num_batched_tokens=64)


def _slots(*counts: int) -> tuple[Variation, ...]:
    return tuple(Variation(f"{count} slots", max_loras=count) for count in counts)


def _caches(*counts: int) -> tuple[Variation, ...]:
    return tuple(Variation(f"{n} cached", max_loras=4, max_cpu_loras=n) for n in counts)


CASES: Final = (
    Case("base, low load", 0.3, _BUDGETS),
    Case("base, middle load", 0.6, _BUDGETS),
    Case("base, near saturation", 0.84, _BUDGETS),
    Case("one adapter or merged", 0.6, (*_slots(1), Variation("merged", merged=True)), 1),
    Case("8 adapters, even", 0.6, _slots(8, 2), 8),
    Case("8 adapters, Zipf", 0.6, _slots(8, 2), 8, 1.2),
    Case("64 adapters, Zipf", 0.5, _slots(16, 4), 64, 1.0),
    Case("long prompts", 0.6, (*_slots(8), _SHORT_BUDGET), 8, 0.8, prompt_tokens=220, output_tokens=16),
    Case("long answers", 0.6, _slots(8, 3), 8, 0.8, prompt_tokens=12, output_tokens=96),
    Case("cold start", 0.4, _caches(24, 4), 24, 0.6, warm=False),
    Case("thrash", 0.45, _slots(8, 1), 12),
    Case("drafts, low load", 0.25, _DRAFTS, text=True, output_tokens=64, objective="tpot p50"),
    Case("drafts, high load", 0.75, _DRAFTS, text=True, output_tokens=64, objective="tpot p50"),
)


def trace_of(case: Case, rate_rps: float, duration_s: float, longest: int, seed: int) -> Trace:
    """Poisson arrivals, log-normal lengths, adapters by popularity.

    Args:
        case: lengths and adapters.
        rate_rps: arrivals a second.
        duration_s: until when they come.
        longest: prompt and answer together have at most so many tokens.
        seed: same seed, same trace.
    """
    random = np.random.default_rng([seed, *case.name.encode()])
    count = max(8, int(random.poisson(rate_rps * duration_s)))
    arrival = np.sort(random.random(count)) * duration_s
    prompt = _lengths(random, case.prompt_tokens, count, longest // 2)
    output = _lengths(random, case.output_tokens, count, longest - longest // 2)
    adapter = np.full(count, BASE, dtype=np.int64)
    names: tuple[str, ...] = ()
    if case.adapters:
        shares = (np.arange(case.adapters) + 1.0) ** -case.zipf
        adapter = random.choice(case.adapters, count, p=shares / shares.sum()).astype(np.int64)
        names = tuple(f"a{index}" for index in range(case.adapters))
    return Trace(arrival, prompt, output, adapter, names, name=case.name)


def _lengths(random: np.random.Generator, median: int, count: int, most: int) -> np.ndarray:
    drawn = np.rint(random.lognormal(np.log(median), 0.5, count))
    return np.clip(drawn, 2, max(2, most)).astype(np.int64)
