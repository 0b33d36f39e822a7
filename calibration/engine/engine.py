"""The live engine: continuous batching of real tokens. Read `Engine.step` first.

Not thread-safe: one thread adds requests, steps and aborts. Times are seconds of `perf_counter_ns`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter_ns

from torch import Tensor

from advisor.errors import InputError
from advisor.sim.scheduler import Request, StepPlan
from advisor.spec.engine import EngineLimits
from advisor.trace.trace import BASE
from calibration.engine.adapters import AdapterStore, LoadRecord
from calibration.engine.batch import NO_SLOT, Row
from calibration.engine.blocks import BlockPool
from calibration.engine.books import Books, Holdings, append_tokens
from calibration.engine.decide import Asked, decide
from calibration.engine.merge import merge, unmerge
from calibration.engine.options import EngineOptions
from calibration.engine.peft import Described, describe_adapter, read_adapter
from calibration.engine.requests import LiveRequest, Reason, TokenOutput
from calibration.engine.runner import Runner
from calibration.engine.sampler import Sampling
from calibration.engine.scheduling import LiveScheduler
from calibration.engine.speculate import (
    Drafter,
    ModelDraft,
    ModelDrafter,
    NgramDraft,
    NgramDrafter,
    Part,
    Proposal,
)


class Engine:
    """One replica: a base model, its adapters, and the requests under way."""

    def __init__(
        self,
        model_dir: str | Path,
        limits: EngineLimits,
        adapters: Mapping[str, str | Path] | None = None,
        options: EngineOptions | None = None,
    ) -> None:
        """Load the model and check the adapters (InputError); an adapter is read when it is first used."""
        self.limits = limits
        self.options = options = options or EngineOptions()
        options.check(limits)
        gamma = options.draft_length
        self._model_dir = model_dir
        self._runner = runner = Runner(options.device, limits.kv_block_tokens, options.graphs)
        self._model = model = runner.load_model(model_dir, options.dtype, options.kv_blocks, gamma)
        self.architecture = model.architecture
        self._cache = runner.kv_cache(model, options.kv_blocks)
        self._slots = runner.lora_slots(model, limits.max_loras, limits.max_lora_rank)
        runner.pad_decodes(model, self._cache, self._slots, sorted({1, gamma + 1}), limits.max_num_seqs)
        self._store = AdapterStore(runner, model, self._slots)
        pool = BlockPool(options.kv_blocks, limits.kv_block_tokens, prefix_caching=limits.prefix_caching)
        self._scheduler = LiveScheduler(limits, pool, gamma)
        self._longest = options.longest(limits, self.architecture.max_positions)
        self._drafter = self._make_drafter(options.draft)
        self._live: dict[int, LiveRequest] = {}
        self._next = 0
        self._merged: Described | None = None
        self.books = Books(options.keep_records)
        for name, path in (adapters or {}).items():
            self.add_adapter(name, path)

    # ------------------------------------------------------------------------------------ requests

    def add_request(
        self,
        prompt: Sequence[int],
        *,
        adapter: str | None = None,
        max_tokens: int = 16,
        sampling: Sampling | None = None,
        ignore_eos: bool = False,
        stops: Sequence[int] = (),
        priority: int = 0,
    ) -> int:
        """A request arrives; returns its number.

        Raises:
            InputError: an empty or too long prompt, unknown tokens or adapter, impossible sampling.
        """
        sampling = sampling or Sampling()
        sampling.check()
        self._check_request(prompt, max_tokens, adapter)
        number = BASE if adapter is None else self._store.number(adapter)
        now = self.now_s()
        request = Request(self._next, len(prompt), max_tokens, number, priority, now)
        ends = frozenset(stops) | (frozenset() if ignore_eos else self.architecture.eos_tokens)
        self._live[request.index] = LiveRequest(request, adapter, list(prompt), sampling, ends, now)
        self._scheduler.enter(request, list(prompt))
        self._next += 1
        return request.index

    def abort(self, request: int) -> LiveRequest | None:
        """Forget a request between two steps; None if it is not under way (it may just have ended)."""
        if request not in self._live:
            return None
        self._scheduler.abort(self._live[request].request)
        return self._end(request, "abort")

    @property
    def busy(self) -> bool:
        """Whether requests are under way."""
        return bool(self._live)

    @property
    def graphs(self) -> str:
        """How steps of decodes alone run: off, static or cuda (options.py)."""
        return self._runner.graphs

    def live(self, request: int) -> LiveRequest:
        """A request that is under way."""
        return self._live[request]

    @staticmethod
    def now_s() -> float:
        """The engine's clock."""
        return perf_counter_ns() * 1e-9

    # ------------------------------------------------------------------------------------ the step

    def step(self) -> list[TokenOutput]:
        """One step: who runs, bring their adapters, draft, compute, choose tokens, book."""
        marks = [self.now_s()]
        outputs = self._see_arrived_adapters()
        self._retire_adapters()
        plan = self._scheduler.plan()
        marks.append(self.now_s())
        outputs += self._bring_adapters(plan)
        marks.append(self.now_s())
        if not plan.shares:
            return outputs
        parts = self._parts(plan, marks[1])
        proposal = self._drafter.propose(parts) if self._drafter else Proposal([], None)
        marks.append(self.now_s())
        asked = _asked(plan, parts, proposal)
        logits = self._forward(parts, asked)
        self._runner.fence()
        marks.append(self.now_s())
        tokens = decide(logits, asked, proposal.probs) if asked else []
        marks.append(self.now_s())
        new = self._book(plan, asked, tokens, marks[-1])
        marks.append(self.now_s())
        drafted, emitted = sum(len(one.drafts) for one in asked), sum(len(output.tokens) for output in new)
        self.books.stepped(plan, self._scheduler, marks, drafted, emitted, self._runner.graph_tokens)
        return outputs + new

    def wait(self, wait_s: float) -> None:
        """Sleep until an overlapped load ends, where nothing else can run; at most so long."""
        self._store.wait(wait_s)

    def _see_arrived_adapters(self) -> list[TokenOutput]:
        outputs = []
        for record in self._store.arrived():
            outputs += self._loaded(record, None)
            self._scheduler.adapter_ready(record.adapter)
        return outputs

    def _bring_adapters(self, plan: StepPlan) -> list[TokenOutput]:
        """Load what the plan needs: now, or beside the batch."""
        outputs: list[TokenOutput] = []
        if plan.loads and self.limits.load_mode == "overlapped":
            self._store.begin(plan.loads, self._scheduler.adapters)
        elif plan.loads:
            for record in self._store.bring(plan.loads, self._scheduler.adapters):
                outputs += self._loaded(record, plan)
        return outputs

    def _loaded(self, record: LoadRecord, plan: StepPlan | None) -> list[TokenOutput]:
        """Note a load; if it failed, so do the adapter's requests."""
        self.books.loaded(record)
        outputs = []
        for index, live in list(self._live.items()):
            if record.error and live.request.adapter == record.adapter:
                self._scheduler.abort(live.request, plan)
                self._end(index, "error", record.error)
                outputs.append(TokenOutput(index, (), self.now_s(), "error", record.error))
        return outputs

    def _parts(self, plan: StepPlan, now: float) -> list[Part]:
        """The plan's shares with their tokens."""
        parts = []
        for share in plan.shares:
            live = self._live[share.request.index]
            if live.scheduled_s is None:
                self.books.began(live, now)
            parts.append(Part(live, share.context_tokens, share.new_tokens, share.prefill))
        return parts

    def _forward(self, parts: Sequence[Part], asked: Sequence[Asked]) -> Tensor:
        """Logits of every token that is asked for, in the order of `asked`."""
        drafts_of = {one.live.request.index: one.drafts for one in asked}
        rows = []
        for part in parts:
            request = part.live.request
            new = part.live.tokens[part.context : part.context + part.new_tokens]
            drafts = drafts_of.get(request.index)
            outputs = 0 if drafts is None else len(drafts) + 1
            slot = NO_SLOT if request.adapter == BASE else self._store.slot(request.adapter)
            blocks = self._scheduler.pool.table(request.index)
            rows.append(Row([*new, *(drafts or ())], part.context, blocks, slot, outputs))
        return self._runner.forward(self._model, rows, self._cache, self._slots)

    def _book(
        self, plan: StepPlan, asked: Sequence[Asked], tokens: Sequence[list[int]], now: float
    ) -> list[TokenOutput]:
        """Write down what each request got, and who has ended."""
        kept = {}
        for one, found in zip(asked, tokens, strict=True):
            if one.drafting is not None and self._drafter:
                self.books.verified(one, found)
            kept[one.live.request.index] = append_tokens(one.live, found, now)
        self._scheduler.finish(plan, [len(kept.get(share.request.index, ())) for share in plan.shares])
        outputs = []
        for index, new in kept.items():
            request = self._live[index].request
            reason: Reason | None = None
            if request.emitted_tokens >= request.output_tokens:
                reason = "stop" if new[-1] in self._live[index].stops else "length"
                self._end(index, reason)
            outputs.append(TokenOutput(index, tuple(new), now, reason))
        return outputs

    def _end(self, index: int, reason: Reason, error: str = "") -> LiveRequest:
        live = self._live.pop(index)
        live.reason, live.error = reason, error
        self._retire_adapters()
        return live

    # ------------------------------------------------------------------------------------ adapters

    def add_adapter(self, name: str, path: str | Path) -> None:
        """Make an adapter folder known under a name (InputError if it cannot be served)."""
        self._store.register(name, path)
        self._retire_adapters()

    def remove_adapter(self, name: str) -> None:
        """Forget a name. Requests under way keep their adapter; with the last of them its slot is free."""
        self._store.unregister(name)
        self._retire_adapters()

    def _retire_adapters(self) -> None:
        used = {live.request.adapter for live in self._live.values()} if self._store.nameless else ()
        self._store.retire(self._scheduler.adapters, used)

    @property
    def adapters(self) -> tuple[str, ...]:
        """Names that requests may ask for."""
        return self._store.names

    def merge_adapter(self, path: str | Path) -> float:
        """Merge an adapter folder into the weights, while no request is under way; returns the seconds.

        Raises:
            InputError: requests are under way, an adapter is merged already, or the folder does not fit.
        """
        self._check_idle("merge")
        if self._merged is not None:
            raise InputError(f"merge: {self._merged.folder} is merged; allowed: one. Unmerge it first.")
        described = describe_adapter(path, self.architecture.shape)
        start = self.now_s()
        deltas = read_adapter(described, self.architecture.shape)
        merge(self._model.weights, self.architecture, deltas)
        return self._weights_changed(described, start)

    def unmerge_adapter(self) -> float:
        """Read the merged modules of the base again; returns the seconds.

        Raises:
            InputError: requests are under way, or nothing is merged.
        """
        self._check_idle("unmerge")
        if self._merged is None:
            raise InputError("unmerge: no adapter is merged.")
        start = self.now_s()
        unmerge(self._model.weights, self.architecture, self._merged.scales, self._model_dir)
        return self._weights_changed(None, start)

    def _weights_changed(self, merged: Described | None, start: float) -> float:
        """What the old weights left in the prefix cache holds no more."""
        self._runner.fence()
        self._merged = merged
        self._scheduler.pool.flush()
        return self.now_s() - start

    # ------------------------------------------------------------------------------------ the rest

    @property
    def slot_bytes(self) -> int:
        """Device memory of all adapter slots."""
        return 0 if self._slots is None else self._slots.bytes

    @property
    def kv_bytes(self) -> int:
        """Device memory of the KV cache."""
        return self._cache.bytes

    @property
    def holdings(self) -> Holdings:
        """What it holds. Another thread may ask: each count is right, though a step may come between two."""
        scheduler = self._scheduler
        return Holdings(
            requests=len(self._live),
            running=len(scheduler.running),
            waiting=len(scheduler.waiting),
            prompts=scheduler.pool.prompts,
            adapters_known=self._store.described,
            adapters_in_host=self._store.in_host,
            slots_filled=len(scheduler.adapters.in_slots),
            slots_pinned=len(scheduler.adapters.pins),
            kv_blocks=self.options.kv_blocks - scheduler.pool.free,
            step_records=len(self.books.steps),
        )

    def check_invariants(self) -> None:
        """What must always hold between two steps."""
        self._scheduler.check_invariants()
        self._store.check_invariants(self._scheduler.adapters)
        known = [request.index for request in (*self._scheduler.waiting, *self._scheduler.running)]
        assert sorted(known) == sorted(self._live)

    def close(self) -> None:
        """End the threads of overlapped loads."""
        self._store.close()

    def _make_drafter(self, how: NgramDraft | ModelDraft | None) -> Drafter | None:
        if how is None or isinstance(how, NgramDraft):
            return NgramDrafter(how) if how else None
        blocks = self.options.kv_blocks
        model = self._runner.load_model(how.model_dir, self.options.dtype, blocks, how.length)
        own, theirs = self.architecture.shape.vocab_size, model.architecture.shape.vocab_size
        if own != theirs:
            raise InputError(f"{how.model_dir}: vocab_size is {theirs}; allowed: {own}, as the target has.")
        self._longest = self.options.longest(
            self.limits, min(self.architecture.max_positions, model.architecture.max_positions)
        )
        cache = self._runner.kv_cache(model, blocks)
        self._runner.pad_decodes(model, cache, None, (1, 2), self.limits.max_num_seqs)
        return ModelDrafter(how, self._runner, model, cache, self._scheduler.pool)

    def _check_idle(self, what: str) -> None:
        if self.busy:
            raise InputError(f"{what}: {len(self._live)} requests are under way; allowed: none.")

    def _check_request(self, prompt: Sequence[int], max_tokens: int, adapter: str | None) -> None:
        vocab, total = self.architecture.shape.vocab_size, len(prompt) + max_tokens
        if adapter is not None and self._merged is not None:
            raise InputError(f"request: adapter is {adapter!r}; allowed: none while an adapter is merged.")
        if not prompt:
            raise InputError("request: the prompt is empty; allowed: at least 1 token.")
        if max_tokens < 1:
            raise InputError(f"request: max_tokens is {max_tokens}; allowed: at least 1.")
        if not 0 <= min(prompt) <= max(prompt) < vocab:
            raise InputError(f"request: the prompt has tokens outside of the vocabulary, 0 to {vocab - 1}.")
        if total > self._longest:
            raise InputError(
                f"request: prompt and max_tokens are {total} tokens; allowed: at most {self._longest}."
            )


def _asked(plan: StepPlan, parts: Sequence[Part], proposal: Proposal) -> list[Asked]:
    """Who gets tokens in this step, with their drafts."""
    asked, line = [], 0
    for share, part in zip(plan.shares, parts, strict=True):
        if not part.prefill:
            asked.append(Asked(part.live, proposal.drafts[line] if proposal.drafts else [], line))
            line += 1
        elif share.emits:
            asked.append(Asked(part.live, [], None))
    return asked
