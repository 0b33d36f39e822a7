"""Which prompts begin alike: a radix tree over the whole trace, whose edges are extents of KV blocks.

The trace is known beforehand, so the tree is built once, level by level, for all requests at a time. Block
ids that always occur together become one extent; what only one request has is private and not in the tree.
An extent is shared, cached and evicted as a run of blocks, so a request costs its few extents and not its
many blocks. Prompts of different adapters share nothing (engines.md 5.5).

A prompt that ends inside an id's tokens (a hit may cover at most prompt - 1 tokens, in whole KV blocks)
holds the shortened block under a name of its own: it is shared with prompts of the same length only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from advisor.trace.trace import Trace

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PrefixTree:
    """Extents, and the path of each request from the root down."""

    blocks: tuple[int, ...]  # KV blocks of each extent
    paths: tuple[tuple[int, ...], ...]  # distinct paths, as extent numbers; the first is the empty one
    path_of: tuple[int, ...]  # which path each request takes

    def path(self, request: int) -> tuple[int, ...]:
        """Extents at the start of this request's prompt."""
        return self.paths[self.path_of[request]]


@dataclass(slots=True)
class _Nodes:
    """One node an id in its context that several requests share, parents first."""

    parent: list[int]
    blocks: list[int]
    passes: list[int]  # requests that go through


def prefix_tree(trace: Trace, kv_block_tokens: int) -> PrefixTree | None:
    """The tree of a trace, or None where no two prompts begin alike."""
    if trace.prefixes is None or not len(trace.prefixes.ids):
        return None
    nodes = _Nodes([], [], [])
    leaf = _grow(trace, kv_block_tokens, nodes)
    if not nodes.parent:
        return None
    extent, sizes = _join(nodes)
    leaves, path_of = np.unique(leaf, return_inverse=True)
    paths = tuple(_path(node, nodes.parent, extent) for node in leaves.tolist())
    if paths[0]:  # every request shares something: the empty path is still the first
        paths, path_of = ((), *paths), path_of + 1
    return PrefixTree(tuple(sizes), paths, tuple(path_of.tolist()))


def _grow(trace: Trace, kv_block_tokens: int, nodes: _Nodes) -> Ints:
    """Fill the nodes; returns the deepest shared node of each request, -1 for none."""
    assert trace.prefixes is not None
    ids, id_tokens = trace.prefixes.ids, trace.prefixes.block_tokens
    start, count = trace.prefixes.offsets[:-1], np.diff(trace.prefixes.offsets)
    most = (trace.prompt_tokens - 1) // kv_block_tokens
    leaf = np.full(len(trace), -1, dtype=np.int64)
    done = np.zeros(len(trace), dtype=np.int64)
    context = trace.adapter - int(trace.adapter.min())  # what a block's text depends on, besides its id
    active = np.arange(len(trace))
    depth = 0
    while True:
        active = active[(count[active] > depth) & ((done[active] < most[active]) | (depth == 0))]
        if not len(active):
            return leaf
        end = np.minimum((depth + 1) * id_tokens // kv_block_tokens, most[active])
        kind = _ranks(_ranks(context[active], ids[start[active] + depth]), end - done[active])
        passes = np.bincount(kind)
        number = np.cumsum(passes > 1) - 1 + len(nodes.parent)
        first = np.full(len(passes), len(active))
        np.minimum.at(first, kind, np.arange(len(active)))
        first = first[passes > 1]
        nodes.parent += leaf[active[first]].tolist()
        nodes.blocks += (end[first] - done[active[first]]).tolist()
        nodes.passes += passes[passes > 1].tolist()
        shared = passes[kind] > 1
        active, kind, end = active[shared], kind[shared], end[shared]
        leaf[active] = context[active] = number[kind]
        done[active] = end
        depth += 1


def _ranks(one: Ints, other: Ints) -> Ints:
    """Equal pairs get equal numbers, 0, 1, 2, ..."""
    first = np.unique(one, return_inverse=True)[1]
    values, second = np.unique(other, return_inverse=True)
    return np.asarray(np.unique(first * len(values) + second, return_inverse=True)[1], dtype=np.int64)


def _join(nodes: _Nodes) -> tuple[list[int], list[int]]:
    """The extent of each node and the blocks of each extent: nodes that always come together are one."""
    extent: list[int] = []
    sizes: list[int] = []
    for parent, blocks, passes in zip(nodes.parent, nodes.blocks, nodes.passes, strict=True):
        if parent >= 0 and nodes.passes[parent] == passes:
            extent.append(extent[parent])
            sizes[extent[parent]] += blocks
        else:
            extent.append(len(sizes))
            sizes.append(blocks)
    return extent, sizes


def _path(leaf: int, parent: list[int], extent: list[int]) -> tuple[int, ...]:
    """Distinct extents from the root to this node."""
    path: list[int] = []
    while leaf >= 0:
        if not path or path[-1] != extent[leaf]:
            path.append(extent[leaf])
        leaf = parent[leaf]
    return tuple(reversed(path))
