"""Where a step's time goes: the engine's own functions timed from outside, one inside the other."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from unittest.mock import patch

from calibration.engine import engine, model, runner
from calibration.engine.kv import KvCache
from calibration.engine.lora import LoraSlots
from calibration.roofline.clock import Clock

PARTS: Final = ("products", "attention", "LoRA", "norms", "sampling", "drafts", "scheduler", "rest")
"""norms: with the rotation of positions. scheduler: with the making of a step's tensors."""
_WATCHED: Final[tuple[tuple[Any, str, str], ...]] = (
    (model, "linear", "products"),
    (model, "paged_attention", "attention"),
    (KvCache, "write", "attention"),
    (LoraSlots, "add_product", "LoRA"),
    (model, "rotate", "norms"),
    (model, "_norm", "norms"),
    (runner, "step_batch", "scheduler"),
    (engine, "decide", "sampling"),
)
"""Owner, name, part. What no part claims is `rest`: sums, activations, Python between calls."""
_METHODS: Final = (("_scheduler", "plan", "scheduler"), ("_scheduler", "finish", "scheduler"))


class Watch:
    """Seconds by part, each without what is timed inside of it."""

    def __init__(self, clock: Clock) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._clock = clock
        self._inside = [0.0]  # seconds of what ended within each call that is open

    def timed(self, work: Callable[..., Any], part: str) -> Callable[..., Any]:
        """The same function, timed."""

        @functools.wraps(work)
        def call(*args: Any, **kwargs: Any) -> Any:
            self._inside.append(0.0)
            start = self._clock.now_s()
            found = work(*args, **kwargs)
            spent_s = self._clock.now_s() - start
            self.seconds[part] += spent_s - self._inside.pop()
            self._inside[-1] += spent_s
            return found

        return call


@contextmanager
def watched(live: engine.Engine, clock: Clock) -> Iterator[Watch]:
    """Time the steps within this context by part. Steps that replay a captured graph show no parts.

    The timers themselves cost a microsecond or two a call, and on CUDA each fences the device, so that
    shares tell, sums do not.
    """
    watch = Watch(clock)
    with ExitStack() as stack:
        for owner, name, part in _WATCHED:
            stack.enter_context(patch.object(owner, name, watch.timed(getattr(owner, name), part)))
        for attribute, name, part in _METHODS:
            owner = getattr(live, attribute)
            stack.enter_context(patch.object(owner, name, watch.timed(getattr(owner, name), part)))
        drafter = live._drafter
        if drafter is not None:
            stack.enter_context(patch.object(drafter, "propose", watch.timed(drafter.propose, "drafts")))
        yield watch
