"""What must hold: latency percentiles, a share of good requests, a budget. Presets: docs/reference."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from advisor.spec.quantities import Duration, PricePerHour
from advisor.spec.spec import Spec


class Metric(StrEnum):
    """Latency of one request. TPOT is (E2E - TTFT) / (output tokens - 1), as in `vllm bench serve`."""

    TTFT = "ttft"
    TPOT = "tpot"
    E2E = "e2e"


class Slo(Spec):
    """At least `percentile` per cent of the requests stay at or below `limit`."""

    metric: Metric = Field(
        description="ttft: until the first token; tpot: a later token's mean; e2e: until the last."
    )
    percentile: float = Field(99.0, gt=0, lt=100, description="99 for p99.")
    limit: Duration = Field(description="Largest allowed value, such as 200ms.")


class Objective(Spec):
    """The cheapest deployment that meets the SLOs, or the fastest one within the budget."""

    goal: Literal["cheapest", "fastest"] = Field(
        "cheapest", description="cheapest that meets the limits, or fastest within the budget."
    )
    preset: Literal["interactive", "chat", "server", "batch"] | None = Field(
        None,
        description="TTFT/TPOT at p99: interactive 500ms/30ms, chat 200ms/50ms, server 2s/100ms, batch none.",
    )
    slos: tuple[Slo, ...] = Field((), description="Replace or add to the preset's limits, metric by metric.")
    goodput_share: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="Share of requests that must meet every limit at once, each taken per request."
    )
    budget: PricePerHour | None = Field(None, description="Largest price of the whole deployment.")

    @model_validator(mode="after")
    def _aims(self) -> Objective:
        if self.goal == "fastest" and self.budget is None:
            raise ValueError("goal 'fastest' needs a budget, such as 20 USD/h")
        return self

    @property
    def limits(self) -> tuple[Slo, ...]:
        """The preset's limits, each metric's replaced by explicit ones; TTFT first, then TPOT, then E2E."""
        own = {(slo.metric, slo.percentile): slo for slo in self.slos}
        preset = (
            {} if self.preset is None else {(slo.metric, slo.percentile): slo for slo in PRESETS[self.preset]}
        )
        replaced = {slo.metric for slo in self.slos}
        found = (*(slo for slo in preset.values() if slo.metric not in replaced), *own.values())
        return tuple(sorted(found, key=lambda slo: list(Metric).index(slo.metric)))


def _pair(ttft: str, tpot: str) -> tuple[Slo, ...]:
    return (Slo(metric=Metric.TTFT, limit=ttft), Slo(metric=Metric.TPOT, limit=tpot))  # type: ignore[arg-type]  # units are parsed from text


PRESETS: dict[str, tuple[Slo, ...]] = {
    "interactive": _pair("500ms", "30ms"),  # MLPerf Llama-3.1-8B interactive
    "chat": _pair("200ms", "50ms"),  # guidellm SLO guide, chat
    "server": _pair("2s", "100ms"),  # MLPerf Llama-3.1-8B server
    "batch": (),
}
