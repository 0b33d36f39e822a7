"""Running requests of the next step where sums do not suffice: prompts, scarce tokens, scarce blocks."""

from __future__ import annotations

from advisor.sim.bookkeeping import Bookkeeping
from advisor.trace.trace import BASE


class Walk(Bookkeeping):
    """What `Scheduler._continue_running` does, over the bookkeeping of the skipping engine."""

    __slots__ = ()

    def _continue_running(self, left: int, due: int) -> tuple[int, int]:
        """Give running requests their parts; `left` tokens and `due` blocks if all decodes get theirs.

        Returns the budget left (0 if somebody got nothing) and how many requests were preempted.
        """
        chunks = self._next_chunks(left) if left >= 0 else None
        if chunks is not None:
            for _, before, tokens, _ in chunks:
                due += self._blocks_of_chunk(before, tokens)
                left -= tokens
            if due <= self._kv.free:
                self._kv.take(due)
                self._chunks = chunks
                return left, 0
        return self._walk()

    def _next_chunks(self, left: int) -> list[tuple[int, int, int, bool]] | None:
        """Chunks of the unfinished prompts, or None where the order of running requests matters."""
        chunks = []
        for number, before in self._partial.items():
            wanted = tokens = self._prompt_left(number)
            if tokens > left:
                if not left or number != next(reversed(self._running)):
                    return None
                tokens = left
            tokens = self._chunk(tokens)
            chunks.append((number, before, tokens, tokens == wanted))
            left -= tokens
        return chunks

    def _walk(self) -> tuple[int, int]:
        """One running request after the other, in the order of their admission."""
        kv, running = self._kv, self._running
        order = list(running)
        left = self._limits.max_num_batched_tokens
        parts: dict[int, tuple[int, int]] = {}  # admission number -> tokens, blocks
        preempted = position = 0
        while position < len(order):
            number = order[position]
            tokens, blocks = self._wanted(number, left)
            if not tokens:
                break
            while blocks > kv.free and number in running:
                victim = self._victim()
                order.remove(victim)
                preempted += 1
                tokens_back, blocks_back = parts.pop(victim, (0, 0))
                left += tokens_back
                position -= tokens_back > 0
                self._preempt(victim, blocks_back)
            if number not in running:
                break
            kv.take(blocks)
            parts[number] = tokens, blocks
            left -= tokens
            position += 1
        self._take_parts(parts)
        return 0 if self._missing else left, preempted

    def _wanted(self, number: int, left: int) -> tuple[int, int]:
        """Tokens and KV blocks that a running request wants; no tokens if the budget does not suffice."""
        if number not in self._partial:
            return (self.width if self.width <= left else 0), self._blocks_wanted(self._running[number])
        before = self._partial[number]
        tokens = self._chunk(min(self._prompt_left(number), left))
        return tokens, self._blocks_of_chunk(before, tokens)

    def _take_parts(self, parts: dict[int, tuple[int, int]]) -> None:
        """The step's chunks and decodes, and who misses it."""
        self._chunks = []
        self._served = self._served_context = 0
        for number, (tokens, _) in parts.items():
            if number in self._partial:
                completes = tokens == self._prompt_left(number)
                self._chunks.append((number, self._partial[number], tokens, completes))
            else:
                self._served += 1
                self._served_context += self._context_of(self._running[number])
        if not parts:
            return  # no step: the scheduler is asked again
        for number, request in self._running.items():
            if number not in parts:
                self._missing[number] = request
                if number not in self._partial:
                    self._run.last_emission_s.setdefault(request, self._t)
                    self._late.add(request)

    def _end_missed_step(self) -> None:
        """Who had no part in the step that has just been booked."""
        ledger = self._run.ledger
        for request in self._missing.values():
            ledger.missed.append((request, self._row, self._phase_of(request)))
        self._missing = {}

    def _end_late(self, time_s: float) -> int:
        """Requests that had missed steps emit again: their gap is longer than a step. How many."""
        run, missing = self._run, self._missing.values()
        back = [request for request in self._late if request not in missing]
        for request in back:
            run.ledger.gaps_s.append(time_s - run.last_emission_s.pop(request))
            self._late.remove(request)
        return len(back)

    def _adapters_in_step(self) -> int:
        """Distinct adapters among the requests of the next step."""
        if self._missing:
            taking_part = set(self._running.values()).difference(self._missing.values())
            return len({self._run.adapter[request] for request in taking_part} - {BASE})
        return len(self._cache.pins) - len(self._reserved)

    def _victim(self) -> int:
        """Admission number of the request to preempt: the newest, or the least urgent."""
        place = self._run.place
        if place is None:
            return next(reversed(self._running))
        return max(self._running, key=lambda number: place[self._running[number]])

    def _prompt_left(self, number: int) -> int:
        """Tokens to compute of an unfinished prompt (and of the answer, after a preemption)."""
        run, request = self._run, self._running[number]
        return run.prompt[request] + run.emitted.get(request, 0) - self._partial[number]

    def _chunk(self, tokens: int) -> int:
        """The threshold for long prefills, which is off for a request that is alone."""
        threshold = self._limits.long_prefill_token_threshold
        if 0 < threshold < tokens and (len(self._running) > 1 or self._waiting.size):
            return threshold
        return tokens

    def _blocks_of_chunk(self, before: int, tokens: int) -> int:
        """KV blocks that a prompt chunk begins."""
        return -(-(before + tokens) // self._block_tokens) + (-before // self._block_tokens)
