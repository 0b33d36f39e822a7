"""`calibrate compare`: a load generator's result beside what a profile predicts for the same run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from calibration.commands.terminal import as_json_option, clear_errors, example


@click.command(
    epilog=example(
        "calibrate compare result.json --profile h100_sxm-vllm",
        "calibrate compare result.json --profile mine.json --max-loras 8 --max-lora-rank 16 --adapters 50",
    )
)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--profile", required=True, help="Name of a shipped one, or a file: device and engine.")
@click.option("--model", default=None, help="Catalog name; what the file says if left out.")
@click.option("--tensor-parallel", type=click.IntRange(1, 64), default=None, help="GPUs of the server.")
@click.option("--max-num-seqs", type=click.IntRange(1, 65536), default=None,
              help="Of the server; the engine's default if left out.")  # fmt: skip
@click.option("--max-num-batched-tokens", type=click.IntRange(1, 1_000_000), default=None,
              help="Of the server; the engine's default if left out.")  # fmt: skip
@click.option("--memory-share", type=click.FloatRange(0.05, 1.0), default=None,
              help="gpu_memory_utilization; the engine's default if left out.")  # fmt: skip
@click.option("--adapters", type=click.IntRange(0, 100_000), default=None,
              help="Distinct adapters asked for; what the file says, if it does, if left out.")  # fmt: skip
@click.option("--max-loras", type=click.IntRange(1, 100_000), default=None, help="Adapter slots.")
@click.option("--max-lora-rank", type=click.IntRange(1, 512), default=None, help="Rank of the slots.")
@click.option("--unit", type=click.Choice(["s", "ms"]), default=None,
              help="Of latencies whose names tell none.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Arrivals, adapters.")
@as_json_option
def compare(
    files: tuple[Path, ...], profile: str, unit: Any, seed: int, *, as_json: bool, **given: Any
) -> None:
    """Predict the run of a benchmark's result file, and show predicted beside measured.

    Reads results of vllm bench serve, SGLang's bench_serving, guidellm and aiperf, and runs that `calibrate
    import` kept. The load is sent anew in the simulator: the same rate or requests in flight, the same
    lengths where the file tells each.
    """
    with clear_errors():
        from advisor.profile import load_profile, shipped_profile
        from calibration.results.compare import Comparison, compared, comparison_text
        from calibration.results.predict import Server, predict_run
        from calibration.results.read import read_any

        is_file = profile.endswith((".json", ".json.gz"))
        found = load_profile(profile) if is_file else shipped_profile(profile)
        server = Server(**given)
        runs = tuple(
            compared(one.run, predict_run(found, one.run, one.answers, server, seed=seed))
            for path in files
            for one in read_any(path, unit)
        )
        whole = Comparison(profile=found.name, runs=runs)
        if as_json:
            click.echo(whole.model_dump_json(indent=1))
        else:
            click.echo(
                f"predicted with {found.name} ({found.engine} {found.engine_version}, {found.method})\n\n"
                f"{comparison_text(runs)}"
            )
