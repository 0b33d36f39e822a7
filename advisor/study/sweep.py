"""Run a study: what is known is taken up, what is missing is computed and kept as it comes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from advisor.errors import InputError, Interrupted
from advisor.spec.scenario import Scenario
from advisor.study.answers import Places, Task
from advisor.study.columns import Row
from advisor.study.grid import Study
from advisor.study.points import Point, ask_at, points_of
from advisor.study.store import Store
from advisor.study.workers import Workers

KEEP_EVERY_S: Final = 5.0
"""At most this much work is lost by a kill, and what was being computed then."""

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Sweep:
    """A study that was run.

    Attributes:
        points: of the grid; as many rows are in the file.
        computed: points that were computed now; the others were known.
        dropped: rows that were known and that the grid no longer names.
        statuses: how many points ended in which way, see `columns.SCHEMA`.
        refusal: why the first refused point was refused; empty: none was.
    """

    points: int
    computed: int
    dropped: int
    statuses: dict[str, int]
    refusal: str


def plan(study: Study, scenario: Scenario, places: Places) -> list[Task]:
    """Every point of the study as a piece of work.

    Raises:
        InputError: the scenario has no place for a value of the grid, or does not hold together with it.
    """
    return [Task(point, ask_at(study, scenario, point, places.folder), places) for point in points_of(study)]


def sweep(
    tasks: Sequence[Task],
    store: Store,
    workers: Workers,
    progress: Progress | None = None,
    *,
    keep_every_s: float = KEEP_EVERY_S,
) -> Sweep:
    """Compute what is missing and write the result. The file does not depend on the workers.

    Args:
        tasks: all points, from `plan`.
        store: where rows are kept.
        workers: where the points are computed.
        progress: called with the share done and words with the time left.
        keep_every_s: longest time between two writes of finished rows.

    Raises:
        InputError: the store holds another study, or every single point was refused.
        Interrupted: stopped by the user; finished rows are kept.
    """
    known = store.known()
    missing = [task for task in tasks if task.point not in known]
    wanted = {task.point for task in tasks}
    dropped = sum(point not in wanted for point in known)
    _compute(missing, known, store, workers, progress or (lambda _share, _words: None), keep_every_s)
    rows = [known[task.point] for task in tasks]
    statuses = Counter(row["status"] for row in rows)
    refusal = next((str(row["reason"]) for row in rows if row["status"] == "refused"), "")
    if statuses["refused"] == len(rows):
        store.forget()
        raise InputError(f"every point of the study is refused; the first says: {refusal}")
    if missing or dropped or store.parts.exists():
        store.finish(rows)
    return Sweep(len(rows), len(missing), dropped, dict(sorted(statuses.items())), refusal)


def _compute(
    missing: Sequence[Task],
    known: dict[Point, Row],
    store: Store,
    workers: Workers,
    tell: Progress,
    keep_every_s: float,
) -> None:
    """Compute the missing points into `known`; whatever stops it, what is done is kept."""
    total, fresh = len(known) + len(missing), list[Row]()
    start_ns = kept_ns = time.perf_counter_ns()
    tell(len(known) / max(total, 1), f"{len(known):,} of {total:,} points")
    try:
        for done, (point, row) in enumerate(workers.run(missing), start=1):
            known[point] = row
            fresh.append(row)
            now_ns = time.perf_counter_ns()
            left_s = (now_ns - start_ns) / 1e9 / done * (len(missing) - done)
            tell(len(known) / total, f"{len(known):,} of {total:,} points, {left_words(left_s)} left")
            if now_ns - kept_ns >= keep_every_s * 1e9:
                store.keep(fresh)
                fresh, kept_ns = [], now_ns
    except KeyboardInterrupt:
        raise Interrupted(
            f"stopped at {len(known):,} of {total:,} points; they are kept in {store.parts}. "
            "The same command goes on from there."
        ) from None
    finally:
        store.keep(fresh)


def left_words(left_s: float) -> str:
    """A time to wait for, in two units at most: `40 s`, `12 min`, `2 h 5 min`."""
    if left_s < 90:
        return f"{max(1, round(left_s))} s"
    minutes = round(left_s / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
