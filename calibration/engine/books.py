"""What the engine remembers: totals, every step, every load; and a request's new tokens with their times."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from advisor.sim.scheduler import Scheduler, StepPlan
from advisor.steptime.batch import Batch
from advisor.trace.trace import BASE
from calibration.engine.adapters import LoadRecord
from calibration.engine.decide import Asked
from calibration.engine.requests import Counters, LiveRequest, StepRecord


class Holdings(NamedTuple):
    """Counts of what an engine holds.

    An idle engine holds what it held before, whatever it did meanwhile, but for what is bounded and kept for
    later: named adapters in host memory and in slots, and records of steps.
    """

    requests: int
    running: int
    waiting: int
    prompts: int  # known to the KV cache
    adapters_known: int  # with a name, or without one and still used by a request
    adapters_in_host: int
    slots_filled: int
    slots_pinned: int
    kv_blocks: int  # owned by running requests
    step_records: int


class Books:
    """Records of one engine, bounded; read by calibration and replay."""

    def __init__(self, keep: int) -> None:
        self.counters = Counters()
        self.steps: deque[StepRecord] = deque(maxlen=keep)
        self.loads: deque[LoadRecord] = deque(maxlen=keep)

    def began(self, live: LiveRequest, now: float) -> None:
        """A request is in a step for the first time."""
        live.scheduled_s = now
        self.counters.prompt_tokens += live.request.prompt_tokens
        self.counters.cached_tokens += live.request.cached_tokens

    def loaded(self, record: LoadRecord) -> None:
        """An adapter was brought into a slot, or could not be."""
        self.loads.append(record)
        self.counters.failed_loads += bool(record.error)
        self.counters.loads_from_disk += record.from_disk and not record.error
        self.counters.loads_from_cpu += not record.from_disk

    def verified(self, one: Asked, found: Sequence[int]) -> None:
        """One verify step of one request."""
        one.live.verify_steps += 1
        one.live.drafted_tokens += len(one.drafts)
        one.live.accepted_drafts += len(found) - 1
        self.counters.count_drafts(len(one.drafts), len(found) - 1)

    def stepped(
        self,
        plan: StepPlan,
        scheduler: Scheduler,
        marks: Sequence[float],
        drafted: int,
        emitted: int,
        graph_tokens: int,
    ) -> None:
        """A step has ended. `marks`: its start, and the ends of schedule, load, draft, model, sample, all."""
        schedule_s, load_s, draft_s, model_s, sample_s, _ = (b - a for a, b in itertools.pairwise(marks))
        self.counters.steps += 1
        self.counters.preemptions += len(plan.preempted)
        self.counters.emitted_tokens += emitted
        self.steps.append(
            StepRecord(
                start_s=marks[0],
                end_s=marks[-1],
                batch=batch_of(plan, scheduler.draft_length),
                schedule_s=schedule_s,
                load_s=load_s,
                draft_s=draft_s,
                model_s=model_s,
                sample_s=sample_s,
                drafted_tokens=drafted,
                emitted_tokens=emitted,
                preempted=len(plan.preempted),
                running=len(scheduler.running),
                waiting=len(scheduler.waiting),
                kv_free_blocks=scheduler.kv.free,
                graph_tokens=graph_tokens,
            )
        )


def append_tokens(live: LiveRequest, found: list[int], now: float) -> list[int]:
    """Keep tokens up to the request's length or its first stop token; note the times."""
    new = found[: live.request.output_tokens - live.request.emitted_tokens]
    stop = next((place for place, token in enumerate(new) if token in live.stops), None)
    if stop is not None:
        new = new[: stop + 1]
        live.request.output_tokens = live.request.emitted_tokens + len(new)
    live.tokens += new
    live.last_token_s = now
    if live.first_token_s is None:
        live.first_token_s = now
    return new


def batch_of(plan: StepPlan, draft_length: int) -> Batch:
    """The step as the step-time model describes it. Drafts count as planned, also where nothing matched."""
    decodes = [share for share in plan.shares if not share.prefill]
    chunks = [share for share in plan.shares if share.prefill]
    return Batch(
        decodes=len(decodes),
        context_tokens=sum(share.context_tokens for share in decodes),
        chunks=tuple((share.new_tokens, share.context_tokens) for share in chunks),
        outputs=len(decodes) * (draft_length + 1) + sum(share.emits for share in chunks),
        draft_length=draft_length,
        adapters=len({share.request.adapter for share in plan.shares} - {BASE}),
    )
