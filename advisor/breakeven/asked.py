"""Break-even curves of a scenario as a user asks for them: everything is looked up here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from advisor.breakeven.answer import BreakEven
from advisor.breakeven.study import Progress
from advisor.breakeven.study import break_even as curves_of
from advisor.profile import Profile
from advisor.search.parallel import default_jobs
from advisor.search.question import resolve
from advisor.spec.scenario import Scenario


def break_even(
    scenario: Scenario,
    profiles: Sequence[Profile] | None = None,
    *,
    folder: Path = Path(),
    device: str | None = None,
    draws: int = 12,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> BreakEven:
    """Say where one way to serve begins to pay more than another: curves with crossings and intervals.

    Args:
        scenario: the question; what it says of ways to look at is not used.
        profiles: as `recommend`.
        folder: where relative paths of the scenario start.
        device: the kind of device; None: that of the scenario's on which a multi-LoRA pool is cheapest.
        draws: of the uncertain terms, behind the intervals; 0: none.
        jobs: processes, as `recommend`.
        progress: called with the share done and what is being done.

    Raises:
        InputError: a name or file of the scenario is bad.
        InfeasibleError: no way to serve runs on any device.
    """
    asked = scenario if device is None else scenario.model_copy(update={"devices": (device,)})
    processes = default_jobs() if jobs is None else jobs
    question = resolve(asked, profiles, folder)
    return curves_of(question, draws=draws, jobs=processes, progress=progress)
