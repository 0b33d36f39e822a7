from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from advisor.datafiles import data_dir
from advisor.spec.adapter import AdapterFolders, Adapters
from advisor.spec.objective import Metric
from advisor.spec.scenario import load_scenario, scenario_from_mapping, scenario_to_yaml
from advisor.spec.yamlfile import parse_mapping
from tests.spec.strategies import scenario_mappings

EXAMPLES = sorted((data_dir() / "scenarios").glob("*.yaml"))


@given(scenario_mappings())
@settings(max_examples=60)
def test_a_written_scenario_reads_back_equal(raw: dict[str, Any]) -> None:
    scenario = scenario_from_mapping(raw, "raw")
    text = scenario_to_yaml(scenario)
    assert scenario_from_mapping(parse_mapping(text, "written"), "written") == scenario
    assert scenario_to_yaml(scenario_from_mapping(parse_mapping(text, "written"), "written")) == text


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_shipped_example_reads_and_writes(path: Path) -> None:
    scenario = load_scenario(path)
    assert scenario_from_mapping(parse_mapping(scenario_to_yaml(scenario), "w"), "w") == scenario
    assert scenario.devices, "an example names its devices"


def test_there_are_examples() -> None:
    assert "platform-40-adapters" in {path.stem for path in EXAMPLES}


def test_units_are_written_for_people() -> None:
    text = scenario_to_yaml(load_scenario(data_dir() / "scenarios" / "one-adapter-strict.yaml"))
    assert "rate: 2 req/s" in text
    assert "duration: 30min" in text
    assert "limit: 150ms" in text


def test_own_limits_replace_those_of_the_preset_metric_by_metric() -> None:
    raw = {
        "schema_version": 1,
        "model": "m",
        "adapters": {"count": 0},
        "workload": {"kind": "trace", "path": "t.csv"},
        "objective": {"preset": "chat", "slos": [{"metric": "ttft", "percentile": 90, "limit": "1s"}]},
    }
    found = scenario_from_mapping(raw, "raw").objective.limits
    limits = {slo.metric: slo for slo in found}
    assert len(found) == 2
    assert limits[Metric.TTFT].limit == 1.0
    assert limits[Metric.TTFT].percentile == 90.0
    assert limits[Metric.TPOT].limit == 0.05


def test_the_two_forms_of_adapters() -> None:
    raw: dict[str, Any] = {"schema_version": 1, "model": "m", "workload": {"kind": "trace", "path": "t.csv"}}
    assert isinstance(scenario_from_mapping({**raw, "adapters": {"count": 0}}, "r").adapters, Adapters)
    assert isinstance(
        scenario_from_mapping({**raw, "adapters": {"paths": ["a"]}}, "r").adapters, AdapterFolders
    )
