"""Runs another simulator on a trace, inside that simulator's own environment: knows nothing of ours.

    PYTHON _peer_runs.py PEER TRACE.csv

The trace has the columns arrived_at, num_prefill_tokens, num_decode_tokens. Prints one JSON object: CPU
seconds of the simulation alone (objects are built and models trained before), requests finished, the version.
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


def rows(file: str) -> list[tuple[float, int, int]]:
    """Arrival, prompt tokens and answer tokens of each request."""
    with Path(file).open(newline="", encoding="ascii") as lines:
        return [
            (float(row["arrived_at"]), int(row["num_prefill_tokens"]), int(row["num_decode_tokens"]))
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
    """Vidur: one A100 with Meta-Llama-3-8B behind its vLLM scheduler; predictors are trained before."""
    with tempfile.TemporaryDirectory() as folder:
        sys.argv = [
            "vidur",
            *("--replica_config_device", "a100", "--replica_config_model_name", "meta-llama/Meta-Llama-3-8B"),
            *("--cluster_config_num_replicas", "1", "--replica_config_tensor_parallel_size", "1"),
            *("--request_generator_config_type", "trace_replay"),
            *("--trace_request_generator_config_trace_file", file),
            *("--trace_request_generator_config_max_tokens", "4096"),
            *("--replica_scheduler_config_type", "vllm", "--metrics_config_output_dir", folder),
        ]
        config = importlib.import_module("vidur.config").SimulationConfig.create_from_cli_args()
        importlib.import_module("vidur.utils.random").set_seeds(config.seed)
        simulator = importlib.import_module("vidur.simulator").Simulator(config)
        start_ns = time.process_time_ns()
        simulator.run()
        cpu_s = (time.process_time_ns() - start_ns) / 1e9
    return cpu_s, len(rows(file)), "checkout"


RUNS = {"vllm-sr-sim": sr_sim, "vidur": vidur}

if __name__ == "__main__":
    seconds, finished, release = RUNS[sys.argv[1]](sys.argv[2])
    sys.stdout.write(json.dumps({"cpu_s": seconds, "finished": finished, "version": release}) + "\n")
