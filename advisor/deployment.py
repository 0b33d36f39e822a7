"""A deployment: one way to serve on one device, and the replica that the simulator is told to be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import zip_longest
from typing import Annotated, Literal

from pydantic import Field

from advisor.memory import Room, SlotSpec, plan_memory
from advisor.profile import DraftTerm, ModelTerms, Profile
from advisor.recommendation import MemoryPlan
from advisor.sim.setup import AdapterLoads, FleetSetup, ReplicaSetup, Router, SpecSetup
from advisor.spec.engine import EngineLimits
from advisor.spec.model import adapter_bytes
from advisor.spec.spec import Origin, Spec
from advisor.spec.speculation import Acceptance
from advisor.steptime.clock import ProfileClock

Way = Literal["base", "multi-lora", "merged", "hybrid"]
WAYS: tuple[Way, ...] = ("base", "multi-lora", "merged", "hybrid")
Count = Annotated[int, Field(ge=1, le=1_000_000)]


class Choice(Spec):
    """One deployment of the user's choice, for `simulate` and `explain`; what is left out is searched."""

    way: Way
    device: str = Field(min_length=1, description="A device name of the catalog that has a profile.")
    tensor_parallel: Count = 1
    hottest: Count | None = Field(
        None, description="Way hybrid: how many adapters, most asked for first, are merged; 1 if left out."
    )
    replicas: Count | None = Field(None, description="Sized until the objective holds if left out.")
    max_loras: Count | None = None
    max_cpu_loras: Count | None = None
    max_num_seqs: Count | None = None
    max_num_batched_tokens: Count | None = None
    draft: Literal["none", "ngram", "draft_model", "eagle3"] = "none"
    draft_length: Annotated[int, Field(ge=1, le=16)] = 3
    fp8: bool = Field(False, description="16-bit weights, quantised to fp8 by the engine at its start.")
    by_batch: bool = Field(
        False, description="Draft so many tokens only at the batch sizes at which that pays, else none."
    )
    router: Router = "least-outstanding"


@dataclass(frozen=True, slots=True)
class OwnAcceptance:
    """Acceptance that was measured for one adapter."""

    adapter: str
    index: int  # in the trace
    share: float  # of the requests to adapters
    acceptance: Acceptance


@dataclass(frozen=True, slots=True)
class Drafting:
    """Speculative decoding of a deployment: cost, and acceptance for base and adapter requests."""

    term: DraftTerm
    draft_length: int
    base: Acceptance
    adapter: Acceptance  # of those that have none of their own
    origin: Origin
    note: str = ""
    name: str = ""  # tells drafts of one method apart, such as eagle3-custom; empty: the method
    training_usd_per_hour: float = 0.0  # of a custom draft, spread over the months in which it serves
    schedule: tuple[tuple[int, int], ...] = ()  # as in SpecSetup; draft_length is the longest of it
    own: tuple[OwnAcceptance, ...] = ()

    @property
    def mean_adapter(self) -> Acceptance:
        """Acceptance of a request to any adapter, by their shares."""
        if not self.own:
            return self.adapter
        rest = 1.0 - math.fsum(one.share for one in self.own)
        weighted = [(rest, self.adapter), *((one.share, one.acceptance) for one in self.own)]
        columns = zip_longest(*(acceptance.marginals for _, acceptance in weighted), fillvalue=0.0)
        shares = [share for share, _ in weighted]
        marginals = tuple(math.fsum(s * m for s, m in zip(shares, column, strict=True)) for column in columns)
        return self.adapter.model_copy(update={"marginals": marginals})

    def setup(self, merged: str | None) -> SpecSetup:
        """What the simulator is told.

        Args:
            merged: the adapter whose weights are merged, so that every request meets its acceptance; None:
                adapters are served unmerged, or none is.
        """
        own = {one.adapter: one.acceptance for one in self.own}
        base = self.base if merged is None else own.get(merged, self.adapter)
        by_index = tuple((one.index, one.acceptance) for one in self.own)
        return SpecSetup(self.draft_length, base, self.adapter, by_index, self.schedule)


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to serve on a device, before its knobs are set."""

    way: Way
    profile: Profile
    terms: ModelTerms
    drafting: Drafting | None
    memory_share: float
    modules: tuple[str, ...]
    router: Router = "least-outstanding"
    hottest: tuple[int, ...] = ()  # hybrid: adapters of the trace that are merged, most asked for first
    quantised: bool = False  # to fp8, by the engine at its start; `terms` are those of the fp8 weights

    @property
    def has_pools(self) -> bool:
        """Whether it is made of pools of its own for merged adapters, instead of one for all."""
        return self.way in ("merged", "hybrid")

    @property
    def key(self) -> str:
        """Stable identifier of the option that this variant becomes."""
        spec = self.drafting
        draft = "plain" if spec is None else f"{spec.name or spec.term.method}x{spec.draft_length}"
        way = f"{self.way}-{len(self.hottest)}" if self.hottest else self.way
        weights = "-fp8" if self.quantised else ""
        return f"{way}/{self.profile.device.name}/tp{self.terms.tensor_parallel}{weights}/{draft}"

    @property
    def training_usd_per_hour(self) -> float:
        """What its own draft cost to train, by the hour; paid once, however many replicas use it."""
        return 0.0 if self.drafting is None else self.drafting.training_usd_per_hour

    def acceptance_key(self, merged: str | None) -> str | None:
        """What tells merged replicas apart: the adapter's name where it has its own acceptance."""
        if merged is None or self.drafting is None:
            return None if merged is None else ""
        return merged if any(one.adapter == merged for one in self.drafting.own) else ""

    def memory(self, limits: EngineLimits) -> MemoryPlan:
        """Memory of one device of a replica with these limits."""
        slots = SlotSpec(limits.max_loras, limits.max_lora_rank, self.modules) if limits.max_loras else None
        room = Room(
            self.profile.device.memory_bytes,
            self.memory_share,
            self.terms.tensor_parallel,
            limits.kv_block_tokens,
        )
        draft = None if self.drafting is None else self.drafting.term
        return plan_memory(self.terms.model, self.profile.memory, room, slots=slots, draft=draft)

    def clock(self, limits: EngineLimits) -> ProfileClock:
        """Step time of a replica with these limits."""
        draft = None if self.drafting is None else self.drafting.term
        follows = self.drafting is not None and bool(self.drafting.schedule)
        return ProfileClock(
            self.profile, self.terms, limits, modules=self.modules, draft=draft, draft_follows=follows
        )

    def replica(
        self, limits: EngineLimits, ranks: tuple[int, ...], *, merged: str | None = None
    ) -> ReplicaSetup:
        """One replica for the simulator, with all adapters loaded at its start, the first ones last.

        Args:
            limits: the engine's knobs.
            ranks: true rank of each adapter of the trace, for the bytes read from disk; a slot copy is
                padded to max_lora_rank.
            merged: the adapter whose weights are merged; None: none is.
        """
        spec = None if self.drafting is None else self.drafting.setup(merged)
        frontend = self.profile.frontend
        return ReplicaSetup(
            limits=limits,
            clock=self.clock(limits),
            kv_blocks=self.memory(limits).kv_blocks,
            loads=self._loads(limits, ranks) if limits.max_loras else AdapterLoads((), ()),
            speculation=spec,
            frontend_s=frontend.fixed_s,
            frontend_per_prompt_token_s=frontend.per_prompt_token_s,
            preloaded=self._preloaded(len(ranks)) if limits.max_loras else (),
        )

    def _preloaded(self, adapters: int) -> tuple[int, ...]:
        return tuple(i for i in reversed(range(adapters)) if i not in self.hottest)

    def _loads(self, limits: EngineLimits, ranks: tuple[int, ...]) -> AdapterLoads:
        model, disk, slot = (
            self.terms.model,
            self.profile.load("disk_to_cpu"),
            self.profile.load("cpu_to_slot"),
        )
        by_rank = {rank: disk.seconds(adapter_bytes(model, self.modules, rank)) for rank in set(ranks)}
        copy_s = slot.seconds(adapter_bytes(model, self.modules, limits.max_lora_rank))
        return AdapterLoads(tuple(by_rank[rank] for rank in ranks), (copy_s,) * len(ranks))


def fleet(replica: ReplicaSetup, replicas: int, router: Router) -> FleetSetup:
    """Replicas of one kind behind one router, all ready at the start."""
    return FleetSetup(replica=replica, replicas=replicas, router=router)


def without_adapters(limits: EngineLimits) -> EngineLimits:
    """The same engine with LoRA off, as the base and merged weights are served."""
    return limits.model_copy(update={"max_loras": 0, "max_cpu_loras": 0, "max_lora_rank": 0})
