"""Independent pieces of work on several cores, results in the order of the work."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

_Result = TypeVar("_Result")
_MOST_DEFAULT = 8


def default_jobs() -> int:
    """Processes to use where nobody says: one a core that this process may use, 8 at most."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(allowed, _MOST_DEFAULT)


def run_all(tasks: Sequence[Callable[[], _Result]], jobs: int) -> Iterator[_Result]:
    """Run tasks and yield their results in order; each is a picklable call (functools.partial)."""
    if jobs <= 1 or len(tasks) <= 1:
        for task in tasks:
            yield task()
        return
    import joblib

    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        pool = joblib.Parallel(n_jobs=jobs, return_as="generator", batch_size=1, pre_dispatch="all")
        yield from pool(joblib.delayed(task)() for task in tasks)
