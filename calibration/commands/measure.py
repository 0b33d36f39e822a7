"""`calibrate run`, `show` and `check`: a profile of the live engine on this device."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

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

_SLOTS: Final = 8


@click.command(
    epilog=example(
        "calibrate run --model tiny --budget 60s --out mine.json",
        "calibrate run --model Llama-3.2-1B --device cuda --dtype bfloat16 --budget 10min --out h100.json",
    )
)
@engine_options
@click.option("--budget", default="60s", show_default=True, help="How long to measure, such as 60s or 10min.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Profile to write: NAME.json.")
@click.option("--force", is_flag=True, help="Start again: overwrite the profile and its samples.")
@click.option("--resume", is_flag=True, help="Go on with the samples of an interrupted run.")
@click.option("--no-lora", is_flag=True, help="Leave LoRA kernels and loads out; so does --max-loras 0.")
@click.option(
    "--graphs",
    type=click.Choice(["auto", "on", "off"]),
    default="auto",
    show_default=True,
    help="CUDA graphs of decode steps; auto: on where the device has them.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def run(wish: dict[str, Any], budget: str, out: Path, seed: int, **flags: Any) -> None:
    """Measure this device with the live engine's own kernels, and write a profile.

    Adapter slots are 8 unless --max-loras says otherwise. --adapter folders are loaded as they are, and
    their ranks are timed; random ones of --max-lora-rank fill the other slots.
    Raw samples go to NAME.samples.jsonl beside the profile, line by line. --draft names a draft whose cost
    is measured too.
    """
    from dataclasses import replace

    from advisor.errors import InputError
    from advisor.profile import save_profile

    samples = out.with_suffix(".samples.jsonl")
    with clear_errors(f"Go on with --resume: {samples} has the samples so far."):
        if flags["force"] and flags["resume"]:
            raise InputError("--resume and --force: both given; allowed: one. Leave one out.")
        check_new(out, "--out", force=flags["force"] or flags["resume"])
        budget_s = seconds(budget, "--budget")
        setup = setup_of({**wish, "max_loras": 0} if flags["no_lora"] else wish, slots=_SLOTS)
        from calibration.microbench.adapters import ranks_of
        from calibration.microbench.run import Wish, calibrate_engine

        graphs = {"on": "cuda"}.get(flags["graphs"], flags["graphs"])
        drafts = () if setup.options.draft is None else (setup.options.draft,)
        asked = Wish(
            setup.model_dir,
            setup.limits,
            replace(setup.options, draft=None, graphs=graphs),
            budget_s,
            ranks=ranks_of(setup.model_dir, setup.limits, setup.adapters),
            drafts=drafts,
            seed=seed,
            command=command_line(),
            adapters=setup.adapters,
        )
        with progress() as tell:
            profile = calibrate_engine(
                asked, samples, resume=flags["resume"], force=flags["force"], progress=tell
            )
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
@as_json_option
def show(profile: Path, plot: Path | None, *, as_json: bool) -> None:
    """Print what a profile of `calibrate run` measured beside what it fits."""
    with clear_errors():
        from advisor.profile import load_profile
        from calibration.microbench.show import fitted, read_samples, report, write_plot

        found = load_profile(profile)
        samples = read_samples(found, profile)
        click.echo(fitted(found, samples).model_dump_json(indent=1) if as_json else report(found, samples))
        if plot is not None:
            write_plot(found, samples, plot)
            click.echo(f"wrote {plot}", err=True)


@click.command()
@click.argument("profile", type=click.Path(path_type=Path))
@engine_options
@click.option("--tolerance", type=click.FloatRange(0.01, 10), default=0.15, show_default=True,
              help="Always allowed; the profile's interval where that is wider.")  # fmt: skip
@as_json_option
def check(profile: Path, wish: dict[str, Any], tolerance: float, *, as_json: bool) -> None:
    """Measure a few points again: does a profile of `calibrate run` still hold on this device?

    Name the model, device, dtype and threads of the profile; another is refused. Exit code 4 if a kind of
    work takes longer or shorter than the profile's own interval of it and the tolerance allow.
    """
    with clear_errors():
        from dataclasses import asdict

        from advisor.errors import MeasurementError
        from advisor.fitted import DriftCheck, DriftRow
        from advisor.profile import load_profile
        from calibration.microbench.check import drift

        found = load_profile(profile)
        rows = drift(found, profile, setup_of(wish, slots=_SLOTS), tolerance)
        if as_json:
            told = tuple(DriftRow(**asdict(row)) for row in rows)
            click.echo(DriftCheck(rows=told).model_dump_json(indent=1))
        for row in () if as_json else rows:
            allowed = f"allowed: {row.allowed:.0%}"
            click.echo(f"{row.operation:20s} {row.points:3d} points  {row.ratio - 1:+7.1%}  {allowed}")
        off = [row for row in rows if abs(row.ratio - 1) > row.allowed]
        if off:
            named = ", ".join(
                f"{row.operation} by {row.ratio - 1:+.0%} (allowed: {row.allowed:.0%})" for row in off
            )
            raise MeasurementError(
                f"{profile}: no longer holds: {named}. Calibrate again, on an idle machine."
            )
        if not as_json:
            click.echo("The profile still holds.")
