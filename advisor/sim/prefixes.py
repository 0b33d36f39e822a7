"""Which prompts begin alike: a radix tree over the whole trace, whose edges are extents of KV blocks.

The trace is known beforehand, so the tree is built once. Block ids that always occur together become one
extent; what only one request has is private and not in the tree. An extent is shared, cached and evicted
as a run of blocks, so a request costs its few extents and not its many blocks. Prompts of different
adapters share nothing (engines.md 5.5).

A prompt that ends inside an id's tokens (a hit may cover at most prompt - 1 tokens, in whole KV blocks)
holds the shortened block under a name of its own: it is shared with prompts of the same length only.
"""

from __future__ import annotations

from dataclasses import dataclass

from advisor.trace.trace import Trace


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
    """One node an id in its context, before runs are joined."""

    parent: list[int]
    blocks: list[int]
    passes: list[int]  # requests that go through


def prefix_tree(trace: Trace, kv_block_tokens: int) -> PrefixTree | None:
    """The tree of a trace, or None where no two prompts begin alike."""
    if trace.prefixes is None:
        return None
    nodes = _Nodes([], [], [])
    leaves = _grow(trace, kv_block_tokens, nodes)
    extent, sizes = _join(nodes)
    if not sizes:
        return None
    paths: list[tuple[int, ...]] = [()]
    known = {-1: 0}
    path_of = []
    for leaf in leaves:
        if leaf not in known:
            known[leaf] = len(paths)
            paths.append(_path(leaf, nodes.parent, extent))
        path_of.append(known[leaf])
    return PrefixTree(tuple(sizes), tuple(paths), tuple(path_of))


def _grow(trace: Trace, kv_block_tokens: int, nodes: _Nodes) -> list[int]:
    """Fill the nodes; returns the deepest node of each request, -1 for none."""
    assert trace.prefixes is not None
    offsets, ids = trace.prefixes.offsets.tolist(), trace.prefixes.ids.tolist()
    id_tokens = trace.prefixes.block_tokens
    children: dict[tuple[int, int, int], int] = {}
    leaves = []
    for request, (prompt, adapter) in enumerate(
        zip(trace.prompt_tokens.tolist(), trace.adapter.tolist(), strict=True)
    ):
        most = (prompt - 1) // kv_block_tokens
        node, done = -1, 0
        for depth, name in enumerate(ids[offsets[request] : offsets[request + 1]], start=1):
            end = min(depth * id_tokens // kv_block_tokens, most)
            key = (node if node >= 0 else -2 - adapter, name, end - done)
            child = children.get(key)
            if child is None:
                child = children[key] = len(nodes.parent)
                nodes.parent.append(node)
                nodes.blocks.append(end - done)
                nodes.passes.append(0)
            nodes.passes[child] += 1
            node, done = child, end
            if end == most:
                break
        leaves.append(node)
    return leaves


def _join(nodes: _Nodes) -> tuple[list[int], list[int]]:
    """The extent of each node (-1: private) and the blocks of each extent."""
    extent: list[int] = []
    sizes: list[int] = []
    for parent, blocks, passes in zip(nodes.parent, nodes.blocks, nodes.passes, strict=True):
        if passes == 1:
            extent.append(-1)
        elif parent >= 0 and nodes.passes[parent] == passes and extent[parent] >= 0:
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
        if extent[leaf] >= 0 and (not path or path[-1] != extent[leaf]):
            path.append(extent[leaf])
        leaf = parent[leaf]
    return tuple(reversed(path))
