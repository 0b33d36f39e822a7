"""The paged KV cache: keys and values of every block and layer, and attention over block tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own abbreviation
from torch import Tensor

from calibration.engine.batch import AttentionGroup, DecodeBatch, StepBatch

_GATHERED_BYTES: Final = 2**21
"""Keys and values that a CPU gathers before it attends to them: they stay in its caches."""


@dataclass(frozen=True, slots=True)
class KvCache:
    """Keys and values: each (layers, blocks, block_tokens, kv_heads, head_dim).

    With `by_head` a head's blocks lie together, whatever the order of the dimensions: what a CPU gathers
    of them is then one range for each head and sequence, as products want it.
    """

    keys: Tensor
    values: Tensor

    @classmethod
    def empty(cls, size: tuple[int, int, int, int, int], like: Tensor, *, by_head: bool) -> KvCache:
        """Zeros of this size, with the device and dtype of `like`."""
        layers, blocks, block_tokens, kv_heads, dim = size
        if not by_head:
            return cls(like.new_zeros(size), like.new_zeros(size))
        keys, values = (like.new_zeros(layers, kv_heads, blocks, block_tokens, dim) for _ in range(2))
        return cls(keys.permute(0, 2, 3, 1, 4), values.permute(0, 2, 3, 1, 4))

    @property
    def bytes(self) -> int:
        """Bytes of both."""
        return int(2 * self.keys.numel() * self.keys.element_size())

    def write(self, layer: int, places: Tensor, keys: Tensor, values: Tensor) -> None:
        """Store new tokens: keys, values (tokens, kv_heads, head_dim) go to places (tokens,)."""
        self.keys[layer].flatten(0, 1).index_copy_(0, places, keys)
        self.values[layer].flatten(0, 1).index_copy_(0, places, values)


def paged_attention(query: Tensor, cache: KvCache, layer: int, batch: StepBatch | DecodeBatch) -> Tensor:
    """Attention of each new token over its sequence.

    query: (tokens, heads, head_dim) -> (tokens, heads · head_dim).

    The blocks of a group are gathered into one tensor, padded to its longest sequence, and
    torch's scaled_dot_product_attention does the rest. Decodes of fixed shape on a GPU have a kernel
    that reads the blocks where they are (attention_triton.py).
    """
    if isinstance(batch, DecodeBatch):
        return _paged_decode(query, cache, layer, batch)
    if len(batch.attention) == 1 and batch.attention[0].in_order:
        return _attend(query, cache, layer, batch.attention[0])
    out = query.new_empty(query.shape[0], query.shape[1] * query.shape[2])
    for group in batch.attention:
        out[group.rows] = _attend(query[group.rows], cache, layer, group)
    return out


def _paged_decode(query: Tensor, cache: KvCache, layer: int, batch: DecodeBatch) -> Tensor:
    keys, values = cache.keys[layer], cache.values[layer]
    if query.is_cuda:
        from calibration.engine.attention_triton import paged_decode  # triton comes with CUDA builds of torch

        return paged_decode(query, keys, values, batch.tables, batch.positions)
    return paged_decode_reference(query, keys, values, batch.tables, batch.positions)


def paged_decode_reference(
    query: Tensor, keys: Tensor, values: Tensor, tables: Tensor, positions: Tensor
) -> Tensor:
    """Each token over its sequence's blocks up to its own position, gathered.

    Args:
        query: (S · width, heads, head_dim), the tokens of a sequence one behind the other.
        keys: (blocks, block_tokens, kv_heads, head_dim) of one layer.
        values: The same.
        tables: (blocks of a sequence, S) int32.
        positions: (S · width,).

    Returns:
        (S · width, heads · head_dim)
    """
    sequences = tables.shape[1]
    _, heads, dim = query.shape
    seen = positions.view(sequences, -1) + 1
    kv_tokens = int(seen.max())
    used = tables[: -(-kv_tokens // keys.shape[1])].T
    gathered = [blocks[used].flatten(1, 2)[:, :kv_tokens].transpose(1, 2) for blocks in (keys, values)]
    mask = (torch.arange(kv_tokens, device=query.device) < seen[:, :, None])[:, None]
    return _attend_folded(query.view(sequences, -1, heads, dim), gathered[0], gathered[1], mask)


def paged_attention_reference(query: Tensor, cache: KvCache, layer: int, batch: StepBatch) -> Tensor:
    """The same, token by token in plain products: what attention means. For tests."""
    out = query.new_empty(query.shape[0], query.shape[1] * query.shape[2])
    share = query.shape[1] // cache.keys.shape[3]
    for group in batch.attention:
        for line, table in enumerate(group.tables):
            keys = cache.keys[layer, table].flatten(0, 1).float().repeat_interleave(share, dim=1)
            values = cache.values[layer, table].flatten(0, 1).float().repeat_interleave(share, dim=1)
            for place in range(group.new_tokens):
                row = int(group.rows[line * group.new_tokens + place])
                seen = int(batch.positions[row]) + 1
                scores = torch.einsum("hd,thd->ht", query[row].float(), keys[:seen]) * query.shape[2] ** -0.5
                out[row] = torch.einsum("ht,thd->hd", scores.softmax(-1), values[:seen]).flatten()
    return out


def _attend(query: Tensor, cache: KvCache, layer: int, group: AttentionGroup) -> Tensor:
    """query: (sequences · new, heads, head_dim), ordered as the group's rows."""
    sequences, new = group.tables.shape[0], group.new_tokens
    _, heads, dim = query.shape
    kv_heads = cache.keys.shape[3]
    query = query.view(sequences, new, heads, dim)
    if group.mask is not None and new * heads <= 4 * kv_heads * dim:
        at_once = _at_once(cache.keys, group)
        parts = [
            _attend_folded(
                query[first : first + at_once],
                _gathered(cache.keys[layer], group.tables[first : first + at_once], group.kv_tokens),
                _gathered(cache.values[layer], group.tables[first : first + at_once], group.kv_tokens),
                group.mask[first : first + at_once],
            )
            for first in range(0, sequences, at_once)
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts)
    keys = _gathered(cache.keys[layer], group.tables, group.kv_tokens)
    values = _gathered(cache.values[layer], group.tables, group.kv_tokens)
    out = F.scaled_dot_product_attention(
        query.transpose(1, 2),
        keys,
        values,
        attn_mask=group.mask,
        is_causal=group.mask is None,
        enable_gqa=heads != kv_heads,
    )
    return out.transpose(1, 2).reshape(sequences * new, heads * dim)


def _attend_folded(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Few new tokens: query heads that share a KV head become rows of one product.

    query: (sequences, new, heads, dim); keys, values: (sequences, kv_heads, kv, dim).
    """
    sequences, new, heads, dim = query.shape
    kv_heads = keys.shape[1]
    share = heads // kv_heads
    folded = query.view(sequences, new, kv_heads, share, dim).permute(0, 2, 3, 1, 4)
    folded = folded.reshape(sequences, kv_heads, share * new, dim)
    seen = mask if share == 1 or new == 1 else mask.repeat(1, 1, share, 1)
    out = F.scaled_dot_product_attention(folded, keys, values, attn_mask=seen)
    out = out.view(sequences, kv_heads, share, new, dim).permute(0, 3, 1, 2, 4)
    return out.reshape(sequences * new, heads * dim)


def _at_once(keys: Tensor, group: AttentionGroup) -> int:
    """Sequences whose gathered KV a CPU's cache keeps until it is used; on other devices all of them."""
    if keys.device.type != "cpu":
        return group.tables.shape[0]
    gathered = 2 * group.tables.shape[1] * keys[0, 0].numel() * keys.element_size()
    return max(1, _GATHERED_BYTES // gathered)


def _gathered(blocks: Tensor, tables: Tensor, kv_tokens: int) -> Tensor:
    """blocks: (blocks, block_tokens, kv_heads, dim) -> (sequences, kv_heads, kv, dim)."""
    sequences, width = tables.shape
    _, block_tokens, kv_heads, dim = blocks.shape
    if blocks.is_contiguous():
        found = blocks.index_select(0, tables.flatten()).view(sequences, -1, kv_heads, dim)
        return found[:, :kv_tokens].transpose(1, 2)
    found = blocks.permute(2, 0, 1, 3).index_select(1, tables.flatten())
    return found.view(kv_heads, sequences, width * block_tokens, dim)[:, :, :kv_tokens].transpose(0, 1)
