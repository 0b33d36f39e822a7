"""The Python API: recommend, simulate, explain, break_even. Every face shows what comes from here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from advisor import __version__
from advisor.breakeven.asked import break_even as break_even
from advisor.certainty import Certainty
from advisor.deployment import Choice, Variant
from advisor.errors import InfeasibleError, InputError, validated
from advisor.profile import Profile
from advisor.recommendation import Explanation, Option, Recommendation, TermOrigin, WorkloadFacts
from advisor.robustness.certainty import certainty_of
from advisor.search.beside import with_others
from advisor.search.candidates import memory_reason, variants
from advisor.search.knobs import start_limits, with_slots
from advisor.search.options import option_of
from advisor.search.origins import terms_of
from advisor.search.parallel import default_jobs
from advisor.search.pools import SizedPlan, Sizer
from advisor.search.question import Offer, Question, facts_of, resolve
from advisor.search.ranking import Entry, Found, search
from advisor.search.tokens import offers_by_token
from advisor.search.trial import Plan, PoolTraffic, Runner, by_popularity, traffic_for
from advisor.sim.result import SimResult
from advisor.spec.engine import EngineLimits, EngineWish
from advisor.spec.scenario import Scenario
from advisor.spec.speculation import Draft
from advisor.trace.trace import Trace
from advisor.why.explain import explain_plan
from advisor.why.scaling import summary_with_others
from advisor.why.studies import Studies, study
from advisor.why.words import next_steps, objective_words, summary_of

if TYPE_CHECKING:
    import pyarrow as pa

Progress = Callable[[float, str], None]


def recommend(
    scenario: Scenario,
    profiles: Sequence[Profile] | None = None,
    *,
    folder: Path = Path(),
    jobs: int | None = None,
    progress: Progress | None = None,
    sure: int = 0,
    load_spread: float = 0.1,
) -> Recommendation:
    """Size and price every way to serve the scenario and recommend one.

    Args:
        scenario: the question, from `load_scenario`.
        profiles: devices with engines to choose from; None: the shipped ones.
        folder: where relative paths of the scenario start.
        jobs: processes; None: one a core, 8 at most. The answer does not depend on it.
        progress: called with the share done and what is being done.
        sure: draws of everything that is uncertain, behind `certainty`; 0 leaves it out.
        load_spread: the load is off by this share at most, with 90 %; counts where `sure` does.

    Raises:
        InputError: a name or file of the scenario is bad.
    """
    *_, answer = recommend_in_parts(
        scenario, profiles, folder=folder, jobs=jobs, progress=progress, sure=sure, load_spread=load_spread
    )
    return answer


def recommend_in_parts(
    scenario: Scenario,
    profiles: Sequence[Profile] | None = None,
    *,
    folder: Path = Path(),
    jobs: int | None = None,
    progress: Progress | None = None,
    sure: int = 0,
    load_spread: float = 0.1,
) -> Iterator[Recommendation]:
    """The same, first as soon as there is a ranking, without its reasons and headroom; then in full."""
    tell = progress or (lambda _share, _what: None)
    processes = default_jobs() if jobs is None else jobs
    question = resolve(scenario, profiles, folder)
    found = search(question, tell, processes)
    shown = found.best or next(
        (e for e in found.entries if e.sized is not None and not e.option.is_reference), None
    )
    yield _answer(question, Studies(found, None, None, None, (), 0), shown)
    tell(0.8, "reasons: causes, knee, slots, what would turn the advice")
    studies, certainty = study(question, found, shown, processes), None
    if sure:
        certainty = certainty_of(
            question,
            studies.found,
            draws=sure,
            load_spread=load_spread,
            jobs=processes,
            progress=lambda share, what: tell(0.9 + 0.1 * share, f"how sure: {what}"),
        )
    yield _answer(question, studies, shown, certainty, with_others(question, studies.found, processes))


def _answer(
    question: Question,
    studies: Studies,
    shown: Entry | None,
    certainty: Certainty | None = None,
    found: Found | None = None,
) -> Recommendation:
    """The contract of the answer: `found` has the fixed fleets and what stands beside them."""
    scenario, fixed = question.scenario, studies.found
    found = found or fixed
    best = found.best
    return Recommendation(
        producer=f"lora-advisor {__version__}",
        scenario=scenario.name,
        model=question.model.name,
        seed=scenario.seed,
        workload=facts_of(question),
        objective=objective_words(scenario.objective),
        recommended=None if best is None else best.option.key,
        summary=summary_with_others(summary_of(question, fixed), found),
        options=tuple(entry.option for entry in found.entries),
        candidates=found.candidates,
        simulations=found.simulations + studies.simulations + (certainty.simulations if certainty else 0),
        explanation=studies.explanation,
        knee=studies.knee,
        slots=studies.slots,
        turns=studies.turns,
        terms=_terms(shown),
        next_steps=next_steps(fixed),
        tokens=offers_by_token(question, None if best is None else best.option.usd_per_hour),
        certainty=certainty,
    )


def look(
    scenario: Scenario, profiles: Sequence[Profile] | None = None, *, folder: Path = Path()
) -> WorkloadFacts:
    """Look everything up and describe the traffic, without simulating it.

    Raises:
        InputError: as `recommend`.
    """
    return facts_of(resolve(scenario, profiles, folder))


def _terms(entry: Entry | None) -> tuple[TermOrigin, ...]:
    if entry is None or entry.sized is None:
        return ()
    return terms_of(entry.sized.plan.variant, entry.sized.trial.outcome)


@dataclass(frozen=True, slots=True)
class Simulation:
    """One deployment, simulated: the option it is, and each pool's requests."""

    option: Option
    pools: tuple[
        tuple[str, Trace, SimResult], ...
    ]  # (pool name, its requests, what happened), pools with requests

    def requests_table(self) -> pa.Table:
        """All requests in one Arrow table, times in seconds, one column a cause."""
        from advisor.sim.table import requests_table

        return requests_table(self.pools)


def simulate(
    scenario: Scenario, choice: Choice, profiles: Sequence[Profile] | None = None, *, folder: Path = Path()
) -> Simulation:
    """Simulate one deployment of the user's choice on the whole workload.

    Raises:
        InputError: a bad name, file or knob, or a choice that cannot run (the sentence says why).
    """
    _, _, entry, traffic = _chosen(scenario, choice, profiles, folder)
    assert entry.sized is not None  # _chosen raises otherwise
    done = iter(entry.sized.trial.results)
    pools = tuple((pool.name, pool.trace, next(done)) for pool in traffic if len(pool.trace))
    return Simulation(entry.option, pools)


def explain(
    scenario: Scenario, choice: Choice, profiles: Sequence[Profile] | None = None, *, folder: Path = Path()
) -> Explanation:
    """Say why a deployment is slower (or faster) than its base, cause by cause.

    Raises:
        InputError: as `simulate`.
    """
    question, runner, entry, _ = _chosen(scenario, choice, profiles, folder)
    assert entry.sized is not None  # _chosen raises otherwise
    return explain_plan(question, runner, entry.sized.plan, entry.option.key)


def _chosen(
    scenario: Scenario, choice: Choice, profiles: Sequence[Profile] | None, folder: Path
) -> tuple[Question, Runner, Entry, tuple[PoolTraffic, ...]]:
    """Set up, size (where asked) and run the deployment of a choice on the whole trace."""
    question = resolve(_narrowed(scenario, choice), profiles, folder)
    question = replace(question, trial=question.whole)
    variant, offer, warnings = _variant(question, choice)
    runner = Runner(scenario.objective, question.ranks, scenario.seed)
    duration_s = max(question.trial.duration_s, 1e-9)
    sizer = Sizer(question, runner, duration_s)
    traffic = traffic_for(variant, question.trial, question.adapters.names)
    reason = memory_reason(question, variant, traffic[0])
    if reason is not None:
        raise InfeasibleError(
            f"{variant.key}: {reason}. Choose a larger device, more tensor parallelism or fewer slots."
        )
    sized = _run(sizer, choice, variant, traffic)
    option = option_of(question, sized, offer, traffic, warnings)
    return question, runner, Entry(option, offer, sized, warnings), traffic


def _narrowed(scenario: Scenario, choice: Choice) -> Scenario:
    """The scenario with everything that the choice fixes."""
    knobs = {
        name: getattr(choice, name)
        for name in ("max_loras", "max_cpu_loras", "max_num_seqs", "max_num_batched_tokens")
        if getattr(choice, name) is not None
    }
    engine = validated(EngineWish, scenario.engine.model_dump() | knobs, "engine with the deployment's knobs")
    drafts = tuple(d for d in scenario.speculation.drafts if d.method == choice.draft)
    if choice.draft != "none" and not drafts:
        drafts = (Draft(method=choice.draft),)
    speculation = scenario.speculation.model_copy(
        update={"drafts": drafts, "draft_lengths": (choice.draft_length,)}
    )
    search_ = scenario.search.model_copy(
        update={
            "ways": (choice.way,),
            "tensor_parallel": (choice.tensor_parallel,),
            "routers": (choice.router,),
        }
    )
    return scenario.model_copy(
        update={"engine": engine, "speculation": speculation, "search": search_, "devices": (choice.device,)}
    )


def _variant(question: Question, choice: Choice) -> tuple[Variant, Offer, tuple[str, ...]]:
    for item in variants(question):
        if isinstance(item, Option):
            if choice.draft == "none" or not item.key.endswith("/plain"):
                raise InfeasibleError(f"{item.key}: {item.reason}.")
        elif (item[0].drafting is None) == (choice.draft == "none"):
            variant = replace(item[0], router=choice.router, hottest=_hottest(question, choice))
            return variant, question.offers[0], item[1]
    raise InputError(
        f"way is {choice.way}; allowed: base; multi-lora, merged and hybrid where there are adapters."
    )


def _hottest(question: Question, choice: Choice) -> tuple[int, ...]:
    """The adapters that a choice merges beside a pool of the others."""
    if choice.way != "hybrid":
        if choice.hottest is not None:
            raise InputError(f"hottest is {choice.hottest}; allowed: left out, unless the way is hybrid.")
        return ()
    order, wanted = by_popularity(question.whole), choice.hottest or 1
    if wanted >= len(question.whole.adapters) or wanted > len(order):
        most = min(len(order), len(question.whole.adapters) - 1)
        raise InputError(
            f"hottest is {wanted}; allowed: 1 to {most}, fewer than the adapters that are asked for. "
            "To merge all of them, the way is merged."
        )
    return order[:wanted]


def _run(sizer: Sizer, choice: Choice, variant: Variant, traffic: tuple[PoolTraffic, ...]) -> SizedPlan:
    if choice.replicas is None:
        if variant.has_pools:
            plan = sizer.screened(variant, traffic).plan
            if variant.way == "hybrid":
                plan = sizer.multi_lora(variant, traffic[-1]).plan
            return sizer.several(variant, plan.limits, traffic)
        if choice.way == "multi-lora":
            return sizer.multi_lora(variant, traffic[0])
        return sizer.one_pool(variant, start_limits(sizer.question, variant), traffic[0])
    limits: EngineLimits = start_limits(sizer.question, variant)
    if choice.way in ("multi-lora", "hybrid"):
        slots = choice.max_loras or max(len(traffic[-1].adapters), 1)
        limits = with_slots(sizer.question, variant, limits, slots)
    plan = Plan(variant, limits, (choice.replicas,) * len(traffic))
    return SizedPlan(plan, sizer.runner.run(plan, traffic, sizer.duration_s), False, 1)
