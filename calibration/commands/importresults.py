"""`calibrate import vllm-bench | sglang | guidellm | aiperf`: result files into measured results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from calibration.commands.terminal import (
    as_json_option,
    check_new,
    clear_errors,
    command_line,
    example,
)

if TYPE_CHECKING:
    from calibration.results.measured import MeasuredRun
    from calibration.results.read import Found

_TOOLS: Final = {
    "vllm-bench": "`vllm bench serve --save-result` (JSON; with --save-detailed also request by request)",
    "sglang": "SGLang's bench_serving (--output-file; with --output-details also request by request)",
    "guidellm": "guidellm (report of version 2, JSON)",
    "aiperf": "aiperf (profile_export.jsonl, request by request, or profile_export_aiperf.json)",
}

unit_option = click.option(
    "--unit", type=click.Choice(["s", "ms"]), default=None,
    help="Of latencies whose names tell none; they are refused if left out.",
)  # fmt: skip


def command_of(tool: str) -> click.Command:
    """The command that imports results of one tool."""

    @click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, dir_okay=False))
    @click.option("--out", type=click.Path(path_type=Path), help="Measured runs to write, such as runs.json.")
    @click.option("--requests", type=click.Path(path_type=Path),
                  help="Also every request, as `calibrate replay` writes it: NAME.parquet.")  # fmt: skip
    @unit_option
    @click.option("--licence", default="", help="Of the files, kept beside them.")
    @click.option("--force", is_flag=True, help="Overwrite an existing file.")
    @as_json_option
    def command(files: tuple[Path, ...], *, as_json: bool, **given: Any) -> None:
        with clear_errors():
            _import(tool, files, given, as_json=as_json)

    kept = "Prints the runs; --out keeps them, --requests keeps each request."
    command.__doc__ = f"Import results of {_TOOLS[tool]}.\n\n{kept}"
    usage = example(
        f"calibrate import {tool} result.json --out runs.json",
        "calibrate compare result.json --profile h100_sxm-vllm",
    )
    return click.command(name=tool, epilog=usage)(command)


def add_to(group: click.Group) -> None:
    """Add one command a tool."""
    for tool in _TOOLS:
        group.add_command(command_of(tool))
    group.add_command(server_runs)


@click.command(
    name="server-runs",
    epilog=example(
        "calibrate import server-runs runs.csv --column total_prompt_tokens=input_tokens --out runs.json",
        "calibrate fit runs.json --model Llama-3.1-8B --device H100-80-SXM --out mine.json",
    ),
)
@click.argument("table", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--column", "columns", multiple=True, metavar="FIELD=COLUMN",
              help="Which column holds a field; repeatable.")  # fmt: skip
@click.option("--where", multiple=True, metavar="COLUMN=VALUE",
              help="Only rows with this value; repeatable.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), help="Measured runs to write, such as runs.json.")
@click.option("--licence", default="", help="Of the table, kept beside them.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@as_json_option
def server_runs(
    table: Path, columns: tuple[str, ...], where: tuple[str, ...], *, as_json: bool, **given: Any
) -> None:
    """Import a table of measured runs: CSV, JSONL or Parquet, one row a run.

    Columns are found by name: completed, duration_s, mean_prompt_tokens or total_prompt_tokens, the same of
    output, ttft_mean_ms, tpot_p99_s and so on, max_concurrency, request_rate_rps, adapters, max_loras. Rows
    that cannot be used are counted and the first of them named.
    """
    with clear_errors():
        from calibration.results.measured import save_runs
        from calibration.results.runstable import read_runs_table

        if given["out"] is not None:
            check_new(given["out"], "--out", force=given["force"])
        found = read_runs_table(table, _pairs(columns, "--column"), _pairs(where, "--where"))
        runs = _file_of(found.runs, [table], given["licence"])
        if given["out"] is not None:
            save_runs(runs, given["out"])
        if as_json:
            click.echo(runs.model_dump_json(indent=1))
            return
        click.echo(f"{len(found.runs)} runs; {len(found.left_out)} rows left out")
        for line, reason in found.left_out[:_NAMED]:
            click.echo(f"  line {line}: {reason}")
        if given["out"] is not None:
            click.echo(f"wrote {given['out']}")


_NAMED: Final = 5


def _pairs(given: Sequence[str], option: str) -> dict[str, str]:
    """NAME=VALUE options."""
    from advisor.errors import InputError

    for one in given:
        if "=" not in one:
            raise InputError(f"{option} is {one}; allowed: NAME=VALUE.")
    return {name: value for name, _, value in (one.partition("=") for one in given)}


def _import(tool: str, files: Sequence[Path], given: dict[str, Any], *, as_json: bool) -> None:
    from calibration.results.measured import save_runs
    from calibration.results.read import read_results

    out, requests = given["out"], given["requests"]
    for path, option in ((out, "--out"), (requests, "--requests")):
        if path is not None:
            check_new(path, option, force=given["force"])
    found = [one for path in files for one in read_results(path, tool, given["unit"])]
    if requests is not None:
        _save_requests(found, requests)
    runs = _file_of([one.run for one in found], files, given["licence"])
    if out is not None:
        save_runs(runs, out)
    if as_json:
        click.echo(runs.model_dump_json(indent=1))
        return
    for one in found:
        click.echo(_line(one.run))
    for path in (out, requests):
        if path is not None:
            click.echo(f"wrote {path}")


def _file_of(runs: Sequence[MeasuredRun], files: Sequence[Path], licence: str) -> Any:
    from advisor import __version__
    from calibration.commands.imports import now
    from calibration.results.measured import MeasuredRuns

    return MeasuredRuns(
        schema_version=1,
        created=now(),
        producer=f"lora-advisor {__version__}",
        command=command_line(),
        source=", ".join(path.name for path in files),
        licence=licence,
        runs=tuple(runs),
    )


def _save_requests(found: Sequence[Found], path: Path) -> None:
    from advisor import __version__
    from advisor.errors import InputError
    from advisor.replayed import save_replay
    from calibration.results.requests import Facts, replay_of

    told = [one for one in found if one.answers]
    if len(told) != 1:
        raise InputError(
            f"--requests is given and {len(told)} of {len(found)} runs tell their requests and when they "
            "were sent; allowed: exactly one. vllm bench serve does so with --save-detailed; import runs one "
            "by one."
        )
    run, answers = told[0].run, told[0].answers
    facts = Facts(
        tool=f"{run.tool} {run.tool_version}".strip(),
        engine=run.engine,
        model=run.model,
        trace=run.name,
        command=command_line(),
        producer=f"lora-advisor {__version__}",
        notes=(f"Imported from {run.name}; times are those of {run.tool}.",),
    )
    save_replay(replay_of(answers or [], facts), path)


def _line(run: MeasuredRun) -> str:
    """A run in one line of text."""
    from advisor.spec.quantities import significant

    ways = [
        f"{run.request_rate_rps:.4g} requests/s" if run.request_rate_rps else "",
        f"at most {run.max_concurrency} at once" if run.max_concurrency else "",
    ]
    load = " and ".join(way for way in ways if way) or "all at once"
    figures = []
    for name, latency in (("TTFT", run.ttft), ("TPOT", run.tpot), ("ITL", run.itl), ("E2E", run.e2e)):
        values = [
            f"{word} {significant(1e3 * value, 4)}"
            for word, value in (("mean", latency.mean_s), ("p50", latency.p50_s), ("p99", latency.p99_s))
            if value is not None
        ]
        if values:
            figures.append(f"{name} ms: {', '.join(values)}")
    return (
        f"{run.name} ({run.tool}{' ' + run.tool_version if run.tool_version else ''}): {run.completed} of "
        f"{run.completed + run.failed} requests of {run.prompt_tokens:.5g} + {run.output_tokens:.5g} tokens, "
        f"{load}, {run.throughput_rps:.4g} answered/s; {'; '.join(figures)}"
    )
