"""`calibrate`: measurements in, profiles out. One group a way of measuring; holds no logic of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click

from advisor import __version__
from advisor.errors import AdvisorError
from calibration.commands import claims, experiments, judge, measure, serving

_EPILOG = "Exit codes: 0 done, 2 the input cannot be used, 4 the measurement does not count, 130 interrupted."


@click.group(
    epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="calibrate")
def main() -> None:
    """Measure a device or an endpoint, or import others' measurements, and write profiles for `advisor`."""


main.add_command(measure.run)
main.add_command(measure.show)
main.add_command(measure.check)
main.add_command(serving.serve)
main.add_command(serving.replay)
main.add_command(judge.validate)
main.add_command(judge.acceptance)
main.add_command(claims.claims)
main.add_command(experiments.demo)
main.add_command(experiments.gpu)
main.add_command(judge.merge_check)


@main.group(name="import")
def import_group() -> None:
    """Import others' measurements."""


@import_group.command()
@click.option("--system", required=True, help="GPU as the package names it, such as h100_sxm.")
@click.option("--engine", default="vllm", show_default=True, help="Engine whose kernels were measured.")
@click.option("--engine-version", default=None, help="As in the package; the newest if left out.")
@click.option(
    "--models", default=None, help="Catalog names with ',' between; an ending -FP8 asks for fp8 weights."
)
@click.option(
    "--tables", default=None, help="The package's systems folder, in place of the installed package."
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Profile to write, such as my.json."
)
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
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
    r"""Import operator times from the package aiconfigurator-core (pip install 'lora-advisor[import]').

    \b
    Example:
      calibrate import aiconfigurator --system h100_sxm --models Llama-3.1-8B --out h100.json
    """
    from advisor.errors import InputError
    from advisor.profile import save_profile
    from calibration.importers.aiconfigurator import MODELS, import_profile

    with _clear_errors():
        if out.exists() and not force:
            raise InputError(
                f"--out is {out}, which exists; allowed: a new file. Add --force to overwrite it."
            )
        profile = import_profile(
            system,
            engine,
            created=datetime.now(UTC).replace(microsecond=0),
            producer=f"lora-advisor {__version__}",
            engine_version=engine_version,
            models=MODELS if models is None else [name.strip() for name in models.split(",") if name.strip()],
            folder=tables,
        )
        save_profile(profile.model_copy(update={"name": out.stem}), out)
    kinds = len({terms.model.name for terms in profile.models})
    click.echo(f"{out}: {profile.device.name}, {engine} {profile.engine_version}, {kinds} models")
    click.echo(
        "No LoRA kernel was measured: the LoRA terms are estimates. See docs/explanation/profiles.md.",
        err=True,
    )


@contextmanager
def _clear_errors() -> Iterator[None]:
    """Print what is the user's to mend as plain sentences and exit with the error's code."""
    try:
        yield
    except AdvisorError as error:
        click.echo(str(error), err=True)
        raise SystemExit(error.exit_code) from None


if __name__ == "__main__":
    main()
