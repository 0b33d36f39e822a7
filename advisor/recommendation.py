"""The answer: what `recommend`, `simulate` and `explain` return and what `--json` prints. Schema version 1.

Latencies are seconds, prices USD. Every face (command line, report, web app) shows these models and
computes nothing of its own.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from advisor.bought import Bought
from advisor.bytoken import TokenOffer
from advisor.certainty import Certainty
from advisor.elastic import Elastic
from advisor.spec.engine import EngineLimits
from advisor.spec.spec import Origin, Spec

CAUSE_WORDS: Final = {
    "frontend": "frontend (outside the engine)",
    "queue": "queueing",
    "adapter_wait": "wait for an adapter slot",
    "load": "adapter loading",
    "preempted": "preemption",
    "start_up": "replica start-up",
    "dense": "matrix products",
    "attention": "attention",
    "head": "output head and sampling",
    "lora": "LoRA kernels",
    "draft": "drafting",
    "all_reduce": "all-reduce",
    "host": "host work",
}


def cause_word(cause: str) -> str:
    """A simulator's cause in plain words."""
    return CAUSE_WORDS.get(cause, cause.replace("_", " "))


class Percentiles(Spec):
    """Distribution of one latency over the counted requests."""

    mean_s: float
    p50_s: float
    p90_s: float
    p95_s: float
    p99_s: float


class Outcome(Spec):
    """What a simulated deployment did. Percentiles leave out warm-up and cool-down; counts do not."""

    ttft: Percentiles
    tpot: Percentiles
    itl: Percentiles
    e2e: Percentiles
    goodput_share: float = Field(
        description="Share of counted requests that met every limit, each per request."
    )
    requests: int
    counted_requests: int
    unfinished_requests: int
    throughput_rps: float
    output_tokens_per_s: float
    total_tokens_per_s: float
    utilisation: float = Field(description="Busy share of replica time.")
    mean_batch: float = Field(description="Running requests, averaged over busy time.")
    preemptions: int
    loads_from_disk: int
    loads_to_slot: int
    acceptance_length: float | None = Field(
        None, description="Tokens a verify step; null without speculation."
    )
    ttft_causes_s: dict[str, float] = Field(
        description="Mean seconds by cause (sim.result.CAUSES); adds up to TTFT."
    )
    decode_causes_s: dict[str, float] = Field(
        description="Mean seconds by cause from the first to the last token."
    )


class MemoryPlan(Spec):
    """Device memory of one replica, bytes on each of its devices."""

    device_bytes: float
    usable_bytes: float
    weights_bytes: float
    overhead_bytes: float
    slots_bytes: float
    draft_bytes: float
    kv_bytes: float
    kv_blocks: int
    kv_tokens: int


BY_BATCH: Final = "-by-batch"
"""Ends the name of a draft whose length was chosen by batch size."""


class SpecChoice(Spec):
    """The speculative decoding of an option."""

    method: Literal["ngram", "draft_model", "eagle3"]
    name: str = Field("", description="Tells drafts of one method apart, such as eagle3-custom.")
    model: str | None
    draft_length: int = Field(description="The longest, where the schedule has several.")
    schedule: tuple[tuple[int, int], ...] = Field(
        (), description="(From so many requests in a step, draft length), rising; empty: always the same."
    )
    base_tokens_per_step: float
    adapter_tokens_per_step: float
    training_usd_per_hour: float = Field(
        0.0, description="Of a custom draft, spread over its months; part of the option's price."
    )
    origin: Origin
    note: str = ""

    @property
    def by_batch(self) -> bool:
        """Whether its length was chosen by batch size."""
        return self.name.endswith(BY_BATCH)


def draft_length_words(spec: SpecChoice) -> str:
    """Draft tokens a step, and from which batch on: 5 draft tokens, none from 64 requests a step on."""

    def tokens(length: int) -> str:
        return {0: "none", 1: "1 draft token"}.get(length, f"{length} draft tokens")

    if not spec.schedule:
        return tokens(spec.draft_length)
    (_, first), *later = spec.schedule
    return ", ".join([tokens(first), *(f"{tokens(n)} from {start} requests a step on" for start, n in later)])


class Pool(Spec):
    """Replicas of one kind that share a queue. Multi-LoRA and base have one, merged one an adapter."""

    name: str
    adapters: tuple[str, ...] = Field(description="Names of the adapters served; 'base' for the plain model.")
    replicas: int
    devices: int = Field(description="replicas · tensor_parallel.")
    share_of_requests: float
    merged: bool = Field(False, description="The weights have the pool's one adapter merged in.")
    outcome: Outcome | None = None


class SloCheck(Spec):
    """One limit of the objective against what was simulated."""

    metric: Literal["ttft", "tpot", "e2e", "goodput"]
    percentile: float | None
    limit: float = Field(description="Seconds; a share for goodput.")
    value: float
    holds: bool


class SpreadOf(Spec):
    """One limit of the objective over several draws of the workload."""

    metric: Literal["ttft", "tpot", "e2e", "goodput"]
    percentile: float | None
    limit: float = Field(description="Seconds; a share for goodput.")
    low: float
    median: float
    high: float


class Spread(Spec):
    """The same deployment on other draws of the workload, each with a seed of its own."""

    draws: int
    holding: int = Field(description="Draws on which every limit held and no queue grew.")
    limits: tuple[SpreadOf, ...]


class TermOrigin(Spec):
    """Where one term of the step time comes from, and its share of the busy time here."""

    term: str
    origin: Origin
    source: str
    interval: tuple[float, float]
    share_of_busy_time: float


class Option(Spec):
    """One way to serve, sized as well as it can be. Infeasible ones stay, with their reason."""

    key: str = Field(description="Stable identifier, such as multi-lora/H100-80-SXM/tp1/eagle3x3.")
    way: Literal["base", "multi-lora", "merged", "hybrid"]
    device: str
    profile: str
    engine: str
    engine_version: str
    tensor_parallel: int
    quantised: bool = Field(
        False, description="16-bit weights are quantised to fp8 by the engine at its start."
    )
    speculation: SpecChoice | None
    limits: EngineLimits | None
    router: str
    memory_share: float
    feasible: bool
    reason: str = Field("", description="Why it is infeasible, or what to mind.")
    bound: Literal["", "memory", "slo", "compatibility", "budget", "replicas", "profile", "price"] = ""
    pools: tuple[Pool, ...] = ()
    replicas: int = 0
    devices: int = 0
    usd_per_device_hour: float | None = None
    price_source: str = ""
    usd_per_hour: float | None = None
    usd_per_mtok: float | None = Field(
        None, description="USD per million tokens, prompt and output together, at this load."
    )
    usd_per_mtok_output: float | None = None
    outcome: Outcome | None = None
    checks: tuple[SloCheck, ...] = ()
    memory: MemoryPlan | None = None
    headroom: float | None = Field(
        None,
        description="Multiple of the asked load at which a limit breaks, replicas unchanged; null: unknown.",
    )
    spread: Spread | None = Field(
        None, description="On other draws of the workload; null: never the best one, or there are none."
    )
    pareto: tuple[Literal["ttft", "tpot", "e2e", "goodput"], ...] = Field(
        (), description="Metrics in which no other way to serve is better for the same price or less."
    )
    warnings: tuple[str, ...] = ()
    origin: Origin = Field(description="Worst origin among the terms that take 5 % of the busy time or more.")
    is_reference: bool = Field(
        False, description="The base model: shows the price of adapters, cannot serve them."
    )
    scaling: Elastic | None = Field(
        None,
        description="Of a fleet that scales: `replicas` is the most, prices are for those there were.",
    )

    bought: Bought | None = Field(
        None, description="Of tokens bought from a provider: never recommended, since its latency is assumed."
    )

    @model_serializer(mode="wrap")
    def _without_others(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A fixed fleet looks as it did before there was anything else."""
        written: dict[str, Any] = handler(self)
        for name in ("scaling", "bought"):
            if getattr(self, name) is None:
                written.pop(name, None)
        return written


class CauseDelta(Spec):
    """One cause's part of the difference between a deployment and its base, found by switching it off."""

    cause: Literal[
        "adapter loading", "admission wait", "LoRA in decode", "LoRA in prefill", "slots' memory",
        "prefix cache split by adapter", "speculation",
    ]  # fmt: skip
    ttft_mean_s: float
    ttft_p99_s: float
    tpot_mean_s: float
    e2e_mean_s: float


class Explanation(Spec):
    """Why is this deployment slower (or faster) than its base on the same replicas? Deltas add up."""

    schema_version: Literal[1] = 1
    option: str
    base: Outcome
    deployment: Outcome
    deltas: tuple[CauseDelta, ...]
    unloaded_ttft_s: float = Field(description="Mean TTFT of single requests on an idle base replica.")
    queueing_ttft_s: float = Field(description="What load adds to the base's mean TTFT.")
    text: str


class Turn(Spec):
    """One change of an input, and what the advice would be then."""

    what: str
    value: str
    recommended: str
    usd_per_hour: float | None
    turns: bool


class LimitAtLoad(Spec):
    """One limit of the objective, and what was simulated at each load of a knee."""

    metric: Literal["ttft", "tpot", "e2e", "goodput"]
    percentile: float | None
    limit: float = Field(description="Seconds; a share for goodput.")
    value: tuple[float, ...]


class Knee(Spec):
    """Load against latency of the recommended option, replicas as they are."""

    load: tuple[float, ...] = Field(description="Multiples of the asked load.")
    rate_rps: tuple[float, ...]
    ttft_p99_s: tuple[float, ...]
    tpot_p99_s: tuple[float, ...]
    goodput_share: tuple[float, ...]
    limits: tuple[LimitAtLoad, ...] = ()


class SlotSweep(Spec):
    """Effect of max_loras on the recommended pool, replicas as they are: the inner optimum."""

    max_loras: tuple[int, ...]
    ttft_p99_s: tuple[float, ...]
    tpot_mean_s: tuple[float, ...]
    kv_tokens: tuple[int, ...]
    chosen: int


class WorkloadFacts(Spec):
    """What the advice was computed for."""

    requests: int
    rate_rps: float
    prompt_tokens_mean: float
    prompt_tokens_p99: float
    output_tokens_mean: float
    output_tokens_p99: float
    adapters_deployed: int
    adapters_active: int
    top_adapter_share: float
    notes: tuple[str, ...] = ()


class Recommendation(Spec):
    """The ranked answer."""

    schema_version: Literal[1] = 1
    producer: str
    scenario: str
    model: str
    seed: int
    workload: WorkloadFacts
    objective: str = Field(description="The objective in words.")
    recommended: str | None = Field(
        description="Key of the recommended option; null: nothing meets the objective."
    )
    summary: str = Field(description="One paragraph of plain words with the figures that decide.")
    options: tuple[Option, ...] = Field(
        description="Ranked: feasible first, by price (or latency), then infeasible."
    )
    candidates: int = Field(description="Configurations that were considered, knob settings included.")
    simulations: int
    confirmed: bool = Field(
        True, description="False in a first look: more traffic and other draws may ask for more replicas."
    )
    explanation: Explanation | None
    knee: Knee | None
    slots: SlotSweep | None
    turns: tuple[Turn, ...]
    terms: tuple[TermOrigin, ...]
    next_steps: tuple[str, ...]
    tokens: tuple[TokenOffer, ...] = Field(
        (), description="The same traffic bought by the token; empty: no price is known for the model."
    )
    certainty: Certainty | None = Field(None, description="There where it was asked for (--sure).")

    @model_serializer(mode="wrap")
    def _without_empty_certainty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """An answer that was not asked how sure it is looks as it did before there was the question."""
        written: dict[str, Any] = handler(self)
        if self.certainty is None:
            del written["certainty"]
        return written

    def option(self, key: str) -> Option:
        """Return the option of this key."""
        return next(option for option in self.options if option.key == key)
