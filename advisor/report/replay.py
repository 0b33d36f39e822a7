"""Predicted beside measured, and what one replay measured, as sections."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from advisor.held import Held
from advisor.plots import held as plots
from advisor.replayed import ReplayResult
from advisor.report.section import Figure, Section
from advisor.tables import held as tables
from advisor.tables import units
from advisor.tables.table import Cell, Column, Table


def held(rows: Sequence[Held]) -> Section:
    """Every figure, measured against predicted: which hold and which do not."""
    figure = Figure(
        "predicted-measured",
        "Latencies: on the dashed line the prediction is what was measured.",
        lambda: plots.held(rows),
    )
    latencies = any(row.unit == "s" for row in rows)
    figures = (figure,) if latencies else ()
    return Section(
        "held", "Predicted beside measured", (tables.verdict(rows),), (), figures, (tables.held(rows),)
    )


def replayed(result: ReplayResult) -> Section:
    """What one replay measured: latencies, errors, how late the client was."""
    header, done = result.header, result.done
    sent, date = units.counted(len(result), "request"), header.created.date().isoformat()
    engine = f"{header.engine} {header.engine_version}".strip()
    words = [
        f"{sent} of {header.trace} to {engine} ({header.model}), {date}; {int(done.sum()):,} were answered."
    ]
    if header.client_late:
        words.append(
            f"The client was late by {units.duration(header.lateness_p99_s)} (p99): latencies are partly its "
            "own."
        )
    bullets = [*header.notes, *(f"{count:,} failed: {kind}" for kind, count in result.errors.items())]
    rows: list[tuple[Cell, ...]] = []
    for name in ("ttft", "tpot", "e2e"):
        column = getattr(result, f"{name}_s")[done]
        if column.size:
            found = np.percentile(column, (50, 90, 99))
            rows.append((name.upper(), float(column.mean()), *(float(value) for value in found)))
    table = Table(
        "measured",
        "Measured, answered requests alone; latency counts from the time at which the trace wanted it sent.",
        (Column("latency"), *(Column(name, "ms") for name in ("mean", "p50", "p90", "p99"))),
        tuple(rows),
    )
    return Section("replayed", "What was measured", tuple(words), tuple(bullets), (), (table,))
