"""How many of the hottest adapters to merge: the numbers that could pay, before any simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from advisor.deployment import Variant
from advisor.search.knobs import slot_choices, start_limits, with_slots
from advisor.search.question import Question
from advisor.search.trial import by_popularity, traffic_of
from advisor.search.work import sizer_of

_MERGED = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
_FILLED = 0.3
"""A merged adapter that fills its replica by less than this share of what the pool's would carry is dear."""


def hybrids(question: Question, variant: Variant) -> tuple[Variant, ...]:
    """The hybrid variants worth a look.

    With k adapters merged there are at least k + 1 replicas. A pool of all adapters needs N by algebra; so
    the k-th adapter's own replica must be filled to a fair part: share_k · N at least 0.3, and k + 1 at
    most 2 N (algebra errs, but not by a factor of two).
    """
    hottest = by_popularity(question.whole)
    (pool,) = traffic_of("multi-lora", question.trial, question.adapters.names)
    limits = start_limits(question, variant)
    slots = min(slot_choices(question, variant)[-1], max(len(hottest), 1))
    together = sizer_of(question).guess(variant, with_slots(question, variant, limits, slots), pool)
    counts = np.bincount(question.whole.adapter[question.whole.adapter >= 0])
    found = []
    for merged in _MERGED:
        if merged >= len(hottest) or merged + 1 > 2 * together:
            break
        if counts[hottest[merged - 1]] / len(question.whole) * together >= _FILLED:
            found.append(replace(variant, hottest=hottest[:merged]))
    return tuple(found)
