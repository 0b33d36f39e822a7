"""Traces, valid by construction."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from advisor.trace.prefixes import ragged
from advisor.trace.trace import Trace

NAMES = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=8
).filter(lambda name: name.isprintable() and name != "base")


@st.composite
def traces(draw: st.DrawFn, min_size: int = 1, max_size: int = 20) -> Trace:
    """Any trace whose adapters are numbered in order of first use, as a file can hold it."""
    count = draw(st.integers(min_size, max_size))
    times = st.floats(0, 4e9, allow_nan=False, allow_subnormal=False)
    arrival_s = np.sort(np.array(draw(st.lists(times, min_size=count, max_size=count))))
    tokens = st.lists(st.integers(1, 10_000_000), min_size=count, max_size=count)
    prompt, output = np.array(draw(tokens)), np.array(draw(tokens))
    names = draw(st.lists(NAMES, unique=True, max_size=4))
    given = draw(st.lists(st.integers(-1, len(names) - 1), min_size=count, max_size=count))
    used = list(dict.fromkeys(index for index in given if index >= 0))
    adapter = np.array([used.index(index) if index >= 0 else -1 for index in given], dtype=np.int64)
    priorities = st.lists(st.integers(-(2**53), 2**53), min_size=count, max_size=count)
    priority = draw(st.none() | priorities.map(lambda values: np.array(values, dtype=np.int64)))
    prefixes = None
    if draw(st.booleans()):
        size = draw(st.sampled_from([1, 16, 512]))
        ids = [
            draw(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=min(4, int(n) // size))) for n in prompt
        ]
        prefixes = ragged(ids, size)
    return Trace(arrival_s, prompt, output, adapter, tuple(names[i] for i in used), priority, prefixes)


def same(one: Trace, other: Trace) -> bool:
    """Whether two traces hold the same requests, to the last bit."""
    columns = ("arrival_s", "prompt_tokens", "output_tokens", "adapter")
    if not all(np.array_equal(getattr(one, name), getattr(other, name)) for name in columns):
        return False
    if one.adapters != other.adapters or (one.priority is None) != (other.priority is None):
        return False
    if one.priority is not None and not np.array_equal(one.priority, other.priority):  # type: ignore[arg-type]
        return False
    if one.prefixes is None or other.prefixes is None:
        return one.prefixes is other.prefixes
    return (
        np.array_equal(one.prefixes.offsets, other.prefixes.offsets)
        and np.array_equal(one.prefixes.ids, other.prefixes.ids)
        and one.prefixes.block_tokens == other.prefixes.block_tokens
    )
