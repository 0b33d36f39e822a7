"""A small study for the tests: seconds of traffic on one shipped profile."""

from __future__ import annotations

from pathlib import Path

SCENARIO = """\
schema_version: 1
name: small
model: Llama-3.1-8B
adapters: {count: 6, rank: 16}
workload:
  kind: generator
  arrivals: {kind: poisson, rate: 4 req/s}
  prompt_tokens: {kind: fixed, tokens: 300}
  output_tokens: {kind: fixed, tokens: 40}
  duration: 10s
objective: {preset: chat}
devices: [H100-80-SXM]
search: {requests: 100}
seed: 3
"""
STUDY = """\
schema_version: 1
name: small study
scenario: scenario.yaml
choice: {way: multi-lora, device: H100-80-SXM, replicas: 1}
grid:
  load: [0.5, 1.0, 2.0]
  max_loras: [2, 6]
"""


def written(folder: Path, study: str = STUDY, scenario: str = SCENARIO) -> Path:
    """Both files in a folder; returns the study's."""
    (folder / "scenario.yaml").write_text(scenario, encoding="utf-8")
    (folder / "study.yaml").write_text(study, encoding="utf-8")
    return folder / "study.yaml"
