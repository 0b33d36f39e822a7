"""What stands beside the fixed fleets in an answer: fleets that scale, and tokens bought from a provider."""

from __future__ import annotations

from dataclasses import replace

from advisor.search.autoscaled import autoscaled
from advisor.search.found import Found
from advisor.search.question import Question
from advisor.search.ranking import ranked_entries, with_fronts
from advisor.search.serverless import serverless


def with_others(question: Question, found: Found, jobs: int = 1) -> Found:
    """The ranking with everything beside the fixed fleets that the scenario allows."""
    scaling, runs = autoscaled(question, found.entries, jobs)
    bought, more = serverless(question)
    if not scaling and not bought:
        return found
    entries = ranked_entries(question, [*found.entries, *scaling, *bought])
    return replace(
        found,
        entries=with_fronts(question, entries),
        candidates=found.candidates + len(scaling) + len(bought),
        simulations=found.simulations + runs + more,
    )
