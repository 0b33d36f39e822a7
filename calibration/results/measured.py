"""A run of a server as a load generator sums it up. Version 1 of the file format.

Times are seconds. What a generator does not tell is null, never guessed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime, Field

from advisor.errors import validated
from advisor.files import read_json, write_text
from advisor.spec.spec import Spec

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
_MOST = 2**53  # a larger count is not exact as a float


class Latency(Spec):
    """One latency of a run, over its answered requests."""

    mean_s: NonNegative | None = None
    p50_s: NonNegative | None = None
    p90_s: NonNegative | None = None
    p95_s: NonNegative | None = None
    p99_s: NonNegative | None = None

    @property
    def known(self) -> bool:
        """Whether there is any figure."""
        return any(value is not None for value in self.model_dump().values())

    @property
    def typical_s(self) -> float | None:
        """The mean, or the median where there is none."""
        return self.mean_s if self.mean_s is not None else self.p50_s


class MeasuredRun(Spec):
    """One load on one server."""

    name: str = Field(min_length=1, description="File and place in it.")
    tool: str = Field(
        min_length=1, description="vllm bench serve, sglang bench_serving, guidellm, aiperf, ..."
    )
    tool_version: str = Field("", description="As the file says; empty: it does not.")
    measured: str = Field("", description="Date, as the file says.")
    engine: str = Field("", description="Whose API was asked; the server may be another's.")
    model: str = Field("", description="As requests name it.")
    request_rate_rps: Positive | None = Field(None, description="Null: as fast as max_concurrency lets.")
    arrival_cv: NonNegative | None = Field(
        None, description="Coefficient of variation of the gaps between arrivals: 0 even, 1 or null Poisson."
    )
    max_concurrency: Annotated[int, Field(ge=1, le=_MOST)] | None = Field(None, description="Null: no limit.")
    completed: Annotated[int, Field(ge=0, le=_MOST)] = Field(description="Answered requests.")
    failed: Annotated[int, Field(ge=0, le=_MOST)] = Field(0, description="The others.")
    duration_s: Positive = Field(description="From the first request to the last answer.")
    prompt_tokens: Positive = Field(description="Mean of the answered requests.")
    output_tokens: Positive = Field(description="Mean of the answered requests.")
    ttft: Latency = Latency()
    tpot: Latency = Latency()
    itl: Latency = Latency()
    e2e: Latency = Latency()
    adapters: Annotated[int, Field(ge=0, le=_MOST)] | None = Field(
        None, description="Distinct adapters asked for."
    )
    max_loras: Annotated[int, Field(ge=0, le=_MOST)] | None = Field(None, description="Slots of the server.")
    max_lora_rank: Annotated[int, Field(ge=0, le=_MOST)] | None = Field(None, description="Of the server.")
    tensor_parallel: Annotated[int, Field(ge=1, le=_MOST)] = 1
    notes: tuple[str, ...] = ()

    @property
    def throughput_rps(self) -> float:
        """Answered requests a second."""
        return self.completed / self.duration_s

    @property
    def latency_s(self) -> float | None:
        """Mean end-to-end latency, told or put together from TTFT and TPOT."""
        if self.e2e.typical_s is not None:
            return self.e2e.typical_s
        ttft, tpot = self.ttft.typical_s, self.tpot.typical_s
        if ttft is None or tpot is None:
            return None
        return ttft + tpot * max(self.output_tokens - 1.0, 0.0)

    @property
    def at_once(self) -> float | None:
        """Mean requests in the server, by Little's law: throughput · latency."""
        latency = self.latency_s
        return None if latency is None else self.throughput_rps * latency


class MeasuredRuns(Spec):
    """A file of runs."""

    schema_version: Literal[1] = Field(description="Version of the file format.")
    created: AwareDatetime = Field(description="When, with time zone.")
    producer: str = Field(min_length=1)
    command: str = Field("", description="Writes the file again.")
    source: str = Field(min_length=1, description="Files that were read.")
    licence: str = Field("", description="Of the source; empty for the user's own.")
    runs: tuple[MeasuredRun, ...] = Field(min_length=1)


def latency_of(values: NDArray[np.float64]) -> Latency:
    """Sum up measured seconds; the empty latency where there is none."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return Latency()
    p50, p90, p95, p99 = (float(value) for value in np.percentile(finite, (50, 90, 95, 99)))
    return Latency(mean_s=float(finite.mean()), p50_s=p50, p90_s=p90, p95_s=p95, p99_s=p99)


def load_runs(path: str | Path) -> MeasuredRuns:
    """Read a file of runs. Raises InputError: missing, broken, or of a newer version."""
    return validated(MeasuredRuns, read_json(path, schema_version=1), str(path))


def save_runs(runs: MeasuredRuns, path: str | Path) -> None:
    """Write a file of runs; the old one stays whole until the new one is complete."""
    write_text(path, runs.model_dump_json(indent=1, exclude_defaults=True) + "\n")
