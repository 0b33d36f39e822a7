"""The Python API: recommend, simulate, explain, break_even. Every face shows what comes from here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from advisor import __version__
from advisor.breakeven.asked import break_even as break_even
from advisor.certainty import Certainty
from advisor.chosen import set_up
from advisor.deployment import Choice
from advisor.profile import Profile
from advisor.recommendation import Explanation, Option, Recommendation, TermOrigin, WorkloadFacts
from advisor.robustness.certainty import certainty_of
from advisor.search.beside import with_others
from advisor.search.found import Entry, Found
from advisor.search.origins import terms_of
from advisor.search.parallel import default_jobs
from advisor.search.question import Question, facts_of, resolve
from advisor.search.ranking import search_in_parts
from advisor.search.tokens import offers_by_token
from advisor.sim.result import SimResult
from advisor.spec.scenario import Scenario
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
    """The same in three parts, each as soon as it is there.

    The ranking as sized on the trial (`confirmed` is false); the ranking confirmed on longer traffic and on
    other draws; the whole answer, with reasons and headroom.
    """
    tell = progress or (lambda _share, _what: None)
    processes = default_jobs() if jobs is None else jobs
    question = resolve(scenario, profiles, folder)
    for found in search_in_parts(question, tell, processes):
        yield _answer(question, Studies(found, None, None, None, (), 0), found.best or found.nearest)
    shown = found.best or found.nearest
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
        confirmed=found.confirmed,
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
    _, _, entry, traffic = set_up(scenario, choice, profiles, folder)
    assert entry.sized is not None  # set_up raises otherwise
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
    question, runner, entry, _ = set_up(scenario, choice, profiles, folder)
    assert entry.sized is not None  # set_up raises otherwise
    return explain_plan(question, runner, entry.sized.plan, entry.option.key)
