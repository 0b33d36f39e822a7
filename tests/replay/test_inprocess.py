"""Replay against an engine in this process, and the result's file."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="no torch; install the extra calibrate")

from advisor.errors import InputError
from advisor.replayed import ReplayResult, load_replay, save_replay
from advisor.trace.trace import BASE, Prefixes, Trace
from calibration.replay.inprocess import replay_engine
from calibration.replay.prompts import prompts_for
from tests.engine.models import save_adapter, save_model
from tests.engine.running import engine_for


def trace_of(count: int = 24, gap_s: float = 0.003) -> Trace:
    random = np.random.default_rng(0)
    return Trace(
        np.arange(count, dtype=np.float64) * gap_s,
        random.integers(3, 30, count),
        random.integers(1, 12, count),
        random.integers(-1, 2, count),
        ("a", "b"),
        name="made",
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("replayed")
    return {
        "model": save_model(root / "model", "llama"),
        "a": save_adapter(root / "a", "llama", seed=1),
        "b": save_adapter(root / "b", "llama", seed=2),
    }


@pytest.fixture(scope="module")
def result(folders: dict[str, Path]) -> ReplayResult:
    engine = engine_for(folders["model"], {"a": folders["a"], "b": folders["b"]})
    trace = trace_of()
    return replay_engine(engine, trace, prompts_for(trace, 97))


def test_every_request_is_answered_as_long_as_the_trace_says(result: ReplayResult) -> None:
    trace = trace_of()
    assert bool(result.done.all())
    np.testing.assert_array_equal(result.output_tokens, trace.output_tokens)
    np.testing.assert_array_equal(result.prompt_tokens, trace.prompt_tokens)
    assert result.chunk_tokens.sum() == trace.output_tokens.sum()
    counters = result.header.counters
    assert counters is not None
    assert counters["emitted_tokens"] == trace.output_tokens.sum()
    assert counters["loads_from_disk"] == 2


def test_times_are_in_order_and_nobody_starts_before_it_comes(result: ReplayResult) -> None:
    assert (result.sent_s >= result.arrival_s).all()
    assert (result.scheduled_s >= result.sent_s).all()
    assert (result.first_token_s > result.scheduled_s).all()
    assert (result.last_token_s >= result.first_token_s).all()
    assert (result.itl_s > 0).all()
    assert len(result.itl_s) == (trace_of().output_tokens - 1).sum()


def test_a_faster_replay_wants_everything_earlier(folders: dict[str, Path]) -> None:
    engine = engine_for(folders["model"])
    trace = replace(trace_of(), adapter=np.full(24, BASE), adapters=())
    fast = replay_engine(engine, trace, prompts_for(trace, 97), speed=10.0)
    np.testing.assert_allclose(fast.arrival_s, trace.arrival_s / 10.0)
    assert fast.header.speed == 10.0


def test_an_unknown_adapter_is_one_sentence(folders: dict[str, Path]) -> None:
    engine = engine_for(folders["model"])
    with pytest.raises(InputError, match=r"adapters of the trace are a, b; allowed: none"):
        replay_engine(engine, trace_of(), prompts_for(trace_of(), 97))


def test_prompts_share_what_the_trace_shares_and_nothing_else() -> None:
    prefixes = Prefixes(np.array([0, 2, 4, 5]), np.array([7, 8, 7, 9, 1]), 4)
    trace = Trace(
        np.zeros(3), np.array([12, 12, 9]), np.ones(3, dtype=np.int64), np.full(3, BASE), prefixes=prefixes
    )
    one, two, three = prompts_for(trace, 500, seed=3)
    assert one[:4] == two[:4]
    assert one[4:8] != two[4:8]
    assert one[:4] != three[:4]
    assert [len(p) for p in (one, two, three)] == [12, 12, 9]
    assert prompts_for(trace, 500, seed=3) == [one, two, three]
    assert prompts_for(trace, 500, seed=4)[0] != one


def test_a_result_comes_back_as_it_was_written(result: ReplayResult, tmp_path: Path) -> None:
    save_replay(result, tmp_path / "r.parquet")
    again = load_replay(tmp_path / "r.parquet")
    assert again.header == result.header
    for f in fields(ReplayResult):
        if f.name != "header":
            np.testing.assert_array_equal(getattr(again, f.name), getattr(result, f.name), err_msg=f.name)
    save_replay(again, tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "r.parquet").read_bytes()


GOLDEN = Path(__file__).with_name("golden") / "replay_v1.parquet"


def test_version_one_is_still_read() -> None:
    old = load_replay(GOLDEN)
    assert len(old) == 3
    assert old.status.tolist() == ["ok", "timeout", "ok"]
    assert old.errors == {"timeout": 1}
    np.testing.assert_allclose(old.ttft_s[[0, 2]], [0.2, 0.3])
    np.testing.assert_allclose(old.itl_s, [0.1, 0.05])


@pytest.mark.parametrize("content", [b"", b"PAR1", b"{}", b"PAR1" + b"x" * 100 + b"PAR1"])
def test_what_is_no_result_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.parquet"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.parquet"):
        load_replay(path)


def test_a_newer_result_says_to_upgrade(result: ReplayResult, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    save_replay(result, tmp_path / "r.parquet")
    table = pq.read_table(tmp_path / "r.parquet")
    header = json.loads(table.schema.metadata[b"lora_advisor"]) | {"schema_version": 2}
    table = table.replace_schema_metadata({b"lora_advisor": json.dumps(header).encode()})
    pq.write_table(table, tmp_path / "new.parquet")
    with pytest.raises(InputError, match="written by a newer version"):
        load_replay(tmp_path / "new.parquet")
