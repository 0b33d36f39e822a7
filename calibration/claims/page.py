"""The page of all claims: what the simulator says of an H100, and what the live engine measured here.

The first half is a file that `python -m benchmarks.claims` writes (simulated.json in the page's folder), the
second the results of `calibrate claims`. Either may be missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from advisor.errors import validated
from advisor.files import read_json, write_text
from advisor.spec.spec import Spec
from calibration.claims.charts import svg
from calibration.claims.result import ClaimResult, Row


class SimulatedClaim(Spec):
    """One claim, by the simulator with the H100's profile."""

    claim: str
    statement: str
    verdict: str
    where_it_stops: str
    tables: str = Field(description="Markdown.")


class Simulated(Spec):
    """The half of the page that needs no engine."""

    schema_version: Literal[1] = 1
    introduction: str
    claims: tuple[SimulatedClaim, ...]


def folder_of(page: Path) -> Path:
    """Where a page's pictures and its simulated half are: the page's name without ending."""
    return page.with_suffix("")


def load_simulated(page: Path) -> Simulated | None:
    """The simulated half that lies in the page's folder; None without one (InputError if it is broken)."""
    file = folder_of(page) / "simulated.json"
    return validated(Simulated, read_json(file), str(file)) if file.exists() else None


def save_simulated(half: Simulated, page: Path) -> None:
    """Write the simulated half into the page's folder."""
    write_text(folder_of(page) / "simulated.json", half.model_dump_json(indent=1) + "\n")


def write_page(
    results: Mapping[str, ClaimResult], page: Path, command: str, left_out: Mapping[str, str] | None = None
) -> None:
    """Write the page, and a picture a measured claim into its folder.

    Args:
        results: by claim, in their order.
        page: such as docs/claims.md.
        command: writes the live half again.
        left_out: claims that could not be tried, and why.

    Raises:
        InputError: the page cannot be written, or its simulated half is broken.
    """
    half = load_simulated(page)
    for name, result in results.items():
        write_text(folder_of(page) / f"{name}.svg", svg(result))
    write_text(page, text(results, half, command, folder_of(page).name, left_out or {}))


def text(
    results: Mapping[str, ClaimResult],
    half: Simulated | None,
    command: str,
    pictures: str,
    left_out: Mapping[str, str],
) -> str:
    """The page in Markdown; `pictures` is the folder that it names."""
    known = {claim.claim: claim for claim in half.claims} if half else {}
    names = sorted({*known, *results})
    parts = [
        "# The field's claims, tried\n",
        _introduction(results, half, command),
        _summary(names, known, results),
    ]
    for name in names:
        statement = known[name].statement if name in known else results[name].statement
        parts.append(f"## {name}: {statement}\n")
        if name in known:
            claim = known[name]
            parts.append(
                f"**Simulator, H100 profile.** {claim.verdict} {claim.where_it_stops}\n\n"
                f"{claim.tables.strip()}\n"
            )
        if name in results:
            parts.append(_live(results[name], pictures))
        elif results:
            parts.append(f"**Live engine here.** Not tried: {left_out.get(name, 'it was not asked for.')}\n")
    return "\n".join(parts)


def _introduction(results: Mapping[str, ClaimResult], half: Simulated | None, command: str) -> str:
    parts = ["Each claim is tried twice.\n"]
    if half:
        parts.append(f"**Simulator, H100 profile**: {half.introduction.strip()}\n")
    if results:
        first = next(iter(results.values()))
        made = first.made_from
        parts.append(
            f"**Live engine here**: `{command}` measures the built-in engine (`calibration/engine`) and puts "
            "beside it what the simulator says with the profile that `calibrate` made of the same "
            "engine on the "
            f"same machine: {made['model']} on {made['device']}, torch {made.get('torch', '?')}, "
            f"{first.created.date().isoformat()}, {made['repeats']} repeats in turns. Cells: measured median "
            "(lowest to highest repeat) / simulated. A small model on a CPU has other ratios than "
            "a large one "
            "on a GPU: what carries over is which way things go, where they turn, and how near the simulator "
            "comes.\n\nThe verdict is a rule over the ratios (`calibration/claims/verdict.py`): "
            "*holds* if at "
            "least half of them say yes in all repeats and none says no; *holds within limits* if "
            "some say yes; "
            "*does not hold here* if none does. The simulator's figures are judged by the same rule.\n"
        )
    return "\n".join(parts)


def _summary(
    names: Sequence[str], known: Mapping[str, SimulatedClaim], results: Mapping[str, ClaimResult]
) -> str:
    lines = [
        "| | claim | simulator, H100 profile | live engine here | its simulation | where it stops |",
        "|---|---|---|---|---|---|",
    ]
    for name in names:
        claim, result = known.get(name), results.get(name)
        statement = claim.statement if claim else results[name].statement
        stops = [f"H100: {claim.where_it_stops}"] if claim else []
        live = twin = ""
        if result:
            live = f"**{result.outcome.verdict}**. {result.outcome.why}"
            twin = result.outcome.simulated_verdict
            stops.append(f"Here: {result.outcome.where_it_stops}")
        said = claim.verdict if claim else ""
        lines.append(f"| {name} | {statement} | {said} | {live} | {twin} | {' '.join(stops)} |")
    return "\n".join(lines) + "\n"


def _live(result: ClaimResult, pictures: str) -> str:
    outcome = result.outcome
    off = [abs(one.ratio - 1) for one in outcome.rows if one.ratio is not None]
    counts = {says: sum(one.says == says for one in outcome.findings) for says in ("yes", "no", "open")}
    return (
        f"**Live engine here.** {outcome.verdict[0].upper()}{outcome.verdict[1:]} ({counts['yes']} yes, "
        f"{counts['no']} no, {counts['open']} open; the simulator's figures: {outcome.simulated_verdict}). "
        f"{outcome.why} {outcome.where_it_stops}\n\n{table(outcome.rows)}\n"
        f"Simulated beside measured, all cells: median {100 * float(np.median(off)):.0f} % apart, nine in "
        f"ten within {100 * float(np.percentile(off, 90)):.0f} %.\n\n"
        f"![{result.claim}: measured and simulated]({pictures}/{result.claim}.svg)\n"
    )


def table(rows: Sequence[Row]) -> str:
    """Rows by setting, one column a figure; tables are split where settings have other figures."""
    groups: dict[tuple[str, ...], list[str]] = {}
    by_setting: dict[str, dict[str, Row]] = {}
    for row in rows:
        by_setting.setdefault(row.setting, {})[_head(row)] = row
    for setting, cells in by_setting.items():
        groups.setdefault(tuple(cells), []).append(setting)
    return "\n".join(
        _one_table(heads, [by_setting[s] for s in settings]) for heads, settings in groups.items()
    )


def _one_table(heads: tuple[str, ...], lines: Sequence[Mapping[str, Row]]) -> str:
    found = [f"| setting | {' | '.join(heads)} |", f"|---|{'---:|' * len(heads)}"]
    for cells in lines:
        setting = next(iter(cells.values())).setting
        found.append(f"| {setting} | {' | '.join(_cell(cells[head]) for head in heads)} |")
    return "\n".join(found) + "\n"


def _head(row: Row) -> str:
    return f"{row.figure}, {row.unit}" if row.unit and row.unit not in row.figure else row.figure


def _cell(row: Row) -> str:
    if row.repeats == 1 or row.low == row.high:
        return f"{_number(row.measured)} / {_number(row.simulated)}"
    spread = f"{_number(row.low)} to {_number(row.high)}"
    return f"{_number(row.measured)} ({spread}) / {_number(row.simulated)}"


def _number(value: float) -> str:
    """Three digits, without an exponent."""
    if value == 0:
        return "0"
    digits = max(0, 2 - int(np.floor(np.log10(abs(value)))))
    return f"{value:,.{min(digits, 6)}f}"
