"""What would turn the advice: other loads, other prices, and the uncertain ends of the estimated terms."""

from __future__ import annotations

from dataclasses import replace

from advisor.deployment import Variant
from advisor.profile import Provenance
from advisor.recommendation import Turn
from advisor.search.origins import terms_of
from advisor.search.pools import SizedPlan, Sizer
from advisor.search.question import Question
from advisor.search.ranking import Entry, Found
from advisor.search.trial import Runner, traffic_of
from advisor.trace.scale import faster

_LOADS = (0.5, 2.0)
_RIVALS = 3
_SMALL = 0.02
"""An end of a term's interval that moves the busy time by less than this share is not tried."""


def turns_of(question: Question, found: Found) -> tuple[Turn, ...]:
    """Re-size the best few under one change at a time and say which would be advised then."""
    best = found.best
    rivals = _rivals(found)
    if best is None or best.sized is None:
        return ()
    turns = [_at_load(question, rivals, best, factor) for factor in _LOADS]
    turns.extend(_term_ends(question, rivals, best))
    price = _price_turn(rivals, best)
    return (*turns, price) if price is not None else tuple(turns)


def _rivals(found: Found) -> list[Entry]:
    """The best option of each way and device family: first by rank, different in way or device."""
    chosen: list[Entry] = []
    for entry in found.entries:
        if entry.sized is None or entry.option.is_reference or entry.option.usd_per_hour is None:
            continue
        if all((entry.option.way, entry.option.device) != (e.option.way, e.option.device) for e in chosen):
            chosen.append(entry)
        if len(chosen) == _RIVALS:
            break
    return chosen


def _resize(question: Question, entry: Entry, variant: Variant) -> SizedPlan:
    assert entry.sized is not None  # rivals are sized
    duration_s = max(question.trial.duration_s, 1e-9)
    runner = Runner(question.scenario.objective, question.ranks, question.scenario.seed)
    sizer = Sizer(question, runner, duration_s)
    traffic = traffic_of(variant.way, question.trial, question.adapters.names)
    if variant.way == "merged":
        return sizer.merged(variant, traffic)
    return sizer.one_pool(variant, entry.sized.plan.limits, traffic[0])


def _winner(question: Question, rivals: list[Entry], variants: list[Variant]) -> tuple[str, float] | None:
    """Cheapest rival that holds, with its price."""
    rows = []
    for entry, variant in zip(rivals, variants, strict=True):
        sized = _resize(question, entry, variant)
        if sized.trial.holds and entry.offer.price is not None:
            rows.append((entry.offer.price.usd_per_hour * sized.plan.devices, entry.option.key))
    if not rows:
        return None
    price, key = min(rows)
    return key, price


def _turn(what: str, value: str, best: Entry, winner: tuple[str, float] | None) -> Turn:
    key, price = winner if winner is not None else ("none of the best few", None)
    return Turn(what=what, value=value, recommended=key, usd_per_hour=price, turns=key != best.option.key)


def _at_load(question: Question, rivals: list[Entry], best: Entry, factor: float) -> Turn:
    changed = replace(question, trial=faster(question.trial, factor))
    winner = _winner(changed, rivals, [_variant(e) for e in rivals])
    return _turn("load", f"{factor:g} x", best, winner)


def _variant(entry: Entry) -> Variant:
    assert entry.sized is not None  # rivals are sized
    return entry.sized.plan.variant


def _term_ends(question: Question, rivals: list[Entry], best: Entry) -> list[Turn]:
    """Put each uncertain term to both ends of its interval, for the winner and its nearest rival alike."""
    assert best.sized is not None and best.option.outcome is not None  # noqa: PT018  # both or neither
    shares = {row.term: row.share_of_busy_time for row in terms_of(_variant(best), best.option.outcome)}
    nearest = [best, *(entry for entry in rivals if entry is not best)][:2]
    turns = []
    for term in ("lora", "dense", "host"):
        for end in _interval(_variant(best), term):
            if abs(end - 1.0) * shares.get(term, 0.0) >= _SMALL:
                winner = _winner(question, nearest, [_scaled(_variant(e), term, end) for e in nearest])
                turns.append(_turn(f"{term} time", f"{end:.2f} x (end of its interval)", best, winner))
    return turns


def _interval(variant: Variant, term: str) -> tuple[float, float]:
    provenance: Provenance | None = (
        getattr(variant.terms, term, None) if term != "host" else variant.profile.host
    )
    return (1.0, 1.0) if provenance is None else provenance.interval


def _scaled(variant: Variant, term: str, factor: float) -> Variant:
    """The same variant with one term's seconds multiplied."""
    if term == "host":
        host = variant.profile.host
        update = {
            name: getattr(host, name) * factor
            for name in ("fixed_s", "per_sequence_s", "per_token_s", "epsilon_s")
        }
        return replace(
            variant, profile=variant.profile.model_copy(update={"host": host.model_copy(update=update)})
        )
    terms = variant.terms
    if term == "dense":
        dense = terms.dense.model_copy(update={"y_s": tuple(y * factor for y in terms.dense.y_s)})
        return replace(variant, terms=terms.model_copy(update={"dense": dense}))
    if terms.lora is None:
        return variant
    update = {
        name: getattr(terms.lora, name) * factor
        for name in type(terms.lora).model_fields
        if name.endswith("_s")
    }
    return replace(variant, terms=terms.model_copy(update={"lora": terms.lora.model_copy(update=update)}))


def _price_turn(rivals: list[Entry], best: Entry) -> Turn | None:
    """The price of the winner's device above which the next option is cheaper."""
    second = next((e for e in rivals if e is not best and e.option.feasible), None)
    if second is None or second.option.usd_per_hour is None or not best.option.devices:
        return None
    if second.option.device == best.option.device:
        return None
    price = second.option.usd_per_hour / best.option.devices
    return Turn(
        what=f"price of {best.option.device}",
        value=f"above {price:.2f} USD/h a device (now {best.option.usd_per_device_hour or 0:.2f})",
        recommended=second.option.key,
        usd_per_hour=second.option.usd_per_hour,
        turns=True,
    )
