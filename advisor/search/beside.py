"""What stands beside the fixed fleets in an answer: fleets that scale, and tokens bought from a provider."""

from __future__ import annotations

from dataclasses import replace

from advisor.search.autoscaled import autoscaled
from advisor.search.question import Question
from advisor.search.ranking import Found, ranked_entries


def with_others(question: Question, found: Found, jobs: int = 1) -> Found:
    """The ranking with everything beside the fixed fleets that the scenario allows."""
    scaling, runs = autoscaled(question, found.entries, jobs)
    if not scaling:
        return found
    return replace(
        found,
        entries=tuple(ranked_entries(question, [*found.entries, *scaling])),
        candidates=found.candidates + len(scaling),
        simulations=found.simulations + runs,
    )
