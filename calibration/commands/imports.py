"""`calibrate import`: others' measurements, read into profiles and measured results."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from calibration.commands.terminal import check_new, clear_errors, example

if TYPE_CHECKING:
    from advisor.profile import Profile


@click.group(name="import")
def import_group() -> None:
    """Import others' measurements: operator tables, result files, measured server runs."""


def out_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--out and --force."""
    force = click.option("--force", is_flag=True, help="Overwrite an existing file.")
    out = click.option(
        "--out", required=True, type=click.Path(path_type=Path), help="Profile to write, such as my.json."
    )
    return out(force(function))


def now() -> datetime:
    """Date of what is written."""
    return datetime.now(UTC).replace(microsecond=0)


def producer() -> str:
    """Program and version."""
    from advisor import __version__

    return f"lora-advisor {__version__}"


def write(profile: Profile, out: Path) -> None:
    """Write a profile under its file's name, and say what it holds and what it lacks."""
    from advisor.profile import name_of, save_profile

    save_profile(profile.model_copy(update={"name": name_of(out)}), out)
    kinds = len({terms.model.name for terms in profile.models})
    engine = f"{profile.engine} {profile.engine_version}"
    click.echo(f"{out}: {profile.device.name}, {engine}, {kinds} models")
    for note in profile.notes:
        click.echo(note, err=True)


def names_of(models: str | None) -> list[str] | None:
    """Names with ',' between."""
    return None if models is None else [name.strip() for name in models.split(",") if name.strip()]


@import_group.command(
    epilog=example(
        "calibrate import aiconfigurator --system h100_sxm --models Llama-3.1-8B --out h100.json",
        "calibrate import aiconfigurator --system b200_sxm --engine sglang --out b200.json",
    )
)
@click.option("--system", required=True, help="GPU as the package names it, such as h100_sxm.")
@click.option("--engine", default="vllm", show_default=True, help="vllm, sglang or trtllm.")
@click.option("--engine-version", default=None, help="As in the package; the newest if left out.")
@click.option(
    "--models", default=None, help="Catalog names with ',' between; an ending -FP8 asks for fp8 weights."
)
@click.option(
    "--tables", default=None, help="The package's systems folder, in place of the installed package."
)
@out_options
def aiconfigurator(
    system: str,
    engine: str,
    engine_version: str | None,
    models: str | None,
    tables: str | None,
    out: Path,
    *,
    force: bool,
) -> None:
    """Import operator times from the package aiconfigurator-core (pip install 'lora-advisor[import]')."""
    with clear_errors():
        check_new(out, "--out", force=force)
        from calibration.importers.aiconfigurator import MODELS, import_profile

        profile = import_profile(
            system,
            engine,
            created=now(),
            producer=producer(),
            engine_version=engine_version,
            models=names_of(models) or MODELS,
            folder=tables,
        )
        write(profile, out)


@import_group.command(
    epilog=example(
        "calibrate import llmservingsim LLMServingSim/profiler/perf --gpu RTX4090 --out rtx4090.json"
    )
)
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--gpu", required=True, help="As the tables call it, such as RTX4090.")
@click.option("--models", default=None, help="As the tables call them, with ',' between; all if left out.")
@out_options
def llmservingsim(folder: Path, gpu: str, models: str | None, out: Path, *, force: bool) -> None:
    """Import LLMServingSim's tables of a model's own kernels inside vLLM.

    FOLDER is its profiler/perf, or holds the tables of several GPUs put together
    (llmservingsim_dense.csv.gz and so on).
    """
    with clear_errors():
        check_new(out, "--out", force=force)
        from calibration.importers.serving_sim import import_serving_sim

        found = import_serving_sim(folder, gpu, created=now(), producer=producer(), models=names_of(models))
        write(found, out)


@import_group.command(epilog=example("calibrate import vidur vidur/data/profiling --gpu a40 --out a40.json"))
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--gpu", required=True, help="As the tables call it, such as a40.")
@click.option("--models", default=None, help="As the tables call them, with ',' between; all if left out.")
@out_options
def vidur(folder: Path, gpu: str, models: str | None, out: Path, *, force: bool) -> None:
    """Import Vidur's tables of a model's products; attention and all else come from the datasheet.

    FOLDER is its data/profiling, or holds the medians of several models (vidur_mlp_ops_median.csv.gz).
    """
    with clear_errors():
        check_new(out, "--out", force=force)
        from calibration.importers.vidur import import_vidur

        found = import_vidur(folder, gpu, created=now(), producer=producer(), models=names_of(models))
        write(found, out)
