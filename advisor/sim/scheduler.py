"""Who runs in the next step: vLLM V1's scheduling policy (engines.md 5.2), without clocks or tensors.

The plain simulator and the live engine are driven by this object. One step is

    plan = scheduler.schedule()     # who runs, with how many tokens; who is preempted; which adapters load
    ...                             # the engine brings plan.loads into slots and runs plan.shares
    done = scheduler.finish_step(plan, tokens_emitted)

With `load_mode = overlapped` the engine starts plan.loads at once, goes on with the batch, and calls
`adapter_ready` when one has arrived.

Rules, each with its test in tests/sim/test_scheduler.py:
1. Running requests first, in the order of their admission, then waiting ones. A request gets
   min(what it wants, the threshold for long prefills, what is left of the token budget).
2. A waiting request is passed over while `max_loras` other adapters run; younger ones are looked at.
3. A waiting request whose whole prompt does not fit into the free KV blocks is a barrier.
4. A running request that finds no free block preempts the newest one (fcfs), or the one with the largest
   (priority, arrival). After a preemption nobody is admitted in that step.
5. A preempted request goes to the front of the queue and computes prompt and answer so far again, except for
   what is left of its blocks where prefixes are cached.
6. `batching` prompts_first (SGLang): while a prompt may run, prompts alone run, of the whole budget; decodes
   run, and are preempted, where none may. one_adapter (llama.cpp): nobody is admitted beside another adapter,
   or an adapter beside the base; who is passed over for that holds a seat. (tests/sim/test_batching.py)

Differences from vLLM: a decode whose drafts do not fit into the token budget ends the step's list (vLLM
would cut its drafts); drafts need KV blocks for the tokens they may add, and no look-ahead beyond.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field

from advisor.sim.adapters import IN_SLOT, AdapterCache
from advisor.sim.kv import KvBlocks
from advisor.spec.engine import EngineLimits
from advisor.trace.trace import BASE


@dataclass(slots=True, eq=False)
class Request:
    """What the scheduler knows of a request."""

    index: int  # its row of the trace
    prompt_tokens: int
    output_tokens: int  # when it will stop; a live engine lowers it at a stop token
    adapter: int = BASE
    priority: int = 0
    arrival: float = 0.0  # second sorting key of the priority policy
    emitted_tokens: int = 0  # answer so far
    computed_tokens: int = 0  # tokens whose KV is in memory
    kv_blocks: int = 0
    prefilling: bool = True
    preemptions: int = 0
    cached_tokens: int = -1  # prompt tokens hit at the first admission; -1: not admitted yet
    place: float = 0.0  # place in the queue, smaller is earlier

    @property
    def tokens_to_compute(self) -> int:
        """Tokens known but without KV: the rest of the prompt (and of a recomputed answer), or one."""
        return self.prompt_tokens + self.emitted_tokens - self.computed_tokens


@dataclass(slots=True)
class Share:
    """One request's part of a step."""

    request: Request
    new_tokens: int
    context_tokens: int  # KV before the step
    prefill: bool
    emits: bool  # decodes, and the chunk that completes a prompt


@dataclass(slots=True)
class StepPlan:
    """One step. Empty shares with preempted requests: schedule again; empty both: nothing can run."""

    shares: list[Share] = field(default_factory=list)
    loads: list[tuple[int, int]] = field(default_factory=list)  # (adapter, FROM_CPU or FROM_DISK)
    preempted: list[Request] = field(default_factory=list)
    tokens: int = 0

    def add(self, share: Share) -> None:
        """Give a request its part."""
        self.shares.append(share)
        self.tokens += share.new_tokens

    def take_back(self, request: Request) -> bool:
        """Remove a request that was preempted after it had got its part; True if it had one."""
        for position, share in enumerate(self.shares):
            if share.request is request:
                del self.shares[position]
                self.tokens -= share.new_tokens
                return True
        return False


class Scheduler:
    """Running and waiting requests of one engine. `schedule` costs O(running + waiting)."""

    def __init__(self, limits: EngineLimits, kv: KvBlocks, draft_length: int = 0) -> None:
        self.limits = limits
        self.kv = kv
        self.draft_length = draft_length
        self.adapters = AdapterCache(limits.max_loras, limits.max_cpu_loras)
        self.running: list[Request] = []  # in the order of admission
        self.waiting: list[Request] = []  # in the order of service
        self.loading: set[int] = set()  # overlapped: adapters under way to their slots
        self.reserved: set[int] = set()  # overlapped: loading or loaded, and not yet used by a request
        self._last_place = 0.0
        self._first_place = 0.0

    @property
    def active_adapters(self) -> int:
        """Distinct adapters that run or are being brought in."""
        return len(self.adapters.pins)

    def add(self, request: Request) -> None:
        """A request arrives."""
        self._last_place += 1
        self._queue(request, self._last_place)

    def adapter_ready(self, adapter: int) -> None:
        """An overlapped load has ended."""
        self.loading.remove(adapter)

    def is_blocked(self, adapter: int) -> bool:
        """Whether a waiting request of this adapter is passed over because `max_loras` others run or load."""
        return adapter != BASE and not self.adapters.may_run(adapter)

    def schedule(self) -> StepPlan:
        """Decide the next step. Changes running, waiting, KV and adapters at once."""
        plan = StepPlan()
        if self.limits.batching == "prompts_first":
            self._continue_running(plan, prompts=True)
            self._admit_waiting(plan)
            if not plan.shares:
                self._continue_running(plan)
            return plan
        all_run = self._continue_running(plan)
        if all_run and not plan.preempted:
            self._admit_waiting(plan)
        return plan

    def finish_step(self, plan: StepPlan, emitted_tokens: Sequence[int]) -> list[Request]:
        """Book what a step yielded, one number a share (0: does not emit); returns the finished requests."""
        finished = []
        for share, tokens in zip(plan.shares, emitted_tokens, strict=True):
            request = share.request
            if share.prefill:
                request.computed_tokens += share.new_tokens
                if share.emits:
                    request.prefilling = False
                    self.kv.register(request.index)
            else:
                request.computed_tokens += tokens
            request.emitted_tokens += tokens
            if request.emitted_tokens >= request.output_tokens:
                finished.append(request)
        for request in finished:
            self.running.remove(request)
            self._let_go(request)
        return finished

    def drain(self) -> list[Request]:
        """The engine dies: hands back running requests in their order, then waiting ones, without KV."""
        orphans = [*self.running, *self.waiting]
        for request in self.running:
            self._forget(request)
        self.running.clear()
        self.waiting.clear()
        return orphans

    def _continue_running(self, plan: StepPlan, *, prompts: bool = False) -> bool:
        """Give the running requests their parts; False if the budget or the blocks ended before the list.

        Args:
            plan: of the step.
            prompts: only those whose prompt is being computed.
        """
        position = 0
        while position < len(self.running):
            request = self.running[position]
            if prompts and not request.prefilling:
                position += 1
                continue
            tokens = self._tokens_for(request, self.limits.max_num_batched_tokens - plan.tokens)
            if tokens == 0:
                return False
            moved = self._make_room(request, tokens, plan)
            if moved is None:
                return False
            plan.add(self._share(request, tokens))
            position += 1 - moved
        return True

    def _make_room(self, request: Request, tokens: int, plan: StepPlan) -> int | None:
        """Allocate, preempting others if need be.

        Returns how many earlier shares were taken back, or None if the request itself had to go.
        """
        taken_back = 0
        while not self._allocate(request, tokens):
            victim = self._victim()
            taken_back += plan.take_back(victim)
            self._preempt(victim)
            plan.preempted.append(victim)
            if victim is request:
                return None
        return taken_back

    def _admit_waiting(self, plan: StepPlan) -> None:
        one_adapter = self.limits.batching == "one_adapter"
        seats = self.limits.max_num_seqs  # of those who run, and of those who wait for another adapter's end
        for request in list(self.waiting):
            left = self.limits.max_num_batched_tokens - plan.tokens
            if left == 0 or len(self.running) >= seats:
                break
            if one_adapter and self.running and self.running[0].adapter != request.adapter:
                seats -= 1
                continue
            if self._passes_over(request.adapter, plan):
                continue
            hit, hit_free = self.kv.match(request.index)
            if self._blocks(request.tokens_to_compute) - hit > self.kv.free - hit_free:
                break
            self._admit(request, hit, left, plan)

    def _admit(self, request: Request, hit_blocks: int, left: int, plan: StepPlan) -> None:
        alone = not self.running and len(self.waiting) == 1
        self.waiting.remove(request)
        self.running.append(request)
        self.kv.hold(request.index)
        request.kv_blocks = hit_blocks
        request.computed_tokens = hit_blocks * self.limits.kv_block_tokens
        if request.cached_tokens < 0:
            request.cached_tokens = request.computed_tokens
        if request.adapter != BASE:
            origin = self.adapters.pin(request.adapter)
            if origin != IN_SLOT:
                plan.loads.append((request.adapter, origin))
            if request.adapter in self.reserved:
                self.reserved.remove(request.adapter)
                self.adapters.unpin(request.adapter)
        tokens = self._chunk(request, left, alone)
        assert self._allocate(request, tokens)
        plan.add(self._share(request, tokens))

    def _passes_over(self, adapter: int, plan: StepPlan) -> bool:
        """Whether a waiting request has to be skipped for its adapter; may begin an overlapped load."""
        if adapter == BASE:
            return False
        if adapter in self.loading or self.is_blocked(adapter):
            return True
        if self.limits.load_mode == "blocking" or adapter in self.adapters.in_slots:
            return False
        plan.loads.append((adapter, self.adapters.pin(adapter)))
        self.loading.add(adapter)
        self.reserved.add(adapter)
        return True

    def _tokens_for(self, request: Request, left: int) -> int:
        """New tokens of a running request; 0 if the budget does not suffice."""
        if request.prefilling:
            return self._chunk(request, left, alone=len(self.running) == 1 and not self.waiting)
        wanted = 1 + self.draft_length
        return wanted if wanted <= left else 0

    def _chunk(self, request: Request, left: int, alone: bool) -> int:
        """Next prompt chunk; the threshold for long prefills is off for a request that is alone."""
        tokens = min(request.tokens_to_compute, left)
        threshold = self.limits.long_prefill_token_threshold
        return min(tokens, threshold) if threshold and not alone else tokens

    def _share(self, request: Request, tokens: int) -> Share:
        emits = not request.prefilling or tokens == request.tokens_to_compute
        return Share(request, tokens, request.computed_tokens, request.prefilling, emits)

    def _blocks(self, tokens: int) -> int:
        return -(-tokens // self.limits.kv_block_tokens)

    def _allocate(self, request: Request, tokens: int) -> bool:
        """Take the KV blocks for this many more tokens, or none."""
        blocks = max(request.kv_blocks, self._blocks(request.computed_tokens + tokens))
        if blocks - request.kv_blocks > self.kv.free:
            return False
        self.kv.take(blocks - request.kv_blocks)
        request.kv_blocks = blocks
        return True

    def _victim(self) -> Request:
        if self.limits.policy == "fcfs":
            return self.running[-1]
        return max(self.running, key=lambda request: (request.priority, request.arrival, request.index))

    def _preempt(self, request: Request) -> None:
        self.running.remove(request)
        self._let_go(request, request.computed_tokens // self.limits.kv_block_tokens)
        self._forget(request)
        self._first_place -= 1
        self._queue(request, self._first_place)

    def _let_go(self, request: Request, computed_blocks: int = 0) -> None:
        """Blocks become free, the adapter idle."""
        self.kv.release(request.index, request.kv_blocks, computed_blocks)
        request.kv_blocks = 0
        if request.adapter != BASE:
            self.adapters.unpin(request.adapter)

    def _forget(self, request: Request) -> None:
        request.computed_tokens = 0
        request.kv_blocks = 0
        request.prefilling = True
        request.preemptions += 1

    def _queue(self, request: Request, place: float) -> None:
        request.place = place
        if self.limits.policy == "fcfs":
            insort(self.waiting, request, key=lambda other: other.place)
        else:
            insort(self.waiting, request, key=lambda other: (other.priority, other.arrival, other.index))

    def check_invariants(self) -> None:
        """What must always hold between two calls."""
        held = self.kv.private_blocks({request.index: request.kv_blocks for request in self.running})
        self.kv.check_invariants(held)
        self.adapters.check_invariants()
        assert len(self.running) <= self.limits.max_num_seqs
        pins: dict[int, int] = dict.fromkeys(self.reserved, 1)
        for request in self.running:
            if request.adapter != BASE:
                pins[request.adapter] = pins.get(request.adapter, 0) + 1
        assert pins == self.adapters.pins
        assert self.loading <= self.reserved
