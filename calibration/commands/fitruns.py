"""`calibrate fit`: results of a load generator at several loads, fitted into a profile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from calibration.commands.terminal import check_new, clear_errors, example


@click.command(
    epilog=example(
        "calibrate fit c1.json c4.json c16.json --model Llama-3.1-8B --device H100-80-SXM --out mine.json",
        "calibrate compare other.json --profile mine.json",
    )
)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--model", required=True, help="Catalog name.")
@click.option("--device", required=True, help="A device of the catalog.")
@click.option("--engine", default="vllm", show_default=True, help="An engine of the catalog.")
@click.option("--engine-version", default="", help="As you know it.")
@click.option("--tensor-parallel", type=click.IntRange(1, 64), default=1, show_default=True,
              help="GPUs of the server.")  # fmt: skip
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Profile to write: NAME.json.")
@click.option("--unit", type=click.Choice(["s", "ms"]), default=None,
              help="Of latencies whose names tell none.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the intervals.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
def fit(files: tuple[Path, ...], out: Path, unit: Any, seed: int, *, force: bool, **given: Any) -> None:
    """Fit a profile to results of a load generator at several loads.

    Reads what `calibrate compare` reads. Means of TTFT and TPOT tell the time of a step, of a sequence and of
    a prompt token; what they do not tell is marked, and there is no LoRA term.
    """
    import sys

    with clear_errors():
        check_new(out, "--out", force=force)
        from advisor.catalog.capabilities import engine
        from advisor.catalog.hardware import device
        from advisor.catalog.shapes import model
        from advisor.profile import save_profile
        from calibration.results.profile import Place, profile_of
        from calibration.results.read import read_any

        place = Place(
            shape=model(given["model"]),
            device=device(given["device"]),
            engine=engine(given["engine"]).name,
            engine_version=given["engine_version"],
            tensor_parallel=given["tensor_parallel"],
            command=" ".join(["calibrate", *sys.argv[1:]]),
        )
        runs = [one.run for path in files for one in read_any(path, unit)]
        profile = profile_of(runs, place, seed)
        save_profile(profile, out)
        for note in profile.notes:
            click.echo(note)
        residual = profile.residual
        assert residual is not None  # profile_of puts one
        click.echo(
            f"{residual.points} figures of {len(runs)} runs, fitted: median {residual.median_relative:+.1%}, "
            f"nine in ten within {residual.p90_absolute_relative:.1%}. Hold it against a run that it has not "
            f"seen: calibrate compare RESULT --profile {out}"
        )
