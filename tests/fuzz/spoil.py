"""How hypothesis spoils good files: bytes changed, cut out or doubled; values replaced, removed or moved."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.odd import KEYS, ODD

_ODD = st.sampled_from(ODD)


@st.composite
def spoiled_bytes(draw: st.DrawFn, good: bytes) -> bytes:
    """A file with some of its bytes changed, cut out or doubled; or only noise."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    data = bytearray(good)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        end = min(len(data), at + draw(st.integers(1, 40)))
        data[at:end] = draw(
            st.one_of(st.just(b""), st.just(bytes(data[at:end]) * 2), st.binary(min_size=1, max_size=8))
        )
    return bytes(data)


@st.composite
def spoiled_value(draw: st.DrawFn, good: Any) -> Any:
    """Plain data with values replaced, removed or moved at some depth."""
    value = deepcopy(good)
    for _ in range(draw(st.integers(1, 3))):
        here = value
        while isinstance(here, dict | list) and here:
            keys = list(here) if isinstance(here, dict) else list(range(len(here)))
            key = draw(st.sampled_from(keys))
            if isinstance(here[key], dict | list) and here[key] and draw(st.integers(0, 2)):
                here = here[key]
                continue
            if isinstance(here, dict) and draw(st.booleans()):
                here[draw(st.sampled_from(KEYS))] = here.pop(key)
            else:
                here[key] = deepcopy(draw(_ODD))
            break
    return value
