"""One step's tensors, built on the host. Rows are sorted by adapter: each adapter's tokens are one range."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

NO_SLOT = -1
"""Slot of a row that uses the base model alone."""

TILE_TOKENS = 16
"""Tokens of one adapter that a kernel's program takes: the least that a tensor core multiplies."""


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence's part of a step."""

    tokens: Sequence[int]  # new tokens, whose KV is computed in this step
    context: int  # tokens before them, whose KV is in the cache
    blocks: Sequence[int]  # physical KV blocks, at least as many as context and tokens need
    slot: int = NO_SLOT  # adapter slot
    outputs: int = 0  # how many of the last tokens get logits


@dataclass(frozen=True, slots=True)
class AttentionGroup:
    """Sequences with equally many new tokens, and nearly equally many in all."""

    rows: Tensor  # (sequences · new,) places of their tokens in the batch
    tables: Tensor  # (sequences, blocks) physical blocks
    new_tokens: int
    kv_tokens: int  # of the longest sequence, new ones included
    mask: Tensor | None  # (sequences, 1, new, kv) where a token may look; None: causal, no context
    in_order: bool  # its tokens are a range of the batch, in order


@dataclass(frozen=True, slots=True)
class StepBatch:
    """Everything that the model needs to know of a step."""

    tokens: Tensor  # (tokens,) int64
    positions: Tensor  # (tokens,) int64
    kv_places: Tensor  # (tokens,) where each token's KV goes: block · block_tokens + offset
    output_rows: Tensor  # (outputs,) rows that get logits, in the order of the rows given
    attention: tuple[AttentionGroup, ...]
    lora: tuple[tuple[int, int, int], ...]  # (slot, first token, behind the last), without the base's
    lora_tiles: Tensor  # (tiles, 3) the same, cut into at most TILE_TOKENS tokens

    def to(self, device: torch.device) -> StepBatch:
        """The same on another device."""
        if device.type == "cpu":
            return self

        def move(tensor: Tensor) -> Tensor:
            return tensor.pin_memory().to(device, non_blocking=True)

        groups = tuple(
            AttentionGroup(
                move(group.rows),
                move(group.tables),
                group.new_tokens,
                group.kv_tokens,
                None if group.mask is None else move(group.mask),
                group.in_order,
            )
            for group in self.attention
        )
        return StepBatch(
            move(self.tokens),
            move(self.positions),
            move(self.kv_places),
            move(self.output_rows),
            groups,
            self.lora,
            move(self.lora_tiles),
        )


@dataclass(frozen=True, slots=True)
class DecodeBatch:
    """A step of decodes alone in buffers of fixed shape (graphs.py), padded to S sequences of `width` tokens.

    A padded token is token 0 at position 0 without company: it writes to the scratch block, and no
    sequence reads that.
    """

    tokens: Tensor  # (S · width,) int64
    positions: Tensor  # (S · width,) int64; a token sees its sequence's KV up to its own position
    kv_places: Tensor  # (S · width,) int64
    tables: Tensor  # (blocks, S) int32; block-major, so that what is in use is one range of memory
    lora_tiles: Tensor  # (most tiles, 3) int32 slot, first token, behind the last; unused ones are empty
    width: int

    @property
    def lora(self) -> tuple[tuple[int, int, int], ...]:
        """The tiles as ranges on the host; waits for the device."""
        return tuple((slot, start, end) for slot, start, end in self.lora_tiles.tolist() if start < end)


def step_batch(rows: Sequence[Row], block_tokens: int) -> StepBatch:
    """Join the rows of a step. Logits come back in the order of `rows`, whatever the order inside."""
    order = sorted(range(len(rows)), key=lambda index: rows[index].slot)
    tokens: list[int] = []
    positions: list[int] = []
    places: list[int] = []
    starts = [0] * len(rows)
    lora: list[tuple[int, int, int]] = []
    for index in order:
        row = rows[index]
        starts[index] = start = len(tokens)
        tokens += row.tokens
        here = range(row.context, row.context + len(row.tokens))
        positions += here
        places += [row.blocks[at // block_tokens] * block_tokens + at % block_tokens for at in here]
        if row.slot != NO_SLOT:
            if lora and lora[-1][0] == row.slot:
                start = lora.pop()[1]
            lora.append((row.slot, start, len(tokens)))
    outputs = [
        starts[index] + len(row.tokens) - row.outputs + place
        for index, row in enumerate(rows)
        for place in range(row.outputs)
    ]
    return StepBatch(
        torch.tensor(tokens),
        torch.tensor(positions),
        torch.tensor(places),
        torch.tensor(outputs, dtype=torch.int64),
        _attention_groups(rows, starts, block_tokens),
        tuple(lora),
        _tiles(lora),
    )


def _tiles(lora: Sequence[tuple[int, int, int]]) -> Tensor:
    tiles = [
        (slot, first, min(first + TILE_TOKENS, end))
        for slot, start, end in lora
        for first in range(start, end, TILE_TOKENS)
    ]
    return torch.tensor(tiles, dtype=torch.int32).reshape(-1, 3)


def _attention_groups(
    rows: Sequence[Row], starts: Sequence[int], block_tokens: int
) -> tuple[AttentionGroup, ...]:
    members: dict[tuple[int, int], list[int]] = {}
    for index, row in enumerate(rows):
        new = len(row.tokens)
        whole_prompt = row.context == 0 and new > 1
        blocks = -(-(row.context + new) // block_tokens)
        key = (new, -1 if whole_prompt else _ladder(blocks))
        members.setdefault(key, []).append(index)
    return tuple(
        _group(rows, starts, indices, block_tokens, causal=kind == -1)
        for (_, kind), indices in members.items()
    )


def _ladder(blocks: int) -> int:
    """Round up to 8, 16, 32, ...: one group more costs each layer a round of calls, padding costs less."""
    return max(8, 1 << (blocks - 1).bit_length())


def _group(
    rows: Sequence[Row], starts: Sequence[int], indices: list[int], block_tokens: int, *, causal: bool
) -> AttentionGroup:
    new = len(rows[indices[0]].tokens)
    contexts = torch.tensor([rows[index].context for index in indices])
    kv_tokens = int(contexts.max()) + new
    width = -(-kv_tokens // block_tokens)
    tables = torch.zeros(len(indices), width, dtype=torch.int64)
    for line, index in enumerate(indices):
        used = -(-(rows[index].context + new) // block_tokens)
        tables[line, :used] = torch.tensor(list(rows[index].blocks[:used]))
    within = torch.arange(new)
    places = (torch.tensor([starts[index] for index in indices])[:, None] + within).flatten()
    mask = None
    if not causal:
        last = (contexts[:, None] + within)[:, None, :, None]
        mask = torch.arange(kv_tokens) <= last
    first = starts[indices[0]]
    in_order = [starts[index] for index in indices] == [first + new * line for line in range(len(indices))]
    return AttentionGroup(places, tables, new, kv_tokens, mask, in_order)
