"""Replay against a server that misbehaves: each request once, done or under a named error; sums hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="no aiohttp; install the extra calibrate")

from advisor.errors import InputError, MeasurementError
from advisor.replayed import OK, ReplayResult, load_replay, save_replay
from advisor.trace.writers import save_trace
from calibration.replay.summary import figures, summary
from calibration.replay.whole import Asked, replay_trace
from tests.faults.load import OUTPUT_TOKENS, prompts_of, trace_of, written
from tests.faults.reply import FAULTS
from tests.faults.server import Misbehaving, Prompt, misbehaving

STATUS = {
    "reset before head": "cut_off", "closed before head": "cut_off", "reset in head": "cut_off",
    "reset in stream": "cut_off", "closed in stream": "cut_off", "truncated chunk": "cut_off",
    "truncated length": "cut_off", "no [DONE]": "cut_off", "not gzip": "cut_off",
    "no HTTP": "malformed", "endless header": "malformed", "no JSON": "malformed", "no object": "malformed",
    "deep": "malformed", "digits": "malformed", "endless event": "malformed", "endless line": "malformed",
    "endless parts": "endless", "429": "http_429", "429, later": "http_429", "503": "http_503",
    "500": "http_500", "endless refusal": "http_500", "html": "not_streaming", "no type": "not_streaming",
    "error": "server_error", "no usage": "no_usage", "usage of texts": "no_usage",
    "usage of too many": "no_usage", "usage below zero": "no_usage",
    "": OK, "half characters": OK, "event of other fields": OK, "no error": OK, "prompt of too many": OK,
    "[DONE] and silent": OK, "[DONE] and closed": OK,
}  # fmt: skip
NEVER_DONE = ("silent", "loris in head", "loris in stream", "chunk of no size")
BEFORE_HEAD = ("reset before head", "closed before head", "reset in head")
PATIENT_S = 120.0


def replayed(server: Misbehaving, folder: Path, count: int, **more: Any) -> ReplayResult:
    given: dict[str, Any] = {"model": "m", "timeout": PATIENT_S, "max_concurrency": 8} | more
    return replay_trace(Asked(written(folder, count), folder / "r.parquet", url=server.url, **given), None)


def in_some_order(faults: list[str], seed: int) -> dict[tuple[int, ...], str]:
    """A fault for each prompt, the first one good."""
    order = np.random.default_rng(seed).permutation(faults).tolist()
    return dict(zip(prompts_of(len(order) + 1), ["", *order], strict=True))


def test_every_fault_of_the_server_is_tried() -> None:
    assert set(STATUS) | set(NEVER_DONE) == set(FAULTS)


@pytest.mark.parametrize("seed", range(3))
def test_each_request_is_once_in_the_result_as_done_or_under_its_error(seed: int, tmp_path: Path) -> None:
    fault_of = in_some_order([*STATUS, *STATUS, *[""] * 20], seed)
    with misbehaving(Misbehaving(fault_of.__getitem__)) as server:
        result = replayed(server, tmp_path, len(fault_of))
    faults = list(fault_of.values())
    assert dict(zip(range(len(faults)), result.status.tolist(), strict=True)) == {
        place: STATUS[fault] for place, fault in enumerate(faults)
    }
    assert set(server.seen) == set(fault_of)
    again = {prompt: times - 1 for prompt, times in server.times.items() if times > 1}
    assert {fault_of[prompt] for prompt in again} <= set(BEFORE_HEAD)
    assert set(again.values()) <= {1}
    counted = [note.split()[0] for note in result.header.notes if "were sent again" in note]
    assert counted == ([str(len(again))] if again else [])
    assert (result.output_tokens[result.done] == OUTPUT_TOKENS).all()
    assert (result.output_tokens[~result.done] == 0).all()
    assert (result.prompt_tokens == 6).all()  # also where the server counted nonsense
    assert int(np.diff(result.chunk_offsets).max()) <= 4 * OUTPUT_TOKENS + 64  # nothing without end is kept
    _sums_hold(result, tmp_path)


def _sums_hold(result: ReplayResult, folder: Path) -> None:
    """Done and errors make the whole, in the file and in the words too."""
    assert int(result.done.sum()) + sum(result.errors.values()) == len(result)
    save_replay(result, folder / "r.parquet")
    back = load_replay(folder / "r.parquet")
    assert back.errors == result.errors
    assert figures(back)["answered"] == int(result.done.sum())
    said = summary(back)
    assert said.startswith(f"{int(result.done.sum())} of {len(result)} requests answered")
    assert all(f"{kind}: {count}" in said for kind, count in result.errors.items())
    assert all(f"note: {note}" in said for note in result.header.notes)


@pytest.mark.parametrize("fault", BEFORE_HEAD)
def test_a_connection_that_drops_is_an_error_and_not_tried_again_in_silence(
    fault: str, tmp_path: Path
) -> None:
    """New connections alone: nothing was kept, so nothing can have been closed while it was idle."""
    prompts = prompts_of(12)
    bad = set(prompts[1::2])
    with misbehaving(Misbehaving(lambda prompt: fault if prompt in bad else "", keeps=False)) as server:
        result = replayed(server, tmp_path, len(prompts))
    assert result.errors == {"cut_off": 6}
    assert set(server.times.values()) == {1}


def test_a_kept_connection_that_was_closed_is_opened_anew_and_counted(tmp_path: Path) -> None:
    """One after the other over one connection: it drops once for three of them, for one each time."""
    prompts = prompts_of(8)
    dropped: set[Prompt] = set()

    def fault_of(prompt: Prompt) -> str:
        drops = prompt == prompts[6] or (prompt in prompts[2:5] and prompt not in dropped)
        dropped.update([prompt] if drops else [])
        return "reset before head" if drops else ""

    with misbehaving(Misbehaving(fault_of)) as server:
        result = replayed(server, tmp_path, len(prompts), max_concurrency=1)
    assert result.status.tolist() == [OK] * 6 + ["cut_off", OK]
    assert [server.times[prompt] for prompt in prompts] == [1, 1, 2, 2, 2, 1, 2, 1]
    assert any(note.startswith("4 requests were sent again") for note in result.header.notes)


@pytest.mark.parametrize("status", ["429", "429, later", "503"])
def test_a_storm_of_refusals_is_sat_out(status: str, tmp_path: Path) -> None:
    """A server that says later is not given up, however many it refuses at first; other failures are."""
    prompts = prompts_of(50)
    storm = set(prompts[:40])
    with misbehaving(Misbehaving(lambda prompt: status if prompt in storm else "")) as server:
        result = replayed(server, tmp_path, len(prompts))
    assert (result.errors, int(result.done.sum())) == ({STATUS[status]: 40}, 10)
    assert len(server.seen) == 50


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("429", "answers 429 to every request: its rate limit is below the trace's. Lower --speed."),
        ("closed in stream", "closes every connection before its answer is whole."),
        ("500", "answers 500 to every request."),
        ("error", "fails in the middle of every answer."),
        ("endless parts", "sends many more parts than tokens were asked for."),
    ],
)
def test_a_server_that_fails_all_is_one_sentence(fault: str, sentence: str, tmp_path: Path) -> None:
    with misbehaving(Misbehaving(lambda _: fault)) as server, pytest.raises(MeasurementError) as few:
        replayed(server, tmp_path, 5)
    assert str(few.value).startswith(f"{server.url}: {sentence}")
    assert str(few.value).endswith("None of 5 requests was answered.")


def test_a_server_that_fails_all_for_good_is_left_early(tmp_path: Path) -> None:
    with misbehaving(Misbehaving(lambda _: "500")) as server, pytest.raises(MeasurementError) as stopped:
        replayed(server, tmp_path, 2000)
    assert "answers 500 to every request. Stopped after" in str(stopped.value)
    assert len(server.seen) < 2000


def test_failures_of_many_kinds_are_listed(tmp_path: Path) -> None:
    fault_of = dict(zip(prompts_of(6), ["429", "500", "500", "html", "429", "429"], strict=True))
    with misbehaving(Misbehaving(fault_of.__getitem__)) as server, pytest.raises(MeasurementError) as none:
        replayed(server, tmp_path, 6)
    assert "answered no request: 3 http_429, 2 http_500, 1 not_streaming." in str(none.value)


def test_an_adapter_without_a_number_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    trace = replace(trace_of(3), adapter=np.array([-1, 0, -1]), adapters=("sql",))
    save_trace(trace, tmp_path / "t.csv")
    with misbehaving(Misbehaving()) as server, pytest.raises(InputError, match="its number, NAME=0"):
        replay_trace(
            Asked(str(tmp_path / "t.csv"), tmp_path / "r", url=server.url, model="m", server="llama.cpp"),
            None,
        )
    assert server.seen == []


def test_who_never_ends_costs_the_timeout_and_no_more(tmp_path: Path) -> None:
    """The server would go on for ever; that this ends is the bound."""
    faults = [fault for fault in NEVER_DONE for _ in range(2)]
    fault_of = in_some_order([*faults, *[""] * 4], seed=0)
    with misbehaving(Misbehaving(fault_of.__getitem__)) as server:
        result = replayed(server, tmp_path, len(fault_of), timeout=1.5, max_concurrency=100)
    for fault, status in zip(fault_of.values(), result.status.tolist(), strict=True):
        # aiohttp tells of a bad chunk at once, or not at all; the other may be true on a busy machine
        also = {"chunk of no size": "malformed", "": OK}.get(fault, "timeout")
        assert status in ("timeout", also), fault
    assert len(server.seen) == len(fault_of)
    _sums_hold(result, tmp_path)
