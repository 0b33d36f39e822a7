"""Ranks against a scan of every replica, over random histories of a fleet."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from advisor.sim.ranks import Ranks
from advisor.sim.router import Routing
from advisor.sim.setup import Router

RULES: tuple[Router, ...] = ("round-robin", "least-outstanding", "adapter-affinity")


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.sampled_from(RULES))
def test_a_router_picks_the_same_replica_from_ranks_as_from_a_scan(
    seed: int, replicas: int, rule: Router
) -> None:
    rng = np.random.default_rng(seed)
    ranks, live = Ranks(replicas), [False] * replicas
    by_scan, by_rank = Routing(rule, replicas), Routing(rule, replicas)
    for _ in range(300):
        replica, adapter = int(rng.integers(replicas)), int(rng.integers(-1, 20))
        chance = rng.random()
        if chance < 0.05 and live[replica]:
            live[replica] = False
            ranks.leave(replica)  # it drains: what it has is finished while nothing new comes
        elif chance < 0.2 and not live[replica]:
            live[replica] = True
            ranks.join(replica)
        elif chance < 0.6:
            ranks.set(replica, int(rng.integers(0, ranks.unfinished[replica] + 1)))
        picked = by_rank.pick_ranked(adapter, live, ranks)
        assert picked == by_scan.pick(adapter, live, ranks.unfinished)
        assert ranks.total == sum(ranks.unfinished)
        if picked >= 0:
            ranks.set(picked, ranks.unfinished[picked] + 1)


def test_ranks_stay_small_however_often_counts_fall() -> None:
    ranks = Ranks(4)
    for replica in range(4):
        ranks.join(replica)
    for turn in range(10_000):
        ranks.set(turn % 3, 5 + turn % 2)
        ranks.set(turn % 3, 3)
    assert ranks.first() == 3
    assert len(ranks._heap) <= 8 * 4 + 64
