"""What may be different from a scenario, and the scenario that it makes: one that can be asked in full."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from advisor.catalog.acceptance import acceptance_of
from advisor.errors import InputError
from advisor.spec.adapter import AdapterFolders, Adapters, SharesPopularity, ZipfPopularity
from advisor.spec.objective import Metric, Objective, Slo
from advisor.spec.price import OwnPrice
from advisor.spec.scenario import Scenario
from advisor.spec.spec import Origin, Spec
from advisor.spec.speculation import Acceptance, Draft
from advisor.spec.workload import (
    Arrivals,
    DiurnalArrivals,
    FittedWorkload,
    Generator,
    OnOffArrivals,
    TraceFile,
    Workload,
)
from advisor.trace.fitted import load_fitted


class Changes(Spec):
    """What is different; a field left out stays as it is."""

    load: float = Field(1.0, gt=0, le=1000, description="Multiple of the asked load.")
    adapters: int | None = Field(None, ge=1, le=100_000, description="How many adapters are deployed.")
    rank: int | None = Field(None, ge=1, le=512, description="One rank for all.")
    zipf: float | None = Field(None, ge=0, le=5, description="Exponent of a Zipf popularity.")
    accepted: float = Field(1.0, ge=0, le=10, description="Multiple of the accepted drafts of a verify step.")
    usd_per_device_hour: dict[str, float] = Field(
        default_factory=dict, description="Price of a device, by its name."
    )
    limits_s: dict[Metric, float] = Field(
        default_factory=dict, description="Limit of a metric in seconds, percentile as asked."
    )


def changed(scenario: Scenario, changes: Changes, folder: Path = Path()) -> Scenario:
    """The scenario with the changes written into it; without any, the same.

    Args:
        scenario: as asked.
        changes: what is different.
        folder: where relative paths of the scenario start.

    Raises:
        InputError: a change that this scenario has no place for; says why.
    """
    update: dict[str, Any] = {}
    if changes.load != 1.0:
        update["workload"] = _faster(scenario.workload, changes.load, folder)
    if (changes.adapters, changes.rank, changes.zipf) != (None, None, None):
        update["adapters"] = _adapters(scenario, changes)
    if changes.accepted != 1.0:
        drafts = tuple(_accepted(draft, changes.accepted) for draft in scenario.speculation.drafts)
        update["speculation"] = scenario.speculation.model_copy(update={"drafts": drafts})
    if changes.usd_per_device_hour:
        kept = tuple(own for own in scenario.prices.own if own.device not in changes.usd_per_device_hour)
        new = tuple(OwnPrice(device=d, price=f"{p!r} USD/h") for d, p in changes.usd_per_device_hour.items())  # type: ignore[arg-type]  # units are parsed from text
        update["prices"] = scenario.prices.model_copy(update={"own": (*kept, *new)})
    if changes.limits_s:
        update["objective"] = _objective(scenario.objective, changes.limits_s)
    return scenario.model_copy(update=update)


def _faster(work: Workload, by: float, folder: Path) -> Workload:
    if isinstance(work, TraceFile):
        return work.model_copy(update={"rate_scale": work.rate_scale * by})
    if isinstance(work, FittedWorkload):
        rate = work.rate if work.rate is not None else load_fitted(work.name, folder).arrivals.rate_rps
        return work.model_copy(update={"rate": rate * by})
    if isinstance(work, Generator):
        return work.model_copy(update={"arrivals": _arrivals(work.arrivals, by)})
    streams = tuple(one.model_copy(update={"arrivals": _arrivals(one.arrivals, by)}) for one in work.streams)
    return work.model_copy(update={"streams": streams})


def _arrivals(arrivals: Arrivals, by: float) -> Arrivals:
    if isinstance(arrivals, OnOffArrivals):
        return arrivals.model_copy(update={"rate_on": arrivals.rate_on * by})
    if isinstance(arrivals, DiurnalArrivals):
        return arrivals.model_copy(update={"mean_rate": arrivals.mean_rate * by})
    return arrivals.model_copy(update={"rate": arrivals.rate * by})


def _adapters(scenario: Scenario, changes: Changes) -> Adapters:
    spec = scenario.adapters
    if isinstance(spec, AdapterFolders):
        raise InputError(
            "adapters: are given as folders; allowed: adapters by number. Write `count` and `rank` instead."
        )
    update: dict[str, Any] = {}
    if changes.rank is not None:
        update |= {"rank": changes.rank, "ranks": ()}
    if changes.zipf is not None:
        update["popularity"] = ZipfPopularity(kind="zipf", exponent=changes.zipf)
    if changes.adapters is not None and changes.adapters != spec.count:
        update["count"] = changes.adapters
        if isinstance(spec.popularity, SharesPopularity) and changes.zipf is None:
            raise InputError(
                f"adapters.popularity: gives a share for each of {spec.count} adapters; allowed with another "
                "number: a Zipf popularity. Choose its exponent too."
            )
    return spec.model_copy(update=update)


def _accepted(draft: Draft, by: float) -> Draft:
    """The draft with its accepted tokens multiplied, position by position; a share stays at most 1."""
    base, adapter = (_times(one, by) for one in acceptance_of(draft))
    return draft.model_copy(update={"base_acceptance": base, "adapter_acceptance": adapter})


def _times(acceptance: Acceptance, by: float) -> Acceptance:
    marginals = tuple(min(1.0, share * by) for share in acceptance.marginals)
    source = f"{acceptance.source}; what if: times {by:g}"
    return Acceptance(marginals=marginals, origin=Origin.ESTIMATED, source=source)


def _objective(objective: Objective, limits_s: dict[Metric, float]) -> Objective:
    """Every limit written out, those of the changed metrics replaced; a metric without one gets it at p99."""
    kept = [
        slo.model_copy(update={"limit": limits_s[slo.metric]}) if slo.metric in limits_s else slo
        for slo in objective.limits
    ]
    new = [
        Slo(metric=metric, limit=f"{limit!r}s")  # type: ignore[arg-type]  # units are parsed from text
        for metric, limit in limits_s.items()
        if all(slo.metric is not metric for slo in kept)
    ]
    return objective.model_copy(update={"preset": None, "slos": (*kept, *new)})
