"""Break-even curves of a scenario: read `break_even` first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from advisor import __version__
from advisor.breakeven.adapters import Ways, as_estimated, counts_of, drawn, merge_curve, packing_curve
from advisor.breakeven.answer import BreakEven, MergeCurve, PackingCurve, TokensCurve
from advisor.breakeven.bytoken import token_curves
from advisor.breakeven.capacity import SIZES, Bench
from advisor.breakeven.drafting import Pair, draft_curve
from advisor.deployment import Variant
from advisor.errors import InfeasibleError
from advisor.recommendation import Option
from advisor.search.candidates import memory_reason, variants
from advisor.search.knobs import start_limits, with_slots
from advisor.search.question import Offer, Question, facts_of
from advisor.search.trial import traffic_of
from advisor.why.words import objective_words

Progress = Callable[[float, str], None]

_SLOTS = 24
"""Slots at most while a device is chosen."""

_NOTES = (
    "Replicas by arithmetic from what pools of 1 and 3 carry (by simulation); larger ones in proportion.",
    "One kind of device for both ways; prices cancel out. Neither way drafts.",
    "Tokens: the base model's price; latency and adapters are the provider's, and not simulated.",
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the curves are drawn: one device at one degree, and the variants that run there."""

    offer: Offer
    variants: tuple[Variant, ...]

    def plain(self, way: str) -> Variant | None:
        """The variant of a way without drafts."""
        return next((v for v in self.variants if v.way == way and v.drafting is None), None)

    @property
    def usd_per_replica_hour(self) -> float | None:
        """Of one replica; None where the catalog has no price."""
        price = self.offer.price
        return None if price is None else price.usd_per_hour * self.variants[0].terms.tensor_parallel

    @property
    def ways(self) -> Ways | None:
        """Both ways, where both run."""
        multi, merged = self.plain("multi-lora"), self.plain("merged")
        return None if multi is None or merged is None else Ways(multi, merged)

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Each draft beside the same without; of the first way that may draft."""
        for way in ("multi-lora", "merged", "base"):
            plain = self.plain(way)
            drafted = [v for v in self.variants if v.way == way and v.drafting is not None]
            if plain is not None and drafted:
                return tuple(Pair(plain, one) for one in drafted)
        return ()


def break_even(
    question: Question, *, draws: int, jobs: int = 1, progress: Progress | None = None
) -> BreakEven:
    """Draw every curve that the scenario has something to say about.

    Args:
        question: the scenario with everything looked up; its offers are the devices to choose from.
        draws: worlds behind the intervals of simulated curves; 0 leaves the intervals out.
        jobs: processes; the answer does not depend on them.
        progress: called with the share done and what is being done.

    Raises:
        InfeasibleError: neither way runs on any device; says why.
    """
    tell = progress or (lambda _share, _what: None)
    tell(0.0, "choosing a device")
    place, simulations = _place(question)
    ways, merge, packing = place.ways, None, None
    tokens: tuple[TokensCurve, ...] = ()
    if ways is not None and question.adapters.names:
        tell(0.1, "what one replica carries, by number of adapters")
        merge, packing, tokens, runs = _simulated(question, place, ways, draws, jobs, tell)
        simulations += runs
    tell(0.95, "speculative decoding")
    profile = place.offer.profile
    notes = _NOTES if draws else (*_NOTES, "No intervals of simulated curves: no draws were asked for.")
    return BreakEven(
        producer=f"lora-advisor {__version__}",
        scenario=question.scenario.name,
        model=question.model.name,
        seed=question.scenario.seed,
        device=profile.device.name,
        tensor_parallel=place.variants[0].terms.tensor_parallel,
        usd_per_device_hour=None if place.offer.price is None else place.offer.price.usd_per_hour,
        objective=objective_words(question.scenario.objective),
        workload=facts_of(question),
        draws=draws,
        simulations=simulations,
        merge=merge,
        packing=packing,
        tokens=tokens,
        drafts=tuple(draft_curve(question, pair) for pair in place.pairs),
        notes=notes,
    )


def _simulated(
    question: Question, place: Place, ways: Ways, draws: int, jobs: int, tell: Progress
) -> tuple[MergeCurve, PackingCurve, tuple[TokensCurve, ...], int]:
    counts = counts_of(question)
    base = as_estimated(question, ways, counts, jobs)
    tell(0.4, f"the same in {draws} draws")
    worlds = drawn(question, ways, counts, base, draws, jobs)
    runs = base.simulations + sum(world.simulations for world in worlds)
    merge = merge_curve(question, counts, base, worlds)
    packing = packing_curve(question, counts, base, worlds)
    own = counts.index(len(question.adapters))
    carried = [world.multi_lora[own].rps for world in (base, *worlds)]
    tokens = token_curves(question, place.usd_per_replica_hour, carried)
    return merge, packing, tokens, runs


def _place(question: Question) -> tuple[Place, int]:
    """The device and degree at which a multi-LoRA pool carries most for its price."""
    places, reasons = _places(question)
    if not places:
        raise InfeasibleError(f"no way to serve runs: {'; '.join(reasons[:3]) or 'no device'}.")
    able = [place for place in places if place.ways is not None]
    if len(able) <= 1:
        return (able or places)[0], 0
    rated, simulations = [], 0
    for place in able:
        value, runs = _worth(question, place)
        simulations += runs
        rated.append(value)
    return able[max(range(len(able)), key=lambda index: rated[index])], simulations


def _worth(question: Question, place: Place) -> tuple[float, int]:
    """Requests a second and USD an hour that a multi-LoRA pool of three carries; 0 where none holds."""
    assert place.ways is not None
    variant = place.ways.multi_lora
    slots = question.scenario.engine.max_loras or min(len(question.adapters), _SLOTS)
    limits = with_slots(question, variant, start_limits(question, variant), slots)
    bench = Bench(question, variant, limits, False)
    rps = bench.capacity_rps(SIZES[-1], max(question.trial.rate_rps, 0.1))
    price = place.offer.price
    usd = 1.0 if price is None else price.usd_per_hour * variant.terms.tensor_parallel
    return rps / usd, bench.runner.simulations


def _places(question: Question) -> tuple[list[Place], list[str]]:
    """Every device and degree with the variants that fit there, and why others do not."""
    found: dict[tuple[str, int], list[Variant]] = {}
    reasons: list[str] = []
    (traffic,) = traffic_of("base", question.trial, question.adapters.names)
    for item in variants(_with_both_ways(question)):
        if isinstance(item, Option):
            reasons.append(f"{item.key}: {item.reason}")
            continue
        variant = item[0]
        if variant.quantised or (variant.drafting is not None and variant.drafting.schedule):
            continue  # a curve is of one draft length, and of the weights as given
        reason = None if variant.way == "hybrid" else memory_reason(question, variant, traffic)
        if reason is not None:
            reasons.append(f"{variant.key}: {reason}")
        elif variant.way != "hybrid":
            key = (variant.profile.device.name, variant.terms.tensor_parallel)
            found.setdefault(key, []).append(variant)
    offers = {offer.profile.device.name: offer for offer in question.offers}
    return [Place(offers[name], tuple(group)) for (name, _), group in found.items()], reasons


def _with_both_ways(question: Question) -> Question:
    """Merging and multi-LoRA are looked at, whatever ways the scenario lists."""
    wanted: Sequence[str] = ("base", "multi-lora", "merged")
    search = question.scenario.search.model_copy(update={"ways": tuple(wanted)})
    return replace(question, scenario=question.scenario.model_copy(update={"search": search}))
