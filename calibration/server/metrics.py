"""Prometheus text with vLLM's names (docs: design/metrics), so that its dashboards and alerts work.

Written by the engine's thread, read by the server's: each value is replaced whole, never changed in parts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from calibration.engine.engine import Engine

_LATENCY: Final = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
                   20.0, 40.0, 80.0, 160.0)  # fmt: skip
_TOKENS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)


class Histogram:
    """Counts in buckets, as Prometheus wants them."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float, times: int = 1) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += times
        self._sum += value * times

    def lines(self, name: str, label: str) -> Iterator[str]:
        """Text of the histogram."""
        below = 0
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            below += count
            edge = "+Inf" if bound == float("inf") else f"{bound:g}"
            yield f'{name}_bucket{{{label},le="{edge}"}} {below}'
        yield f"{name}_sum{{{label}}} {self._sum:.9g}"
        yield f"{name}_count{{{label}}} {below}"


class Metrics:
    """Totals of one server."""

    def __init__(self, model: str) -> None:
        self._label = f'model_name="{_escaped(model)}",engine="0"'
        self._latencies = {
            "vllm:time_to_first_token_seconds": Histogram(_LATENCY),
            "vllm:inter_token_latency_seconds": Histogram(_LATENCY),
            "vllm:request_time_per_output_token_seconds": Histogram(_LATENCY),
            "vllm:e2e_request_latency_seconds": Histogram(_LATENCY),
            "vllm:request_prompt_tokens": Histogram(_TOKENS),
            "vllm:request_generation_tokens": Histogram(_TOKENS),
        }
        self._ended: dict[str, int] = {}
        self._gauges: dict[str, float] = {}
        self._counters: dict[str, float] = {}
        self._adapters: tuple[str, int] = ("", 0)

    def first_token(self, seconds: float, prompt_tokens: int) -> None:
        """A request's first token came."""
        self._latencies["vllm:time_to_first_token_seconds"].add(seconds)
        self._latencies["vllm:request_prompt_tokens"].add(prompt_tokens)

    def next_tokens(self, gap_s: float, tokens: int) -> None:
        """More tokens came, together."""
        self._latencies["vllm:inter_token_latency_seconds"].add(gap_s / tokens, tokens)

    def ended(self, reason: str, e2e_s: float, first_s: float, now_s: float, tokens: int) -> None:
        """A request has ended."""
        self.finished(reason)
        if reason in ("length", "stop"):
            self._latencies["vllm:e2e_request_latency_seconds"].add(e2e_s)
            self._latencies["vllm:request_generation_tokens"].add(tokens)
            if tokens > 1:
                each = (now_s - first_s) / (tokens - 1)
                self._latencies["vllm:request_time_per_output_token_seconds"].add(each)

    def finished(self, reason: str) -> None:
        """Count how requests end."""
        self._ended = {**self._ended, reason: self._ended.get(reason, 0) + 1}

    def stepped(self, engine: Engine) -> None:
        """Read the engine's totals after a step."""
        counters, last = engine.books.counters, engine.books.steps[-1] if engine.books.steps else None
        blocks = engine.options.kv_blocks
        self._gauges = {
            "vllm:num_requests_running": 0 if last is None else last.running,
            "vllm:num_requests_waiting": 0 if last is None else last.waiting,
            "vllm:kv_cache_usage_perc": 0.0 if last is None else 1.0 - last.kv_free_blocks / blocks,
        }
        self._counters = {
            "vllm:prompt_tokens_total": counters.prompt_tokens,
            "vllm:generation_tokens_total": counters.emitted_tokens,
            "vllm:num_preemptions_total": counters.preemptions,
            "vllm:prefix_cache_queries_total": counters.prompt_tokens,
            "vllm:prefix_cache_hits_total": counters.cached_tokens,
            "vllm:spec_decode_num_draft_tokens_total": sum(counters.drafted),
            "vllm:spec_decode_num_accepted_tokens_total": sum(counters.accepted),
        }

    def lora(self, underway: str, most: int) -> None:
        """Adapters of unfinished requests, with ',' between; and how many may run at once."""
        self._adapters = (underway, most)

    def text(self, *, idle: bool) -> str:
        """All of it. Idle: nothing runs or waits, whatever the last step saw."""
        gauges = {
            "vllm:num_requests_running": 0.0,
            "vllm:num_requests_waiting": 0.0,
            "vllm:kv_cache_usage_perc": 0.0,
        }
        gauges |= {} if idle else self._gauges
        lines: list[str] = []
        for name, value in gauges.items():
            lines += [f"# TYPE {name} gauge", f"{name}{{{self._label}}} {value:g}"]
        for name, value in self._counters.items():
            lines += [f"# TYPE {name} counter", f"{name}{{{self._label}}} {value:g}"]
        lines.append("# TYPE vllm:request_success_total counter")
        for reason, count in self._ended.items():
            lines.append(f'vllm:request_success_total{{{self._label},finished_reason="{reason}"}} {count}')
        for name, histogram in self._latencies.items():
            lines += [f"# TYPE {name} histogram", *histogram.lines(name, self._label)]
        underway, most = self._adapters
        lines.append("# TYPE vllm:lora_requests_info gauge")
        labels = f'max_lora="{most}",running_lora_adapters="{_escaped("" if idle else underway)}"'
        lines.append(f'vllm:lora_requests_info{{{labels},waiting_lora_adapters=""}} 1')
        return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
