"""The skipping engine where prompts have steps of their own (SGLang): `batching: prompts_first`.

While a prompt is computed all decodes wait. Decode steps alone are counted in `_n`, so that a step of prompts
leaves the sums over decoding requests as they are: where each finishes, its place within a KV block, its
drafts. Read `_schedule`; `scheduler.py` is the specification.
"""

from __future__ import annotations

from collections import Counter

from advisor.sim.drafting import DraftingReplica
from advisor.sim.skipping import SkippingReplica
from advisor.trace.trace import BASE


class PromptsFirstReplica(SkippingReplica):
    """One replica."""

    __slots__ = ()

    def _schedule(self) -> int:
        """Chunks of prompts alone; where there are none, every decode. Returns how many were preempted."""
        self._served = self._served_context = 0
        self._closed = False
        left = self._budget
        if self._partial:
            left = self._go_on_with_prompt(left)
        if left > 0 and self._waiting.size:
            self._admit(left)
        if self._chunks:
            self._put_decodes_aside()
            return 0
        if not self._decodes:
            return 0
        self._served, self._served_context = self._decodes, self._context
        left, due = self._budget - self._decodes * self.width, self._blocks_due(self._n, 1)
        if left < 0 or due > self._kv.free:
            return self._continue_running(left, due)[1]
        self._kv.take(due)
        return 0

    def _go_on_with_prompt(self, left: int) -> int:
        """The unfinished prompt, of which there is one at most: the one that the last step's budget cut."""
        ((number, before),) = self._partial.items()
        wanted = self._prompt_left(number)
        tokens = min(wanted, left)
        self._kv.take(self._blocks_of_chunk(before, tokens))
        self._chunks.append((number, before, tokens, tokens == wanted))
        return left - tokens

    def _put_decodes_aside(self) -> None:
        """Every decoding request waits for this step; one that waits already knows since when."""
        if len(self._late) == self._decodes:
            return
        chunks = {chunk[0] for chunk in self._chunks}
        since = self._run.last_emission_s
        for number, request in self._running.items():
            if number not in chunks and request not in self._late:
                since.setdefault(request, self._t)
                self._late.add(request)

    def _complete(self, steps: int, time_s: float) -> None:
        if not self._chunks:
            super()._complete(steps, time_s)
            return
        self._row = self._run.ledger.add((self.index, time_s, self._stall_s, self._kind, 1, 0, 0, 0))
        self._step_start_s, self._t = self._t, time_s
        if self._lora:
            self._pass_time(time_s)

    def _end_prompts(self) -> None:
        """As ever; who computed its answer again after a preemption took part in a step like the others."""
        run, again = self._run, self._run.ledger.took_part
        again += [
            (request, self._row)
            for number, _, _, _ in self._chunks
            if run.ledger.first[request := self._running[number]] >= 0
        ]
        super()._end_prompts()

    def _end_late(self, time_s: float) -> int:
        """Most of those who waited had emitted at the same time."""
        if self._missing:
            return super()._end_late(time_s)
        since = self._run.last_emission_s
        waited = Counter([since.pop(request) for request in self._late])
        self._run.ledger.joint_gaps_s += [(time_s - begin_s, count) for begin_s, count in waited.items()]
        self._late.clear()
        return waited.total()

    def _adapters_in_step(self) -> int:
        if not self._chunks:
            return super()._adapters_in_step()
        return len({self._run.adapter[self._running[chunk[0]]] for chunk in self._chunks} - {BASE})


class PromptsFirstDrafting(PromptsFirstReplica, DraftingReplica):
    """The same with drafts."""

    __slots__ = ()
