"""What the simulator is told: one replica's engine, and how replicas share the traffic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from advisor.spec.engine import EngineLimits
from advisor.spec.speculation import Acceptance
from advisor.steptime.batch import StepClock

Router = Literal["round-robin", "least-outstanding", "adapter-affinity"]


@dataclass(frozen=True, slots=True)
class AdapterLoads:
    """Seconds to bring each adapter of the trace one hop nearer, indexed by adapter."""

    disk_to_cpu_s: tuple[float, ...]
    cpu_to_slot_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SpecSetup:
    """Speculative decoding of one replica. Acceptance by position, drawn per sequence and verify step."""

    draft_length: int  # the longest, where the schedule has several
    base: Acceptance
    adapter: Acceptance
    own: tuple[tuple[int, Acceptance], ...] = ()  # of single adapters of the trace, instead of `adapter`
    schedule: tuple[tuple[int, int], ...] = ()
    """(From so many requests in a step, draft length), rising from 1; empty: always `draft_length`."""

    def length_after(self, requests: int) -> int:
        """Draft length of the step after one with so many requests, prompts included.

        An engine drafts at the end of a step, when it knows how many requests took part in it.
        """
        length = self.draft_length
        for least, at_least in self.schedule:
            if requests >= least:
                length = at_least
        return length


@dataclass(frozen=True, slots=True)
class ReplicaSetup:
    """Everything that one replica is."""

    limits: EngineLimits
    clock: StepClock
    kv_blocks: int
    loads: AdapterLoads = AdapterLoads((), ())
    speculation: SpecSetup | None = None
    frontend_s: float = 0.0  # added to every request's TTFT and E2E, outside the engine loop
    frontend_per_prompt_token_s: float = 0.0
    preloaded: tuple[int, ...] = ()  # adapters read and put into slots, in this order, before it serves


@dataclass(frozen=True, slots=True)
class Failure:
    """A replica dies at `at_s`; its requests are routed anew, its KV and adapter caches are lost."""

    replica: int
    at_s: float
    recover_after_s: float  # it serves again after this long; inf: never


@dataclass(frozen=True, slots=True)
class Scaling:
    """How many replicas serve, by the load (`scaling.py` has the rule); `FleetSetup.replicas` is the most."""

    target: float  # unfinished requests a replica, at the router included
    start_up_s: float  # from the decision until a replica serves
    min_replicas: int = 1  # ready from the beginning, and always kept; 0: scales to zero
    interval_s: float = 15.0  # between two looks at the load
    window_s: float = 300.0  # fewer replicas only if fewer were wanted for so long
    tolerance: float = 0.1  # no change while the load is within this share of what is right


@dataclass(frozen=True, slots=True)
class FleetSetup:
    """Replicas of one kind behind one router."""

    replica: ReplicaSetup
    replicas: int = 1  # of a fleet that scales the most
    router: Router = "least-outstanding"
    start_s: tuple[float, ...] = ()  # when each replica is ready; empty: all at 0
    failures: tuple[Failure, ...] = ()
    horizon_s: float | None = None  # stop here and count what is unfinished; None: run until all is done
    max_outstanding: int | None = None  # a request is refused while so many are unfinished; None: never
    scaling: Scaling | None = None  # None: all replicas serve all the time
