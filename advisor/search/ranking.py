"""Size and price every way to serve, then rank.

Cheap candidates first (by algebra), so that a good price is known early and the knobs of what
cannot come near it are not searched. Everything is simulated on the same trial trace with the same
seed; the best few are confirmed on a longer stretch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from advisor.cost import cost_of
from advisor.deployment import Variant
from advisor.recommendation import Option, Pool
from advisor.search.candidates import memory_reason, refused_option, spec_choice, variants
from advisor.search.knobs import start_limits, with_slots
from advisor.search.origins import origin_of, terms_of
from advisor.search.pools import SizedPlan, Sizer
from advisor.search.question import Offer, Question, stretch
from advisor.search.trial import PoolTraffic, Runner, Trial, traffic_of

_NEAR = 1.5
"""Knobs are searched for candidates whose price is within this factor of the best."""
_FAR = 4.0
"""Sizing stops where a variant costs this many times the best."""
_CONFIRMED = 3
_CONFIRM_FACTOR = 5

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Work:
    """A variant to size."""

    optimistic_usd_per_hour: float  # by algebra
    variant: Variant
    offer: Offer
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A sized candidate: what the option says and what later studies need."""

    option: Option
    offer: Offer
    sized: SizedPlan | None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """All entries, ranked."""

    entries: tuple[Entry, ...]
    candidates: int
    simulations: int
    runner: Runner
    duration_s: float

    @property
    def best(self) -> Entry | None:
        """The recommended one: the first feasible that can serve the adapters."""
        return next((e for e in self.entries if e.option.feasible and not e.option.is_reference), None)


def search(question: Question, progress: Progress | None = None) -> Found:
    """Size every candidate and rank the options."""
    tell = progress or (lambda _share, _what: None)
    runner = Runner(question.scenario.objective, question.ranks, question.scenario.seed)
    duration_s = max(question.trial.duration_s, 1e-9)
    sizer = Sizer(question, runner, duration_s)
    traffic = {
        way: traffic_of(way, question.trial, question.adapters.names)
        for way in ("base", "multi-lora", "merged")
    }
    entries: list[Entry] = []
    waiting: list[Work] = []
    offers = {offer.profile.device.name: offer for offer in question.offers}
    for item in variants(question):
        if isinstance(item, Option):
            entries.append(Entry(item, offers[item.device], None))
            continue
        variant, warnings = item
        offer = offers[variant.profile.device.name]
        reason = memory_reason(question, variant, traffic["base"][0])
        if reason is not None:
            option = refused_option(
                question, offer, variant.way, variant.terms.tensor_parallel, variant.key, reason, "memory"
            )
            entries.append(Entry(option, offer, None))
            continue
        price = _optimistic(question, sizer, variant, offer, traffic[variant.way])
        waiting.append(Work(price, variant, offer, warnings))
    waiting.sort(key=lambda work: work.optimistic_usd_per_hour)
    best = {True: float("inf"), False: float("inf")}  # of the reference, of what can be recommended
    candidates = 0
    for done, work in enumerate(waiting):
        tell(0.8 * done / len(waiting), work.variant.key)
        sized = _sized(sizer, work, traffic[work.variant.way], best[work.variant.way == "base"])
        candidates += sized.tried
        option = option_of(question, work, sized, traffic[work.variant.way])
        if option.feasible and option.usd_per_hour is not None:
            best[option.way == "base"] = min(best[option.way == "base"], option.usd_per_hour)
        entries.append(Entry(option, work.offer, sized, work.warnings))
    tell(0.8, "confirming the best on a longer stretch")
    ranked = ranked_entries(question, entries)
    ranked = ranked_entries(question, _confirmed(question, runner, ranked))
    return Found(tuple(ranked), candidates, runner.simulations, runner, duration_s)


def _optimistic(
    question: Question, sizer: Sizer, variant: Variant, offer: Offer, traffic: tuple[PoolTraffic, ...]
) -> float:
    """A guess of the price from algebra, to order the work."""
    limits = start_limits(question, variant)
    if variant.way == "multi-lora":
        slots = min(16, len(question.adapters.names))
        limits = with_slots(question, variant, limits, slots)
    price = float("inf") if offer.price is None else offer.price.usd_per_hour
    largest = max(traffic, key=lambda pool: len(pool.trace))
    replicas = sizer.guess(variant, limits, largest) + len(traffic) - 1
    return price * replicas * variant.terms.tensor_parallel


def _sized(sizer: Sizer, work: Work, traffic: tuple[PoolTraffic, ...], best_usd_per_hour: float) -> SizedPlan:
    """Size one variant; search its knobs only where that could make it the best."""
    variant, near = work.variant, work.optimistic_usd_per_hour <= _NEAR * best_usd_per_hour
    sizer = replace(sizer, affordable=_affordable(work, best_usd_per_hour))
    floored = sizer.floored(variant, traffic)
    if floored is not None:
        return floored
    if variant.way == "merged":
        return sizer.merged(variant, traffic)
    if variant.way == "multi-lora":
        sized = sizer.multi_lora(variant, traffic[0], climb=near)
    else:
        sized = sizer.one_pool(variant, start_limits(sizer.question, variant), traffic[0])
    price = float("inf") if work.offer.price is None else work.offer.price.usd_per_hour
    degree = variant.terms.tensor_parallel
    with_one_less = price * (sized.plan.devices - (degree if sized.trial.holds else 0))
    if with_one_less < best_usd_per_hour:
        sized = sizer.tightened(sized, traffic[0])
    return sized


def _affordable(work: Work, best_usd_per_hour: float) -> int | None:
    """Replicas at which a variant costs so much more than the best that its exact number tells nothing."""
    price = None if work.offer.price is None else work.offer.price.usd_per_hour
    if price is None or best_usd_per_hour == float("inf"):
        return None
    return max(1, int(_FAR * best_usd_per_hour / (price * work.variant.terms.tensor_parallel)))


def _confirmed(question: Question, runner: Runner, ranked: list[Entry]) -> list[Entry]:
    """Run the best few on a longer stretch; one that breaks there gets the replicas it needs."""
    count = min(len(question.whole), _CONFIRM_FACTOR * len(question.trial))
    if count <= len(question.trial):
        return ranked
    longer = stretch(question.whole, 0, count)
    sizer = Sizer(question, runner, max(longer.duration_s, 1e-9))
    result, left = [], _CONFIRMED
    for entry in ranked:
        if left and entry.sized is not None and entry.option.feasible and not entry.option.is_reference:
            left -= 1
            traffic = traffic_of(entry.option.way, longer, question.adapters.names)
            again = _on_longer(sizer, entry.sized, traffic)
            work = Work(0.0, again.plan.variant, entry.offer, entry.warnings)
            entry = Entry(option_of(question, work, again, traffic), entry.offer, again, entry.warnings)
        result.append(entry)
    return result


def _on_longer(sizer: Sizer, sized: SizedPlan, traffic: tuple[PoolTraffic, ...]) -> SizedPlan:
    """The same plan on other traffic, with more replicas if it needs them there."""
    trial = sizer.runner.run(sized.plan, traffic, sizer.duration_s)
    if trial.holds:
        return replace(sized, trial=trial)
    plan = sized.plan
    if plan.variant.way == "merged":
        return sizer.merged(plan.variant, traffic)
    return sizer.one_pool(plan.variant, plan.limits, traffic[0], plan.replicas[0])


def option_of(question: Question, work: Work, sized: SizedPlan, traffic: tuple[PoolTraffic, ...]) -> Option:
    """Put a sized plan into the words of the answer."""
    variant, offer, warnings = work.variant, work.offer, work.warnings
    plan, trial = sized.plan, sized.trial
    degree, price = variant.terms.tensor_parallel, offer.price
    cost = None
    if price is not None:
        out = trial.outcome
        cost = cost_of(plan.devices, price.usd_per_hour, out.total_tokens_per_s, out.output_tokens_per_s)
    reason, bound = _reason(question, sized, None if cost is None else cost.usd_per_hour)
    terms = terms_of(variant, trial.outcome)
    return Option(
        key=variant.key,
        way=variant.way,
        device=variant.profile.device.name,
        profile=variant.profile.name,
        engine=variant.profile.engine,
        engine_version=variant.profile.engine_version,
        tensor_parallel=degree,
        speculation=spec_choice(variant.drafting),
        limits=plan.limits,
        router=variant.router,
        memory_share=variant.memory_share,
        feasible=not bound,
        reason=reason,
        bound=bound,  # type: ignore[arg-type]  # one of the literals by construction
        pools=_pools(plan.replicas, degree, traffic),
        replicas=sum(plan.replicas),
        devices=plan.devices,
        usd_per_device_hour=None if price is None else price.usd_per_hour,
        price_source="" if price is None else f"{price.provider}, {price.date}",
        usd_per_hour=None if cost is None else cost.usd_per_hour,
        usd_per_mtok=None if cost is None else cost.usd_per_mtok,
        usd_per_mtok_output=None if cost is None else cost.usd_per_mtok_output,
        outcome=trial.outcome,
        checks=trial.checks,
        memory=variant.memory(plan.limits),
        warnings=warnings,
        origin=origin_of(terms),
        is_reference=variant.way == "base" and bool(question.adapters.names),
    )


def _pools(replicas: tuple[int, ...], degree: int, traffic: tuple[PoolTraffic, ...]) -> tuple[Pool, ...]:
    return tuple(
        Pool(
            name=p.name,
            adapters=p.adapters,
            replicas=count,
            devices=count * degree,
            share_of_requests=p.share,
        )
        for p, count in zip(traffic, replicas, strict=True)
    )


def _reason(question: Question, sized: SizedPlan, usd_per_hour: float | None) -> tuple[str, str]:
    budget = question.scenario.objective.budget
    if sized.floor:
        return sized.floor, "slo"
    if not sized.trial.holds:
        at = "" if usd_per_hour is None else f" ({usd_per_hour:.2f} USD/h)"
        on = (
            "; more replicas do not help"
            if sized.stagnant
            else f" on {sum(sized.plan.replicas)} replicas{at}"
        )
        return _breach(sized.trial) + on, "slo" if sized.stagnant else "replicas"
    if usd_per_hour is None:
        return "no price is known for this device; give your own under prices.own", "price"
    if budget is not None and usd_per_hour > budget:
        return f"costs {usd_per_hour:.2f} USD/h; the budget is {budget:.2f}", "budget"
    return "", ""


def _breach(trial: Trial) -> str:
    """The limit that is missed by most."""
    broken = [check for check in trial.checks if not check.holds]
    if not broken:
        return "queues grow without end"
    check = max(broken, key=lambda c: c.value / c.limit)
    if check.metric == "goodput":
        return f"{check.value:.1%} of requests meet every limit, {check.limit:.1%} are asked,"
    name, value, limit = check.metric.upper(), check.value * 1e3, check.limit * 1e3
    return f"{name} p{check.percentile:g} is {value:.0f} ms, the limit is {limit:.0f} ms"


def ranked_entries(question: Question, entries: list[Entry]) -> list[Entry]:
    """Feasible first: by price, then by strain (cheapest), or by mean E2E (fastest); then the infeasible."""
    fastest = question.scenario.objective.goal == "fastest"

    def place(entry: Entry) -> tuple[object, ...]:
        option, sized = entry.option, entry.sized
        price = option.usd_per_hour if option.usd_per_hour is not None else float("inf")
        strain = float("inf") if sized is None else sized.trial.strain
        speed = float("inf") if option.outcome is None else option.outcome.e2e.mean_s
        first, second = (speed, price) if fastest else (price, strain)
        return (not option.feasible, sized is None, first, second, option.key)

    return sorted(entries, key=place)
