"""An option whose replicas come and go: a part of the recommendation."""

from __future__ import annotations

from pydantic import Field

from advisor.spec.spec import Origin, Spec


class Elastic(Spec):
    """A fleet that scaled with the load over the whole traffic."""

    min_replicas: int
    max_replicas: int
    target: float = Field(description="Unfinished requests a replica, above which another one starts.")
    check_s: float
    window_s: float
    start_up_s: float = Field(description="From the decision until a replica serves.")
    start_up_origin: Origin
    start_up_source: str
    mean_replicas: float = Field(description="Paid replica-seconds over the length of the run.")
    starts: int = Field(description="Start-ups within the traffic.")
    waited_share: float = Field(description="Share of the requests that waited for a start-up.")
    waited_mean_s: float = Field(description="Mean wait for a start-up, over all requests; part of TTFT.")
    fixed_replicas: int = Field(description="Of the fixed fleet that was sized at the peak.")
    fixed_usd_per_hour: float | None = Field(description="Price of that fleet; null: no price is known.")
