"""`calibrate endpoint` killed at any moment: the old profile or a whole new one, and it can start again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="no aiohttp; install the extra calibrate")
from click.testing import CliRunner

from advisor.profile import find_profiles, load_profile
from calibration.cli import main
from tests.faults.killed import ENDPOINT_POINTS
from tests.faults.server import Misbehaving, Prompt, misbehaving

REQUESTS = 140
NEVER = 10 * REQUESTS


@dataclass(frozen=True, slots=True)
class Case:
    """One server, one profile with its samples."""

    server: Misbehaving
    folder: Path

    @property
    def out(self) -> Path:
        return self.folder / "p.json"

    @property
    def samples(self) -> Path:
        return self.folder / "p.samples.jsonl"

    def arguments(self) -> list[str]:
        return ["endpoint", "--url", self.server.url, "--model", "m", "--shape", "Llama-3.1-8B",
                "--device", "L40S", "--out", str(self.out), "--max-concurrency", "2",
                "--longest-prompt", "64", "--budget", "120s",
                "--max-requests", str(REQUESTS), "--force"]  # fmt: skip

    def run(self) -> list[Prompt]:
        """To the end, in this process; the prompts that were sent."""
        self.server.seen.clear()
        done = CliRunner().invoke(main, self.arguments())
        assert done.exit_code == 0, done.output
        return list(self.server.seen)

    def killed(self, where: str, after: int) -> list[Prompt]:
        """Run in another process until it kills itself, or the server has seen so many requests."""
        self.server.seen.clear()
        program = [sys.executable, "-m", "tests.faults.killed", where, *self.arguments()]
        process = subprocess.Popen(program, env={**os.environ, "PYTHONPATH": str(Path.cwd())})
        while process.poll() is None:
            if len(self.server.seen) >= after:
                process.kill()
            time.sleep(0.001)
        assert process.returncode == -9
        return list(self.server.seen)

    def dates(self) -> tuple[str, str]:
        """Of the profile, and of the one that the samples say they are of."""
        facts = json.loads(self.samples.read_text(encoding="utf-8").splitlines()[0])["facts"]
        return load_profile(self.out).created.isoformat(), facts["created"]


@pytest.fixture(scope="module")
def server() -> Iterator[Misbehaving]:
    with misbehaving(Misbehaving(pause_s=0.001)) as running:
        yield running


@pytest.fixture(scope="module")
def usual(server: Misbehaving, tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, list[Prompt]]:
    """A calibration without interruption, and what it asked."""
    case = Case(server, tmp_path_factory.mktemp("usual"))
    asked = case.run()
    time.sleep(1.0)  # the dates of two profiles are of whole seconds
    return case, asked


@pytest.fixture
def case(server: Misbehaving, tmp_path: Path) -> Case:
    return Case(server, tmp_path)


@pytest.mark.parametrize("where", [*ENDPOINT_POINTS, "seed 0", "seed 1", "seed 2"])
def test_a_killed_calibration_leaves_the_old_profile_or_a_whole_one(
    where: str, usual: tuple[Case, list[Prompt]], case: Case
) -> None:
    old, asked = usual
    profile, samples = old.out.read_bytes(), old.samples.read_bytes()
    case.out.write_bytes(profile)
    case.samples.write_bytes(samples)
    random = where.startswith("seed")
    after = int(np.random.default_rng(int(where[5:])).integers(1, REQUESTS)) if random else NEVER
    before = case.killed(where, after)

    assert (case.out.read_bytes() == profile) == (where != "profile in place")
    assert (case.samples.read_bytes() == samples) == (not where.startswith("profile"))
    assert len(set(case.dates())) == (2 if where in ("profile not synced", "profile not in place") else 1)
    assert list(find_profiles(case.folder)) == ["p"]  # what was half written has no name that counts

    again = case.run()
    assert [len(prompt) for prompt in again] == [len(prompt) for prompt in asked]
    assert not set(again) & set(before), "a cache of the server could know the prompts of the killed run"
    assert len(set(case.dates())) == 1


def test_a_first_calibration_that_is_killed_leaves_nothing(case: Case) -> None:
    case.killed("never", 10)
    assert list(case.folder.iterdir()) == []
