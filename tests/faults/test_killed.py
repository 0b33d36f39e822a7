"""A replay that is killed at any moment: the old result or a whole one; --resume ends as if nothing was."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="no aiohttp; install the extra calibrate")
from click.testing import CliRunner

from advisor.replayed import ReplayResult, load_replay
from calibration.cli import main
from tests.faults.killed import POINTS
from tests.faults.load import Prompts, prompts_of, written
from tests.faults.server import Misbehaving, misbehaving

COUNT, SEATS = 80, 4
SAME = ("arrival_s", "status", "prompt_tokens", "wanted_tokens", "output_tokens", "adapter", "chunk_offsets")
FAULTS = {9: "429", 30: "closed in stream", 31: "no JSON", 70: "500"}
"""By the request's place: these fail whenever they are asked."""


class Case:
    """One trace, one server, one result file."""

    def __init__(self, server: Misbehaving, folder: Path) -> None:
        self.server, self.out = server, folder / "r.parquet"
        self.trace = written(folder, COUNT, gap_s=0.01)

    def arguments(self, *more: str) -> list[str]:
        return ["replay", "--url", self.server.url, "--model", "m", "--trace", self.trace, "--out",
                str(self.out), "--max-concurrency", str(SEATS), "--speed", "2", *more]  # fmt: skip

    def run(self, *more: str) -> ReplayResult:
        """To the end, in this process; that the machine is too busy to send in time does not matter here."""
        done = CliRunner().invoke(main, self.arguments(*more))
        assert done.exit_code == 0 or "the client was late" in done.output, done.output
        return load_replay(self.out)

    def killed(self, where: str, after: int = COUNT + 1) -> None:
        """Run in another process until it kills itself, or the server has seen so many requests."""
        program = [sys.executable, "-m", "tests.faults.killed", where, *self.arguments("--force")]
        before = len(self.server.seen)
        process = subprocess.Popen(program, env={**os.environ, "PYTHONPATH": str(Path.cwd())})
        while process.poll() is None:
            if len(self.server.seen) - before >= after:
                process.kill()
            time.sleep(0.001)
        assert process.returncode == -9


@pytest.fixture(scope="module")
def prompts() -> Prompts:
    return prompts_of(COUNT)


@pytest.fixture
def case(prompts: Prompts, tmp_path: Path) -> Iterator[Case]:
    fault_of = {prompts[place]: fault for place, fault in FAULTS.items()}
    with misbehaving(Misbehaving(lambda prompt: fault_of.get(prompt, ""))) as server:
        yield Case(server, tmp_path)


def check_resumed(case: Case, prompts: Prompts, whole: ReplayResult) -> None:
    """Resume, and hold the result to that of a run without interruption."""
    asked_before = case.server.times
    known = len(journal_lines(case.out))
    result = case.run("--resume")
    for column in SAME:
        np.testing.assert_array_equal(getattr(result, column), getattr(whole, column), err_msg=column)
    assert (result.sent_s >= result.arrival_s - 1e-6).all()
    assert (result.first_token_s[result.done] >= result.sent_s[result.done]).all()
    again = {prompts.index(prompt) for prompt in case.server.times - asked_before if asked_before[prompt]}
    assert len(again - set(FAULTS)) <= SEATS  # what was under way; what has a line was not asked again
    assert known >= sum(asked_before.values()) - SEATS
    assert not Path(f"{case.out}.journal").exists()


def journal_lines(out: Path) -> list[str]:
    """Whole lines of requests."""
    path = Path(f"{out}.journal")
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [line for line in text.splitlines(keepends=True)[1:] if line.endswith("\n")]


@pytest.mark.parametrize("where", [*POINTS, "seed 0", "seed 1", "seed 2"])
def test_a_killed_replay_goes_on_as_if_nothing_had_been(where: str, case: Case, prompts: Prompts) -> None:
    whole = case.run()
    before = case.out.read_bytes()
    case.server.seen.clear()
    seed = where.removeprefix("seed ")
    random_moment = int(np.random.default_rng(int(seed)).integers(1, COUNT)) if seed.isdigit() else COUNT + 1
    case.killed(where, random_moment)
    if where == "after the result":
        assert case.out.read_bytes() != before
        np.testing.assert_array_equal(load_replay(case.out).status, whole.status)
    else:
        assert case.out.read_bytes() == before
    refused = CliRunner().invoke(main, case.arguments("--force"))
    assert refused.exit_code == 2
    assert "an earlier replay was interrupted. Add --resume to go on" in refused.output
    check_resumed(case, prompts, whole)
