"""What a chart shows, as rows."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from advisor.plots.theme import Drawn


def rows_of(chart: Drawn) -> list[dict[str, Any]]:
    """The rows of every layer and panel of a chart, each set once, in drawing order."""
    datasets: dict[str, list[dict[str, Any]]] = chart.to_dict(validate=False).get("datasets", {})
    return [row for rows in datasets.values() for row in rows]


def csv_of(chart: Drawn) -> str:
    """The rows of a chart as CSV, one column a field, unrounded; a field that a row lacks is empty."""
    rows = rows_of(chart)
    fields = list(dict.fromkeys(field for row in rows for field in row))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows({field: _safe(value) for field, value in row.items()} for row in rows)
    return buffer.getvalue()


def _safe(cell: Any) -> Any:
    """A text that a spreadsheet would run as a formula is quoted."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
