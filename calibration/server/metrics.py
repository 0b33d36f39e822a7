"""Prometheus text with vLLM's names (docs: design/metrics), so that its dashboards and alerts work.

Written by the engine's thread, read by the server's: each value is replaced whole, never changed in parts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from calibration.engine.engine import Engine

_LATENCY: Final = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
                   20.0, 40.0, 80.0, 160.0)  # fmt: skip
_GAUGES: Final = ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc")
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
    """Totals of one server. What the engine did before (its warm-up) does not count."""

    def __init__(self, model: str, engine: Engine) -> None:
        self._label = f'model_name="{_escaped(model)}",engine="0"'
        self._latencies = {
            "vllm:request_queue_time_seconds": Histogram(_LATENCY),
            "vllm:time_to_first_token_seconds": Histogram(_LATENCY),
            "vllm:inter_token_latency_seconds": Histogram(_LATENCY),
            "vllm:request_time_per_output_token_seconds": Histogram(_LATENCY),
            "vllm:e2e_request_latency_seconds": Histogram(_LATENCY),
            "vllm:request_prompt_tokens": Histogram(_TOKENS),
            "vllm:request_generation_tokens": Histogram(_TOKENS),
        }
        self._ended: dict[str, int] = {"stop": 0, "length": 0, "abort": 0, "error": 0}
        self._gauges: dict[str, float] = dict.fromkeys(_GAUGES, 0.0)
        self._before = _totals(engine)
        self._counters: dict[tuple[str, str], int] = dict.fromkeys(self._before, 0)
        self._adapters: tuple[str, str, int] = ("", "", engine.limits.max_loras)

    def first_token(self, queued_s: float, ttft_s: float, prompt_tokens: int) -> None:
        """A request's first token came; it had waited `queued_s` for its first step."""
        self._latencies["vllm:request_queue_time_seconds"].add(queued_s)
        self._latencies["vllm:time_to_first_token_seconds"].add(ttft_s)
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
        last, blocks = engine.books.steps[-1] if engine.books.steps else None, engine.options.kv_blocks
        if last is not None:
            used = 1.0 - last.kv_free_blocks / blocks
            self._gauges = dict(zip(_GAUGES, (last.running, last.waiting, used), strict=True))
        now = _totals(engine)
        self._counters = {key: value - self._before.get(key, 0) for key, value in now.items()}

    def lora(self, running: str, waiting: str, most: int) -> None:
        """Adapters of unfinished requests, with ',' between; and how many may run at once."""
        self._adapters = (running, waiting, most)

    def text(self, *, idle: bool) -> str:
        """All of it. Idle: nothing runs or waits, whatever the last step saw."""
        gauges = dict.fromkeys(_GAUGES, 0.0) if idle else self._gauges
        lines: list[str] = []
        for name, value in gauges.items():
            lines += [f"# TYPE {name} gauge", f"{name}{{{self._label}}} {value:g}"]
        named = ""
        for (name, label), count in self._counters.items():
            lines += [f"# TYPE {name} counter"] if name != named else []
            lines.append(f"{name}{{{self._label}{label}}} {count}")
            named = name
        lines.append("# TYPE vllm:request_success_total counter")
        for reason, count in self._ended.items():
            lines.append(f'vllm:request_success_total{{{self._label},finished_reason="{reason}"}} {count}')
        for name, histogram in self._latencies.items():
            lines += [f"# TYPE {name} histogram", *histogram.lines(name, self._label)]
        return "\n".join([*lines, *self._lora_lines(idle=idle)]) + "\n"

    def _lora_lines(self, *, idle: bool) -> list[str]:
        """The value is the time of day, as routers take the newest line."""
        running, waiting, most = self._adapters
        running, waiting = ("", "") if idle else (_escaped(running), _escaped(waiting))
        labels = f'max_lora="{most}",running_lora_adapters="{running}",waiting_lora_adapters="{waiting}"'
        now = datetime.now(UTC).timestamp()
        return ["# TYPE vllm:lora_requests_info gauge", f"vllm:lora_requests_info{{{labels}}} {now:.3f}"]


def _totals(engine: Engine) -> dict[tuple[str, str], int]:
    """The engine's totals by name and further label."""
    counters = engine.books.counters
    totals = {
        ("vllm:prompt_tokens_total", ""): counters.prompt_tokens,
        ("vllm:generation_tokens_total", ""): counters.emitted_tokens,
        ("vllm:num_preemptions_total", ""): counters.preemptions,
        ("vllm:prefix_cache_queries_total", ""): counters.prompt_tokens,
        ("vllm:prefix_cache_hits_total", ""): counters.cached_tokens,
    }
    if engine.options.draft is not None:
        totals[("vllm:spec_decode_num_drafts_total", "")] = counters.drafted[0] if counters.drafted else 0
        totals[("vllm:spec_decode_num_draft_tokens_total", "")] = sum(counters.drafted)
        totals[("vllm:spec_decode_num_accepted_tokens_total", "")] = sum(counters.accepted)
        for position, accepted in enumerate(counters.accepted):
            label = f',position="{position}"'
            totals[("vllm:spec_decode_num_accepted_tokens_per_pos_total", label)] = accepted
    return totals


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
