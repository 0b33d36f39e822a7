"""KV blocks with names: the simulator's block counts, made physical, and a prefix cache over real tokens.

The scheduler counts blocks (`advisor.sim.kv.KvBlocks`) and says `take(n)` without saying for whom. Blocks
are alike, so those taken wait in a pool until `settle` hands them to the requests of the plan.

A full block of a prompt is named by a hash of its tokens, of everything before it, and of the adapter
(engines.md 5.5): base and adapters share nothing. Hits are whole blocks and leave at least the prompt's
last token to compute. Blocks of answers are not named. Free blocks keep their name until they are taken
again, least recently freed first.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from advisor.sim.kv import KvBlocks


class BlockPool(KvBlocks):
    """Physical blocks of one engine. Fulfils the contract of `KvBlocks`, by request index."""

    def __init__(self, blocks: int, block_tokens: int, *, prefix_caching: bool) -> None:
        super().__init__(blocks)
        self._block_tokens = block_tokens
        self._caching = prefix_caching
        self._idle: OrderedDict[int, None] = OrderedDict.fromkeys(range(blocks))  # oldest first
        self._pool: list[int] = []  # taken, not yet handed out
        self._owners = [0] * blocks  # running requests that use the block
        self._tables: dict[int, list[int]] = {}
        self._names: dict[int, list[bytes]] = {}  # request -> names of its prompt's blocks
        self._block_of: dict[bytes, int] = {}
        self._name_of: dict[int, bytes] = {}

    def enter(self, request: int, adapter: int, prompt: Sequence[int]) -> None:
        """A request arrives: name the blocks of its prompt."""
        names: list[bytes] = []
        if self._caching:
            tokens = np.asarray(prompt, dtype=np.int64)
            name = adapter.to_bytes(8, "little", signed=True)
            for end in range(self._block_tokens, len(prompt), self._block_tokens):
                block = tokens[end - self._block_tokens : end].tobytes()
                name = hashlib.blake2b(name + block, digest_size=16).digest()
                names.append(name)
        self._names[request] = names

    def leave(self, request: int) -> None:
        """A request is done with, and has released its blocks."""
        del self._names[request]

    @property
    def prompts(self) -> int:
        """Requests whose prompts are known here, running or waiting."""
        return len(self._names)

    def table(self, request: int) -> list[int]:
        """Physical blocks of a running request, in the order of its tokens."""
        return self._tables[request]

    def settle(self, request: int, kv_blocks: int) -> None:
        """Hand out what the scheduler took for this request."""
        table = self._tables[request]
        for _ in range(kv_blocks - len(table)):
            block = self._pool.pop()
            self._owners[block] = 1
            table.append(block)

    def flush(self) -> None:
        """Forget all names: the weights have changed."""
        self._block_of.clear()
        self._name_of.clear()

    def take(self, count: int) -> None:
        """Use this many free blocks; the oldest cached prefixes are overwritten."""
        for _ in range(count):
            block, _ = self._idle.popitem(last=False)
            name = self._name_of.pop(block, None)
            if name is not None:
                del self._block_of[name]
            self._pool.append(block)
        self.free = len(self._idle)

    def match(self, request: int) -> tuple[int, int]:
        """(blocks of this prompt that are in memory, how many of them are free at the moment)."""
        found = self._found(request)
        return len(found), sum(not self._owners[block] for block in found)

    def hold(self, request: int) -> None:
        """Share what `match` found."""
        found = self._found(request)
        for block in found:
            if not self._owners[block]:
                del self._idle[block]
            self._owners[block] += 1
        self._tables[request] = found
        self.free = len(self._idle)

    def register(self, request: int) -> None:
        """The prompt is computed: its full blocks can be hit from now on."""
        for name, block in zip(self._names[request], self._tables[request], strict=False):
            if name not in self._block_of and block not in self._name_of:
                self._block_of[name] = block
                self._name_of[block] = name

    def release(self, request: int, blocks: int, computed: int = 0) -> None:
        """Give back all of a request's blocks, its last one first to be used again; its names stay."""
        table = self._tables.pop(request)
        for _ in range(blocks - len(table)):
            self._idle[self._pool.pop()] = None
        for block in reversed(table):
            self._owners[block] -= 1
            if not self._owners[block]:
                self._idle[block] = None
        self.free = len(self._idle)

    def private_blocks(self, blocks: dict[int, int]) -> int:
        """Blocks of all running requests; shared ones count for each."""
        return sum(blocks.values())

    def check_invariants(self, private: int) -> None:
        """Idle, owned and pooled blocks are all there are; tables and the scheduler's counts agree."""
        owned = sum(owners > 0 for owners in self._owners)
        assert self.free == len(self._idle)
        assert len(self._idle) + owned + len(self._pool) == self.blocks
        assert not any(self._owners[block] for block in self._idle)
        assert sum(self._owners) == sum(len(table) for table in self._tables.values())
        assert sum(self._owners) + len(self._pool) == private
        assert {name: block for block, name in self._name_of.items()} == self._block_of

    def _found(self, request: int) -> list[int]:
        found = []
        for name in self._names[request]:
            block = self._block_of.get(name)
            if block is None:
                break
            found.append(block)
        return found
