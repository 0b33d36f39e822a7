"""An answer on its way: computed in a thread of its own, watched and stopped from the page.

Only so many are computed at once (`AT_ONCE`); the others wait in line. A visitor who asks again or leaves
stops what was asked before: the page says "still here" each time it looks.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from advisor.errors import AdvisorError

_Result = TypeVar("_Result")

AT_ONCE: Final = 1
_FORGOTTEN_S: Final = 150.0
"""Work that no page looked at for so long is stopped: its visitor is gone. A hidden tab looks each minute."""
_LINE: Final = threading.BoundedSemaphore(AT_ONCE)


class Stopped(Exception):  # noqa: N818 - no error: the visitor wanted it
    """Raised inside the work when it is to end."""


class Tell:
    """What the work calls: how far it is, and what is there early. Ends the work when that is wanted."""

    def __init__(self, work: Work[Any]) -> None:
        self._work = work

    def __call__(self, share: float, what: str) -> None:
        """Say the share done and what is being done.

        Raises:
            Stopped: the work is to end.
        """
        self._work.told(share, what)

    def early(self, result: Any) -> None:
        """Give a first result before the last."""
        self._work.early = result


class Work(Generic[_Result]):
    """One piece of work, started at once.

    Args:
        compute: the work; it calls the function that it is given with the share done and what is being done,
            and is ended from there by an exception.
        line: bounds how much is computed at once in the whole server.
        forgotten_s: it stops by itself when nobody has looked for so long.
    """

    def __init__(
        self,
        compute: Callable[[Tell], _Result],
        line: threading.Semaphore = _LINE,
        forgotten_s: float = _FORGOTTEN_S,
    ) -> None:
        self._compute, self._line, self._forgotten_s = compute, line, forgotten_s
        self._stop = threading.Event()
        self._seen_ns = time.perf_counter_ns()
        self.share, self.what = 0.0, "waiting for another visitor's answer"
        self.early: Any = None
        self.result: _Result | None = None
        self.error: AdvisorError | None = None
        self.fault: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether it ended, in whatever way."""
        return not self._thread.is_alive()

    def look(self, wait_s: float = 0.0) -> bool:
        """Say that somebody is still interested, wait for the end for a while; whether it ended."""
        self._seen_ns = time.perf_counter_ns()
        self._thread.join(wait_s)
        return self.done

    def stop(self) -> None:
        """Ask it to end; it does at its next step."""
        self._stop.set()

    def _run(self) -> None:
        try:
            while not self._line.acquire(timeout=0.1):
                self._check()
            try:
                self.told(0.0, "starting")
                self.result = self._compute(Tell(self))
            finally:
                self._line.release()
        except Stopped:
            self.what = "stopped"
        except AdvisorError as error:
            self.error = error
        except BaseException as error:  # noqa: BLE001 - raised again where the page looks
            self.fault = error

    def told(self, share: float, what: str) -> None:
        """Take note of how far it is; called from inside.

        Raises:
            Stopped: it is to end.
        """
        self._check()
        self.share, self.what = min(1.0, share), what

    def _check(self) -> None:
        unseen_s = (time.perf_counter_ns() - self._seen_ns) * 1e-9
        if self._stop.is_set() or unseen_s > self._forgotten_s:
            raise Stopped
