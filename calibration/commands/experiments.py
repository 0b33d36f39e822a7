"""`calibrate demo`: the product proving itself here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from calibration.commands.terminal import clear_errors, example, progress, seconds


@click.command()
@click.option("--budget", default="40s", show_default=True, help="For the calibration.")
@click.option("--duration", default="8s", show_default=True, help="Of a replay.")
@click.option("--out", default="advisor-demo/live", show_default=True, type=click.Path(path_type=Path))
def demo(budget: str, duration: str, out: Path) -> None:
    """Calibrate this machine on the tiny model, replay live, print predicted beside measured."""
    with clear_errors():
        from calibration.validate.report import text, write_report
        from calibration.validate.whole import Asked, validate_all

        asked = Asked(
            out=out,
            calibration_budget=seconds(budget, "--budget"),
            scenarios="quick",
            duration=seconds(duration, "--duration"),
        )
        click.echo("Calibrating this machine on a tiny model, then replaying: a minute or two.", err=True)
        with progress() as tell:
            result = validate_all(asked, tell)
        write_report(result, out)
        click.echo(text(result))
        click.echo(
            f"\nThe report with pictures: {out}/report.html. Calibrate your own device: calibrate run --help."
        )


@click.command(epilog=example("calibrate gpu --out h100 --budget 25min"))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for all results.")
@click.option("--budget", default="25min", show_default=True, help="For everything.")
@click.option("--model", "models", multiple=True, default=("Llama-3.1-8B", "Llama-3.2-1B"), show_default=True,
              help="Catalog name or model folder; random weights of its shape. Repeatable.")  # fmt: skip
@click.option("--device", default="cuda", show_default=True, help="cuda, cuda:N, or cpu for a rehearsal.")
@click.option("--dtype", default="bfloat16", show_default=True)
@click.option("--max-num-seqs", type=click.IntRange(1, 4096), default=64, show_default=True)
@click.option("--max-num-batched-tokens", type=click.IntRange(1, 65536), default=2048, show_default=True)
@click.option("--max-loras", type=click.IntRange(1, 256), default=16, show_default=True)
@click.option("--kv-blocks", type=click.IntRange(16, 10_000_000), default=4096, show_default=True)
def gpu(out: Path, budget: str, models: tuple[str, ...], **given: Any) -> None:
    """Measure all that a GPU can give, in order of worth, saved after each part.

    Run again with the same folder to go on. Parts that fail are named and do not stop the others.
    """
    with clear_errors(f"Run again with --out {out} to go on."):
        from calibration.gpurun import Asked, run_all

        asked = Asked(out=out, budget_s=seconds(budget, "--budget"), models=models, **given)
        with progress() as tell:
            states = run_all(asked, tell)
        for name, state in states.items():
            click.echo(f"{name:28s} {state}")
