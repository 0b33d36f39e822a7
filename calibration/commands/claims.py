"""`calibrate claims`: what the field says of LoRA serving, tried on the live engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from calibration.commands.terminal import as_json_option, clear_errors, example, progress, seconds

_CALIBRATION = 0.2
"""Share of the budget for the profile, where it is measured."""
_REPLAYS_OF_A_CLAIM = 20
"""Replays of the usual duration that fit a claim, overheads counted: bench.py takes six different."""


@click.command(
    epilog=example(
        "calibrate claims --out docs/claims --page docs/claims.md",
        "calibrate claims --only C1,C4 --budget 1min --out claims",
    )
)
@click.option("--model", default="tiny", show_default=True, help="tiny, small (made up), or a model folder.")
@click.option("--budget", default="5min", show_default=True, help="For everything, about.")
@click.option("--only", default="all", show_default=True, help="Claims with ',' between, such as C1,C5.")
@click.option("--profile", type=click.Path(path_type=Path), help="Measured first if left out.")
@click.option("--repeats", type=click.IntRange(3, 50), default=3, show_default=True, help="Of each replay.")
@click.option("--threads", type=click.IntRange(1, 256), default=1, show_default=True, help="Of torch.")
@click.option("--price", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True,
              help="USD per hour of one replica (C9).")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for results.")
@click.option(
    "--page", type=click.Path(path_type=Path), help="Also write this Markdown page, pictures beside it."
)
@click.option("--resume", is_flag=True, help="Keep what the folder has of the same wish.")
@as_json_option
def claims(
    model: str,
    budget: str,
    only: str,
    out: Path,
    page: Path | None,
    *,
    as_json: bool,
    resume: bool,
    **given: Any,
) -> None:
    """Try the field's claims C1 to C9 on the live engine here, the simulator beside it.

    Each claim is saved into the folder as it is done. --page joins them with what the simulator says of an
    H100 (`python -m benchmarks.claims`).
    """
    with clear_errors("Go on with --resume: finished claims are kept."):
        from calibration.claims.ground import live_setup, profile_of
        from calibration.claims.page import write_page
        from calibration.claims.whole import Asked, chosen, load_results, try_claims
        from calibration.livesetup import set_threads

        names, budget_s = chosen(only), seconds(budget, "--budget")
        set_threads(given["threads"])
        repeats, share = given["repeats"], 0.0 if given["profile"] else _CALIBRATION
        duration_s = (1 - share) * budget_s / (len(names) * _REPLAYS_OF_A_CLAIM * repeats / 2)
        with progress(silent=as_json) as tell:
            setup = live_setup(model)
            profile = profile_of(
                setup, given["profile"], out, budget_s=share * budget_s, resume=resume, seed=given["seed"],
                tell=lambda done, what: tell(share * done, what),
            )  # fmt: skip
            asked = Asked(out, names, repeats, duration_s, given["seed"], resume, given["price"])
            found = try_claims(asked, setup, profile, lambda s, w: tell(share + (1 - share) * s, w))
        if page is not None:
            write_page(load_results(out), page, _command(model, out, page), found.left_out)
            click.echo(f"wrote {page}", err=True)
    if as_json:
        click.echo(found.model_dump_json(indent=1))
        return
    for claim in found.claims:
        outcome = claim.outcome
        click.echo(
            f"{claim.claim} {outcome.verdict} (simulated: {outcome.simulated_verdict}): {claim.statement}"
        )
        click.echo(f"   {outcome.why}\n   {outcome.where_it_stops}")
    for name, why in found.left_out.items():
        click.echo(f"{name} not tried: {why}")


def _command(model: str, out: Path, page: Path) -> str:
    said = "" if model == "tiny" else f" --model {model}"
    return f"calibrate claims{said} --out {out} --page {page}"
