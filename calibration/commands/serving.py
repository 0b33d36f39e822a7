"""`calibrate serve` and `calibrate replay`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from calibration.commands.engine import engine_options, setup_of
from calibration.commands.terminal import (
    as_json_option,
    check_new,
    clear_errors,
    command_line,
    example,
    progress,
    seconds,
)


@click.command(
    epilog=example(
        "calibrate serve --model tiny --port 8000",
        "calibrate serve --model ./llama --adapter sql=./adapters/sql --allow-adapter-changes ./adapters",
    )
)
@engine_options
@click.option("--host", default="127.0.0.1", show_default=True, help="Others than this machine need a key.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: a free one.")
@click.option(
    "--served-model-name", default="", help="The model's name in requests; its folder's if left out."
)
@click.option(
    "--merge", "merged", type=click.Path(path_type=Path), help="Merge this adapter into the weights."
)
@click.option(
    "--allow-adapter-changes",
    "root",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Let clients load adapters from below this folder.",
)
@click.option(
    "--api-key-env", default="", metavar="NAME", help="Variable that holds the key clients must send."
)
@click.option("--max-outstanding", type=click.IntRange(1, 1_000_000), default=1000, show_default=True,
              help="Unfinished requests; more get 503.")  # fmt: skip
def serve(wish: dict[str, Any], merged: Path | None, root: Path | None, **given: Any) -> None:
    """Serve the live engine behind OpenAI's API."""
    from dataclasses import replace

    with clear_errors("The server has stopped."):
        from calibration.server.serve import KEPT_STEPS, ServeOptions, bound_kernel_caches, build, run

        bound_kernel_caches()
        setup = setup_of(wish)
        if root is not None and not setup.limits.max_loras:
            slots = {"max_loras": 8, "max_cpu_loras": 64, "max_lora_rank": wish["max_lora_rank"]}
            setup = replace(setup, limits=setup.limits.model_copy(update=slots))
        setup = replace(setup, merged=merged, options=replace(setup.options, keep_records=KEPT_STEPS))
        options = ServeOptions(
            given["host"],
            given["port"],
            given["served_model_name"],
            root,
            given["api_key_env"],
            given["max_outstanding"],
        )
        run(build(setup, options), options, click.echo)


@click.command(
    epilog=example(
        "calibrate replay --model tiny --trace t.csv --out live.parquet",
        "calibrate replay --url http://127.0.0.1:8000 --model base --trace t.csv --out vllm.parquet",
    )
)
@engine_options
@click.option(
    "--trace", "trace_file", required=True, metavar="FILE", help="Any format that `advisor trace` reads."
)
@click.option("--url", default=None, help="An OpenAI-compatible server; the live engine here if left out.")
@click.option("--server", default="vllm", show_default=True,
              type=click.Choice(["vllm", "builtin", "sglang", "lorax", "tgi", "llama.cpp"]),
              help="Whose server it is.")  # fmt: skip
@click.option("--speed", type=click.FloatRange(0.001, 1000), default=1.0, show_default=True)
@click.option("--requests", type=click.IntRange(1), default=None, help="Only the first so many.")
@click.option("--timeout", default="300s", show_default=True, help="Of one request.")
@click.option("--max-concurrency", type=click.IntRange(1, 100_000), default=1000, show_default=True,
              help="Requests at once; more wait, and that is the client's lateness.")  # fmt: skip
@click.option("--api-key-env", default="", metavar="NAME", help="Variable that holds the server's key.")
@click.option("--vocab", type=click.IntRange(2, 10_000_000), default=1000, show_default=True,
              help="Prompts are random token ids below this.")  # fmt: skip
@click.option("--tokenizer", default=None, type=click.Path(path_type=Path),
              help="tokenizer.json for servers that take text; else tokens a word are measured.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of prompts and sampling.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Result to write: NAME.parquet.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@click.option("--resume", is_flag=True, help="Go on after an interruption.")
@as_json_option
def replay(
    wish: dict[str, Any], out: Path, *, force: bool, resume: bool, as_json: bool, **given: Any
) -> None:
    """Send a trace at its own times, and write what was measured.

    Latency counts from the time at which a request should have been sent. Exit code 4 if the client itself
    was too late for that to be the server's; the result is kept, and says so.
    """
    here = given["url"] is None
    with clear_errors("" if here else f"Go on with --resume: {out}.journal has what was answered."):
        from advisor.errors import InputError, MeasurementError
        from advisor.replayed import save_replay
        from calibration.replay.summary import figures, summary
        from calibration.replay.whole import Asked, replay_trace

        if here and resume:
            raise InputError(
                "--resume is given without --url; allowed: with a server. The engine here starts anew."
            )
        check_new(out, "--out", force=force or resume)
        given["timeout"] = seconds(given["timeout"], "--timeout")
        setup = setup_of(wish) if here else None
        asked = Asked(
            out=out,
            resume=resume,
            command=command_line(),
            model=wish["model"],
            adapters=wish["adapters"],
            **given,
        )
        with progress(silent=as_json) as tell:
            result = replay_trace(asked, setup, tell)
        save_replay(result, out)
        Path(f"{out}.journal").unlink(missing_ok=True)
        told = result.header.model_dump(mode="json") | {"summary": figures(result)}
        click.echo(json.dumps(told, indent=1) if as_json else f"{summary(result)}\nwrote {out}")
        if result.header.client_late:
            raise MeasurementError(
                f"the client was late by {1e3 * result.header.lateness_p99_s:.0f} ms (p99); allowed: 10 ms, "
                "or 5 % of the median TTFT. Send from a quieter machine, or slower with --speed.",
                kept=str(out),
            )
