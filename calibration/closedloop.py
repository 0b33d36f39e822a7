"""A closed loop in simulated time: C clients, each sends its next request when its last has been answered.

The simulator takes requests whose times are known; here they follow from the answers. The loop drives the
simulator's own scheduler and the profile's clock, so that it differs from `simulate_fleet` in nothing else
(tests/calibration/test_closed_loop.py holds them against each other). Steps in which nothing but decoding can
happen are taken at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.sim.kv import KvBlocks
from advisor.sim.scheduler import Request, Scheduler, StepPlan
from advisor.spec.engine import EngineLimits
from advisor.steptime.batch import Batch, StepClock

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Clients:
    """C clients and their requests, served in this order.

    Args:
        concurrency: C.
        prompt_tokens: of each request.
        output_tokens: of each request.
        frontend_s: from sending to being seen by the engine; requests pass side by side.
        frontend_per_prompt_token_s: more of it; requests pass one by one (one process reads all prompts).
    """

    concurrency: int
    prompt_tokens: Sequence[int]
    output_tokens: Sequence[int]
    frontend_s: float = 0.0
    frontend_per_prompt_token_s: float = 0.0


@dataclass(frozen=True, slots=True)
class LoopTimes:
    """Seconds of every request: when it was sent, from there to its first token, a token after that."""

    sent_s: Floats
    ttft_s: Floats
    tpot_s: Floats
    end_s: float


def run_closed_loop(clients: Clients, limits: EngineLimits, clock: StepClock, kv_blocks: int) -> LoopTimes:
    """Serve all requests.

    Args:
        clients: what is sent.
        limits: of the engine; no adapters, no drafts.
        clock: of the engine's steps.
        kv_blocks: of the engine.
    """
    return _Loop(clients, limits, clock, kv_blocks).run()


class _Loop:
    def __init__(self, clients: Clients, limits: EngineLimits, clock: StepClock, kv_blocks: int) -> None:
        self._clients, self._limits, self._clock = clients, limits, clock
        self._scheduler = Scheduler(limits, KvBlocks(kv_blocks, keeps=limits.prefix_caching))
        self._todo = deque(
            Request(index, int(prompt), int(output))
            for index, (prompt, output) in enumerate(
                zip(clients.prompt_tokens, clients.output_tokens, strict=True)
            )
        )
        count = len(self._todo)
        self._inbox: deque[tuple[float, Request]] = deque()  # seen by the engine from this time on
        self._sent_s, self._first_s, self._last_s = (np.full(count, np.nan) for _ in range(3))
        self._read_s = 0.0  # until when the frontend is busy with a prompt

    def run(self) -> LoopTimes:
        """Step by step; spans of nothing but decodes at once."""
        now = began = 0.0
        for _ in range(min(self._clients.concurrency, len(self._todo))):
            self._send(0.0)
        while self._inbox or self._scheduler.running or self._scheduler.waiting:
            now = self._take_in(now, began)
            began = now
            plan = self._scheduler.schedule()
            if not plan.shares:
                continue
            now += self._seconds(plan)
            done = self._finish(plan, now)
            if not done:
                now = self._decode_on(now)
        decode_s = self._last_s - self._first_s
        outputs = np.asarray(self._clients.output_tokens, dtype=np.float64)
        tpot_s = decode_s / np.maximum(outputs - 1.0, 1.0)
        return LoopTimes(self._sent_s, self._first_s - self._sent_s, tpot_s, now)

    def _send(self, now: float) -> None:
        request = self._todo.popleft()
        self._sent_s[request.index] = now
        reading_s = self._clients.frontend_per_prompt_token_s * request.prompt_tokens
        self._read_s = max(self._read_s, now) + reading_s
        self._inbox.append((self._read_s + self._clients.frontend_s, request))

    def _take_in(self, now: float, began: float) -> float:
        """Hand over what the engine can see; an idle engine waits for it. Returns the time."""
        idle = not self._scheduler.running and not self._scheduler.waiting
        if idle and self._inbox:
            now = max(now, self._inbox[0][0])
        behind = self._limits.async_scheduling and bool(self._scheduler.running)
        seen_until_s = began if behind else now
        while self._inbox and self._inbox[0][0] <= seen_until_s:
            self._scheduler.add(self._inbox.popleft()[1])
        return now

    def _seconds(self, plan: StepPlan) -> float:
        decodes = [share for share in plan.shares if not share.prefill]
        chunks = [share for share in plan.shares if share.prefill]
        return self._clock.parts(
            Batch(
                decodes=len(decodes),
                context_tokens=sum(share.context_tokens for share in decodes),
                chunks=tuple((share.new_tokens, share.context_tokens) for share in chunks),
                outputs=len(decodes) + sum(share.emits for share in chunks),
            )
        ).total

    def _finish(self, plan: StepPlan, now: float) -> bool:
        """Book a step's tokens; whoever is done sends the next request. True if anybody was."""
        for share in plan.shares:
            if share.emits and not share.request.emitted_tokens:
                self._first_s[share.request.index] = now
        done = self._scheduler.finish_step(plan, [int(share.emits) for share in plan.shares])
        for request in done:
            self._last_s[request.index] = now
            if self._todo:
                self._send(now)
        return bool(done)

    def _decode_on(self, now: float) -> float:
        """Take all steps at once up to the one before somebody is done, if nothing else can happen."""
        running, scheduler = self._scheduler.running, self._scheduler
        if self._inbox or scheduler.waiting or not running or any(r.prefilling for r in running):
            return now
        steps = min(request.output_tokens - request.emitted_tokens for request in running) - 1
        block = self._limits.kv_block_tokens
        if steps < 2 or len(running) * (steps // block + 2) > scheduler.kv.free:
            return now
        count, context = len(running), sum(request.computed_tokens for request in running)
        ends = (context, context + count * (steps - 1))
        first_s, last_s = (self._clock.parts(Batch(count, c, outputs=count)).total for c in ends)
        for request in running:
            request.computed_tokens += steps
            request.emitted_tokens += steps
        return now + 0.5 * steps * (first_s + last_s)
