"""Where each box of the pictures stands: rows by layer, places in a row so that few arrows cross."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from benchmarks._import_graph import ImportGraph

BOX_WIDTH, BOX_HEIGHT = 140.0, 38.0
LANE_WIDTH = 2.0
GAP, ROW_HEIGHT = 10.0, 60.0
SWEEPS = 24


@dataclass(frozen=True)
class Routes:
    """Rows of boxes and lanes, and each arrow's way through them.

    Attributes:
        rows: Names of modules, and of lanes (with spaces), from left to right.
        paths: For each arrow its module, the lanes it takes, its target.
    """

    rows: list[list[str]]
    paths: dict[tuple[str, str], tuple[str, ...]]


def rows_above(graph: ImportGraph, below: Sequence[Sequence[str]]) -> list[list[str]]:
    """Rows for the modules that no row of `below` has: each as low as it can be above all that it imports.

    Args:
        graph: All modules.
        below: Rows that are given, top first.

    Returns:
        Rows of new and given modules, top first, as many as `below` has.

    Raises:
        KeyError: There are more rows than `below` has.
    """
    row_of = {name: row for row, names in enumerate(below) for name in names}
    new = sorted(graph.imports.keys() - row_of.keys(), key=lambda name: (len(graph.reach[name]), name))
    for name in new:  # whoever reaches less comes first, so all that a module imports has its row before it
        row_of[name] = min((row_of[one] for one in graph.imports[name]), default=len(below)) - 1
    rows: list[list[str]] = [[] for _ in below]
    for name, row in sorted(row_of.items()):
        if row < 0:
            raise KeyError(f"{name} stands above the first row")
        rows[row].append(name)
    return rows


def with_lanes(rows: Sequence[Sequence[str]], pairs: Sequence[tuple[str, str]]) -> Routes:
    """Each arrow as steps from row to row: where it passes a row it has a lane between the boxes."""
    row_of = {name: row for row, names in enumerate(rows) for name in names}
    full = [list(row) for row in rows]
    paths = {}
    for name, target in pairs:
        lanes = [f"{name} {target} {row}" for row in range(row_of[name] + 1, row_of[target])]
        for row, lane in enumerate(lanes, start=row_of[name] + 1):
            full[row].append(lane)
        paths[name, target] = (name, *lanes, target)
    return Routes(ordered(full, [step for path in paths.values() for step in pairwise(path)]), paths)


def ordered(rows: Sequence[Sequence[str]], steps: Sequence[tuple[str, str]]) -> list[list[str]]:
    """The same rows, each sorted by where its neighbours above and below stand: down and up, some times."""
    placed = [list(row) for row in rows]
    near: dict[str, list[str]] = {name: [] for row in rows for name in row}
    for a, b in steps:
        near[a].append(b)
        near[b].append(a)
    across = _across(placed)
    for sweep in range(SWEEPS):
        for row in reversed(placed) if sweep % 2 else placed:
            middle = {name: fmean(across[one] for one in near[name] or [name]) for name in row}
            row.sort(key=lambda name: (middle[name], name))
            across |= _across([row])
    return placed


def _across(rows: Sequence[Sequence[str]]) -> dict[str, float]:
    """Middle of each box and lane, px from the middle of its row."""
    found = {}
    for row in rows:
        x = -row_width(row) / 2
        for name in row:
            found[name] = x + width_of(name) / 2
            x += width_of(name) + GAP
    return found


def width_of(name: str) -> float:
    """Px that a box or a lane takes."""
    return LANE_WIDTH if " " in name else BOX_WIDTH


def row_width(row: Sequence[str]) -> float:
    """Px that a row takes."""
    return sum(map(width_of, row)) + (len(row) - 1) * GAP


def places(rows: Sequence[Sequence[str]], left: float, top: float) -> dict[str, tuple[float, float]]:
    """Middle of the upper edge of each box and lane, px; (left, top) is the corner of the widest row."""
    middle = left + max(map(row_width, rows)) / 2
    across = _across(rows)
    return {
        name: (middle + across[name], top + number * ROW_HEIGHT)
        for number, row in enumerate(rows)
        for name in row
    }
