"""`calibrate datasheet`: a profile of a device that nobody measured."""

from __future__ import annotations

from pathlib import Path

import click

from calibration.commands.imports import names_of, now, out_options, producer, write
from calibration.commands.terminal import check_new, clear_errors, example


@click.command(epilog=example("calibrate datasheet L4 --models Llama-3.1-8B,Qwen3-8B --out profiles/l4.json"))
@click.argument("device")
@click.option("--models", default=None, help="Catalog names with ',' between; all that fit if left out.")
@out_options
def datasheet(device: str, models: str | None, out: Path, *, force: bool) -> None:
    """Predict a profile of DEVICE, a name of the catalog, from its datasheet.

    Every term is what measured GPUs reach of their ceilings, times this device's: labelled datasheet, with
    wide intervals. Put the file beside those of other devices and name the folder with advisor's --profiles.
    """
    with clear_errors():
        check_new(out, "--out", force=force)
        from calibration.importers.datasheet import datasheet_profile

        found = datasheet_profile(device, created=now(), producer=producer(), models=names_of(models))
        write(found, out)
