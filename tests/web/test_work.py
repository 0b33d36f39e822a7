"""Work in a thread: progress, stop, line, errors."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from advisor.errors import InfeasibleError
from advisor.web.work import Tell, Work

WAIT_S = 20


def finished(work: Work[int]) -> Work[int]:
    assert work.look(WAIT_S), "the work did not end"
    return work


def until_told(reached: threading.Event, go: threading.Event) -> Callable[[Tell], int]:
    def compute(tell: Tell) -> int:
        tell(0.25, "first")
        reached.set()
        go.wait(WAIT_S)
        tell(0.5, "second")
        return 7

    return compute


def test_the_result_is_there_when_it_ended() -> None:
    assert finished(Work(lambda _tell: 7)).result == 7


def test_progress_is_seen_from_outside() -> None:
    reached, go = threading.Event(), threading.Event()
    work = Work(until_told(reached, go))
    assert reached.wait(WAIT_S)
    assert (work.share, work.what, work.done) == (0.25, "first", False)
    go.set()
    assert finished(work).result == 7


def test_stopped_work_gives_neither_result_nor_error() -> None:
    reached, go = threading.Event(), threading.Event()
    work = Work(until_told(reached, go))
    assert reached.wait(WAIT_S)
    work.stop()
    go.set()
    finished(work)
    assert (work.result, work.error, work.fault) == (None, None, None)


def test_work_that_nobody_looks_at_stops_by_itself() -> None:
    reached, go = threading.Event(), threading.Event()
    work = Work(until_told(reached, go), forgotten_s=1e-9)
    go.set()
    work._thread.join(WAIT_S)
    assert work.result is None


def test_only_so_many_at_once_and_a_waiting_one_can_be_stopped() -> None:
    line = threading.BoundedSemaphore(1)
    reached, go = threading.Event(), threading.Event()
    first = Work(until_told(reached, go), line)
    assert reached.wait(WAIT_S)
    second, third = Work(lambda _tell: 2, line), Work(lambda _tell: 3, line)
    assert "waiting" in second.what
    second.stop()
    assert finished(second).result is None
    go.set()
    assert finished(first).result == 7
    assert finished(third).result == 3


@pytest.mark.parametrize(
    ("raised", "where"), [(InfeasibleError("no"), "error"), (ValueError("bug"), "fault")]
)
def test_a_clear_error_is_told_from_a_fault_of_ours(raised: Exception, where: str) -> None:
    line = threading.BoundedSemaphore(1)

    def fails(_tell: Tell) -> int:
        raise raised

    work = finished(Work(fails, line))
    assert getattr(work, where) is raised
    assert finished(Work(lambda _tell: 1, line)).result == 1, "the line was not given back"
