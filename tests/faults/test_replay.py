"""Replay against a server that misbehaves: each request once, done or under a named error; sums hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="no aiohttp; install the extra calibrate")

from advisor.replayed import OK, ReplayResult, load_replay, save_replay
from calibration.replay.summary import figures, summary
from calibration.replay.whole import Asked, replay_trace
from tests.faults.load import OUTPUT_TOKENS, prompts_of, written
from tests.faults.server import FAULTS, Misbehaving, misbehaving

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
