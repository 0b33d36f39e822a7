"""The simulator's scheduler as the live engine drives it: physical blocks, and requests that are aborted."""

from __future__ import annotations

from advisor.sim.scheduler import Request, Scheduler, StepPlan
from advisor.spec.engine import EngineLimits
from calibration.engine.blocks import BlockPool


class LiveScheduler(Scheduler):
    """Adds to the policy only what a simulation never needs; decides nothing itself."""

    def __init__(self, limits: EngineLimits, pool: BlockPool, draft_length: int) -> None:
        super().__init__(limits, pool, draft_length)
        self.pool = pool

    def enter(self, request: Request, prompt: list[int]) -> None:
        """A request arrives, with the tokens that the prefix cache compares."""
        self.pool.enter(request.index, request.adapter, prompt)
        self.add(request)

    def plan(self) -> StepPlan:
        """The next step, with its blocks handed out. Without shares: nothing can run now."""
        plan = self.schedule()
        while plan.preempted and not plan.shares:
            again = self.schedule()
            again.preempted[:0] = plan.preempted
            plan = again
        for share in plan.shares:
            self.pool.settle(share.request.index, share.request.kv_blocks)
        return plan

    def finish(self, plan: StepPlan, emitted_tokens: list[int]) -> list[Request]:
        """Book a step; finished requests are forgotten."""
        done = self.finish_step(plan, emitted_tokens)
        for request in done:
            self.pool.leave(request.index)
        return done

    def abort(self, request: Request, plan: StepPlan | None = None) -> None:
        """Forget a request, running or waiting; within a step, take it out of the plan as well."""
        if plan is not None:
            plan.take_back(request)
        if request in self.running:
            self.running.remove(request)
            self._let_go(request)
        else:
            self.waiting.remove(request)
        self.pool.leave(request.index)
        self._unreserve(request.adapter)

    def adapter_ready(self, adapter: int) -> None:
        """An overlapped load has ended; its slot is idle if nobody waits for it any more."""
        super().adapter_ready(adapter)
        self._unreserve(adapter)

    def _unreserve(self, adapter: int) -> None:
        claimed = any(request.adapter == adapter for request in self.waiting)
        if adapter in self.reserved and adapter not in self.loading and not claimed:
            self.reserved.remove(adapter)
            self.adapters.unpin(adapter)
