"""What one step must compute and read, however it is done."""

from __future__ import annotations

from dataclasses import dataclass

from advisor.spec.model import ALL_LINEAR, ModelShape, adapter_bytes, lora_elements
from advisor.steptime.attention import chunk_work
from advisor.steptime.batch import Batch


@dataclass(frozen=True, slots=True)
class Work:
    """Operations and bytes of one step."""

    flops: float
    weight_bytes: float
    kv_bytes: float
    lora_bytes: float

    @property
    def bytes(self) -> float:
        """All that must cross the memory's bus."""
        return self.weight_bytes + self.kv_bytes + self.lora_bytes

    def least_s(self, flops_per_s: float, bytes_per_s: float) -> float:
        """No engine is faster: the longer of the two (roofline, Williams et al. 2009)."""
        return max(self.flops / flops_per_s, self.bytes / bytes_per_s)

    def bound(self, flops_per_s: float, bytes_per_s: float) -> str:
        """Which of the two it is."""
        return "products" if self.flops / flops_per_s > self.bytes / bytes_per_s else "memory"


def work_of(model: ModelShape, batch: Batch, *, rank: int, tuned_tokens: int, element_bytes: int) -> Work:
    """Count a step.

    flops   2 · T · layer parameters + 2 · outputs · vocab · hidden
            + 4 · layers · heads · head_dim · pairs           pairs: `chunk_work` of chunks and of decodes
            + 2 · tuned · layers · r · Σ_m (d_in + d_out)
    bytes   every matrix once, the head where rows ask for it, T rows of the embedding;
            KV of all contexts read and of T tokens written; A and B of each distinct adapter once
    Activations stay in a cache, so they count as nothing. All counts are the advisor's own.

    Args:
        model: the sizes.
        batch: the step as the step-time model describes it.
        rank: of the adapters in the batch.
        tuned_tokens: new tokens that have an adapter.
        element_bytes: of weights, KV and adapters.
    """
    head = model.vocab_size * model.hidden_size
    verified = batch.draft_length + 1
    pairs = batch.decodes * chunk_work(float(verified), 0.0) + float(verified) * batch.context_tokens
    pairs += sum(chunk_work(float(new), context) for new, context in batch.chunks)
    context = batch.context_tokens + sum(before for _, before in batch.chunks)
    linear = 2.0 * (batch.tokens * model.layer_parameters + batch.outputs * head)
    attention = 4.0 * model.layers * model.heads * model.head_dim * pairs
    tuned = 2.0 * tuned_tokens * lora_elements(model, ALL_LINEAR, rank)
    read = model.layer_parameters + (head if batch.outputs else 0) + batch.tokens * model.hidden_size
    return Work(
        flops=linear + attention + tuned,
        weight_bytes=float(element_bytes * read),
        kv_bytes=0.5 * element_bytes * model.kv_bytes_per_token * (context + batch.tokens),
        lora_bytes=batch.adapters * adapter_bytes(model, ALL_LINEAR, rank, element_bytes),
    )
