"""What is timed, one function a kind. Each yields points: an operation, its parameters, the work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from torch import Tensor

from calibration.engine.kv import paged_attention
from calibration.engine.matrix import linear
from calibration.engine.model import forward
from calibration.engine.sampler import Sampling, choose, probabilities
from calibration.engine.weights import PACKED
from calibration.microbench.bench import Bench

_LADDER: Final = tuple(sorted({1, *(2**n for n in range(1, 15)), *(3 * 2**n for n in range(13))}))
_ATTENTION_BYTES: Final = 2**32
DECODE: Final = "decode_attention"
SAMPLE: Final = "sample"
HOST_COPY: Final = "host_copy"
BESIDE: Final = 16
"""Context of the decode that prompt chunks are measured beside."""


@dataclass(frozen=True, slots=True)
class Point:
    """One thing to time. `prepare` makes the work, so that points of a kind do not hold memory together."""

    operation: str
    parameters: dict[str, float]
    prepare: Callable[[], Callable[[], object]]


def points(bench: Bench, ranks: tuple[int, ...]) -> list[Point]:
    """All points of a calibration, in no particular order."""
    kinds = (
        *(ceilings(bench), host_copies(bench), dense(bench), heads(bench), sampling(bench)),
        *(decode_attention(bench), prefill_attention(bench)),
    )
    found = [point for kind in kinds for point in kind]
    return found + (list(lora(bench, ranks)) if bench.limits.max_loras else [])


def ladder(upto: int) -> list[int]:
    """Counts to measure: 1, 2, 3, 4, 6, 8, ..., and the last one."""
    return sorted({*(n for n in _LADDER if n < upto), upto})


def ceilings(bench: Bench) -> Iterator[Point]:
    """Copy bandwidth (bytes read and written) and the rate of a large matrix product."""
    cuda = bench.runner.device.type == "cuda"
    elements, size = (2**28, 8192) if cuda else (2**24, 1024)

    def copy() -> Callable[[], object]:
        source, target = bench.random(elements), bench.random(elements)
        return lambda: target.copy_(source)

    def product() -> Callable[[], object]:
        left, right = bench.random(size, size), bench.random(size, size)
        return lambda: left @ right

    element = bench.model.weights.embedding.element_size()
    yield Point("copy", {"bytes": 2.0 * elements * element}, copy)
    yield Point("gemm", {"flops": 2.0 * size**3}, product)


def host_copies(bench: Bench) -> Iterator[Point]:
    """Host memory to a CUDA device, from pinned and from pageable memory; nothing on a CPU."""
    if bench.runner.device.type != "cuda":
        return
    count = 2**26
    for pinned in (False, True):

        def prepare(pinned: bool = pinned) -> Callable[[], object]:
            source = torch.ones(count, dtype=torch.uint8, pin_memory=pinned)
            target = torch.empty(count, dtype=torch.uint8, device=bench.runner.device)
            return lambda: target.copy_(source, non_blocking=pinned)

        yield Point(HOST_COPY, {"bytes": float(count), "pinned": float(pinned)}, prepare)


def dense(bench: Bench) -> Iterator[Point]:
    """One pass without attention and head: embedding, norms, matrices, rotation, KV writes, activations."""
    for tokens in ladder(bench.limits.max_num_batched_tokens):

        def prepare(tokens: int = tokens) -> Callable[[], object]:
            batch = bench.batch(bench.prompts(tokens))
            none = torch.zeros(0, dtype=torch.int64, device=bench.runner.device)
            bare = replace(batch, attention=(), output_rows=none, lora=())
            return lambda: forward(bench.model, bare, bench.cache)

        yield Point("dense", {"tokens": tokens}, prepare)


def heads(bench: Bench) -> Iterator[Point]:
    """Final norm, output head, float32, likeliest token."""
    weights, eps = bench.model.weights, bench.model.architecture.norm_eps
    for rows in ladder(bench.limits.max_num_seqs):

        def prepare(rows: int = rows) -> Callable[[], object]:
            hidden = bench.random(rows, bench.shape.hidden_size)

            def work() -> Tensor:
                with torch.inference_mode():
                    normed = F.rms_norm(hidden, (hidden.shape[-1],), weights.norm, eps)
                    return linear(normed, weights.head).float().argmax(-1)

            return work

        yield Point("head", {"rows": rows}, prepare)


def sampling(bench: Bench) -> Iterator[Point]:
    """Tokens by temperature, and by temperature and top-p, from logits: on top of a head, rows of it."""
    rows = ladder(bench.limits.max_num_seqs)
    for count in sorted({*rows[::4], rows[-1]}):
        for top_p in (1.0, 0.9):

            def prepare(count: int = count, top_p: float = top_p) -> Callable[[], object]:
                logits = bench.random(count, bench.shape.vocab_size).float()
                ways = [Sampling(temperature=0.8, top_p=top_p, seed=row) for row in range(count)]
                lucks = torch.rand(count, device=bench.runner.device)

                def work() -> Tensor:
                    with torch.inference_mode():
                        return choose(probabilities(logits, ways), lucks)

                return work

            yield Point(SAMPLE, {"rows": float(count), "top_p": top_p}, prepare)


def decode_attention(bench: Bench) -> Iterator[Point]:
    """Attention of S sequences with one new token each, all layers; contexts of a batch differ."""
    longest = 3 * _longest(bench) // 5  # the longest of a batch has five thirds of the mean
    for sequences in sorted({*ladder(bench.limits.max_num_seqs)[::2], bench.limits.max_num_seqs}):
        for context in sorted({16, longest // 4, longest}):
            fits = sequences * (context + 1) <= bench.kv_blocks * bench.limits.kv_block_tokens
            if fits and sequences * context * _kv_bytes(bench) <= _ATTENTION_BYTES:
                yield _attention(bench, DECODE, sequences, 1, context)


def prefill_attention(bench: Bench) -> Iterator[Point]:
    """Attention of one prompt chunk on its context beside one short decode, all layers.

    Beside a decode, as in most steps that hold a chunk: the engine then attends group by group. What the
    decode takes is measured on its own, and taken off in terms.py.
    """
    longest = _longest(bench)
    budget = min(bench.limits.max_num_batched_tokens, longest)
    for new in sorted({n for n in (1, 4, 16, 64, 128, 256, 512, 1024, 2048, 4096) if n < budget} | {budget}):
        for context in sorted({0, longest // 8, longest // 2, longest}):
            if context + new <= min(_tokens(bench), bench.model.cos.shape[0]):
                yield _attention(bench, "prefill_attention", 1, new, context)


def lora(bench: Bench, ranks: tuple[int, ...]) -> Iterator[Point]:
    """All shrinks and expands of a step: over tokens, distinct adapters, rank and reserved slots."""
    most = bench.limits.max_loras
    own = max(bench.limits.max_lora_rank, 1)
    grid = [(rank, most) for rank in ranks] + [(own, slots) for slots in (most, max(1, most // 4))]
    for rank, slots in sorted(set(grid)):
        counts = sorted({n for n in (1, 2, 4, 8, 16, 32, 64) if n < slots} | {slots})
        tokens = [n for n in ladder(bench.limits.max_num_batched_tokens)[::3] if n <= 2048]
        for adapters in counts if rank == own else counts[::2]:
            for total in tokens if rank == own else tokens[::2]:
                if total >= adapters:
                    yield _lora(bench, rank, slots, adapters, total)


def _lora(bench: Bench, rank: int, slots: int, adapters: int, tokens: int) -> Point:
    def prepare() -> Callable[[], object]:
        made, shape = bench.slots(slots, rank), bench.shape
        share, rest = divmod(tokens, adapters)
        rows = [bench.prompts(share + (index < rest), slot=index) for index in range(adapters)]
        batch = bench.batch([row for of_adapter in rows for row in of_adapter])
        inputs, outputs = {}, {}
        for packed, modules in PACKED.items():
            inputs[packed] = bench.random(tokens, shape.linear_shape(modules[0])[0])
            outputs[packed] = bench.random(tokens, made.columns[packed][-1][2])

        def work() -> None:
            with torch.inference_mode():
                for layer in range(shape.layers):
                    for packed in PACKED:
                        made.add_product(packed, layer, inputs[packed], outputs[packed], batch)

        return work

    parameters = {"tokens": tokens, "adapters": adapters, "rank": rank, "slots": slots}
    return Point("lora", {name: float(value) for name, value in parameters.items()}, prepare)


def _attention(bench: Bench, operation: str, sequences: int, new: int, context: int) -> Point:
    def prepare() -> Callable[[], object]:
        rows = bench.rows(sequences, new, context, spread=operation == DECODE)
        rows += [] if operation == DECODE else bench.rows(1, 1, BESIDE)
        batch = bench.batch(rows)
        tokens = sum(len(row.tokens) for row in rows)
        query = bench.random(tokens, bench.shape.heads, bench.shape.head_dim)

        def work() -> None:
            with torch.inference_mode():
                for layer in range(bench.shape.layers):
                    paged_attention(query, bench.cache, layer, batch)

        return work

    names = ("sequences", "new", "context")
    values = (sequences, new, context)
    return Point(operation, dict(zip(names, map(float, values), strict=True)), prepare)


def _tokens(bench: Bench) -> int:
    return bench.kv_blocks * bench.limits.kv_block_tokens


def _longest(bench: Bench) -> int:
    """A long context that the cache holds, and the model has positions for."""
    positions = int(bench.model.cos.shape[0])
    return max(16, min(_tokens(bench) // 2, positions // 2, 4096))


def _kv_bytes(bench: Bench) -> int:
    return int(2 * bench.shape.kv_heads * bench.shape.head_dim * bench.cache.keys.element_size())
