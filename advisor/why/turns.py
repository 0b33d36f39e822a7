"""What would turn the advice: other loads, other prices, and the uncertain ends of the estimated terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from advisor.deployment import Variant
from advisor.profile import LoraTerm, Provenance
from advisor.recommendation import Option, Turn, cause_word
from advisor.search.found import Entry, Found
from advisor.search.origins import terms_of
from advisor.search.pools import SizedPlan
from advisor.search.question import Question
from advisor.search.trial import Plan, traffic_for
from advisor.search.work import sizer_of
from advisor.trace.scale import faster

_LOADS = (0.5, 2.0)
_RIVALS = 3
_SMALL = 0.04
"""An end of a term's interval that moves the busy time by less than this share is not tried."""
_TERMS = ("lora", "dense", "host")

TurnTask = partial[tuple[Turn, int]]


@dataclass(frozen=True, slots=True)
class Rival:
    """An option that may win when an input changes."""

    key: str
    plan: Plan
    usd_per_device_hour: float
    growth: float = 1.0  # more replicas than the trial asks for, as more traffic asked for them


def turn_tasks(question: Question, found: Found) -> list[TurnTask]:
    """One picklable piece of work a change of input; each returns the turn and the simulations it took."""
    best = found.best
    if best is None or best.sized is None or best.option.outcome is None:
        return []
    rivals = _rivals(found)
    tasks = [partial(_at_load, question, rivals, best.option.key, factor) for factor in _LOADS]
    variant = best.sized.plan.variant
    shares = {row.term: row.share_of_busy_time for row in terms_of(variant, best.option.outcome)}
    nearest = rivals[:2]
    for term in _TERMS:
        for end in _interval(variant, term):
            if abs(end - 1.0) * shares.get(term, 0.0) >= _SMALL:
                tasks.append(partial(_at_end, question, nearest, best.option.key, term, end))
    return tasks


def price_turn(found: Found) -> Turn | None:
    """The price of the winner's device above which an option on another device is cheaper."""
    best = found.best
    if best is None or not best.option.devices or best.option.usd_per_device_hour is None:
        return None
    other = next((e.option for e in found.entries if _other_device(e, best)), None)
    if other is None or other.usd_per_hour is None:
        return None
    price = (other.usd_per_hour - _training(best.option)) / best.option.devices
    return Turn(
        what=f"price of {best.option.device}",
        value=f"above {price:.2f} USD/h a device (now {best.option.usd_per_device_hour:.2f})",
        recommended=other.key,
        usd_per_hour=other.usd_per_hour,
        turns=True,
    )


def _training(option: Option) -> float:
    return 0.0 if option.speculation is None else option.speculation.training_usd_per_hour


def _other_device(entry: Entry, best: Entry) -> bool:
    option = entry.option
    return option.feasible and not option.is_reference and option.device != best.option.device


def _rivals(found: Found) -> list[Rival]:
    """The best option of each way on each device, by rank: the recommended one first."""
    chosen: dict[tuple[str, str], Rival] = {}
    for entry in found.entries:
        option = entry.option
        if entry.sized is None or option.is_reference or option.usd_per_device_hour is None:
            continue
        rival = Rival(option.key, entry.sized.plan, option.usd_per_device_hour, entry.sized.growth)
        chosen.setdefault((option.way, option.device), rival)
    return list(chosen.values())[:_RIVALS]


def _at_load(question: Question, rivals: Sequence[Rival], best: str, factor: float) -> tuple[Turn, int]:
    changed = replace(question, trial=faster(question.trial, factor))
    return _turn("load", f"{factor:g}×", best, changed, [_grown(rival, factor) for rival in rivals])


def _grown(rival: Rival, factor: float) -> Rival:
    """The rival with replicas in proportion to the load, a place to begin from."""
    replicas = tuple(max(1, round(count * factor)) for count in rival.plan.replicas)
    return replace(rival, plan=replace(rival.plan, replicas=replicas))


def _at_end(
    question: Question, rivals: Sequence[Rival], best: str, term: str, end: float
) -> tuple[Turn, int]:
    changed = [replace(r, plan=replace(r.plan, variant=_scaled(r.plan.variant, term, end))) for r in rivals]
    return _turn(f"time of {cause_word(term)}", f"{end:.2f}× (end of its interval)", best, question, changed)


def _turn(what: str, value: str, best: str, question: Question, rivals: Sequence[Rival]) -> tuple[Turn, int]:
    """Size the rivals anew and name the cheapest that holds."""
    rows, simulations = [], 0
    for rival in rivals:
        sized, runs = _resized(question, rival.plan)
        simulations += runs
        if sized.trial.holds:
            devices = sized.plan.variant.terms.tensor_parallel * _in_proportion(sized.plan, rival.growth)
            usd_per_hour = rival.usd_per_device_hour * devices + rival.plan.variant.training_usd_per_hour
            rows.append((usd_per_hour, rival.key))
    price, key = min(rows) if rows else (None, "none of the best few")
    return Turn(what=what, value=value, recommended=key, usd_per_hour=price, turns=key != best), simulations


def _in_proportion(plan: Plan, growth: float) -> int:
    """Replicas of a plan that was sized on the trial, with what more traffic asked for beyond it."""
    return max(sum(plan.replicas), round(sum(plan.replicas) * growth))


def _resized(question: Question, plan: Plan) -> tuple[SizedPlan, int]:
    """The same knobs with as many replicas as it takes now, sought from those it has."""
    sizer = sizer_of(question)
    traffic = traffic_for(plan.variant, question.trial, question.adapters.names)
    if plan.variant.has_pools:
        sized = sizer.several(plan.variant, plan.limits, traffic)
    else:
        sized = sizer.one_pool(plan.variant, plan.limits, traffic[0], plan.replicas[0])
    return sized, sizer.runner.simulations


def _interval(variant: Variant, term: str) -> tuple[float, float]:
    provenance: Provenance | None = (
        getattr(variant.terms, term, None) if term != "host" else variant.profile.host
    )
    return (1.0, 1.0) if provenance is None else provenance.interval


def _scaled(variant: Variant, term: str, factor: float) -> Variant:
    """The same variant with one term's seconds multiplied."""
    if term == "host":
        host = variant.profile.host
        names = ("fixed_s", "per_sequence_s", "per_token_s", "epsilon_s")
        scaled = host.model_copy(update={name: getattr(host, name) * factor for name in names})
        return replace(variant, profile=variant.profile.model_copy(update={"host": scaled}))
    terms = variant.terms
    if term == "dense":
        dense = terms.dense.model_copy(update={"y_s": tuple(y * factor for y in terms.dense.y_s)})
        return replace(variant, terms=terms.model_copy(update={"dense": dense}))
    if terms.lora is None:
        return variant
    seconds = [name for name in LoraTerm.model_fields if name.endswith("_s")]
    lora = terms.lora.model_copy(update={name: getattr(terms.lora, name) * factor for name in seconds})
    return replace(variant, terms=terms.model_copy(update={"lora": lora}))
