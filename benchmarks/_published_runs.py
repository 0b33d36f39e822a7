"""A published closed-loop point, run as it was run: the client, the version's loop, the type of its keys.

InferenceX publishes its scripts (SemiAnalysisAI/InferenceX, benchmarks/70b_fp8_*.sh, in its history): ten
requests a client, all clients at once, both lengths drawn evenly from 0.8 of the nominal one to all of it,
8192 tokens a step, asynchronous loop, no prefix caching. Keys and values are in fp8, says the script; on the
H100 the points where memory runs out say bfloat16, and so it is taken. For NVIDIA's own points nothing is
published but concurrency and lengths: ten requests a client, all of equal length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from advisor.catalog.capabilities import engine as catalog_engine
from advisor.catalog.hardware import device as catalog_device
from advisor.profile import ModelTerms, Profile, find_profiles, load_profile
from advisor.spec.engine import EngineLimits
from advisor.steptime.clock import ProfileClock
from benchmarks.build_profiles import PROFILES
from calibration.closedloop import Clients, run_closed_loop
from calibration.importers.aiconfigurator import DEVICES
from calibration.importers.model_terms import Operators
from calibration.importers.published import Point
from calibration.importers.tables import find_tables
from calibration.steady import steady_state

BUDGET_TOKENS = 8192
"""max_num_batched_tokens: in InferenceX's scripts, and the default of these GPUs."""
MEMORY_SHARE = 0.9
REQUESTS_A_CLIENT = 10
SPREAD = 0.8
ASYNC_SINCE = (0, 14)
"""vLLM's loop is asynchronous by default from here on."""


@dataclass(frozen=True, slots=True)
class Variant:
    """How a point is predicted."""

    as_run: bool = True  # the version's loop and, at InferenceX, keys and values in fp8; else as shipped
    spread: float | None = None  # of the lengths, where they are not published
    frontend: bool = True
    algebra: bool = False  # `calibration.steady` in place of the simulator


@lru_cache(maxsize=64)
def shipped(name: str) -> Profile | None:
    """A shipped profile; None where there is none of this name."""
    path = find_profiles(PROFILES).get(name)
    return None if path is None else load_profile(path)


def predict(profile: Profile, terms: ModelTerms, point: Point, variant: Variant) -> tuple[float, float]:
    """TPOT and TTFT, means over the whole run, which begins with all clients at once."""
    kv_share = 1.0
    if variant.as_run:
        profile = _with_loop_of(profile, point)
        if point.is_inferencex and point.system == "b200_sxm":
            terms, kv_share = _with_fp8_keys(terms, point), 0.5
    if variant.algebra:
        steady = steady_state(
            profile,
            terms,
            concurrency=point.concurrency,
            prompt_tokens=point.prompt_tokens,
            output_tokens=point.output_tokens,
            budget=BUDGET_TOKENS,
        )
        return steady.tpot_s, steady.ttft_s
    limits = EngineLimits(
        max_num_seqs=max(point.concurrency, 1),
        max_num_batched_tokens=BUDGET_TOKENS,
        kv_block_tokens=catalog_engine(profile.engine).kv_block_tokens,
        async_scheduling=profile.host.overlapped,
        prefix_caching=not point.is_inferencex,
        batching=catalog_engine(profile.engine).batching,
    )
    times = run_closed_loop(
        _clients(point, variant, profile.frontend.fixed_s if variant.frontend else 0.0),
        limits,
        ProfileClock(profile, terms, limits),
        _kv_blocks(profile, terms, limits.kv_block_tokens, kv_share),
    )
    return float(times.tpot_s.mean()), float(times.ttft_s.mean())


def _with_loop_of(profile: Profile, point: Point) -> Profile:
    """The loop of the version that ran: serial before vLLM 0.14, unless switched on."""
    version = tuple(int(part) for part in point.version.split(".")[:2] if part.isdigit())
    if point.engine != "vllm" or not version or version >= ASYNC_SINCE:
        return profile
    return profile.model_copy(
        update={"host": profile.host.model_copy(update={"overlapped": False, "epsilon_s": 0.0})}
    )


def _with_fp8_keys(terms: ModelTerms, point: Point) -> ModelTerms:
    """Attention of keys and values in fp8, from the same tables."""
    other = _fp8_operators(point.system, point.engine).terms(terms.model, terms.tensor_parallel)
    return terms.model_copy(update={"attn_prefill": other.attn_prefill, "attn_decode": other.attn_decode})


@lru_cache(maxsize=4)
def _fp8_operators(system: str, engine: str) -> Operators:
    tables = find_tables(system, engine)
    return Operators(tables, catalog_device(DEVICES[system]), 512, kv_dtype="fp8")


def _clients(point: Point, variant: Variant, frontend_s: float) -> Clients:
    count = REQUESTS_A_CLIENT * point.concurrency
    spread = SPREAD if point.is_inferencex else variant.spread
    rng = np.random.default_rng(0)

    def lengths(tokens: int) -> Sequence[int]:
        low = tokens if spread is None else int(spread * tokens)
        drawn: list[int] = rng.integers(low, tokens + 1, count).tolist()
        return drawn

    return Clients(
        point.concurrency, lengths(point.prompt_tokens), lengths(point.output_tokens), frontend_s=frontend_s
    )


def _kv_blocks(profile: Profile, terms: ModelTerms, block_tokens: int, kv_share: float) -> int:
    model, degree = terms.model, terms.tensor_parallel
    room = MEMORY_SHARE * profile.device.memory_bytes - profile.memory.overhead_bytes
    room -= model.weights_bytes / degree
    token_bytes = kv_share * model.kv_bytes_per_token / min(degree, model.kv_heads)
    return int(room // (token_bytes * block_tokens))
