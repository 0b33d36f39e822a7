"""KV blocks of one replica: how many are free, which hold a prefix that another prompt can use.

A running request owns private blocks, which its scheduler counts (they follow from its tokens), and
shares extents of the prefix tree (`prefixes.py`), which are counted here. Free blocks stay readable until
they are taken for something else: they lie in one queue, least recently used first. A request gives its
blocks back from its end to its beginning, so that the tail of a prompt is overwritten before its head.
Where the engine caches prefixes (`keeps`), a preempted request finds what is left of its own blocks again,
prompt and answer; the queue is followed block by block only while there is something to be found in it.

Known differences from vLLM 0.32 (engines.md 5.2, 5.5):
- an extent can be hit once the prompt that filled it is computed as a whole, not chunk by chunk;
- a preempted request that holds private copies of a shared extent finds nothing but the extents again;
- of two requests that compute one extent at the same time, the second keeps private copies.
"""

from __future__ import annotations

from collections import OrderedDict

from advisor.sim.prefixes import PrefixTree


class KvBlocks:
    """Counts blocks. The caller checks `free` before it takes."""

    __slots__ = (
        "_cached",
        "_held",
        "_junk",
        "_keeps",
        "_kept",
        "_owner",
        "_queue",
        "_refs",
        "_shared",
        "blocks",
        "free",
        "tracks",
        "tree",
    )

    def __init__(self, blocks: int, tree: PrefixTree | None = None, *, keeps: bool = False) -> None:
        self.blocks = blocks
        self.free = blocks
        self.tree = tree
        extents = len(tree.blocks) if tree else 0
        self._cached = [0] * extents  # leading blocks of each extent that are in memory
        self._refs = [0] * extents  # running requests that share it
        self._held: dict[int, list[int]] = {}  # request -> extents it shares
        self._shared: dict[int, int] = {}  # request -> blocks it shares
        self._keeps = keeps
        self._kept: dict[int, int] = {}  # preempted request -> name of its blocks in the queue
        self._owner: dict[int, int] = {}  # and back
        self._junk = -1  # next name for blocks without a prefix: -1, -2, ...
        self._queue: OrderedDict[int, int] = OrderedDict()  # extent or junk name -> free blocks, oldest first
        self.tracks = tree is not None  # the order of free blocks matters
        if tree:
            self._queue[self._junk] = blocks

    def take(self, count: int) -> None:
        """Use this many free blocks for private tokens; the oldest cached prefixes are overwritten."""
        assert 0 <= count <= self.free
        self.free -= count
        if not self.tracks or not count:
            return
        queue = self._queue
        while count:
            name = next(iter(queue))
            left = queue[name] - count
            if left > 0:
                queue[name], count = left, 0
            else:
                del queue[name]
                left, count = 0, -left
            if name >= 0:
                self._cached[name] = left
            elif not left and name in self._owner:
                del self._kept[self._owner.pop(name)]
        if self.tree is None:
            self._stop_tracking()

    def match(self, request: int) -> tuple[int, int]:
        """(blocks of this request that are in memory, how many of them are free at the moment)."""
        hit = hit_free = 0
        if self.tree is not None:
            all_cached, refs, blocks = self._cached, self._refs, self.tree.blocks
            for extent in self.tree.path(request):
                cached = all_cached[extent]
                hit += cached
                if not refs[extent]:
                    hit_free += cached
                if cached < blocks[extent]:
                    return hit, hit_free
        if not self._kept:
            return hit, hit_free
        name = self._kept.get(request)
        own = 0 if name is None else self._queue[name]
        return hit + own, hit_free + own

    def hold(self, request: int) -> None:
        """Share what `match` found."""
        whole = self.tree is None or self._hold_extents(request, self.tree)
        name = self._kept.pop(request, None) if self._kept else None
        if name is not None:
            del self._owner[name]  # what is not found now stays in the queue and can never be
            if whole:
                self.free -= self._queue.pop(name)
            self._stop_tracking()

    def _hold_extents(self, request: int, tree: PrefixTree) -> bool:
        """Share what is in memory of its path; whether that is all of it."""
        held = []
        shared = 0
        whole = True
        all_cached, refs, blocks = self._cached, self._refs, tree.blocks
        for extent in tree.path(request):
            cached = all_cached[extent]
            if cached:
                if not refs[extent]:
                    del self._queue[extent]
                    self.free -= cached
                refs[extent] += 1
                held.append(extent)
                shared += cached
            if cached < blocks[extent]:
                whole = False
                break
        self._held[request] = held
        self._shared[request] = shared
        return whole

    def register(self, request: int) -> None:
        """The prompt is computed: what nobody else has of its extents can be hit from now on."""
        if self.tree is None:
            return
        held, blocks = self._held[request], self.tree.blocks
        for extent in self.tree.path(request):
            cached, size = self._cached[extent], blocks[extent]
            if cached == size or (extent not in held and self._refs[extent]):
                continue
            if extent in held:
                self._shared[request] += size - cached
            else:
                if cached:  # an older, torn copy: nothing reads it any more
                    del self._queue[extent]
                    self._put_first(cached)
                self._refs[extent] = 1
                held.append(extent)
                self._shared[request] += size
            self._cached[extent] = size

    def release(self, request: int, blocks: int, computed: int = 0) -> None:
        """Give back all of a request's blocks, of which there are `blocks`, shared ones included.

        Args:
            request: whose.
            blocks: all that it has.
            computed: of a preempted request, how many of them, from the beginning, are full and computed.
        """
        if self._keeps and computed and not self.tracks:
            self.tracks = True
            self._put_first(self.free)
        if not self.tracks:
            self.free += blocks
            return
        shared = self._shared.pop(request, 0)
        private = blocks - shared
        assert private >= 0
        kept = self._found_again(request, shared, computed) if computed else 0
        self._put_last(private - kept)
        if kept:
            self._junk -= 1
            self._queue[self._junk] = kept
            self._kept[request], self._owner[self._junk] = self._junk, request
            self.free += kept
        for extent in reversed(self._held.pop(request, ())):
            self._refs[extent] -= 1
            if not self._refs[extent]:
                self._queue[extent] = self._cached[extent]
                self.free += self._cached[extent]
        if self.tree is None:
            self._stop_tracking()

    def _found_again(self, request: int, shared: int, computed: int) -> int:
        """Private blocks that a preempted request can find: those that follow on all of its extents."""
        if not self._keeps or computed <= shared:
            return 0
        if self.tree is not None and shared < sum(self.tree.blocks[e] for e in self.tree.path(request)):
            return 0
        return computed - shared

    def _stop_tracking(self) -> None:
        """Nothing can be found in the queue: its order does not matter any more."""
        if self.tree is None and self.tracks and not self._kept:
            self.tracks = False
            self._queue.clear()

    def _put_last(self, count: int) -> None:
        """Private blocks join the queue as the most recently used."""
        if not count:
            return
        self.free += count
        last = next(reversed(self._queue), 0)
        if last < 0 and last not in self._owner:
            self._queue[last] += count
        else:
            self._junk -= 1
            self._queue[self._junk] = count

    def _put_first(self, count: int) -> None:
        """Free blocks that nothing can read are the first to be overwritten."""
        if not count:
            return
        self._junk -= 1
        self._queue[self._junk] = count
        self._queue.move_to_end(self._junk, last=False)

    def private_blocks(self, blocks: dict[int, int]) -> int:
        """Blocks that are not shared, given the blocks of every running request."""
        return sum(count - self._shared.get(request, 0) for request, count in blocks.items())

    def check_invariants(self, private: int) -> None:
        """Free, shared and private blocks are all there are; `private` is the scheduler's count."""
        assert 0 <= self.free <= self.blocks
        shared = sum(c for c, refs in zip(self._cached, self._refs, strict=True) if refs)
        assert self.free + shared + private == self.blocks, (self.free, shared, private, self.blocks)
        assert self.tracks == (self.tree is not None or bool(self._kept))
        assert {name: request for request, name in self._kept.items()} == self._owner
        if self.tracks:
            assert sum(self._queue.values()) == self.free
            assert all(count > 0 for count in self._queue.values())
            for name, count in self._queue.items():
                assert name < 0 or (self._cached[name] == count and not self._refs[name])
