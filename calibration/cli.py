"""`calibrate`: measurements in, profiles out. One group a way of measuring; holds no logic of its own."""

from __future__ import annotations

import click

from advisor import __version__
from calibration.commands import (
    claims,
    compare,
    datasheet,
    endpoint,
    experiments,
    fitruns,
    importresults,
    imports,
    judge,
    measure,
    serving,
)

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
main.add_command(endpoint.endpoint)
main.add_command(serving.serve)
main.add_command(serving.replay)
main.add_command(judge.validate)
main.add_command(compare.compare)
main.add_command(fitruns.fit)
main.add_command(judge.acceptance)
main.add_command(claims.claims)
main.add_command(experiments.demo)
main.add_command(experiments.gpu)
main.add_command(judge.merge_check)
main.add_command(datasheet.datasheet)
main.add_command(imports.import_group)
importresults.add_to(imports.import_group)


if __name__ == "__main__":
    main()
