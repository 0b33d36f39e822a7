"""Ask again and again about one answer, each time with something different. Read `WhatIf.ask`.

Another load is the same requests, faster or slower, so that nothing else is different.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from advisor.profile import Profile
from advisor.recommendation import Option, Recommendation, WorkloadFacts
from advisor.search.question import facts_of, resolve
from advisor.spec.scenario import Scenario
from advisor.trace.scale import faster
from advisor.whatif.again import Again, again
from advisor.whatif.changes import Changes, changed


@dataclass(frozen=True, slots=True)
class Verdict:
    """What would be, with something different.

    Attributes:
        scenario: with the changes in it; asked in full, it may say more.
        workload: its traffic.
        options: the recommended option of the answer and its rivals, ranked; knobs as they were.
    """

    scenario: Scenario
    workload: WorkloadFacts
    options: tuple[Option, ...]

    @property
    def best(self) -> Option | None:
        """The first that meets the objective; None: none of these does."""
        return next((option for option in self.options if option.feasible), None)


@dataclass(frozen=True, slots=True)
class WhatIf:
    """An answer, ready to be asked what would be if."""

    scenario: Scenario
    profiles: Sequence[Profile] | None
    folder: Path
    again: Again

    def ask(self, changes: Changes, jobs: int = 1) -> Verdict:
        """Decide again among the answer's option and its nearest rivals.

        Args:
            changes: what is different.
            jobs: processes; the verdict does not depend on them.

        Raises:
            InputError: a change that the scenario has no place for.
        """
        scenario = changed(self.scenario, changes, self.folder)
        as_fast = changed(self.scenario, changes.model_copy(update={"load": 1.0}), self.folder)
        question = resolve(as_fast, self.profiles, self.folder)
        whole, trial = (faster(trace, changes.load) for trace in (question.whole, question.trial))
        question = replace(question, whole=whole, trial=trial)
        return Verdict(scenario, facts_of(question), self.again.decide(question, jobs))


def what_if(
    rec: Recommendation,
    scenario: Scenario,
    profiles: Sequence[Profile] | None = None,
    *,
    folder: Path = Path(),
    jobs: int = 1,
) -> WhatIf:
    """Make an answer ready to be asked what would be if.

    Args:
        rec: the answer to the scenario.
        scenario: the question.
        profiles: as `recommend`.
        folder: where relative paths of the scenario start.
        jobs: processes; nothing depends on them.

    Raises:
        InputError: a name or file of the scenario is bad.
    """
    return WhatIf(scenario, profiles, folder, again(resolve(scenario, profiles, folder), rec, jobs))
