"""The same requests at another rate, with other lengths, for another stretch of time.

`faster` stretches time and keeps every request. Thinning and superposition would keep the time scale of the
bursts, but bring other requests, so that two rates would differ by chance as well; and thinning tears
conversations apart. With stretched time the bursts keep their shape and shorten with the gaps.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from advisor.errors import InputError
from advisor.trace.draw import checked_count
from advisor.trace.lengths import whole
from advisor.trace.prefixes import select
from advisor.trace.trace import Ints, Prefixes, Trace


def take(trace: Trace, index: Ints) -> Trace:
    """The requests at the rising places `index`, arrivals shifted so that the first comes at 0."""
    arrival_s = trace.arrival_s[index]
    return replace(
        trace,
        arrival_s=arrival_s - arrival_s[0] if len(arrival_s) else arrival_s,
        prompt_tokens=trace.prompt_tokens[index],
        output_tokens=trace.output_tokens[index],
        adapter=trace.adapter[index],
        priority=None if trace.priority is None else trace.priority[index],
        prefixes=None if trace.prefixes is None else select(trace.prefixes, index),
    )


def faster(trace: Trace, factor: float) -> Trace:
    """The same requests `factor` times as fast.

    Raises:
        InputError: a factor that is not finite and above 0.
    """
    _check(factor, "rate_scale")
    return replace(trace, arrival_s=trace.arrival_s / factor)


def longer(trace: Trace, prompt_factor: float = 1.0, output_factor: float = 1.0) -> Trace:
    """The same requests with lengths multiplied; shared prefixes are cut where prompts become shorter.

    Raises:
        InputError: a factor that is not finite and above 0, or lengths above 10 million tokens.
    """
    _check(prompt_factor, "prompt_scale")
    _check(output_factor, "output_scale")
    prompt = _multiplied(trace.prompt_tokens, prompt_factor)
    output = _multiplied(trace.output_tokens, output_factor)
    prefixes = trace.prefixes
    if prefixes is not None:
        prefixes = select(prefixes, np.arange(len(trace)), prompt // prefixes.block_tokens)
    return replace(trace, prompt_tokens=prompt, output_tokens=output, prefixes=prefixes)


def between(trace: Trace, start_s: float = 0.0, duration_s: float | None = None) -> Trace:
    """What arrives in [start_s, start_s + duration_s), arrivals shifted so that the first comes at 0.

    Raises:
        InputError: nothing arrives then.
    """
    stop_s = np.inf if duration_s is None else start_s + duration_s
    first, last = np.searchsorted(trace.arrival_s, (start_s, stop_s), side="left")
    if first >= last:
        raise InputError(
            f"{trace.name}: nothing arrives from {start_s:g}s to {stop_s:g}s; the trace lasts "
            f"{trace.duration_s:g}s. Choose another start or duration."
        )
    return take(trace, np.arange(first, last))


def repeated(trace: Trace, times: int) -> Trace:
    """The trace `times` times in a row, a mean gap between; each copy has prefix ids of its own.

    Raises:
        InputError: fewer than 1 time, or more than 20 million requests.
    """
    if times < 1:
        raise InputError(f"repeat is {times}; allowed: at least 1.")
    checked_count(float(len(trace)) * times)
    period_s = trace.duration_s + (1 / trace.rate_rps if trace.rate_rps else 1.0)
    prefixes = trace.prefixes
    if prefixes is not None and times > 1:
        prefixes = _copies(prefixes, times)
    return replace(
        trace,
        arrival_s=np.concatenate([trace.arrival_s + copy * period_s for copy in range(times)]),
        prompt_tokens=np.tile(trace.prompt_tokens, times),
        output_tokens=np.tile(trace.output_tokens, times),
        adapter=np.tile(trace.adapter, times),
        priority=None if trace.priority is None else np.tile(trace.priority, times),
        prefixes=prefixes,
    )


def _copies(prefixes: Prefixes, times: int) -> Prefixes:
    known, ids = np.unique(prefixes.ids, return_inverse=True)
    offsets = [prefixes.offsets[:-1] + copy * prefixes.offsets[-1] for copy in range(times)]
    last = np.array([times * prefixes.offsets[-1]])
    every = np.concatenate([ids + copy * len(known) for copy in range(times)])
    return Prefixes(np.concatenate((*offsets, last)), every.astype(np.int64), prefixes.block_tokens)


def _multiplied(tokens: Ints, factor: float) -> Ints:
    scaled = np.asarray(tokens * factor, dtype=float)
    if len(scaled) and scaled.max() > 10_000_000:  # as rows.MAX_TOKENS
        raise InputError(
            f"lengths reach {scaled.max():,.0f} tokens; allowed: at most 10,000,000. Lower the factor."
        )
    return whole(scaled) if factor != 1.0 else tokens


def _check(factor: float, name: str) -> None:
    if not (np.isfinite(factor) and factor > 0):
        raise InputError(f"{name} is {factor}; allowed: a finite number above 0.")
