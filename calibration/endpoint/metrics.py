"""A server's `/metrics`, where it has them: what it says of queueing, by vLLM's and SGLang's names."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

_LINE: Final = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{[^}]*\})?\s+([-+0-9.eE]+|NaN|[+-]?Inf)\s*(?:\d+)?$")
_NAMES: Final = {
    "queue_sum_s": ("vllm:request_queue_time_seconds_sum", "sglang:queue_time_seconds_sum"),
    "queue_count": ("vllm:request_queue_time_seconds_count", "sglang:queue_time_seconds_count"),
    "ttft_sum_s": ("vllm:time_to_first_token_seconds_sum", "sglang:time_to_first_token_seconds_sum"),
    "ttft_count": ("vllm:time_to_first_token_seconds_count", "sglang:time_to_first_token_seconds_count"),
    "running": ("vllm:num_requests_running", "sglang:num_running_reqs", "llamacpp:requests_processing"),
    "waiting": ("vllm:num_requests_waiting", "sglang:num_queue_reqs", "llamacpp:requests_deferred"),
    "preemptions": ("vllm:num_preemptions_total", "vllm:num_preemptions"),
    "drafts": ("vllm:spec_decode_num_drafts_total", "vllm:spec_decode_num_drafts"),
    "accepted": ("vllm:spec_decode_num_accepted_tokens_total", "vllm:spec_decode_num_accepted_tokens"),
}


@dataclass(frozen=True, slots=True)
class Counts:
    """Totals at one moment, summed over labels; a name that the server lacks is left out."""

    values: dict[str, float]

    def value(self, name: str) -> float | None:
        """One figure; None: not told."""
        return self.values.get(name)

    def mean_since(self, before: Counts, what: str) -> float | None:
        """Mean seconds of `queue` or `ttft` over the requests between two moments; None: not told."""
        names = (f"{what}_sum_s", f"{what}_count")
        now, then = ([moment.values.get(name) for name in names] for moment in (self, before))
        if None in (*now, *then):
            return None
        seconds, count = (float(a or 0.0) - float(b or 0.0) for a, b in zip(now, then, strict=True))
        return seconds / count if count > 0 else None


def read_counts(text: str) -> Counts:
    """Read Prometheus text; what is not of the names known, or no finite number, is passed over."""
    sums: dict[str, float] = {}
    for line in text.splitlines():
        found = _LINE.match(line)
        value = math.nan if found is None else _number(found[2])
        if found is not None and math.isfinite(value):
            sums[found[1]] = sums.get(found[1], 0.0) + value
    return Counts(
        {
            ours: next(sums[name] for name in theirs if name in sums)
            for ours, theirs in _NAMES.items()
            if any(name in sums for name in theirs)
        }
    )


def _number(text: str) -> float:
    """NaN: none."""
    try:
        return float(text)
    except ValueError:
        return math.nan
