"""What is asked, so that each term shows: which prompt lengths, how many streams, which adapters.

From outside one sees only sums of steps. Terms come apart because they grow with different things:
prompt lengths at concurrency 1 (work a token, pairs of attention), streams (work a sequence), long and
short prompts under the same streams (work a context token), prompts beside a running stream (a step
without the way in), one and several adapters under the same streams (work an adapter).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from advisor.spec.engine import EngineLimits

SHORT: Final = 16
STEPS: Final = 29
_LENGTHS: Final = (4, 16, 64, 256, 1024, 4096, 16384)
_STREAMS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing to ask.

    Attributes:
        kind: ttft: one prompt, one token. streams: `streams` answers at once. beside: prompts beside one.
        prompt_tokens: of each prompt.
        streams: at once.
        adapters: distinct adapters among them; 0: the base.
    """

    kind: Literal["ttft", "streams", "beside"]
    prompt_tokens: int
    streams: int = 1
    adapters: int = 0

    @property
    def work_tokens(self) -> int:
        """Tokens computed, about: to tell which probe costs more."""
        return self.streams * (self.prompt_tokens + STEPS)


def probes(limits: EngineLimits, longest_tokens: int, most_streams: int, adapters: int) -> list[Probe]:
    """Every probe of a pass, cheap ones first.

    Args:
        limits: of the server; steps are of at most max_num_batched_tokens.
        longest_tokens: longest prompt that may be sent.
        most_streams: largest concurrency.
        adapters: how many are known; at most max_loras run at once.
    """
    budget = limits.max_num_batched_tokens
    lengths = _lengths(budget, longest_tokens)
    streams = [n for n in _STREAMS if n <= min(most_streams, limits.max_num_seqs)]
    long = max((n for n in lengths if n <= 1024), default=SHORT)
    found = [Probe("ttft", n) for n in lengths]
    found += [Probe("streams", SHORT, n) for n in streams]
    found += [Probe("streams", long, n) for n in streams if n in (1, 4, 16) and long > SHORT]
    found += [Probe("beside", n) for n in lengths if SHORT <= n < budget]
    together = min(adapters, limits.max_loras or adapters)
    if together:
        found += [Probe("ttft", n, adapters=1) for n in lengths if n >= SHORT]
        for n in streams:
            counts = sorted({1, min(n, together)} | ({min(n, 2)} if together > 2 else set()))
            found += [Probe("streams", SHORT, n, a) for a in counts]
    return sorted(found, key=lambda probe: probe.work_tokens)


def _lengths(budget: int, longest_tokens: int) -> list[int]:
    """Prompt lengths; also of two whole steps, and the longest, where attention shows beside the rest."""
    found = {n for n in (*_LENGTHS, budget, 2 * budget) if n <= longest_tokens}
    if longest_tokens > 1.3 * max(found, default=0):
        found.add(longest_tokens)
    return sorted(found)


def spread(names: Sequence[str], distinct: int, streams: int) -> list[str | None]:
    """An adapter for each stream: `distinct` of the names in turn; 0: the base."""
    return [names[index % distinct] if distinct else None for index in range(streams)]
