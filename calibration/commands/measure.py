"""`calibrate run`, `show` and `check`: a profile of the live engine on this device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from calibration.commands.engine import engine_options, setup_of
from calibration.commands.terminal import check_new, clear_errors, command_line, progress, seconds


@click.command()
@engine_options
@click.option("--budget", default="60s", show_default=True, help="How long to measure, such as 60s or 10min.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Profile to write: NAME.json.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@click.option("--resume", is_flag=True, help="Go on with the samples of an interrupted run.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def run(wish: dict[str, Any], budget: str, out: Path, seed: int, *, force: bool, resume: bool) -> None:
    r"""Measure this device with the live engine's own kernels, and write a profile.

    Raw samples go to NAME.samples.jsonl beside the profile, line by line. --draft names a draft whose cost
    is measured too.

    \b
    Example:
      calibrate run --model tiny --budget 60s --out mine.json
      calibrate run --model Llama-3.2-1B --device cuda --dtype bfloat16 --budget 10min --out h100.json
    """
    from dataclasses import replace

    from advisor.profile import save_profile

    samples = out.with_suffix(".samples.jsonl")
    with clear_errors(f"Go on with --resume: {samples} has the samples so far."):
        check_new(out, "--out", force=force or resume)
        budget_s = seconds(budget, "--budget")
        setup = setup_of(wish)
        from calibration.microbench.run import Wish, calibrate_engine

        drafts = () if setup.options.draft is None else (setup.options.draft,)
        asked = Wish(
            setup.model_dir,
            setup.limits,
            replace(setup.options, draft=None),
            budget_s,
            drafts=drafts,
            seed=seed,
            command=command_line(),
        )
        with progress() as tell:
            profile = calibrate_engine(asked, samples, resume=resume, progress=tell)
        profile = profile.model_copy(update={"name": out.stem, "raw": {"samples": samples.name}})
        save_profile(profile, out)
    click.echo(f"{out}: {profile.device.name}, {profile.models[0].model.name}")
    for note in profile.notes:
        click.echo(note)
    if profile.residual is not None:
        click.echo(
            f"Held to {profile.residual.points} engine steps that no fit saw: median "
            f"{profile.residual.median_relative:+.1%}, nine in ten within "
            f"{profile.residual.p90_absolute_relative:.1%}."
        )


@click.command()
@click.argument("profile", type=click.Path(path_type=Path))
@click.option("--plot", type=click.Path(path_type=Path), help="Also draw it: .html or .svg.")
def show(profile: Path, plot: Path | None) -> None:
    """Print what a profile of `calibrate run` measured beside what it fits."""
    with clear_errors():
        from advisor.profile import load_profile
        from calibration.microbench.show import read_samples, report, write_plot

        found = load_profile(profile)
        samples = read_samples(found, profile)
        click.echo(report(found, samples))
        if plot is not None:
            write_plot(found, samples, plot)
            click.echo(f"wrote {plot}", err=True)


@click.command()
@click.argument("profile", type=click.Path(path_type=Path))
@engine_options
@click.option("--tolerance", type=click.FloatRange(0.01, 10), default=0.15, show_default=True,
              help="Largest relative change of a kind of work.")  # fmt: skip
def check(profile: Path, wish: dict[str, Any], tolerance: float) -> None:
    """Measure a few points again: does a profile of `calibrate run` still hold on this device?

    Exit code 4 if a kind of work takes longer or shorter than the tolerance allows.
    """
    with clear_errors():
        from advisor.errors import MeasurementError
        from advisor.profile import load_profile
        from calibration.microbench.check import drift

        found = load_profile(profile)
        rows = drift(found, profile, setup_of(wish))
        for row in rows:
            click.echo(f"{row.operation:20s} {row.points:3d} points  {row.ratio - 1:+7.1%}")
        off = [row for row in rows if abs(row.ratio - 1) > tolerance]
        if off:
            named = ", ".join(f"{row.operation} by {row.ratio - 1:+.0%}" for row in off)
            raise MeasurementError(
                f"{profile}: no longer holds: {named}; allowed: {tolerance:.0%}. Calibrate again, on an idle "
                "machine."
            )
        click.echo("The profile still holds.")
