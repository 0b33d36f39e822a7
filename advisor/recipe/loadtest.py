"""The load test that checks the advice: our replay of the same trace, vLLM's and guidellm's."""

from __future__ import annotations

from advisor.recipe.plan import PORT, ServingPlan
from advisor.recipe.shell import command
from advisor.recommendation import Recommendation

_MILLI = 1000.0


def load_test(plan: ServingPlan, rec: Recommendation) -> str:
    """load-test.sh. The first test sends what was simulated, the others synthetic traffic of its means."""
    url = f"http://127.0.0.1:{PORT}"
    rate = f"{rec.workload.rate_rps:.4g}"
    prompt, output = round(rec.workload.prompt_tokens_mean), round(rec.workload.output_tokens_mean)
    seconds = 300
    parts = [
        "#!/usr/bin/env bash",
        "# Run one of the three parts: load-test.sh replay | vllm | guidellm",
        "set -euo pipefail",
        'case "${1:-replay}" in',
    ]
    if len(plan.servers) == 1:
        names = [word for name in plan.adapters for word in ("--adapter", f"{name}={name}")]
        replay = [
            "calibrate", "replay", "--trace", "trace.csv", "--url", url, "--model", plan.servers[0].serves,
            *names, "--out", "replay.parquet",
        ]  # fmt: skip
        parts += [
            "replay)  # the simulated traffic itself, at its own times",
            "advisor trace generate scenario.yaml --out trace.csv",
        ]
        parts += [command(replay), ";;"]
    bench = [
        "vllm", "bench", "serve", "--backend", "openai", "--base-url", _url(plan, url),
        "--endpoint", "/v1/completions", "--model", plan.servers[0].serves,
        "--tokenizer", plan.places.base_model, "--dataset-name", "random",
        "--random-input-len", str(prompt), "--random-output-len", str(output), "--random-range-ratio", "0.5",
        "--ignore-eos", "--request-rate", rate, "--num-prompts",
        str(max(100, round(rec.workload.rate_rps * seconds))), "--percentile-metrics", "ttft,tpot,itl,e2el",
        "--metric-percentiles", "50,90,99", *_goodput(plan),
    ]  # fmt: skip
    if plan.option.way == "multi-lora":
        bench += ["--lora-modules", *plan.adapters]
    guide = [
        "guidellm", "benchmark", "--target", _url(plan, url), "--model", plan.servers[0].serves,
        "--rate-type", "poisson", "--rate", rate, "--max-seconds", str(seconds),
        "--data", f"prompt_tokens={prompt},output_tokens={output}",
    ]  # fmt: skip
    parts += ["vllm)", command(bench), ";;", "guidellm)  # one model name only", command(guide), ";;"]
    return "\n".join([*parts, "*) echo 'replay, vllm or guidellm' >&2; exit 2 ;;", "esac", ""])


def _url(plan: ServingPlan, url: str) -> str:
    return url if len(plan.servers) == 1 else f"{url}/{plan.servers[0].name}"


def _goodput(plan: ServingPlan) -> list[str]:
    names = {"ttft": "ttft", "tpot": "tpot", "e2e": "e2el"}
    limits = [
        f"{names[check.metric]}:{check.limit * _MILLI:g}"
        for check in plan.option.checks
        if check.metric in names
    ]
    return ["--goodput", *limits] if limits else []
