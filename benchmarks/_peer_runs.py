"""Runs another simulator on a trace, inside that simulator's own environment: knows nothing of ours.

    PYTHON _peer_runs.py PEER TRACE.csv

The trace has the columns Date, Time, PromptTokenCount, CompletionTokenCount. Prints one JSON object: CPU
seconds of the simulation alone (objects are built before), requests finished, the version.
"""

from __future__ import annotations

import csv
import importlib
import json
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any


def rows(file: str) -> list[tuple[float, int, int]]:
    """Arrival, prompt tokens and answer tokens of each request."""
    with Path(file).open(newline="", encoding="ascii") as lines:
        return [
            (float(row["Time"]), int(row["PromptTokenCount"]), int(row["CompletionTokenCount"]))
            for row in csv.DictReader(lines)
        ]


def sr_sim(file: str) -> tuple[float, int, str]:
    """vllm-sr-sim: one H100 with Llama-3.1-8B, a slot a sequence, no steps and no tokens."""
    sim = importlib.import_module("fleet_sim")
    serving = sim.ServingConfig(tp=1, dtype_bytes=2)
    gpu = sim.ProfileBuilder().build(hw=sim.H100_SXM, model=sim.LLAMA_3_1_8B, cfg=serving)
    pool = sim.PoolConfig("one", gpu, 1, 4096)
    requests = [(at, sim.Request(i, at, prompt, output)) for i, (at, prompt, output) in enumerate(rows(file))]
    fleet = sim.Fleet(sim.FleetConfig([pool], "RandomRouter"))
    start_ns = time.process_time_ns()
    result = fleet.run(requests)
    return (time.process_time_ns() - start_ns) / 1e9, len(result.completed), version("vllm-sr-sim")


def vidur(file: str) -> tuple[float, int, str]:
    """Vidur: one replica behind its vLLM scheduler, without metrics.

    Its predictors want profiling data that the package does not hold. They are replaced by an affine step
    time of the magnitudes that ours has, so that this times the event loop alone, as it does with ours.
    """
    registry = importlib.import_module("vidur.execution_time_predictor.execution_time_predictor_registry")
    base = importlib.import_module("vidur.execution_time_predictor.base_execution_time_predictor")
    kind = importlib.import_module("vidur.types").ExecutionTimePredictorType.RANDOM_FORREST
    registry.ExecutionTimePredictorRegistry.unregister(kind)
    registry.ExecutionTimePredictorRegistry.register(kind, affine_predictor(base.BaseExecutionTimePredictor))
    with tempfile.TemporaryDirectory() as folder:
        sys.argv = [
            "vidur",
            *("--cluster_config_num_replicas", "1", "--replica_config_tensor_parallel_size", "1"),
            *("--replica_config_num_pipeline_stages", "1", "--replica_scheduler_config_type", "vllm"),
            *("--request_generator_config_type", "trace_replay"),
            *("--trace_request_generator_config_trace_file", file),
            *("--trace_request_generator_config_prefill_scale_factor", "1"),
            *("--trace_request_generator_config_time_scale_factor", "1"),
            *("--no-metrics_config_write_metrics", "--metrics_config_output_dir", folder),
        ]
        config = importlib.import_module("vidur.config").SimulationConfig.create_from_cli_args()
        importlib.import_module("vidur.utils.random").set_seeds(config.seed)
        simulator = importlib.import_module("vidur.simulator").Simulator(config)
        start_ns = time.process_time_ns()
        simulator.run()
        cpu_s = (time.process_time_ns() - start_ns) / 1e9
        assert simulator.scheduler.is_empty()
    return cpu_s, len(rows(file)), version("vidur")


def affine_predictor(base: type[Any]) -> type[Any]:
    """Vidur's predictor with a closed form: milliseconds of a step, in the place of one of its operations."""
    times = importlib.import_module("vidur._native.entities").ExecutionTime

    def step(self: Any, batch: Any, _stage: int) -> object:
        parts = batch.batch_mapping.values() if hasattr(batch, "batch_mapping") else (batch,)
        tokens = sum(sum(part.num_q_tokens) for part in parts)
        context = sum(sum(part.num_kv_tokens) for part in parts)
        layers = self._num_layers_per_pipeline_stage
        operations = [0.0] * 14
        operations[6] = (6.4 + 0.027 * tokens + 58e-6 * context) / layers
        return times(layers, *operations)

    members: dict[str, object] = {name: lambda _self, _batch: 0.0 for name in base.__abstractmethods__}
    return type("AffinePredictor", (base,), {**members, "get_execution_time": step})


RUNS = {"vllm-sr-sim": sr_sim, "vidur": vidur}

if __name__ == "__main__":
    seconds, finished, release = RUNS[sys.argv[1]](sys.argv[2])
    sys.stdout.write(json.dumps({"cpu_s": seconds, "finished": finished, "version": release}) + "\n")
