"""What scaling saves and its start-ups cost, and what a provider would be like, in plain words."""

from __future__ import annotations

import math

from advisor.bought import Bought
from advisor.elastic import Elastic
from advisor.recommendation import Option
from advisor.search.found import Found
from advisor.spec.quantities import significant
from advisor.spec.spec import Origin
from advisor.why.words import limits_words

_WAYS = {"base": "the base model", "multi-lora": "one multi-LoRA pool"}


def summary_with_others(fixed: str, found: Found) -> str:
    """The whole summary: what stands beside the fixed fleets comes first where it is what is advised.

    Args:
        fixed: the summary of the fixed fleets.
        found: all options, ranked.
    """
    scaling, bought = _scaling_words(found), _bought_words(found)
    if found.best is not None and found.best.option.scaling is not None:
        told = "Reasons, turning values and draws are of the fixed fleet:"
        return " ".join(filter(None, (scaling, f"{told} {fixed[0].lower()}{fixed[1:]}", bought)))
    return " ".join(filter(None, (fixed, scaling, bought)))


def _bought_words(found: Found) -> str:
    """A sentence a provider that was simulated, one for all that do not sell it."""
    said = []
    bought = [entry.option for entry in found.entries if entry.option.bought is not None]
    for option in bought:
        if option.outcome is None or option.bought is None:
            continue
        verdict = "every limit would hold" if option.feasible else option.reason
        said.append(
            f"Bought by the token ({option.bought.provider}) it would cost {option.usd_per_hour:.2f} USD/h; "
            f"{verdict}, but that latency is an assumption ({option.bought.assumption})."
            f"{_shared_with(option.bought)}"
        )
    refusing = [option.bought.provider for option in bought if option.bought and option.outcome is None]
    if refusing:
        said.append(f"By the token {' and '.join(refusing)} do not sell these adapters.")
    return " ".join(said)


def _shared_with(bought: Bought) -> str:
    """What other tenants and cold starts add to the time to the first token."""
    parts = bought.ttft_parts_s
    if not parts:
        return ""
    alone, cold, others = (f"{parts[name]:.2f} s" for name in ("alone, warm", "cold starts", "other tenants"))
    total = f"{math.fsum(parts.values()):.2f} s"
    return (
        f" Of its mean TTFT of {total} {alone} would be there alone and warm; cold starts add {cold}, other "
        f"tenants {others}."
    )


def _scaling_words(found: Found) -> str:
    """A few sentences: of the best fleet that scales, or why none does; empty where none was looked at."""
    tried = [e.option for e in found.entries if e.option.scaling is not None and not e.option.is_reference]
    if not tried:
        return ""
    option = next((one for one in tried if one.feasible), tried[0])
    scaling = option.scaling
    assert scaling is not None  # they were chosen by it
    if not option.feasible:
        ready = (
            "from zero"
            if not scaling.min_replicas
            else f"with {_replicas(scaling.min_replicas)} always ready"
        )
        said = f"Scaling {option.device} with the load does not do, {ready}: {option.reason}."
        return f"{said} {_start_up(scaling)}"
    return " ".join(
        (_fleet(option, scaling), _saving(option, scaling), _start_up(scaling), _waits(option, scaling))
    )


def _fleet(option: Option, scaling: Elastic) -> str:
    return (
        f"Scaled with the load, {_WAYS[option.way]} on {option.device} has {scaling.min_replicas} to "
        f"{_replicas(scaling.max_replicas)}, {significant(scaling.mean_replicas)} on average, one for every "
        f"{scaling.target:g} unfinished requests, with {scaling.starts} start-ups over the traffic: "
        f"{limits_words(option.checks)}."
    )


def _saving(option: Option, scaling: Elastic) -> str:
    if option.usd_per_hour is None or scaling.fixed_usd_per_hour is None:
        return ""
    share = 1 - option.usd_per_hour / scaling.fixed_usd_per_hour
    change = f"{share:.0%} less than" if share > 0 else f"{-share:.0%} more than"
    return (
        f"It costs {option.usd_per_hour:.2f} USD/h on average, {change} the {scaling.fixed_usd_per_hour:.2f} "
        f"of the {_replicas(scaling.fixed_replicas)} that carry the peak all the time."
    )


def _start_up(scaling: Elastic) -> str:
    said = "yours" if scaling.start_up_origin is Origin.MEASURED else "an estimate without node and image"
    return f"A start-up takes {scaling.start_up_s:.0f} s ({said})."


def _waits(option: Option, scaling: Elastic) -> str:
    if not scaling.waited_share:
        return "Nobody waits for a first replica; start-ups show as queueing behind those that run."
    mean = "" if option.outcome is None else f", of a mean TTFT of {option.outcome.ttft.mean_s:.2f} s"
    said = (
        f"{scaling.waited_share:.1%} of the requests wait for a first replica, which is "
        f"{scaling.waited_mean_s:.2f} s over all{mean}; what queues meanwhile waits on."
    )
    limits = [check.limit for check in option.checks if check.metric == "ttft"]
    if option.outcome is None or not limits or option.outcome.ttft.p99_s <= max(limits):
        return said
    return (
        f"{said} The limit that was asked does not see all of them: 1 % of the requests wait longer than "
        f"{significant(option.outcome.ttft.p99_s)} s for their first token."
    )


def _replicas(count: int) -> str:
    return "1 replica" if count == 1 else f"{count} replicas"
