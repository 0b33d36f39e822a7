"""`calibrate claims` and `calibrate demo`: the field's claims, and the product proving itself here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from calibration.commands.terminal import clear_errors, command_line, progress, seconds


@click.command()
@click.option("--profile", type=click.Path(path_type=Path), help="Of the tiny model; measured if left out.")
@click.option("--only", default="all", show_default=True, help="Claims with ',' between, such as C1,C7.")
@click.option("--repeats", type=click.IntRange(1, 50), default=3, show_default=True, help="Of each replay.")
@click.option("--duration", default="4s", show_default=True, help="Of a replay.")
@click.option("--calibration-budget", default="60s", show_default=True, help="Where it is measured first.")
@click.option("--threads", type=click.IntRange(1, 256), default=1, show_default=True, help="Of torch.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for results.")
@click.option("--page", type=click.Path(path_type=Path), help="Also write this Markdown page with pictures.")
@click.option("--resume", is_flag=True, help="Keep the claims that the folder has.")
def claims(out: Path, page: Path | None, *, resume: bool, **given: Any) -> None:
    r"""Try the field's claims C1 to C9 on the live engine, the simulator beside it.

    \b
    Example:
      calibrate claims --out claims --page claims.md
    """
    with clear_errors("Go on with --resume: finished claims are kept."):
        from calibration.claims.page import write_page
        from calibration.claims.whole import Asked, chosen, try_claims
        from calibration.livesetup import set_threads
        from calibration.validate.whole import Asked as Ground
        from calibration.validate.whole import prepare

        names, duration_s = chosen(given["only"]), seconds(given["duration"], "--duration")
        set_threads(given["threads"])
        with progress() as tell:
            ground = prepare(
                Ground(
                    out=out,
                    profile=given["profile"],
                    calibration_budget=seconds(given["calibration_budget"], "--calibration-budget"),
                    threads=given["threads"],
                    resume=resume,
                ),
                lambda share, what: tell(0.25 * share / 0.15, what),
            )
            asked = Asked(out, names, given["repeats"], duration_s, resume=resume)
            found = try_claims(asked, ground.setup, ground.profile, lambda s, w: tell(0.25 + 0.75 * s, w))
        for claim in found.claims:
            click.echo(f"{claim.number} {claim.verdict}: {claim.claim}\n   {claim.why}\n   {claim.stops}")
        if page is not None:
            write_page(found, page, command_line())
            click.echo(f"wrote {page}", err=True)


@click.command()
@click.option("--budget", default="40s", show_default=True, help="For the calibration.")
@click.option("--duration", default="8s", show_default=True, help="Of a replay.")
@click.option("--out", default="demo/live", show_default=True, type=click.Path(path_type=Path))
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


@click.command()
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
    r"""Measure all that a GPU can give, in order of worth, saved after each part.

    Run again with the same folder to go on. Parts that fail are named and do not stop the others.

    \b
    Example:
      calibrate gpu --out h100 --budget 25min
    """
    with clear_errors(f"Run again with --out {out} to go on."):
        from calibration.gpurun import Asked, run_all

        asked = Asked(out=out, budget_s=seconds(budget, "--budget"), models=models, **given)
        with progress() as tell:
            states = run_all(asked, tell)
        for name, state in states.items():
            click.echo(f"{name:28s} {state}")
