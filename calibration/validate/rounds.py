"""Rounds over all scenarios; every replay is kept as it comes, so that a long validation can go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from advisor.errors import InputError
from advisor.files import write_text
from advisor.replayed import ReplayResult, load_replay, save_replay
from advisor.trace.trace import Trace
from calibration.validate.matrix import Case
from calibration.validate.run import CaseResult, Ground, judge_case, plan_case, pulse_of, replay_option

Progress = Callable[[float, str], None]
LEAST_S: Final = 3.0
MOST_S: Final = 40.0
_AROUND_S: Final = 3.5
"""Beside a replay's arrivals: making the engine, warming it up, two pulses, the last requests."""


def run_rounds(
    ground: Ground, cases: Sequence[Case], folder: Path, *, resume: bool, tell: Progress
) -> list[CaseResult]:
    """A replay of each option a round, then every scenario judged.

    Two replays of one option lie minutes apart, so that the noise floor has in it what the machine does
    over minutes. Replays go to folder/replays, results of scenarios beside it.

    Args:
        ground: what all scenarios share.
        cases: scenarios.
        folder: where files go.
        resume: take replays that are there, if they are of the same trace.
        tell: told the share that is done.
    """
    planned = {case.name: plan_case(ground, case) for case in cases}
    runs: dict[str, dict[str, list[ReplayResult]]] = {
        name: {option: [] for option in plan.setups} for name, plan in planned.items()
    }
    todo = [
        (turn, name, option)
        for turn in range(ground.replays)
        for name, plan in planned.items()
        for option in plan.setups
    ]
    with pulse_of(ground) as pulse:
        for done, (turn, name, option) in enumerate(todo):
            tell(done / len(todo), f"{name}: {option}, replay {turn + 1}")
            file = folder / "replays" / f"{_slug(name)}.{_slug(option)}.{turn + 1}.parquet"
            found = _kept(file, planned[name].asked(option)) if resume else None
            if found is None:
                found = replay_option(ground, planned[name], option, turn, pulse)
                save_replay(found, file)
            runs[name][option].append(found)
    results = []
    for case in cases:
        result = judge_case(ground, planned[case.name], runs[case.name])
        write_text(folder / f"{_slug(case.name)}.json", result.model_dump_json(indent=1) + "\n")
        results.append(result)
    return results


def replay_s(budget_s: float, cases: Sequence[Case], replays: int) -> float:
    """Seconds of each replay, so that all fit into a budget.

    Raises:
        InputError: they would be too short to say anything.
    """
    count = replays * sum(len(case.options) for case in cases)
    each = budget_s / count - _AROUND_S
    if each < LEAST_S:
        raise InputError(
            f"--budget leaves {budget_s:.0f} s for {count} replays; allowed: at least "
            f"{count * (LEAST_S + _AROUND_S):.0f} s. Give more, or choose fewer --scenarios, such as quick."
        )
    return min(each, MOST_S)


def _kept(file: Path, trace: Trace) -> ReplayResult | None:
    """A replay of an earlier run, if it is of this trace."""
    if not file.exists():
        return None
    found = load_replay(file)
    same = (
        np.array_equal(found.arrival_s, trace.arrival_s)
        and np.array_equal(found.wanted_tokens, trace.output_tokens)
        and np.array_equal(found.adapter, trace.adapter)
    )
    return found if same else None


def _slug(name: str) -> str:
    return name.replace(", ", "-").replace(" ", "-")
