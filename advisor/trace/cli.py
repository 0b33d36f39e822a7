"""`advisor trace`: describe, convert, generate, fit and scale. Prints; the work is done elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import click

from advisor.errors import InputError
from advisor.trace.describe import Description
from advisor.trace.described import described, written_json
from advisor.trace.formats import FormatName

Function = TypeVar("Function", bound=Callable[..., Any])
FORMATS: Final = ("auto", "azure", "mooncake", "burstgpt", "vidur", "splitwise", "plain")
CODES: Final = "Exit codes: 0 done; 2 input to mend; 130 interrupted."


def _end(lines: str) -> str:
    return f"\b\nExample:\n  {lines}\n\n{CODES}"


def _reads(function: Function) -> Function:
    """PATH and how to read it."""
    options = (
        click.argument("path", metavar="PATH"),
        click.option(
            "--format",
            "format_",
            type=click.Choice(FORMATS),
            default="auto",
            help="Recognised by the header.",
        ),
        click.option(
            "--column",
            "columns",
            multiple=True,
            metavar="OURS=THEIRS",
            help="Such as adapter=selected_model.",
        ),
        click.option(
            "--block-tokens", type=click.IntRange(1), help="Tokens of a prefix block, if the file lacks it."
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def _writes(function: Function) -> Function:
    return click.option(
        "--out",
        required=True,
        metavar="FILE",
        help="FILE.csv, .jsonl or .parquet, also with .gz; - is CSV on stdout.",
    )(function)


_AS_JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object with schema_version, nothing else."
)
_SEED = click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Same seed, same bytes."
)


def _adapters(function: Function) -> Function:
    options = (
        click.option(
            "--adapters", "count", type=click.IntRange(0, 100_000), help="Give requests this many adapters."
        ),
        click.option(
            "--zipf",
            type=click.FloatRange(0, 5),
            default=1.0,
            show_default=True,
            help="Popularity; 0 is even.",
        ),
        click.option(
            "--base-share",
            type=click.FloatRange(0, 1, max_open=True),
            default=0.0,
            help="Requests to the base.",
        ),
        _SEED,
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.group(epilog=_end("advisor trace describe requests.csv"))
def trace() -> None:
    """Request traces: read, measure, rewrite, and share as a fitted workload.

    PATH is a CSV, JSONL or Parquet file, plain or gzip, in a published format (Azure, Mooncake, BurstGPT,
    Vidur, Splitwise) or with the columns arrival_s, prompt_tokens, output_tokens; - reads stdin.
    """


@trace.command(epilog=_end("advisor trace describe requests.csv --column adapter=selected_model"))
@_reads
@_AS_JSON
def describe(
    path: str, format_: str, columns: tuple[str, ...], block_tokens: int | None, as_json: bool
) -> None:
    """Say what a trace holds, and what was left out of it."""
    from advisor.trace.describe import describe as measure

    figures = measure(_load(path, format_, columns, block_tokens))
    click.echo(figures.model_dump_json(indent=1) if as_json else described(figures))


@trace.command(
    epilog=_end("advisor trace convert azure.csv.gz --adapters 40 --zipf 1.2 --seed 1 --out mine.parquet")
)
@_reads
@_adapters
@_writes
@_AS_JSON
def convert(  # noqa: PLR0913 - one argument an option
    path: str, format_: str, columns: tuple[str, ...], block_tokens: int | None, count: int | None,
    zipf: float, base_share: float, seed: int, out: str, as_json: bool,
) -> None:  # fmt: skip
    """Write a trace with our own columns, with adapters if asked."""
    from advisor.trace.assign import assign, zipf_shares

    loaded = _load(path, format_, columns, block_tokens)
    if count is not None:
        loaded = assign(loaded, _names(count), zipf_shares(count, zipf), base_share=base_share, seed=seed)
    _write(loaded, out, as_json)


@trace.command(
    epilog=_end(
        'advisor trace generate azure_conv_2023 --rate "6 req/s" --duration 10min --adapters 40 --out t.csv'
    )
)
@click.argument("workload")
@click.option("--rate", help='Mean rate of a fitted workload, such as "6 req/s".')
@click.option("--duration", help="Time to draw, such as 10min.")
@click.option("--tenants", help="A fitted tenant mix whose clients become the adapters.")
@_adapters
@_writes
@_AS_JSON
def generate(  # noqa: PLR0913 - one argument an option
    workload: str, rate: str | None, duration: str | None, tenants: str | None, count: int | None,
    zipf: float, base_share: float, seed: int, out: str, as_json: bool,
) -> None:  # fmt: skip
    """Draw a trace from a fitted workload or a scenario.

    WORKLOAD is the name of a shipped fitted workload, a file written by `advisor trace fit`, or a YAML file
    that is a scenario or its `workload` part.
    """
    from advisor.trace.assign import zipf_shares
    from advisor.trace.realise import trace_of

    law = _workload(workload, {"rate": rate, "duration": duration, "tenants": tenants})
    number = count if count is not None else _clients(law, Path(workload).parent)
    shares = zipf_shares(number, zipf) if count is not None else None
    folder = Path(workload).parent if workload.endswith((".yaml", ".yml")) else Path()
    drawn = trace_of(law, _names(number), shares, base_share, seed=seed, folder=folder)
    _write(drawn, out, as_json)


@trace.command(epilog=_end("advisor trace fit requests.csv --out my-workload.json"))
@_reads
@click.option("--name", help="Of the workload; the file's name if left out.")
@click.option("--source", help="Where the trace is from, for those who get the workload.")
@click.option("--out", required=True, metavar="FILE.json", help="The fitted workload.")
@_AS_JSON
def fit(  # noqa: PLR0913 - one argument an option
    path: str, format_: str, columns: tuple[str, ...], block_tokens: int | None, name: str | None,
    source: str | None, out: str, as_json: bool,
) -> None:  # fmt: skip
    """Write a trace's statistics as a workload to share: no request of it is in there."""
    from advisor.trace.fit import fit_workload
    from advisor.trace.fitted import save_fitted

    if not out.endswith(".json"):
        raise InputError(f"--out is {out!r:.80}; allowed: a name that ends in .json.")
    model = fit_workload(_load(path, format_, columns, block_tokens), name=name, source=source)
    save_fitted(model, out)
    assert model.measured is not None
    _report(model.measured, out, as_json)


@trace.command(
    epilog=_end(
        'advisor trace scale requests.csv --rate "20 req/s" --start 5min --duration 10min --out fast.csv'
    )
)
@_reads
@click.option("--rate", help='Mean rate to reach, such as "20 req/s"; time is stretched.')
@click.option("--rate-scale", type=float, help="Or a factor: 2 makes the requests come twice as fast.")
@click.option("--prompt-scale", type=float, default=1.0, help="Factor on prompt lengths.")
@click.option("--output-scale", type=float, default=1.0, help="Factor on output lengths.")
@click.option("--start", help="Skip this much time first, such as 5min.")
@click.option("--duration", help="Keep this much time (before it is stretched).")
@click.option("--repeat", type=int, default=1, help="This many times in a row.")
@_writes
@_AS_JSON
def scale(  # noqa: PLR0913 - one argument an option
    path: str, format_: str, columns: tuple[str, ...], block_tokens: int | None, rate: str | None,
    rate_scale: float | None, prompt_scale: float, output_scale: float, start: str | None,
    duration: str | None, repeat: int, out: str, as_json: bool,
) -> None:  # fmt: skip
    """Change rate, lengths or the stretch of time."""
    from advisor.trace.scale import between, faster, longer, repeated

    if rate is not None and rate_scale is not None:
        raise InputError("--rate and --rate-scale say the same thing; allowed: one of them.")
    scaled = _load(path, format_, columns, block_tokens)
    if start is not None or duration is not None:
        span_s = None if duration is None else _quantity("--duration", duration, "duration")
        scaled = between(scaled, 0.0 if start is None else _quantity("--start", start, "duration"), span_s)
    scaled = longer(scaled, prompt_scale, output_scale)
    if rate is not None:
        if scaled.rate_rps <= 0:
            raise InputError(f"{path}: has no rate to scale: fewer than two requests, or all at one time.")
        rate_scale = _quantity("--rate", rate, "rate") / scaled.rate_rps
    scaled = faster(scaled, rate_scale) if rate_scale is not None else scaled
    _write(repeated(scaled, repeat), out, as_json)


def _load(path: str, format_: str, columns: tuple[str, ...], block_tokens: int | None) -> Any:
    from advisor.trace.readers import load_trace

    pairs = [column.partition("=") for column in columns]
    for ours, equals, theirs in pairs:
        if not equals or not theirs:
            raise InputError(
                f"--column is {ours!r:.80}; allowed: OURS=THEIRS, such as adapter=selected_model."
            )
    mapped = {ours: theirs for ours, _, theirs in pairs}
    known = cast(FormatName, format_)  # click checked the choice
    return load_trace(path, format=known, columns=mapped, block_tokens=block_tokens)


def _names(count: int) -> tuple[str, ...]:
    width = len(str(count))
    return tuple(f"adapter-{place:0{width}d}" for place in range(1, count + 1))


def _workload(word: str, asked: dict[str, str | None]) -> Any:
    from advisor.errors import validated
    from advisor.spec.spec import Spec
    from advisor.spec.workload import Workload
    from advisor.spec.yamlfile import parse_mapping, read_source

    class Wrapped(Spec):
        workload: Workload

    given = {name: value for name, value in asked.items() if value is not None}
    if not word.endswith((".yaml", ".yml")):
        return validated(Wrapped, {"workload": {"kind": "fitted", "name": word, **given}}, "option").workload
    text, source = read_source(word)
    raw = parse_mapping(text, source)
    inner = raw.get("workload", raw)
    return validated(
        Wrapped, {"workload": {**inner, **given} if isinstance(inner, dict) else inner}, word
    ).workload


def _clients(law: Any, folder: Path) -> int:
    """As many adapters as the workload has clients; 0 where it names none."""
    from advisor.spec.workload import FittedWorkload, Streams
    from advisor.trace.fitted import load_fitted

    if isinstance(law, FittedWorkload):
        return len(load_fitted(law.tenants or law.name, folder if law.tenants is None else None).clients)
    return len(law.streams) if isinstance(law, Streams) else 0


def _quantity(option: str, text: str, kind: str) -> float:
    from advisor.spec.quantities import parse

    try:
        return parse(text, kind)
    except ValueError as error:
        raise InputError(f"{option} is {text!r:.80}; allowed: {error}.") from None


def _write(written: Any, out: str, as_json: bool) -> None:
    from advisor.trace.describe import describe as measure
    from advisor.trace.writers import save_trace, trace_bytes

    if out == "-":
        click.echo(trace_bytes(written, ".csv"), nl=False)
        return
    save_trace(written, out)
    _report(measure(written), out, as_json)


def _report(figures: Description, out: str, as_json: bool) -> None:
    click.echo(written_json(figures, out) if as_json else f"{described(figures)}\nwritten          {out}")
