"""What a grid means: which points, and which question each of them asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.errors import InputError
from advisor.spec.scenario import Scenario, load_scenario, scenario_from_text
from advisor.spec.workload import FittedWorkload, Generator, Streams, TraceFile
from advisor.study.grid import MOST_POINTS, Study, load_study, scenario_place
from advisor.study.points import Point, ask_at, points_of
from advisor.study.reference import reference
from advisor.trace.fitted import load_fitted
from advisor.trace.realise import trace_of
from tests.study.asked import SCENARIO, STUDY, written

ROOT = Path(__file__).parents[2]


def study_of(folder: Path, **replaced: str) -> Study:
    text = STUDY
    for old, new in replaced.items():
        lines = [new if line.strip().startswith(f"{old}:") else line for line in text.splitlines()]
        text = "\n".join(lines)
    return load_study(written(folder, text))


def scenario_of(workload: str) -> Scenario:
    head, rest = SCENARIO.split("workload:\n")
    return scenario_from_text(f"{head}workload: {workload}\n{rest[rest.index('objective') :]}", "a scenario")


def at(study: Study, scenario: Scenario, *values: tuple[str, float | int | str]) -> Scenario:
    return ask_at(study, scenario, Point(values), Path()).scenario


def test_every_combination_is_a_point_and_the_last_axis_is_fastest(tmp_path: Path) -> None:
    points = points_of(study_of(tmp_path))
    assert [dict(point.at) for point in points] == [
        {"load": load, "max_loras": slots} for load in (0.5, 1.0, 2.0) for slots in (2, 6)
    ]


def test_load_multiplies_the_rate_of_each_kind_of_workload(tmp_path: Path) -> None:
    study = study_of(tmp_path)
    arrivals = "{kind: on-off, rate_on: 4 req/s, mean_on: 1s, mean_off: 1s}"
    lengths = "prompt_tokens: {kind: fixed, tokens: 9}, output_tokens: {kind: fixed, tokens: 9}"
    bursts = scenario_of(f"{{kind: generator, arrivals: {arrivals}, {lengths}, duration: 9s}}")
    changed = at(study, bursts, ("load", 3.0)).workload
    assert isinstance(changed, Generator)
    assert changed.arrivals.rate_on == 12.0  # type: ignore[union-attr]
    assert changed.duration == 9.0

    stream = f"{{adapter: a, arrivals: {{kind: poisson, rate: 2 req/s}}, {lengths}}}"
    streams = at(
        study, scenario_of(f"{{kind: streams, streams: [{stream}], duration: 9s}}"), ("load", 0.5)
    ).workload
    assert isinstance(streams, Streams)
    assert streams.streams[0].arrivals.rate == 1.0  # type: ignore[union-attr]

    trace = at(study, scenario_of("{kind: trace, path: t.csv, rate_scale: 3.0}"), ("load", 2.0)).workload
    assert isinstance(trace, TraceFile)
    assert trace.rate_scale == 6.0

    law = at(study, scenario_of("{kind: fitted, name: azure_conv_2023}"), ("load", 2.0)).workload
    assert isinstance(law, FittedWorkload)
    assert law.rate == 2 * load_fitted("azure_conv_2023").arrivals.rate_rps


def test_twice_the_load_is_twice_the_requests(tmp_path: Path) -> None:
    study, scenario = study_of(tmp_path), scenario_from_text(SCENARIO.replace("10s", "1h"), "a scenario")
    counts = [
        len(trace_of(at(study, scenario, ("load", load)).workload, ["a"], [1.0], seed=1, folder=Path()))
        for load in (1.0, 2.0)
    ]
    assert counts[1] / counts[0] == pytest.approx(2.0, rel=0.03)  # 14,400 Poisson arrivals: 0.8 % each


def test_adapters_ranks_seeds_and_the_choice_are_replaced(tmp_path: Path) -> None:
    mixed = scenario_from_text(SCENARIO.replace("rank: 16", "ranks: [{rank: 8, share: 1}]"), "a scenario")
    point = Point((("adapters", 3), ("ranks", 64), ("devices", "L40S"), ("replicas", 5), ("seeds", 9)))
    asked = ask_at(study_of(tmp_path), mixed, point, Path())
    adapters = asked.scenario.adapters
    assert (adapters.count, adapters.rank, adapters.ranks) == (3, 64, ())  # type: ignore[union-attr]
    assert asked.scenario.seed == 9
    assert asked.choice is not None
    assert (asked.choice.device, asked.choice.replicas, asked.choice.way) == ("L40S", 5, "multi-lora")


def test_recommend_narrows_the_search_in_place_of_a_choice(tmp_path: Path) -> None:
    study = study_of(tmp_path, choice="ask: recommend")
    point = Point((("devices", "L40S"), ("ways", "merged"), ("tensor_parallel", 2), ("max_loras", 4)))
    asked = ask_at(study, load_scenario(tmp_path / "scenario.yaml"), point, Path())
    assert asked.choice is None
    assert asked.scenario.devices == ("L40S",)
    assert asked.scenario.search.ways == ("merged",)
    assert asked.scenario.search.tensor_parallel == (2,)
    assert asked.scenario.engine.max_loras == 4
    assert asked.scenario.search.requests == 100  # what the scenario says stays


@pytest.mark.parametrize(
    ("field", "line", "words"),
    [
        ("load", "  load: []\n  max_loras: []", "max_loras"),  # given twice: refused as YAML
        ("load", "  load: [1.0, 1.0]", "names one value twice"),
        ("load", "  load: [0]", "load"),
        ("load", "  laod: [1.0]", "did you mean load"),
        ("load", f"  seeds: {list(range(MOST_POINTS))}", "points; at most"),
        ("choice", "", "needs a choice"),
        ("choice", "choice: {way: multi-lora, device: L40S}\nask: recommend", "takes no choice"),
        ("choice", "choice: {way: multi-lora}", "device"),
        ("scenario", "scenario: study.yaml", "names the study itself"),
        ("schema_version", "schema_version: 9", "newer version"),
    ],
)
def test_a_bad_study_is_told_in_a_sentence(tmp_path: Path, field: str, line: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        scenario_place(study_of(tmp_path, **{field: line}), str(tmp_path / "study.yaml"))


def test_a_value_that_does_not_fit_the_scenario_names_the_point(tmp_path: Path) -> None:
    shares = scenario_from_text(
        SCENARIO.replace("rank: 16", "rank: 16, popularity: {kind: shares, shares: [1, 1, 1, 1, 1, 1]}"), "s"
    )
    with pytest.raises(InputError, match=r"at adapters 4: .*6 weights for count 4"):
        at(study_of(tmp_path), shares, ("adapters", 4))


def test_the_page_of_the_study_file_is_up_to_date() -> None:
    """Regenerate: python -m advisor.study.reference"""
    assert (ROOT / "docs" / "reference" / "study.md").read_text(encoding="utf-8") == reference()


@pytest.mark.parametrize(
    "path", sorted((ROOT / "data" / "scenarios" / "studies").glob("*.yaml")), ids=lambda path: path.stem
)
def test_each_shipped_study_is_sound_at_every_point(path: Path) -> None:
    study = load_study(path)
    place = scenario_place(study, str(path))
    scenario = load_scenario(place)
    asks = [ask_at(study, scenario, point, place.parent) for point in points_of(study)]
    assert len({ask.model_dump_json() for ask in (one.scenario for one in asks)}) > 1
    assert all(ask.choice is not None for ask in asks)
