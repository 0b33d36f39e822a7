"""A question with a real answer, computed once, small enough for a test."""

from __future__ import annotations

from functools import cache

import advisor
from advisor.recommendation import Recommendation
from advisor.spec.scenario import Scenario, scenario_from_text

_TEXT = """\
schema_version: 1
name: 'recipe "of" $tests'
model: Llama-3.1-8B
adapters: {count: 3, rank: 16}
workload:
  kind: generator
  arrivals: {kind: poisson, rate: 12 req/s}
  prompt_tokens: {kind: fixed, tokens: 400}
  output_tokens: {kind: fixed, tokens: 60}
  duration: 60s
objective: {preset: server}
devices: [H100-80-SXM]
speculation:
  drafts: [{method: ngram}, {method: eagle3}]
search: {requests: 100}
"""


@cache
def question() -> Scenario:
    return scenario_from_text(_TEXT, "recipe test")


@cache
def answer() -> Recommendation:
    return advisor.recommend(question(), jobs=1)
