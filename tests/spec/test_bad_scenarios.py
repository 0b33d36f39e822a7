"""Every way to spoil a scenario: one clear sentence each, with line, value and what is allowed."""

from __future__ import annotations

from pathlib import Path

import pytest

from advisor.errors import InputError
from advisor.spec.scenario import load_scenario

GOOD = """\
schema_version: 1
model: Llama-3.1-8B
adapters: {count: 4, rank: 16}
workload:
  kind: generator
  arrivals: {kind: poisson, rate: 3 req/s}
  prompt_tokens: {kind: fixed, tokens: 100}
  output_tokens: {kind: lognormal, median: 10, p95: 20}
  duration: 10min
objective:
  preset: chat
  budget: 20 USD/h
devices: [L40S]
seed: 7
"""
A, W = "count: 4, rank: 16", "workload"

CASES = [
    # contradictory
    (
        "seed: 7",
        "engine: {max_loras: 8, max_cpu_loras: 4}",
        "line 14: engine: max_cpu_loras (4) must be at least max_loras (8): what is in a slot",
    ),
    (
        "seed: 7",
        "engine: {max_num_seqs: 64, max_num_batched_tokens: 32}",
        "line 14: engine: max_num_batched_tokens (32) must be at least max_num_seqs (64)",
    ),
    # missing
    ("schema_version: 1\n", "", "s.yaml: schema_version is missing; allowed: 1. Write `schema_version: 1`."),
    ("model: Llama-3.1-8B\n", "", "s.yaml: model is missing; allowed: text"),
    (A, "rank: 16", "s.yaml: line 3: adapters.count is missing; allowed: a whole number, at least 0"),
    (
        "  kind: generator\n",
        "",
        "line 4: workload.kind is missing; allowed: one of trace, generator, streams, fitted.",
    ),
    ("  duration: 10min\n", "", "line 4: workload.duration is missing; allowed: a duration with its unit"),
    (
        A,
        "count: 4",
        "line 3: adapters: give either `rank` (one for all) or `ranks` (a mix), not both and not neither.",
    ),
    # unknown
    ("objective:", "objectiv:", "line 10: objectiv: no such field; did you mean objective?"),
    ("rank: 16", "rnk: 16", "line 3: adapters.rnk: no such field; did you mean rank?"),
    (
        A,
        "paths: [a], count: 3",
        "line 3: adapters.count: no such field; known: paths, popularity, base_share, merge_checks.",
    ),
    (
        "kind: generator",
        "kind: genrator",
        "workload.kind is 'genrator'; allowed: one of trace, generator, streams",
    ),
    (
        "chat",
        "chatty",
        "line 11: objective.preset is 'chatty'; allowed: one of interactive, chat, server, batch. Did",
    ),
    # wrong type
    ("seed: 7", "seed: '7'", "line 14: seed is '7'; allowed: a whole number, at least 0"),
    ("seed: 7", "seed: 7.5", "line 14: seed is 7.5; allowed: a whole number"),
    ("seed: 7", "seed: true", "line 14: seed is true; allowed: a whole number"),
    (
        "{count: 4, rank: 16}",
        "[1]",
        "line 3: adapters is [1]; allowed: a mapping with the fields count, rank",
    ),
    ("{count: 4, rank: 16}", "null", "line 3: adapters is null; allowed: a mapping"),
    ("[L40S]", "L40S", "line 13: devices is 'L40S'; allowed: a list, each item text"),
    ("model: Llama-3.1-8B", "model: 8", "line 2: model is 8; allowed: text"),
    ("schema_version: 1", "schema_version: '1'", "line 1: schema_version is '1'; allowed: 1."),
    ("schema_version: 1", "schema_version: 0", "line 1: schema_version is 0; allowed: 1."),
    # wrong unit
    ("3 req/s", "3", "line 6: workload.arrivals.rate is 3; allowed: a rate with its unit, such as 12 req/s"),
    ("10min", "10 minutes", "line 9: workload.duration is '10 minutes'; allowed: a duration with its unit"),
    (
        "20 USD/h",
        "20 EUR/h",
        "line 12: objective.budget is '20 EUR/h'; allowed: a price per hour with its unit",
    ),
    ("10min", "10 GB", "line 9: workload.duration is '10 GB'; allowed: a duration with its unit"),
    # out of range
    ("rank: 16", "rank: 0", "line 3: adapters.rank is 0; allowed: at least 1 and at most 512."),
    ("rank: 16", "rank: 1000000", "line 3: adapters.rank is 1000000; allowed: at least 1 and at most 512."),
    ("count: 4", "count: -4", "line 3: adapters.count is -4; allowed: at least 0 and at most 100000."),
    ("10min", "-10min", "line 9: workload.duration is '-10min'; allowed: more than 0."),
    ("3 req/s", "0 req/s", "line 6: workload.arrivals.rate is '0 req/s'; allowed: more than 0."),
    (
        "tokens: 100",
        "tokens: 1e30",
        "line 7: workload.prompt_tokens.tokens is 1e+30; allowed: a whole number",
    ),
    ("seed: 7", "seed: 99999999999999999999", "line 14: seed is 99999999999999999999; allowed: at"),
    (
        "median: 10, p95: 20",
        "median: 10, p95: 5",
        "line 8: workload.output_tokens: p95 (5.0) must be above the median",
    ),
    # not a number
    ("median: 10", "median: .nan", "line 8: workload.output_tokens.median is nan; allowed: a finite number."),
    ("median: 10", "median: .inf", "line 8: workload.output_tokens.median is inf; allowed: a finite number."),
    # newer
    (
        "schema_version: 1",
        "schema_version: 2",
        "s.yaml: schema_version is 2; allowed: at most 1. The file was written",
    ),
    # fields that must agree
    (A, A + ", popularity: {kind: trace}", "popularity 'trace' needs a workload that names adapters"),
    (A, A + ", popularity: {kind: shares, shares: [1, 2]}", "shares lists 2 weights for count 4."),
    (
        A,
        A + ", popularity: {kind: shares, shares: [0, 0, 0, 0]}",
        "shares need at least one positive weight.",
    ),
    (
        A,
        A + ", target_modules: [q_proj, q_proj]",
        "target_modules must name each module once, and at least one.",
    ),
    (A, A + ", target_modules: [query]", "adapters.target_modules[0] is 'query'; allowed: one of q_proj"),
    ("[L40S]", "[L40S, L40S]", "devices and own_devices name L40S twice."),
    ("preset: chat\n  budget: 20 USD/h", "goal: fastest", "goal 'fastest' needs a budget, such as 20 USD/h."),
]


def refusal(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "s.yaml"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        load_scenario(file)
    return [sentence.replace(str(file), "s.yaml") for sentence in caught.value.sentences]


def test_the_good_one_is_good(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(GOOD)
    assert load_scenario(tmp_path / "s.yaml").seed == 7


@pytest.mark.parametrize(
    ("good", "bad", "said"), CASES, ids=[bad[:40] or good[:40] for good, bad, _ in CASES]
)
def test_one_clear_sentence(tmp_path: Path, good: str, bad: str, said: str) -> None:
    assert GOOD.count(good) == 1
    sentences = refusal(tmp_path, GOOD.replace(good, bad))
    assert len(sentences) == 1
    assert said in sentences[0]
    assert sentences[0].startswith("s.yaml: ")
    assert sentences[0].endswith((".", "?"))


def test_all_problems_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = GOOD.replace("rank: 16", "rank: 0").replace("3 req/s", "3").replace("seed: 7", "seed: -1")
    fields = [sentence.split(": ")[2].split(" ")[0] for sentence in refusal(tmp_path, text)]
    assert fields == ["adapters.rank", "workload.arrivals.rate", "seed"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "s.yaml: is empty; allowed: a file with content."),
        (b"\n \n", "s.yaml: is empty; allowed: a file with content."),
        (b"\xff\xfe\x00", "s.yaml: is not UTF-8 text (byte 0); allowed: a"),
        (GOOD.encode()[:60] + b"{", "not valid YAML"),
    ],
)
def test_bad_bytes(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "s.yaml"
    file.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_scenario(file)
    assert said in str(caught.value).replace(str(file), "s.yaml")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_scenario(tmp_path / "absent.yaml")
    with pytest.raises(InputError, match="is a folder; allowed: a file"):
        load_scenario(tmp_path)


@pytest.mark.parametrize("cut", range(20, GOOD.index("duration"), 23))
def test_a_truncated_file_is_refused_and_never_a_crash(tmp_path: Path, cut: int) -> None:
    for sentence in refusal(tmp_path, GOOD[:cut]):
        assert sentence.startswith("s.yaml: ")
