"""Slots, host memory, KV blocks and the waiting queues against models of a few lines."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from advisor.sim.adapters import FROM_CPU, FROM_DISK, IN_SLOT, AdapterCache
from advisor.sim.kv import KvBlocks
from advisor.sim.prefixes import PrefixTree, prefix_tree
from advisor.sim.waiting import REQUEST, SHIFT, WaitingByAdapter
from advisor.trace.trace import Prefixes, Trace

ADAPTERS = st.integers(0, 6)


class AdapterMachine(RuleBasedStateMachine):
    """A dict of last uses is enough to say what an LRU cache must do."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = AdapterCache(2, 3)
        self.used: dict[int, int] = {}  # adapter in host memory -> when it became idle
        self.slots: set[int] = set()
        self.pins: dict[int, int] = {}
        self.now = 0

    def oldest(self, among: set[int]) -> int:
        return min(among - set(self.pins), key=self.used.__getitem__)

    @rule(adapter=ADAPTERS)
    def pin(self, adapter: int) -> None:
        if not self.cache.may_run(adapter):
            assert len(self.pins) == 2
            assert adapter not in self.pins
            return
        expected = IN_SLOT if adapter in self.slots else FROM_CPU if adapter in self.used else FROM_DISK
        if expected == FROM_DISK and len(self.used) == 3:
            victim = self.oldest(set(self.used))
            del self.used[victim]
            self.slots.discard(victim)
        if expected != IN_SLOT and len(self.slots) == 2:
            self.slots.remove(self.oldest(self.slots))
        self.slots.add(adapter)
        self.used.setdefault(adapter, 0)
        self.pins[adapter] = self.pins.get(adapter, 0) + 1
        assert self.cache.pin(adapter) == expected

    @precondition(lambda self: self.pins)
    @rule(data=st.data())
    def unpin(self, data: st.DataObject) -> None:
        adapter = data.draw(st.sampled_from(sorted(self.pins)))
        self.pins[adapter] -= 1
        if not self.pins[adapter]:
            del self.pins[adapter]
            self.now += 1
            self.used[adapter] = self.now
        assert self.cache.unpin(adapter) == (adapter not in self.pins)

    @precondition(lambda self: bool(set(self.used) - set(self.pins)))
    @rule(data=st.data())
    def discard(self, data: st.DataObject) -> None:
        adapter = data.draw(st.sampled_from(sorted(set(self.used) - set(self.pins))))
        del self.used[adapter]
        self.slots.discard(adapter)
        self.cache.discard(adapter)

    @invariant()
    def same(self) -> None:
        self.cache.check_invariants()
        assert self.cache.in_slots == self.slots
        assert self.cache.in_cpu == set(self.used)
        assert self.cache.pins == self.pins
        assert self.cache.full == (len(self.pins) == 2)


TestAdapterCache = AdapterMachine.TestCase
TestAdapterCache.settings = settings(max_examples=60, stateful_step_count=40)

TREE = PrefixTree(
    blocks=(2, 1, 3), paths=((), (0,), (0, 1), (0, 2)), path_of=(0, 1, 2, 3, 3, 2, 1, 0)
)  # extent 0 is the parent of 1 and 2


class KvMachine(RuleBasedStateMachine):
    """Requests come, hold what is in memory, grow, register, leave; blocks are never lost or doubled."""

    def __init__(self) -> None:
        super().__init__()
        self.kv = KvBlocks(14, TREE)
        self.blocks: dict[int, int] = {}
        self.registered: set[int] = set()

    @rule(request=st.integers(0, 7))
    def admit(self, request: int) -> None:
        if request in self.blocks:
            return
        hit, hit_free = self.kv.match(request)
        path = TREE.path(request)
        assert 0 <= hit_free <= hit <= sum(TREE.blocks[extent] for extent in path)
        prompt = sum(TREE.blocks[extent] for extent in path) + 1
        free = self.kv.free
        if prompt - hit > free - hit_free:
            return
        self.kv.hold(request)
        self.kv.take(prompt - hit)
        self.blocks[request] = prompt
        assert self.kv.free == free - hit_free - (prompt - hit)

    @precondition(lambda self: self.blocks)
    @rule(data=st.data())
    def register(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(sorted(self.blocks)))
        if request in self.registered:
            return
        free = self.kv.free
        self.registered.add(request)
        self.kv.register(request)
        assert self.kv.free == free
        assert self.kv.match(request)[0] == sum(TREE.blocks[extent] for extent in TREE.path(request))

    @precondition(lambda self: self.blocks)
    @rule(data=st.data())
    def grow(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(sorted(self.blocks)))
        if self.kv.free:
            self.kv.take(1)
            self.blocks[request] += 1

    @precondition(lambda self: self.blocks)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        request = data.draw(st.sampled_from(sorted(self.blocks)))
        self.kv.release(request, self.blocks.pop(request))
        self.registered.discard(request)

    @invariant()
    def nothing_is_lost(self) -> None:
        self.kv.check_invariants(self.kv.private_blocks(self.blocks))
        if not self.blocks:
            assert self.kv.free == 14


TestKvBlocks = KvMachine.TestCase
TestKvBlocks.settings = settings(max_examples=80, stateful_step_count=40)


def test_the_least_recently_used_prefix_is_overwritten_first_and_its_tail_before_its_head() -> None:
    kv = KvBlocks(8, TREE)
    for request in (2, 3):  # extents (0, 1), then (0, 2)
        hit, _ = kv.match(request)
        kv.hold(request)
        blocks = sum(TREE.blocks[extent] for extent in TREE.path(request)) + 1
        kv.take(blocks - hit)
        kv.register(request)
        kv.release(request, blocks)
    assert (kv.match(2), kv.match(3)) == ((3, 3), (5, 5))
    kv.take(1)  # the last block without a prefix; requests 2 and 3 have taken the others
    assert (kv.match(2), kv.match(3)) == ((3, 3), (5, 5))
    kv.take(1)  # extent 1
    assert (kv.match(2), kv.match(3)) == ((2, 2), (5, 5))
    kv.take(2)  # request 3's private block, the tail of extent 2
    assert kv.match(3) == (4, 4)
    kv.take(2)
    assert (kv.match(2), kv.match(3)) == ((2, 2), (2, 2))
    kv.take(1)
    assert (kv.match(1), kv.free) == ((1, 1), 1)


def test_prompts_share_whole_kv_blocks_with_their_own_adapter_only() -> None:
    ids = np.asarray([1, 2, 3, 1, 2, 4, 1, 2, 3, 1, 2])
    offsets = np.asarray([0, 3, 6, 9, 11])
    prompt, one = np.asarray([30, 30, 30, 16]), np.ones(4, dtype=np.int64)
    trace = Trace(
        np.zeros(4), prompt, one, np.asarray([-1, -1, 0, -1]), ("a",), None, Prefixes(offsets, ids, 8)
    )
    tree = prefix_tree(trace, 4)
    assert tree is not None
    hits = [sum(tree.blocks[extent] for extent in tree.path(request)) for request in range(4)]
    assert hits[0] == hits[1] == 4  # ids 1 and 2, two blocks each
    assert hits[2] == 0  # another adapter: nobody to share with
    assert hits[3] == 2  # at most prompt - 1 tokens: id 1 and no whole id 2
    coarse = prefix_tree(trace, 64)
    assert coarse is not None
    assert sum(coarse.blocks) == 0  # no prompt fills a block


@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.sampled_from("apxul"), st.integers(0, 3), st.booleans()), max_size=60),
)
def test_who_is_next_is_the_earliest_that_may_run(steps: list[tuple[str, int, bool]]) -> None:
    """a: a request arrives (in front if the flag is set); p, u: (un)pin; l: toggle a load; x: admit."""
    adapter_of = [index % 5 - 1 for index in range(200)]
    pins: dict[int, int] = {}
    loading: set[int] = set()
    queue = WaitingByAdapter(adapter_of, pins, loading)
    waiting: list[int] = []
    for number, (what, adapter, flag) in enumerate(steps):
        if what == "a":
            entry = ((-number if flag else number) << SHIFT) + (number * 7 + adapter) % 200
            waiting.append(entry)
            queue.push(entry)
        elif what == "p":
            pins[adapter] = 1
            queue.activate(adapter)
        elif what == "u":
            pins.pop(adapter, None)
            loading.discard(adapter)
            queue.activate(adapter)
        elif what == "l":
            loading.symmetric_difference_update({adapter})
            if adapter not in loading:
                queue.activate(adapter)
        may_run = [
            entry
            for entry in sorted(waiting)
            if (owner := adapter_of[entry & REQUEST]) not in loading
            and (not flag or owner < 0 or owner in pins)
        ]
        first = queue.first(flag)
        assert first == (may_run[0] if may_run else None)
        if what == "x" and first is not None:
            queue.pop(first)
            waiting.remove(first)
        assert queue.entries() == sorted(waiting)
        assert queue.size == len(waiting)


def test_an_idle_adapter_may_be_evicted_and_a_pinned_one_never() -> None:
    cache = AdapterCache(1, 1)
    assert cache.pin(3) == FROM_DISK
    assert not cache.may_run(4)
    with pytest.raises(AssertionError):
        cache.pin(4)
    cache.unpin(3)
    assert cache.pin(4) == FROM_DISK
    assert cache.in_slots == {4}
