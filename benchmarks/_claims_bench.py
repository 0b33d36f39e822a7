"""The bench on which the field's claims are tried: one model, one GPU, traffic with round numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from advisor.catalog.capabilities import engine
from advisor.datafiles import data_dir
from advisor.deployment import Drafting, Variant, Way, fleet, without_adapters
from advisor.profile import Profile, load_profile
from advisor.sim.fleet import simulate_fleet
from advisor.sim.result import SimResult
from advisor.spec.engine import EngineLimits
from advisor.spec.model import ALL_LINEAR
from advisor.spec.speculation import Acceptance
from advisor.steptime.terms import terms_for
from advisor.trace.trace import BASE, Trace

PROFILE = "h100_sxm-vllm"
MODEL = "Llama-3.1-8B"
PROMPT_TOKENS, ANSWER_TOKENS = 1024, 256
SEED = 1


@dataclass(frozen=True)
class Bench:
    """Llama-3.1-8B on one H100 with the newest vLLM of the catalog, as it comes."""

    @cached_property
    def profile(self) -> Profile:
        """The imported profile."""
        return load_profile(data_dir() / "profiles" / f"{PROFILE}.json")

    def variant(self, *, adapters: bool, drafting: Drafting | None = None) -> Variant:
        """The base model (or merged weights), or one that serves unmerged adapters."""
        from advisor.catalog.shapes import model

        share = engine("vllm").memory_share
        way: Way = "multi-lora" if adapters else "base"
        terms = terms_for(self.profile, model(MODEL), 1)
        return Variant(way, self.profile, terms, drafting, share, ALL_LINEAR)

    def limits(self, *, slots: int = 16, rank: int = 16, cached: int | None = None) -> EngineLimits:
        """The engine's defaults on this GPU; prompts have nothing in common."""
        capability = engine("vllm")
        seats, budget = capability.default_limits(self.profile.device)
        return EngineLimits(
            max_num_seqs=seats,
            max_num_batched_tokens=budget,
            max_loras=slots,
            max_cpu_loras=slots if cached is None else cached,
            max_lora_rank=rank,
            prefix_caching=False,
            load_mode=capability.load_mode,
            async_scheduling=capability.async_scheduling,
        )

    def base(self, trace: Trace, *, drafting: Drafting | None = None, merged: str | None = None) -> SimResult:
        """Every request to the base model, or to weights that were merged: the engine has LoRA off."""
        plain = replace(trace, adapter=np.full(len(trace), BASE, dtype=np.int64), adapters=())
        variant = self.variant(adapters=False, drafting=drafting)
        replica = variant.replica(without_adapters(self.limits()), (), merged=merged)
        return simulate_fleet(fleet(replica, 1, "least-outstanding"), plain, seed=SEED)

    def unmerged(self, trace: Trace, limits: EngineLimits, *, warm: bool = True) -> SimResult:
        """The same requests to their adapters, of which as many as fit are loaded at the start."""
        ranks = (limits.max_lora_rank,) * len(trace.adapters)
        replica = self.variant(adapters=True).replica(limits, ranks)
        preloaded = tuple(range(len(trace.adapters)))[::-1] if warm else ()
        replica = replace(replica, preloaded=preloaded)
        return simulate_fleet(fleet(replica, 1, "least-outstanding"), trace, seed=SEED)


def poisson(rate_rps: float, adapters: int, *, seconds: float = 300.0, seed: int = SEED) -> Trace:
    """Arrivals without memory, adapters evenly popular, every prompt and answer of one length."""
    random = np.random.default_rng(seed)
    count = round(rate_rps * seconds)
    return Trace(
        arrival_s=np.sort(random.random(count)) * seconds,
        prompt_tokens=np.full(count, PROMPT_TOKENS, dtype=np.int64),
        output_tokens=np.full(count, ANSWER_TOKENS, dtype=np.int64),
        adapter=random.integers(0, adapters, count),
        adapters=tuple(f"a{index}" for index in range(adapters)),
    )


def at_once(count: int, adapters: int) -> Trace:
    """All requests at the start: the engine is as full as it gets."""
    return replace(poisson(float(count), adapters, seconds=1.0), arrival_s=np.zeros(count))


def p(values: np.ndarray[tuple[int], np.dtype[np.float64]], percent: float) -> float:
    """A percentile; requests that never came count as infinitely late."""
    late = np.where(np.isnan(values), np.inf, values)
    return float(np.percentile(late, percent, method="inverted_cdf"))


def drafting(bench: Bench, acceptance: Acceptance, draft_length: int) -> Drafting:
    """EAGLE-3 with this acceptance, for base and adapters alike."""
    terms = bench.variant(adapters=False).terms
    term = next(term for term in terms.drafts if term.method == "eagle3")
    return Drafting(term, draft_length, acceptance, acceptance, acceptance.origin)
