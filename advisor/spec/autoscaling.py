"""Replicas that come and go with the load: whether the advice may count on them."""

from __future__ import annotations

from pydantic import Field

from advisor.spec.quantities import Duration
from advisor.spec.spec import Spec


class Autoscaling(Spec):
    """Allows fleets that scale with the load, beside fixed ones; how far they grow comes from the peak."""

    min_replicas: int = Field(
        0, ge=0, le=10_000, description="Replicas that always stand ready, at least; 0 lets it scale to zero."
    )
    start_up: Duration | None = Field(
        None,
        le=86_400,
        description="From the decision until a replica serves: node, image, weights, engine. Time yours; if "
        "left out, it is estimated from the weights and a published engine start, without node and image.",
    )
    target: float | None = Field(
        None,
        gt=0,
        le=100_000,
        description="Unfinished requests a replica, above which another one starts; searched if left out.",
    )
    check_every: Duration = Field(
        15.0,
        ge=1,
        le=3600,
        description="Between two looks at the load; Kubernetes takes 15s, and KEDA no less than 1s.",
    )
    window: Duration = Field(
        300.0,
        le=3600,
        description="A replica goes only if not wanted for so long; Kubernetes takes 5min, at most 1h.",
    )
