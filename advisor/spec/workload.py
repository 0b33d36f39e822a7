"""The traffic: a trace file, or a generator from which a trace is drawn with a seed."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from advisor.spec.quantities import Duration, Rate
from advisor.spec.spec import Spec

Positive = Annotated[float, Field(gt=0)]


class PoissonArrivals(Spec):
    """Independent arrivals at a constant rate."""

    kind: Literal["poisson"]
    rate: Rate = Field(description="Requests per second over all adapters.")


class GammaArrivals(Spec):
    """Renewal process with Gamma gaps: cv 1 is Poisson, above is bursty, below is regular."""

    kind: Literal["gamma"]
    rate: Rate = Field(description="Requests per second over all adapters.")
    cv: float = Field(gt=0, le=20, description="Coefficient of variation of the gaps; real tenants 1 to 5.")


class OnOffArrivals(Spec):
    """Poisson bursts of `rate_on`, exponential on and off phases."""

    kind: Literal["on-off"]
    rate_on: Rate = Field(description="Requests per second while on.")
    mean_on: Duration = Field(description="Mean length of an on phase.")
    mean_off: Duration = Field(description="Mean length of an off phase.")


class DiurnalArrivals(Spec):
    """Poisson with a cosine: rate(t) = mean_rate · (1 + amplitude · cos(2π (t - peak_at) / period))."""

    kind: Literal["diurnal"]
    mean_rate: Rate = Field(description="Mean requests per second.")
    amplitude: float = Field(
        ge=0, le=1, description="0 is flat; 1 swings between nothing and twice the mean."
    )
    period: Duration = Field(description="Length of the cycle, such as 24h.")
    peak_at: float = Field(0.0, ge=0, description="Seconds after the start at which the peak lies.")


Arrivals = Annotated[
    PoissonArrivals | GammaArrivals | OnOffArrivals | DiurnalArrivals, Field(discriminator="kind")
]


class FixedLength(Spec):
    """Every request has this length."""

    kind: Literal["fixed"]
    tokens: int = Field(ge=1, le=10_000_000, description="Tokens of every request.")


class UniformLength(Spec):
    """Whole numbers from low to high, both included."""

    kind: Literal["uniform"]
    low: int = Field(ge=1, le=10_000_000, description="Fewest tokens.")
    high: int = Field(ge=1, le=10_000_000, description="Most tokens.")

    @model_validator(mode="after")
    def _ordered(self) -> UniformLength:
        if self.high < self.low:
            raise ValueError(f"high ({self.high}) must be at least low ({self.low})")
        return self


class LognormalLength(Spec):
    """Lognormal with the given median and p95, cut to [1, maximum]."""

    kind: Literal["lognormal"]
    median: Positive = Field(description="Tokens that half of the requests stay below.")
    p95: Positive = Field(description="Tokens that 95 % of the requests stay below.")
    maximum: int = Field(131_072, ge=1, le=10_000_000, description="Longer draws are cut to this.")

    @model_validator(mode="after")
    def _ordered(self) -> LognormalLength:
        if self.p95 <= self.median:
            raise ValueError(f"p95 ({self.p95}) must be above the median ({self.median})")
        return self


class QuantileLength(Spec):
    """Inverse distribution function by linear interpolation between quantiles (0 and 1 included)."""

    kind: Literal["quantiles"]
    probabilities: tuple[float, ...] = Field(description="Rising from 0 to 1, such as [0, 0.5, 0.95, 1].")
    tokens: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        description="The quantile at each of the probabilities."
    )

    @model_validator(mode="after")
    def _table(self) -> QuantileLength:
        p, t = self.probabilities, self.tokens
        if len(p) != len(t) or len(p) < 2 or p[0] != 0.0 or p[-1] != 1.0:
            raise ValueError("probabilities start at 0, end at 1 and match tokens one to one")
        if any(b <= a for a, b in pairwise(p)) or any(b < a for a, b in pairwise(t)):
            raise ValueError("probabilities must rise and tokens must not fall")
        return self


Length = Annotated[
    FixedLength | UniformLength | LognormalLength | QuantileLength, Field(discriminator="kind")
]


class SharedPrefix(Spec):
    """A prompt prefix (system prompt) that requests of one adapter share; part of the prompt length."""

    tokens: int = Field(ge=1, le=1_000_000, description="Length of the shared prefix in tokens.")
    groups_per_adapter: int = Field(
        1, ge=1, le=10_000, description="Different prefixes an adapter, used evenly."
    )
    share: float = Field(1.0, gt=0, le=1, description="Share of requests that start with a shared prefix.")


class TraceFile(Spec):
    """Requests as they happened, from a file."""

    kind: Literal["trace"]
    path: str = Field(min_length=1, description="CSV, JSONL or Parquet; relative to the scenario file.")
    format: Literal["auto", "azure", "mooncake", "burstgpt", "vidur", "splitwise", "plain"] = Field(
        "auto", description="Layout of the file; auto recognises it by its columns."
    )
    columns: dict[str, str] = Field(
        default_factory=dict, description="Our column name to the file's, such as {adapter: selected_model}."
    )
    rate_scale: float = Field(1.0, gt=0, le=1e6, description="2 makes the requests come twice as fast.")
    start: Duration | None = Field(None, description="Skip what arrives before this much time has passed.")
    duration: Duration | None = Field(None, description="Keep this much time, the whole trace if left out.")


class Generator(Spec):
    """One arrival process for all; lengths and adapters drawn independently of it."""

    kind: Literal["generator"]
    arrivals: Arrivals = Field(description="When requests come.")
    prompt_tokens: Length = Field(description="Lengths of the prompts, shared prefix included.")
    output_tokens: Length = Field(description="Lengths of the answers.")
    shared_prefix: SharedPrefix | None = Field(None, description="A system prompt that requests share.")
    duration: Duration = Field(description="How much time to draw.")


class AdapterStream(Spec):
    """One adapter with its own arrivals and lengths."""

    adapter: str = Field(min_length=1, description="Name of the adapter; 'base' for the plain base model.")
    arrivals: Arrivals = Field(description="When requests come.")
    prompt_tokens: Length = Field(description="Lengths of the prompts, shared prefix included.")
    output_tokens: Length = Field(description="Lengths of the answers.")
    shared_prefix: SharedPrefix | None = Field(None, description="A system prompt that requests share.")


class Streams(Spec):
    """One process per adapter."""

    kind: Literal["streams"]
    streams: tuple[AdapterStream, ...] = Field(min_length=1, description="One entry an adapter.")
    duration: Duration = Field(description="How much time to draw.")


class FittedWorkload(Spec):
    """A generator fitted to a trace by `advisor trace fit`, shipped or your own."""

    kind: Literal["fitted"]
    name: str = Field(
        min_length=1, description="A name in data/workloads, or a path to a fitted workload file."
    )
    rate: Rate | None = Field(None, description="Mean requests per second; the fitted rate if left out.")
    duration: Duration | None = Field(
        None, description="How much time to draw; the fitted duration if left out."
    )
    tenants: str | None = Field(
        None, description="A fitted tenant mix (data/workloads) whose clients become the adapters."
    )
    tenant_lengths: bool = Field(
        False,
        description="True: each adapter has its client's lengths, where the mix knows them.",
    )


Workload = Annotated[TraceFile | Generator | Streams | FittedWorkload, Field(discriminator="kind")]
