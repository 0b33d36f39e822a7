"""Prometheus rules: the objective's limits and the load at which they break, on vLLM's metrics."""

from __future__ import annotations

from typing import Any

import yaml

from advisor.recipe.plan import ServingPlan
from advisor.recommendation import Recommendation, SloCheck

_HISTOGRAM = {
    "ttft": "vllm:time_to_first_token_seconds",
    "tpot": "vllm:request_time_per_output_token_seconds",
    "e2e": "vllm:e2e_request_latency_seconds",
}
_WINDOW = "5m"


def alert_rules(plan: ServingPlan, rec: Recommendation) -> str:
    """alerts.yaml, a Prometheus rule file."""
    option = plan.option
    rules = [_limit(check) for check in option.checks if check.metric in _HISTOGRAM]
    rules.append(
        _rule(
            "LoraServingQueueGrows",
            "sum(vllm:num_requests_waiting) > sum(vllm:num_requests_running)",
            "More requests wait than run: the load is above what the replicas carry.",
        )
    )
    if option.headroom is not None:
        most = rec.workload.rate_rps * option.headroom
        rules.append(
            _rule(
                "LoraServingLoadNearKnee",
                f"sum(rate(vllm:request_success_total[{_WINDOW}])) > {0.9 * most:.6g}",
                f"The load is at 90 % of the {most:.3g} requests/s up to which the limits hold "
                "(simulated, replicas as they are).",
                "warning",
            )
        )
    rules.append(
        _rule(
            "LoraServingPreempts",
            f"sum(rate(vllm:num_preemptions_total[{_WINDOW}])) > 0",
            "Requests are preempted and computed again: the KV cache is too small for the load.",
            "warning",
        )
    )
    groups = {"groups": [{"name": "lora-serving", "rules": rules}]}
    return str(yaml.safe_dump(groups, sort_keys=False, width=1000))


def _limit(check: SloCheck) -> dict[str, Any]:
    quantile = (check.percentile or 99.0) / 100.0
    metric = check.metric.upper()
    buckets = f"sum by (le) (rate({_HISTOGRAM[check.metric]}_bucket[{_WINDOW}]))"
    return _rule(
        f"LoraServing{metric}",
        f"histogram_quantile({quantile:g}, {buckets}) > {check.limit:g}",
        f"{metric} p{check.percentile or 99:g} is above {check.limit:g} s; simulated: {check.value:.3g} s.",
    )


def _rule(name: str, expression: str, summary: str, severity: str = "page") -> dict[str, Any]:
    return {
        "alert": name,
        "expr": expression,
        "for": _WINDOW,
        "labels": {"severity": severity},
        "annotations": {"summary": summary},
    }
