"""The sweep itself: the same bytes however it was computed and however often it was stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from advisor import api
from advisor.cli.failures import run
from advisor.cli.root import root
from advisor.deployment import Choice
from advisor.errors import InputError, Interrupted
from advisor.spec.scenario import load_scenario
from advisor.study.answers import Places, Task, answer
from advisor.study.columns import SCHEMA, Row, table_of
from advisor.study.grid import load_study
from advisor.study.points import Point
from advisor.study.store import Store, mark_of
from advisor.study.sweep import Sweep, left_words, plan, sweep
from advisor.study.workers import Cores
from tests.study.asked import SCENARIO, STUDY, written

ROOT = Path(__file__).parents[2]


@dataclass
class Stopping:
    """One process that is interrupted after so many points."""

    after: int
    words: str = "a worker that stops"

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[Point, Row]]:
        for done, task in enumerate(tasks):
            if done == self.after:
                raise KeyboardInterrupt
            yield answer(task)


@dataclass
class Counting:
    """One process that remembers what it was asked."""

    words: str = "a worker that counts"
    asked: tuple[Point, ...] = ()

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[Point, Row]]:
        self.asked = tuple(task.point for task in tasks)
        yield from map(answer, tasks)


def prepared(folder: Path, out: str = "out.parquet", study: str = STUDY) -> tuple[list[Task], Store]:
    path = written(folder, study)
    asked, scenario, places = load_study(path), load_scenario(folder / "scenario.yaml"), Places(folder)
    return plan(asked, scenario, places), Store(folder / out, mark_of(asked, scenario, places))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sweep, bytes, pa.Table]:
    """The study computed in one go by one process."""
    tasks, store = prepared(tmp_path_factory.mktemp("whole"))
    done = sweep(tasks, store, Cores(1))
    assert not store.parts.exists()
    return done, store.out.read_bytes(), pq.read_table(store.out)


def test_one_row_a_point_in_the_order_of_the_grid(whole: tuple[Sweep, bytes, pa.Table]) -> None:
    done, _, table = whole
    assert (done.points, done.computed) == (6, 6)
    assert table.schema.names == SCHEMA.names
    assert table["point"].to_pylist() == list(range(6))
    assert table["at_load"].to_pylist() == [0.5, 0.5, 1.0, 1.0, 2.0, 2.0]
    assert table["max_loras"].to_pylist() == [2, 6] * 3
    assert table["at_devices"].null_count == 6


def test_a_row_says_what_simulate_says(whole: tuple[Sweep, bytes, pa.Table], tmp_path: Path) -> None:
    written(tmp_path)
    row = whole[2].to_pylist()[2]  # load 1, two slots: the scenario as it stands
    choice = Choice(way="multi-lora", device="H100-80-SXM", replicas=1, max_loras=2)
    option = api.simulate(load_scenario(tmp_path / "scenario.yaml"), choice, folder=tmp_path).option
    assert option.outcome is not None
    assert row["ttft_p99_s"] == option.outcome.ttft.p99_s
    assert row["tpot_mean_s"] == option.outcome.tpot.mean_s
    assert row["loads_to_slot"] == option.outcome.loads_to_slot > 0
    assert row["usd_per_hour"] == option.usd_per_hour
    assert row["status"] == ("holds" if option.feasible else "breaks")
    assert row["option"] == option.key


def test_two_processes_write_the_same_bytes(whole: tuple[Sweep, bytes, pa.Table], tmp_path: Path) -> None:
    tasks, store = prepared(tmp_path)
    sweep(tasks, store, Cores(2))
    assert store.out.read_bytes() == whole[1]


def test_an_interrupted_sweep_keeps_its_rows_and_goes_on_to_the_same_bytes(
    whole: tuple[Sweep, bytes, pa.Table], tmp_path: Path
) -> None:
    tasks, store = prepared(tmp_path)
    with pytest.raises(Interrupted, match=r"stopped at 4 of 6 points.*same command goes on"):
        sweep(tasks, store, Stopping(4))
    assert not store.out.exists()
    assert len(store.known()) == 4
    counting = Counting()
    done = sweep(tasks, store, counting)
    assert counting.asked == tuple(task.point for task in tasks[4:])
    assert done.computed == 2
    assert store.out.read_bytes() == whole[1]
    assert not store.parts.exists()


def test_a_killed_sweep_goes_on_to_the_same_bytes(
    whole: tuple[Sweep, bytes, pa.Table], tmp_path: Path
) -> None:
    """SIGKILL, which no program can answer, after the first rows were kept."""
    tasks, store = prepared(tmp_path)
    code = (
        "import time\nfrom pathlib import Path\n"
        "from advisor.study import workers\nfrom advisor.study.sweep import sweep\n"
        "from tests.study.test_sweep import prepared\n"
        "class Slow:\n"
        "    words = 'slow'\n"
        "    def run(self, tasks):\n"
        "        for task in tasks:\n"
        "            yield workers.answer(task)\n"
        "            time.sleep(0.2)\n"
        f"sweep(*prepared(Path({str(tmp_path)!r})), Slow(), keep_every_s=0.0)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    try:
        until_ns = time.perf_counter_ns() + 60_000_000_000
        while len(list(store.parts.glob("*.parquet"))) < 2:
            assert process.poll() is None
            assert time.perf_counter_ns() < until_ns
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    known = len(store.known())
    assert 2 <= known < 6
    counting = Counting()
    sweep(tasks, store, counting)
    assert len(counting.asked) == 6 - known
    assert store.out.read_bytes() == whole[1]


def test_a_finished_study_is_not_computed_again(tmp_path: Path) -> None:
    tasks, store = prepared(tmp_path)
    sweep(tasks, store, Cores(1))
    before = store.out.stat().st_mtime_ns
    counting = Counting()
    assert sweep(tasks, store, counting).computed == 0
    assert counting.asked == ()
    assert store.out.stat().st_mtime_ns == before


def test_a_grown_grid_computes_only_its_new_points_and_drops_those_it_no_longer_names(tmp_path: Path) -> None:
    tasks, store = prepared(tmp_path)
    sweep(tasks, store, Cores(1))
    grown, _ = prepared(tmp_path, study=STUDY.replace("[0.5, 1.0, 2.0]", "[1.0, 2.0, 3.0]"))
    counting = Counting()
    done = sweep(grown, store, counting)
    assert [dict(point.at)["load"] for point in counting.asked] == [3.0, 3.0]
    assert (done.points, done.computed, done.dropped) == (6, 2, 2)
    assert pq.read_table(store.out)["at_load"].to_pylist() == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]


@pytest.mark.parametrize(
    ("old", "new"),
    [("rank: 16", "rank: 32"), ("seed: 3", "seed: 4")],
)
def test_rows_of_another_scenario_are_refused(tmp_path: Path, old: str, new: str) -> None:
    tasks, store = prepared(tmp_path)
    sweep(tasks[:1], store, Cores(1))
    path = written(tmp_path, STUDY, SCENARIO.replace(old, new))
    changed, scenario, places = load_study(path), load_scenario(tmp_path / "scenario.yaml"), Places(tmp_path)
    with pytest.raises(InputError, match=r"holds another study.*--fresh"):
        sweep(plan(changed, scenario, places), Store(store.out, mark_of(changed, scenario, places)), Cores(1))


def test_a_trace_that_changed_is_another_study(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("arrival_s,prompt_tokens,output_tokens\n0,10,5\n", encoding="utf-8")
    head, rest = SCENARIO.split("workload:\n")
    traced = f"{head}workload: {{kind: trace, path: t.csv}}\n{rest[rest.index('objective') :]}"
    study = load_study(written(tmp_path, STUDY, traced))
    scenario, places = load_scenario(tmp_path / "scenario.yaml"), Places(tmp_path)
    before = mark_of(study, scenario, places)
    assert mark_of(study, scenario, places) == before
    (tmp_path / "t.csv").write_text("arrival_s,prompt_tokens,output_tokens\n0,10,6\n", encoding="utf-8")
    assert mark_of(study, scenario, places) != before


def test_files_of_others_are_refused_and_left_alone(tmp_path: Path) -> None:
    tasks, store = prepared(tmp_path)
    pq.write_table(pa.table({"a": [1]}), store.out)
    with pytest.raises(InputError, match="was not written by `advisor sweep`"):
        sweep(tasks, store, Cores(1))
    store.out.write_bytes(b"no parquet")
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        sweep(tasks, store, Cores(1))
    assert store.out.read_bytes() == b"no parquet"


def test_what_cannot_run_and_what_makes_no_sense_are_rows_with_a_reason(tmp_path: Path) -> None:
    grid = "grid:\n  tensor_parallel: [1, 4]\n  max_loras: [6, 4000]\n"
    path = written(
        tmp_path, STUDY[: STUDY.index("grid:")] + grid, SCENARIO.replace("Llama-3.1-8B", "Llama-3.3-70B")
    )
    study, scenario, places = load_study(path), load_scenario(tmp_path / "scenario.yaml"), Places(tmp_path)
    store = Store(tmp_path / "out.parquet", mark_of(study, scenario, places))
    done = sweep(plan(study, scenario, places), store, Cores(1))
    rows = pq.read_table(store.out).to_pylist()
    assert [row["status"] for row in rows] == ["infeasible", "infeasible", "holds", "refused"]
    assert "Choose a larger device" in rows[0]["reason"]  # 141 GB of weights on one device
    assert rows[0]["ttft_p99_s"] is None
    assert rows[2]["ttft_p99_s"] > 0
    assert rows[3]["reason"] == done.refusal != ""
    assert done.statuses == {"holds": 1, "infeasible": 2, "refused": 1}


def test_a_study_of_nonsense_alone_is_an_error_and_leaves_no_file(tmp_path: Path) -> None:
    study = STUDY[: STUDY.index("grid:")] + "grid:\n  devices: [H9000, H9001]\n"
    tasks, store = prepared(tmp_path, study=study)
    with pytest.raises(InputError, match=r"every point of the study is refused; the first says: .*H9000"):
        sweep(tasks, store, Cores(1))
    assert not store.out.exists()
    assert not store.parts.exists()


def test_recommend_at_each_point_gives_the_recommended_option(tmp_path: Path) -> None:
    study = (
        "schema_version: 1\nscenario: scenario.yaml\nask: recommend\n"
        "grid:\n  ways: [multi-lora]\n  max_loras: [6]\n  load: [1.0]\n"
    )
    tasks, store = prepared(tmp_path, study=study)
    sweep(tasks, store, Cores(1))
    (row,) = pq.read_table(store.out).to_pylist()
    answered = api.recommend(tasks[0].ask.scenario, folder=tmp_path, jobs=1)
    assert row["option"] == answered.recommended == "multi-lora/H100-80-SXM/tp1/plain"
    assert row["headroom"] == answered.option(answered.recommended).headroom
    assert row["rate_rps"] == answered.workload.rate_rps


def test_progress_counts_points_and_says_the_time_left(tmp_path: Path) -> None:
    told: list[tuple[float, str]] = []
    tasks, store = prepared(tmp_path)
    sweep(tasks, store, Cores(1), lambda share, words: told.append((share, words)))
    assert [share for share, _ in told] == pytest.approx([done / 6 for done in range(7)])
    assert told[0][1] == "0 of 6 points"
    assert told[1][1].startswith("1 of 6 points, ")
    assert all(words.endswith(" left") for _, words in told[1:])


@pytest.mark.parametrize(
    ("left_s", "words"), [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (7500, "2 h 5 min")]
)
def test_the_time_left_in_words(left_s: float, words: str) -> None:
    assert left_words(left_s) == words


def test_infinite_latencies_stay_and_unknown_ones_are_null() -> None:
    table = table_of(
        [{"point": 0, "status": "x", "reason": "", "ttft_p99_s": float("inf"), "e2e_p99_s": float("nan")}]
    )
    assert table["ttft_p99_s"].to_pylist() == [float("inf")]
    assert table["e2e_p99_s"].null_count == 1


class TestCommand:
    def test_writes_the_file_and_says_how_it_ended(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str], whole: tuple[Sweep, bytes, pa.Table]
    ) -> None:
        path, out = written(tmp_path), tmp_path / "a" / "out.parquet"
        assert run(root, "advisor", ["sweep", str(path), "--out", str(out), "--jobs", "1"]) == 0
        told = capfd.readouterr()
        assert f"small study: 6 points in {out}: 3 meet the objective, 3 do not." in told.out
        assert "6 points on one process" in told.err
        assert out.read_bytes() == whole[1]
        assert run(root, "advisor", ["sweep", str(path), "--out", str(out), "--json"]) == 0
        told = capfd.readouterr()
        assert json.loads(told.out) == {
            "schema_version": 1,
            "study": "small study",
            "out": str(out),
            "points": 6,
            "computed": 0,
            "dropped": 0,
            "statuses": {"breaks": 3, "holds": 3},
        }
        assert told.err == ""

    def test_a_dry_run_computes_nothing(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        path, out = written(tmp_path), tmp_path / "out.parquet"
        assert run(root, "advisor", ["sweep", str(path), "--out", str(out), "--dry-run"]) == 0
        assert "6 points, all of them sound; 0 rows are known" in capfd.readouterr().out
        assert not out.exists()

    def test_fresh_drops_another_study(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        path, out = written(tmp_path), tmp_path / "out.parquet"
        out.write_bytes(b"something else")
        args = ["sweep", str(path), "--out", str(out), "--jobs", "1"]
        assert run(root, "advisor", args) == 2
        assert "Parquet" in capfd.readouterr().err
        assert run(root, "advisor", [*args, "--fresh"]) == 0
        assert pq.read_table(out).num_rows == 6

    @pytest.mark.parametrize(
        ("args", "words"),
        [(["--out", "a.csv"], "ends in .parquet"), (["--profiles", "nowhere"], "no such folder")],
    )
    def test_bad_options_are_told_before_the_work(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str], args: list[str], words: str
    ) -> None:
        assert run(root, "advisor", ["sweep", str(written(tmp_path)), *args]) == 2
        assert words in capfd.readouterr().err

    def test_profiles_of_the_users_own_are_used(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """The shipped H100's profile with host work that takes a hundred times as long a step."""
        raw = json.loads((ROOT / "data" / "profiles" / "h100_sxm-vllm.json").read_text(encoding="utf-8"))
        raw["host"]["fixed_s"] *= 100
        (tmp_path / "own").mkdir()
        (tmp_path / "own" / "slow.json").write_text(json.dumps(raw), encoding="utf-8")
        path, out = written(tmp_path), tmp_path / "out.parquet"
        args = ["sweep", str(path), "--out", str(out), "--jobs", "1", "--quiet"]
        assert run(root, "advisor", args) == 0
        as_shipped = pq.read_table(out)["tpot_mean_s"].to_pylist()
        own = [*args, "--profiles", str(tmp_path / "own")]
        assert run(root, "advisor", own) == 2
        assert "holds another study" in capfd.readouterr().err
        assert run(root, "advisor", [*own, "--fresh"]) == 0
        assert pq.read_table(out)["tpot_mean_s"].to_pylist()[0] > 1.2 * as_shipped[0]


def test_a_device_that_only_a_datasheet_knows_may_be_chosen(tmp_path: Path) -> None:
    study = STUDY.replace("H100-80-SXM", "A10").replace("[0.5, 1.0, 2.0]", "[0.5]").replace("[2, 6]", "[2]")
    tasks, _ = prepared(tmp_path, study=study)
    assert [row["device"] for _, row in map(answer, tasks)] == ["A10"]
