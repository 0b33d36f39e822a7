"""Where the points of a study are computed: the cores of this machine, or a Ray cluster, both by joblib."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from advisor.errors import InputError
from advisor.study.answers import Task, answer
from advisor.study.columns import Row
from advisor.study.points import Point

LOCAL: Final = "local"
_KNOCK_S: Final = 10.0
_BATCH_A_WORKER: Final = 8
"""Points a Ray worker gets at a time: the backend returns whole lists, so a batch is what a kill may lose."""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers(Protocol):
    """Computes tasks and yields the rows as they come, in any order."""

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[Point, Row]]:
        """Compute every task."""
        ...

    @property
    def words(self) -> str:
        """Where the work is done, for people."""
        ...


@dataclass(frozen=True, slots=True)
class Cores:
    """Processes on this machine; with one job, this very process."""

    jobs: int

    @property
    def words(self) -> str:
        """Where the work is done, for people."""
        return "one process" if self.jobs == 1 else f"{self.jobs} processes"

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[Point, Row]]:
        """Compute every task; rows come one by one, as they are done."""
        if self.jobs == 1 or len(tasks) <= 1:
            yield from map(answer, tasks)
            return
        import joblib

        with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
            pool = joblib.Parallel(n_jobs=self.jobs, return_as="generator_unordered")
            yield from pool(joblib.delayed(answer)(task) for task in tasks)


@dataclass(frozen=True, slots=True)
class RayCluster:
    """A Ray cluster, or one that is started on this machine for the sweep. Ray's telemetry is off.

    Attributes:
        address: `local` starts one here; `auto` or host:port joins one that runs.
        jobs: workers; None: one a CPU of the cluster.
    """

    address: str
    jobs: int | None = None

    @property
    def words(self) -> str:
        """Where the work is done, for people."""
        count = "all its workers" if self.jobs is None else f"{self.jobs} workers"
        return f"Ray ({self.address}, {count})"

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[Point, Row]]:
        """Compute every task in bounded batches: joblib's Ray backend refuses to return a generator.

        Raises:
            InputError: Ray is not installed, or no cluster answers at the address.
        """
        import joblib

        workers = self._start()
        try:
            with (
                joblib.parallel_config(backend="ray"),
                joblib.Parallel(n_jobs=workers, batch_size=1, pre_dispatch="all") as pool,
            ):
                size = _BATCH_A_WORKER * workers
                for start in range(0, len(tasks), size):
                    yield from pool(joblib.delayed(answer)(task) for task in tasks[start : start + size])
        finally:
            self._stop()

    def _start(self) -> int:
        """Join or start the cluster; returns the number of workers."""
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        try:
            import ray
            from ray.util.joblib import register_ray
        except ImportError:
            raise InputError(
                "--ray needs the package ray, which is not installed; allowed: no --ray, on cores of this "
                "machine. Install it with: pip install 'lora-advisor[ray]'"
            ) from None
        where = {"num_cpus": self.jobs} if self.address == LOCAL else {}
        try:
            _knock(self.address)
            ray.init(
                address=self.address,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="error",
                **where,
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(
                f"--ray is {self.address}: no Ray cluster answers there ({str(error).splitlines()[0]}); "
                "allowed: local, auto, or host:port of a cluster's head."
            ) from None
        register_ray()
        return self.jobs or max(1, int(ray.cluster_resources().get("CPU", 1)))

    def _stop(self) -> None:
        import ray

        ray.shutdown()


def _knock(address: str) -> None:
    """Try host:port before Ray does, which waits for minutes and says little.

    Raises:
        OSError: nobody listens there.
    """
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit() and "/" not in host:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK_S):
            pass
