"""The same study on a Ray of two workers, started here. Skips where the extra `ray` is not installed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from advisor.errors import InputError
from advisor.study.sweep import sweep
from advisor.study.workers import Cores, RayCluster
from tests.study.test_sweep import prepared

ROOT = Path(__file__).parents[2]


def test_without_ray_the_sentence_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)  # import ray raises ImportError
    tasks, store = prepared(tmp_path)
    with pytest.raises(InputError, match=r"pip install 'lora-advisor\[ray\]'"):
        sweep(tasks, store, RayCluster("local", 2))


def test_an_address_where_nobody_listens_is_told_at_once(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="no ray; install the extra 'ray'")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but not listening
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        tasks, store = prepared(tmp_path)
        with pytest.raises(InputError, match="no Ray cluster answers there"):
            sweep(tasks, store, RayCluster(address, 2))


@pytest.mark.slow
def test_a_ray_of_two_workers_writes_the_same_bytes_with_its_telemetry_off(tmp_path: Path) -> None:
    """In a process of its own: Ray's threads and warnings are not this test's."""
    pytest.importorskip("ray", reason="no ray; install the extra 'ray'")
    (tmp_path / "here").mkdir()
    (tmp_path / "ray").mkdir()
    tasks, store = prepared(tmp_path / "here")
    sweep(tasks, store, Cores(1))
    code = f"""
        import os
        from pathlib import Path
        from advisor.study import answers, workers
        from advisor.study.sweep import sweep
        from tests.study.test_sweep import prepared

        class Watched(workers.RayCluster):
            def run(self, tasks):
                import ray
                from ray._common.usage import usage_lib
                for row in super().run(tasks):
                    if not seen:
                        seen.append(ray.cluster_resources()["CPU"])
                        seen.append(usage_lib.usage_stats_enabled())
                    yield row

        def answer(task):
            (folder / f"{{os.getpid()}}.pid").touch()
            return answers.answer(task)

        seen, folder = [], Path({str(tmp_path / "ray")!r})
        workers.answer, workers._BATCH_A_WORKER = answer, 2  # two batches for six points
        done = sweep(*prepared(folder), Watched("local", 2))
        import ray
        others = [pid for pid in folder.glob("*.pid") if pid.stem != str(os.getpid())]
        print(seen, len(others), done.computed, ray.is_initialized())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[2.0, False] 2 6 False"
    assert (tmp_path / "ray" / "out.parquet").read_bytes() == store.out.read_bytes()
