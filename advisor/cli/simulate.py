"""`advisor simulate`: one deployment of the user's own choice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from advisor.cli import options, terminal


@click.command(
    epilog=options.example(
        "advisor simulate mine.yaml --way multi-lora --device H100-80-SXM --replicas 2 --max-loras 16",
        "Exit codes: 0 simulated, whether the objective holds or not; 2 input to mend; 3 it cannot run "
        "(memory, compatibility); 130 interrupted.",
    )
)
@click.argument("scenario")
@options.choice
@click.option(
    "--requests", "requests_path", metavar="FILE", help="Also write every request, one row each: .parquet."
)
@options.inputs
@options.face
def simulate(
    scenario: str,
    choice: dict[str, Any],
    requests_path: str | None,
    inputs: options.Inputs,
    face: options.Face,
) -> int:
    """Simulate one deployment of SCENARIO (a YAML file, or - for stdin) on its whole traffic."""
    from advisor.errors import InputError
    from advisor.files import check_target

    if requests_path is not None and Path(requests_path).suffix != ".parquet":
        raise InputError(f"{requests_path}: is no Parquet file name; allowed: a name that ends in .parquet.")
    if requests_path is not None:
        check_target(requests_path)
    question, profiles, folder = options.read_inputs(scenario, inputs)

    from advisor.api import simulate as simulated
    from advisor.report.plain import option

    done = simulated(question, options.read_choice(choice), profiles, folder=folder)
    if requests_path is not None:
        rows = _write(done.requests_table(), requests_path)
        terminal.tell(f"wrote {rows} requests to {requests_path}", face.quiet)
    if face.as_json:
        terminal.say(
            json.dumps({"schema_version": 1, "option": done.option.model_dump(mode="json")}, indent=2)
        )
    else:
        terminal.say(option(done.option, terminal.style(face.no_color)))
    return 0


def _write(table: Any, path: str) -> str:
    """Write an Arrow table as Parquet, whole or not at all; returns the number of rows, written."""
    import io

    import pyarrow.parquet as pq

    from advisor.files import write_bytes

    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    write_bytes(path, buffer.getvalue())
    return f"{table.num_rows:,}"
