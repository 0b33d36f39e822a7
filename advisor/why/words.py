"""The answer in plain words, with the figures that decide it."""

from __future__ import annotations

from advisor.recommendation import Option, SloCheck, cause_word
from advisor.search.batchsteps import pays_up_to
from advisor.search.found import Entry, Found
from advisor.search.question import Question
from advisor.spec.objective import Objective
from advisor.spec.quantities import duration_text, told_apart
from advisor.spec.spec import Origin
from advisor.why.described import WAY_WORDS, described, machines, price_words, simulate_command

_THIN, _ROOMY = 1.1, 1.2
"""Headroom below which the summary warns, and from which another option is named instead."""


def objective_words(objective: Objective) -> str:
    """The objective in one line."""
    limits = [
        f"{slo.metric.value.upper()} p{slo.percentile:g} ≤ {_spaced(duration_text(slo.limit))}"
        for slo in objective.limits
    ]
    if objective.goodput_share is not None:
        limits.append(f"{objective.goodput_share:.1%} of requests within every limit")
    goal = "cheapest deployment" if objective.goal == "cheapest" else "fastest deployment"
    budget = f" for at most {objective.budget:g} USD/h" if objective.budget is not None else ""
    return f"{goal}{budget} with {', '.join(limits) if limits else 'queues that do not grow'}"


def _spaced(quantity: str) -> str:
    """A quantity for people: 200 ms."""
    number = quantity.rstrip("abcdefghijklmnopqrstuvwxyz")
    return f"{number} {quantity[len(number) :]}"


def summary_of(question: Question, found: Found) -> str:
    """One paragraph: what to do, what it costs, why not the others, how sure."""
    best = found.best
    if best is None:
        return _nothing(question, found)
    option = best.option
    parts = [f"Serve {described(option)}: {machines(option)}, {price_words(option)}."]
    if option.outcome is not None:
        rate = question.whole.rate_rps
        asked = f"At the asked load of {rate:.3g} requests/s"
        if question.scenario.autoscaling is not None:
            asked = f"At the peak of the load, {question.trial.rate_rps:.3g} requests/s"
        parts.append(f"{asked}: {limits_words(option.checks)}.")
    if option.way in ("multi-lora", "hybrid") and option.limits is not None and option.memory is not None:
        kept = f"{option.memory.slots_bytes / 2**30:.1f} GiB are slots now"
        if option.limits.batching == "one_adapter":
            parts.append(f"All adapters stay in memory ({kept}); a step holds one of them, others wait.")
        elif question.scenario.engine.max_loras is None:
            parts.append(
                f"Keep max_loras at {option.limits.max_loras}: fewer slots make requests wait for their "
                f"adapter, more take KV memory ({kept})."
            )
        else:
            parts.append(f"max_loras is {option.limits.max_loras}, as you set it ({kept}).")
    parts.extend(_drafts(question, best))
    parts.extend(_draws(best))
    parts.extend(_margin(found, option))
    parts.extend(_rival(found, option))
    reference = next(
        (
            e.option
            for e in found.entries
            if e.option.is_reference
            and e.option.device == option.device
            and e.option.feasible
            and e.option.quantised == option.quantised
        ),
        None,
    )
    if reference is not None and reference.usd_per_hour and option.usd_per_hour:
        parts.append(
            f"The base model alone would need {reference.devices} x {reference.device} at this load "
            f"({reference.usd_per_hour:.2f} USD/h): {_extra(option.usd_per_hour - reference.usd_per_hour)}."
        )
    if option.origin.badness > Origin.FITTED.badness:
        parts.append(f"The figures rest in part on {option.origin.value} terms; see the list of origins.")
    return " ".join(parts)


def _extra(usd_per_hour: float) -> str:
    """What adapters cost beside their base model."""
    if abs(usd_per_hour) < 0.005:
        return "the adapters add nothing to the price"
    if usd_per_hour < 0:
        return f"speculation saves {-usd_per_hour:.2f} USD/h more than the adapters cost"
    return f"the adapters cost {usd_per_hour:.2f} USD/h"


def limits_words(checks: tuple[SloCheck, ...]) -> str:
    """Each limit with what was simulated."""
    texts = []
    for check in checks:
        if check.metric == "goodput":
            texts.append(f"goodput {check.value:.1%} (asked {check.limit:.1%})")
        else:
            value, limit = told_apart(check.value * 1e3, check.limit * 1e3)
            unit = "ms"
            if check.limit >= 10.0:
                unit, (value, limit) = "s", told_apart(check.value, check.limit)
            texts.append(
                f"{check.metric.upper()} p{check.percentile:g} {value} {unit} (limit {limit} {unit})"
            )
    return ", ".join(texts) if texts else "no latency limit was asked and no queue grows"


def _drafts(question: Question, entry: Entry) -> list[str]:
    """Up to which batch drafts of one length pay; a schedule says so itself."""
    if entry.sized is None or entry.option.outcome is None:
        return []
    variant = entry.sized.plan.variant
    if variant.drafting is None or variant.drafting.schedule:
        return []
    pays, no_more = pays_up_to(question, variant)
    mean = f"the mean batch here is {entry.option.outcome.mean_batch:.3g}"
    if not pays:
        return [f"By the step times alone its drafts pay at no batch ({mean})."]
    upper = f"up to {pays} and no more at {no_more}" if no_more else f"of every size up to {pays}"
    return [f"Its drafts pay in batches {upper}; {mean}."]


def _draws(entry: Entry) -> list[str]:
    """How it fared on other draws of the workload, and what they asked for beyond the trial."""
    spread = entry.option.spread
    if spread is None:
        return _grown(entry)
    if spread.holding == spread.draws:
        return [*_grown(entry), f"On {spread.draws} other draws of the workload every limit held as well."]
    held = f"{spread.holding} of {spread.draws}"
    return [*_grown(entry), f"On other draws of the workload every limit held in {held}."]


def _grown(entry: Entry) -> list[str]:
    """What longer traffic asked for beyond the trial."""
    sized = entry.sized
    if sized is None or not sized.on_trial:
        return []
    few, many = sum(sized.on_trial), sum(sized.plan.replicas)
    return [f"For the short trial shown {few} would do; longer stretches of the workload ask for {many}."]


def _margin(found: Found, option: Option) -> list[str]:
    """A warning where little more load breaks a limit, and the next option that carries more."""
    if option.headroom is None or option.headroom >= _THIN:
        return []
    at = f"{option.headroom:.2f} times" if option.headroom >= 1.03 else "little more than"
    text = f"The margin is thin: a limit breaks at {at} this load"
    roomy = next(
        (
            e.option
            for e in found.entries
            if (e.option.headroom or 0.0) >= _ROOMY and not e.option.is_reference
        ),
        None,
    )
    if roomy is None or roomy.usd_per_hour is None:
        return [f"{text}."]
    how = f"{roomy.devices} x {roomy.device}, {WAY_WORDS[roomy.way]}"
    return [f"{text}; {how}, carries {roomy.headroom:.2f} times for {roomy.usd_per_hour:.2f} USD/h."]


def _rival(found: Found, option: Option) -> list[str]:
    """The best of each other way, and the best other device, in a sentence each."""
    said = []
    for way in ("multi-lora", "merged", "hybrid"):
        if way == option.way:
            continue
        other = next((e.option for e in found.entries if e.option.way == way), None)
        if other is None:
            continue
        if other.feasible and other.usd_per_hour is not None and option.usd_per_hour:
            ratio = other.usd_per_hour / option.usd_per_hour
            times = "the same price" if abs(ratio - 1) < 0.005 else f"{ratio:.2g} times the price"
            said.append(
                f"With {WAY_WORDS[way]} the cheapest is {other.devices} x {other.device} "
                f"for {other.usd_per_hour:.2f} USD/h ({times}{_not_enough(found, other)})."
            )
        elif not other.feasible:
            said.append(f"{WAY_WORDS[way].capitalize()} does not do: {other.reason}.")
    return [*said, *_as_given(found, option), *_other_device(found, option)]


def _as_given(found: Found, option: Option) -> list[str]:
    """What it costs not to quantise."""
    able = (e.option for e in found.entries if not e.option.is_reference and e.option.bought is None)
    other = next((one for one in able if one.feasible and not one.quantised), None)
    if not option.quantised:
        return []
    if other is None or other.usd_per_hour is None:
        return ["With the weights as given nothing meets the objective."]
    place = f"{other.devices} x {other.device}"
    return [f"With the weights as given the cheapest is {place} for {other.usd_per_hour:.2f} USD/h."]


def _not_enough(found: Found, other: Option) -> str:
    """Cheaper devices whose sizing stopped, because they were already too dear, before they were enough."""
    short = [
        e.option
        for e in found.entries
        if e.option.way == other.way and e.option.bound == "replicas" and e.option.usd_per_hour is not None
    ]
    nearest = max(short, key=lambda o: o.usd_per_hour or 0.0, default=None)
    if nearest is None or (nearest.usd_per_hour or 0.0) >= (other.usd_per_hour or 0.0):
        return ""
    count = f"{nearest.devices} x {nearest.device}"
    return f"; {count} for {nearest.usd_per_hour:.2f} USD/h are not enough"


def _other_device(found: Found, option: Option) -> list[str]:
    """The same way on the next device, or why no other device does it."""
    others = [
        e.option for e in found.entries if e.option.way == option.way and e.option.device != option.device
    ]
    if not others:
        return []
    first = others[0]
    if first.feasible and first.usd_per_hour is not None:
        return [f"The next device is {first.devices} x {first.device} for {first.usd_per_hour:.2f} USD/h."]
    return [f"No other device does it this way; on {first.device}: {first.reason}."]


def _nothing(question: Question, found: Found) -> str:
    """Which bound makes it impossible, and what comes nearest."""
    head = f"Nothing meets the objective ({objective_words(question.scenario.objective)})."
    near = found.nearest
    if near is None or near.sized is None:
        first = found.entries[0].option if found.entries else None
        return head if first is None else f"{head} {first.key}: {first.reason}."
    option = near.option
    place = f"{described(option)} on {machines(option)}, for {price_words(option)}"
    if option.bound == "budget":
        return (
            f"{head} The budget makes it impossible: the cheapest that meets every limit is {place} "
            f"({limits_words(option.checks)}). Raise the budget to that, or relax the limits."
        )
    alone = near.sized.floor or len(option.checks) < 2
    figures = "" if alone else f" ({limits_words(option.checks)})"
    bound = "the limit that makes it impossible" if near.sized.floor else "what it misses"
    return (
        f"{head} The nearest is {place}; {bound}: {option.reason}{figures}. Relax that, or allow other "
        "devices."
    )


def next_steps(found: Found) -> tuple[str, ...]:
    """What to do after reading."""
    best = found.best
    steps = []
    if best is not None:
        option = best.option
        steps.append(f"Look inside: {simulate_command(option)} --requests requests.parquet")
        weak = [t for t in _weak_terms(found) if t]
        if weak:
            steps.append(f"Measure first what is only estimated: {', '.join(weak)}.")
        steps.append(
            "Write what to paste (flags, compose, Kubernetes, alerts): advisor recipe SCENARIO --out DIR"
        )
    steps.append("Put your own trace into the scenario (advisor trace describe FILE shows what it holds).")
    steps.append(
        "Put your own prices under prices.own: one chip differs by more than four times between sellers."
    )
    return tuple(steps)


def _weak_terms(found: Found) -> list[str]:
    from advisor.search.origins import terms_of

    best = found.best
    if best is None or best.sized is None:
        return []
    rows = terms_of(best.sized.plan.variant, best.sized.trial.outcome)
    return [
        f"{cause_word(r.term)} ({r.origin.value}, {r.share_of_busy_time:.0%} of the time)"
        for r in rows
        if r.origin.badness > 1 and r.share_of_busy_time >= 0.02
    ]
