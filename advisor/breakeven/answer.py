"""What `advisor breakeven` answers and what its `--json` prints. Schema version 1."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from advisor.recommendation import WorkloadFacts
from advisor.spec.spec import Spec


class Crossing(Spec):
    """Where a curve crosses. Null: beyond what was looked at, on that side (see `words`)."""

    value: float | None
    low: float | None = Field(description="5 % of the draws lie below.")
    high: float | None = Field(description="95 % of the draws lie below; null: the curves need not cross.")
    words: str


class MergePoint(Spec):
    """Merging against multi-LoRA with this many adapters."""

    adapters: int
    max_loras: int = Field(description="Slots with which one replica carries most.")
    multi_lora_rps: float = Field(description="Largest load of a single multi-LoRA replica; 0: none holds.")
    multi_lora_large_pool_rps: float = Field(description="Of each replica of a pool of three.")
    multi_lora_large_pool_low_rps: float
    multi_lora_large_pool_high_rps: float
    crossing_rps: Crossing = Field(description="Load from which on merging costs no more than multi-LoRA.")
    replicas: tuple[tuple[int | None, int | None], ...] = Field(
        description="At each of `loads_rps`: replicas of multi-LoRA, of merged; null: no number holds."
    )


class MergeCurve(Spec):
    """Merging against multi-LoRA over (adapters x load), on one kind of device."""

    merged_rps: float = Field(description="Largest load of a single merged replica; 0: none holds.")
    merged_low_rps: float
    merged_high_rps: float
    merged_large_pool_rps: float = Field(description="Of each replica of a pool of three.")
    loads_rps: tuple[float, ...]
    points: tuple[MergePoint, ...]


class PackingCurve(Spec):
    """How many adapters fit on one multi-LoRA replica, if each brings its mean load."""

    rps_per_adapter: float
    adapters: tuple[int, ...]
    carried_rps: tuple[float, ...] = Field(description="Largest load of the replica with so many adapters.")
    asked_rps: tuple[float, ...] = Field(description="What so many adapters ask for.")
    crossing_adapters: Crossing


class DraftPoint(Spec):
    """Speculation at this batch size."""

    batch: int
    adapters: int = Field(description="Distinct adapters expected in the batch.")
    plain_step_s: float
    verify_step_s: float
    tokens_needed: float = Field(description="Tokens a verify step at which speculation just pays.")
    tokens_needed_low: float
    tokens_needed_high: float
    acceptance_needed: float | None = Field(
        description="The same as independent acceptance of each draft; null: even 1 does not pay."
    )


class DraftCurve(Spec):
    """Speculation over batch size and acceptance."""

    draft: str
    draft_length: int
    way: str
    tokens_per_step: float = Field(
        description="Of this draft on the adapters, by the scenario or the catalog."
    )
    origin: str
    points: tuple[DraftPoint, ...]
    crossing_batch: Crossing = Field(description="Largest batch at which speculation pays.")


class TokensCurve(Spec):
    """Dedicated multi-LoRA replicas against one provider's tokens, over load."""

    provider: str
    usd_per_request: float = Field(description="By the token, at the base model's price.")
    crossing_rps: Crossing = Field(description="Load from which on replicas are never the dearer.")


class BreakEven(Spec):
    """Curves and their crossings for one scenario on one kind of device."""

    schema_version: Literal[1] = 1
    producer: str
    scenario: str
    model: str
    seed: int
    device: str
    tensor_parallel: int
    usd_per_device_hour: float | None
    objective: str
    workload: WorkloadFacts
    draws: int = Field(description="Draws behind the intervals of simulated curves; 0: no intervals.")
    simulations: int
    merge: MergeCurve | None = Field(description="Null where the scenario has no adapters.")
    packing: PackingCurve | None
    drafts: tuple[DraftCurve, ...]
    tokens: tuple[TokensCurve, ...] = Field(description="Empty: no price of tokens or replicas is known.")
    notes: tuple[str, ...]
