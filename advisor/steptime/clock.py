"""The clock of one replica: a profile's terms, put together into the seconds of a step.

    device = dense(T) + attention + head(outputs) + lora(T, A) + draft(S, γ, C, P) + all_reduce(T)
    step   = device + host(S, T)                 serial engines
    step   = max(device, host(S, T)) + ε         engines that overlap host work

Source: design.md section 3. A step of decodes alone runs a captured graph: dense and all-reduce are
those of the next captured size.
"""

from __future__ import annotations

import math

from advisor.profile import DraftTerm, ModelTerms, Profile
from advisor.spec.engine import EngineLimits
from advisor.spec.model import ALL_LINEAR
from advisor.steptime.attention import BesidePrompts, ChunkAttention
from advisor.steptime.batch import Batch, DecodeLine, StepParts
from advisor.steptime.lora import NO_LORA, LoraCost, lora_cost
from advisor.steptime.tables import at_every_count, by_count, staircase

_new_tuple = tuple.__new__  # a named tuple's own constructor takes twice as long


class ProfileClock:
    """Seconds of any step of one engine. Implements `advisor.steptime.batch.StepClock`."""

    def __init__(
        self,
        profile: Profile,
        terms: ModelTerms,
        limits: EngineLimits,
        *,
        modules: tuple[str, ...] = ALL_LINEAR,
        draft: DraftTerm | None = None,
        draft_follows: bool = False,
    ) -> None:
        """Evaluate every curve up to the engine's budgets.

        Args:
            profile: the device and engine; its host term and graph sizes are used.
            terms: model and tensor-parallel degree, from `advisor.steptime.terms.terms_for`.
            limits: token budget, seats, slots and padded rank of the replica.
            modules: linear modules that are wrapped for LoRA.
            draft: how tokens are drafted, where speculation is on.
            draft_follows: draft lengths change with the batch: a draft with weights computes every step once
                even where nothing is drafted, so that its KV cache is there when drafts are wanted again.
        """
        budget = max(limits.max_num_batched_tokens, limits.max_num_seqs)
        seats = limits.max_num_seqs
        self._dense = at_every_count(terms.dense, budget)
        self._dense_graph = staircase(self._dense, profile.graph_sizes)
        self._head = at_every_count(terms.head, budget)
        zero = [0.0] * (budget + 1)
        self._reduce = zero if terms.all_reduce is None else at_every_count(terms.all_reduce, budget)
        self._reduce_graph = staircase(self._reduce, profile.graph_sizes)
        self._chunk = ChunkAttention(terms.attn_prefill, budget)
        self._fresh = self._chunk.fresh_s
        decode = terms.attn_decode
        self._attn_fixed = [0.0, *by_count(decode.sequences, decode.fixed_s, seats)[1:]]
        self._attn_slope = by_count(decode.sequences, decode.per_context_token_s, seats)
        self._mixed = None if terms.attn_mixed is None else BesidePrompts(terms.attn_mixed, seats)
        self._lora = _lora_of(terms, limits, modules)
        self._no_adapters_s = self._lora.base_step_s
        self._draft = draft
        self._least_drafts = 1 if draft is not None and draft_follows and draft.method != "ngram" else 0
        self._drafted_share = 1.0 if draft is None else draft.drafted_share
        host = profile.host
        self._host_fixed, self._host_sequence = host.fixed_s, host.per_sequence_s
        self._host_token, self._epsilon, self._overlapped = host.per_token_s, host.epsilon_s, host.overlapped
        self._lines: dict[tuple[int, int, int, bool], DecodeLine] = {}

    def parts(self, batch: Batch) -> StepParts:
        """Seconds of any step, by component. In one piece, because the simulator spends its time here."""
        decodes, context, chunks, outputs, gamma, adapters = batch
        tokens = decodes * (gamma + 1)
        if self._drafted_share < 1.0 and gamma:
            missing = round(decodes * gamma * (1.0 - self._drafted_share))
            tokens, outputs = tokens - missing, outputs - missing
        mixed = self._mixed if chunks else None
        attention = 0.0 if mixed else self._attn_fixed[decodes] + self._attn_slope[decodes] * context
        prompt = 0
        for new, before in chunks:
            prompt += new
            attention += self._chunk.seconds(new, before) if before else self._fresh[new]
        if mixed:
            attention += mixed.seconds(prompt, decodes, context)
        tokens += prompt
        dense = self._dense[tokens] if chunks else self._dense_graph[tokens]
        reduce = self._reduce[tokens] if chunks else self._reduce_graph[tokens]
        head = self._head[outputs]
        lora = self._lora.seconds(tokens, adapters, prompt) if adapters else self._no_adapters_s
        draft = self._draft_s(decodes, gamma, context, prompt) if gamma or self._least_drafts else 0.0
        host = self._host_fixed + self._host_sequence * (decodes + len(chunks)) + self._host_token * tokens
        if self._overlapped:
            host -= dense + attention + head + lora + draft + reduce
            host = self._epsilon + host if host > 0.0 else self._epsilon
        return _new_tuple(StepParts, (dense, attention, head, lora, draft, reduce, host))

    def decode_line(self, decodes: int, adapters: int, draft_length: int, context_tokens: int) -> DecodeLine:
        """The line on which pure decode steps of this S and A lie around this context."""
        key = (decodes, adapters, draft_length, False)
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = self._line(decodes, adapters, draft_length, 0.0)
        if context_tokens < line.context_high:
            return line
        key = (decodes, adapters, draft_length, True)
        above = self._lines.get(key)
        if above is None:
            above = self._lines[key] = self._line(decodes, adapters, draft_length, line.context_high)
        return above

    def _line(self, decodes: int, adapters: int, gamma: int, low: float) -> DecodeLine:
        """Build the line that begins at context `low`; the host knot splits the range at most once."""
        tokens = decodes * (gamma + 1) - round(decodes * gamma * (1.0 - self._drafted_share))
        draft_zero = self._draft_s(decodes, gamma, 0)
        draft_slope = self._draft_s(decodes, gamma, 1) - draft_zero
        device = (
            self._dense_graph[tokens],
            self._attn_fixed[decodes],
            self._head[tokens],
            self._lora.seconds(tokens, adapters),
            draft_zero,
            self._reduce_graph[tokens],
        )
        slope = self._attn_slope[decodes] + draft_slope
        host = self._host_fixed + self._host_sequence * decodes + self._host_token * tokens
        if not self._overlapped:
            return DecodeLine(
                StepParts(*device, host),
                StepParts(0.0, self._attn_slope[decodes], 0.0, 0.0, draft_slope, 0.0, 0.0),
                0.0,
                math.inf,
            )
        gap, epsilon = host - StepParts(*device, 0.0).total, self._epsilon
        knot = 0.0 if gap <= 0 else (gap / slope if slope > 0 else math.inf)
        if low < knot:
            return DecodeLine(
                StepParts(*device, gap + epsilon),
                StepParts(0.0, self._attn_slope[decodes], 0.0, 0.0, draft_slope, 0.0, -slope),
                0.0,
                knot,
            )
        return DecodeLine(
            StepParts(*device, epsilon),
            StepParts(0.0, self._attn_slope[decodes], 0.0, 0.0, draft_slope, 0.0, 0.0),
            knot,
            math.inf,
        )

    def _draft_s(self, decodes: int, gamma: int, context: int, prompt: int = 0) -> float:
        """γ·(fixed + per_sequence·S + per_context_token·C) with decodes, and per_prompt_token·P."""
        draft, passes = self._draft, gamma or self._least_drafts
        if draft is None or not passes:
            return 0.0
        seconds = draft.per_prompt_token_s * prompt
        if decodes:
            per_token = draft.fixed_s + draft.per_sequence_s * decodes + draft.per_context_token_s * context
            seconds += passes * per_token
        return seconds


def _lora_of(terms: ModelTerms, limits: EngineLimits, modules: tuple[str, ...]) -> LoraCost:
    if not limits.max_loras:
        return NO_LORA
    if terms.lora is None:
        raise ValueError("the profile has no LoRA term for this model; check with terms.lora before")
    return lora_cost(
        terms.lora,
        terms.model,
        max_loras=limits.max_loras,
        max_rank=limits.max_lora_rank,
        modules=modules,
        max_cpu_loras=limits.max_cpu_loras,
    )
