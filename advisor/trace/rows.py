"""From raw columns to a trace: broken rows are counted and named, good ones are sorted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from advisor.errors import InputError
from advisor.trace.prefixes import ragged, select
from advisor.trace.table import Table
from advisor.trace.trace import Floats, Ints, Prefixes, Trace
from advisor.trace.values import Mask, Numbers, arrivals, id_lists, names, numbers

MAX_TOKENS: Final = 10_000_000
MAX_ARRIVAL_S: Final = 4e9
"""The year 2096 in seconds since 1970; above, a column counts milliseconds."""
MAX_ADAPTERS: Final = 100_000
_MAX_PRIORITY: Final = 2**53
_EXAMPLES: Final = 3
_SLOW_RPS: Final = 0.01
_SLOW_REQUESTS: Final = 100


@dataclass(slots=True)
class _Verdicts:
    """The first reason against each row, by the row's place in the table."""

    reasons: list[str] = field(default_factory=list)
    code: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))  # index into reasons, -1: good

    def against(self, mask: Mask, reason: str) -> None:
        """Give a reason to the rows of the mask that have none yet."""
        hit = mask & (self.code < 0)
        if hit.any():
            self.code[hit] = len(self.reasons)
            self.reasons.append(reason)


def trace_from(table: Table, name: str, source: str, *, block_tokens: int | None, keep_start: bool) -> Trace:
    """Judge every row and build the trace.

    Args:
        table: the file's columns.
        name: the trace's name.
        source: the file, as the user knows it.
        block_tokens: tokens of a prefix block, where neither file nor format says it.
        keep_start: leave the arrivals as they are instead of starting at 0.

    Raises:
        InputError: no row is good, more than half of the rows are broken, or the columns contradict each
            other.
    """
    rows = len(table.lines)
    verdicts = _Verdicts(code=np.full(rows, -1, dtype=np.int64))
    arrival_s = _arrival_s(table, verdicts)
    prompt = _tokens(table, "prompt_tokens", verdicts, "prompt_tokens is below 1")
    output = _tokens(table, "output_tokens", verdicts, table.layout.format.zero_output)
    priority = _priority(table, verdicts)
    adapter, adapters = _adapters(table, verdicts, source)
    prefixes, prefix_notes = _prefixes(table, verdicts, prompt, block_tokens, source)
    notes = _broken_rows(table, verdicts, source)
    good = np.flatnonzero(verdicts.code < 0)
    order, order_notes = _in_order(arrival_s, good)
    arrival_s = arrival_s[order]
    if not keep_start and arrival_s[0] > 0:
        arrival_s = arrival_s - arrival_s[0]
        order_notes.append("arrivals shifted to start at 0")
    adapter, adapters = _used(adapter[order], adapters)
    trace = Trace(
        arrival_s,
        prompt[order].astype(np.int64),
        output[order].astype(np.int64),
        adapter,
        adapters,
        None if priority is None else priority[order].astype(np.int64),
        None
        if prefixes is None
        else select(prefixes, order, (prompt[order] // prefixes.block_tokens).astype(np.int64)),
        name,
        (*notes, *order_notes, *prefix_notes),
    )
    return _with_doubts(trace, table)


def _column(table: Table, name: str, read: Any, verdicts: _Verdicts) -> Numbers:
    column: Numbers = read(table.columns[name])
    verdicts.against(column.missing, f"{name} is missing")
    verdicts.against(column.wrong, f"{name} is not a number" if read is numbers else f"{name} is not a time")
    verdicts.against(column.not_finite, f"{name} is not finite")
    return column


def _arrival_s(table: Table, verdicts: _Verdicts) -> Floats:
    name = table.layout.arrival
    values = _column(table, name, arrivals, verdicts).values
    if name == "arrival_ms":
        values = values / 1000.0
    verdicts.against(values < 0, f"{name} is negative")
    verdicts.against(values > MAX_ARRIVAL_S, f"{name} is beyond the year 2096 (milliseconds?)")
    return values


def _tokens(table: Table, name: str, verdicts: _Verdicts, below: str) -> Floats:
    values = _column(table, name, numbers, verdicts).values
    verdicts.against(values < 0, f"{name} is negative")
    verdicts.against(values == 0, below)
    verdicts.against(values != np.floor(values), f"{name} is not a whole number")
    verdicts.against(values > MAX_TOKENS, f"{name} is above {MAX_TOKENS:,}")
    return np.where(verdicts.code < 0, values, 1.0)


def _priority(table: Table, verdicts: _Verdicts) -> Floats | None:
    if "priority" not in table.columns:
        return None
    values = _column(table, "priority", numbers, verdicts).values
    verdicts.against(
        (values != np.floor(values)) | (np.abs(values) > _MAX_PRIORITY), "priority is not a whole number"
    )
    return np.where(verdicts.code < 0, values, 0.0)


def _adapters(table: Table, verdicts: _Verdicts, source: str) -> tuple[Ints, tuple[str, ...]]:
    if "adapter" not in table.columns:
        return np.full(len(table.lines), -1, dtype=np.int64), ()
    index, found, wrong = names(table.columns["adapter"])
    verdicts.against(wrong, "adapter is not a printable name of at most 256 characters")
    if len(found) > MAX_ADAPTERS:
        theirs = table.layout.columns["adapter"]
        raise InputError(
            f"{source}: column {theirs!r} names {len(found):,} adapters; allowed: at most {MAX_ADAPTERS:,}. "
            f"Map the column that names the adapter, not the request."
        )
    return index, found


def _prefixes(
    table: Table, verdicts: _Verdicts, prompt: Floats, block_tokens: int | None, source: str
) -> tuple[Prefixes | None, list[str]]:
    if "prefix_hashes" not in table.columns:
        return None, []
    lists, wrong = id_lists(table.columns["prefix_hashes"])
    verdicts.against(wrong, "prefix_hashes is not a list of block ids")
    size = _block_tokens(table, block_tokens, source)
    prefixes = ragged(lists, size)
    lengths = np.diff(prefixes.offsets)
    verdicts.against(
        lengths > np.ceil(prompt / size), f"prefix_hashes has more ids than blocks of {size} tokens"
    )
    partial = int(np.count_nonzero((lengths > prompt // size) & (verdicts.code < 0)))
    notes = [f"{partial:,} ids of a last, partly filled block left out (only whole blocks can be shared)"]
    return prefixes, notes if partial else []


def _block_tokens(table: Table, given: int | None, source: str) -> int:
    fixed = table.layout.format.block_tokens
    if "prefix_block_tokens" in table.columns:
        values = numbers(table.columns["prefix_block_tokens"]).values
        sizes = np.unique(values[np.isfinite(values)])
        if len(sizes) != 1 or sizes[0] < 1 or sizes[0] != int(sizes[0]) or sizes[0] > MAX_TOKENS:
            raise InputError(
                f"{source}: prefix_block_tokens must be one whole number of at least 1 in all rows."
            )
        return int(sizes[0])
    if given is None and fixed is None:
        raise InputError(
            f"{source}: has prefix_hashes but not the tokens of a block. Add the column prefix_block_tokens, "
            f"or say block_tokens (vLLM's own blocks hold 16 tokens, Mooncake's traces 512)."
        )
    return int(given if given is not None else fixed or 0)


def _broken_rows(table: Table, verdicts: _Verdicts, source: str) -> list[str]:
    """One note a reason, with a count and the first lines.

    Raises:
        InputError: no good row, or more than half broken.
    """
    broken = np.flatnonzero(verdicts.code >= 0)
    found = [*table.malformed, *((int(table.lines[i]), verdicts.reasons[verdicts.code[i]]) for i in broken)]
    total = len(table.lines) + len(table.malformed)
    notes = _by_reason(found, table.unit)
    if 2 * len(found) > total:
        kind = "no" if len(found) == total else "less than half a"
        raise InputError(
            f"{source}: {kind} good row among {total:,}, read as {table.layout.format.name} format: "
            f"{'; '.join(notes[:3])}. Mend the file, or map its columns."
        )
    return [f"left out {note}" for note in notes]


def _by_reason(found: Iterable[tuple[int, str]], unit: str) -> list[str]:
    ordered = sorted(found)
    counts = Counter(reason for _, reason in ordered)
    notes = []
    for reason, count in counts.most_common():
        lines = [line for line, why in ordered if why == reason][:_EXAMPLES]
        shown = ", ".join(str(line) for line in lines) + (", ..." if count > _EXAMPLES else "")
        notes.append(f"{count:,} row{'s' if count > 1 else ''}: {reason} ({unit} {shown})")
    return notes


def _in_order(arrival_s: Floats, good: Ints) -> tuple[Ints, list[str]]:
    early = int(np.count_nonzero(np.diff(arrival_s[good]) < 0))
    if not early:
        return good, []
    order = good[np.argsort(arrival_s[good], kind="stable")]
    return order, [f"sorted by arrival: {early:,} row{'s' if early > 1 else ''} came before the one above"]


def _used(adapter: Ints, adapters: tuple[str, ...]) -> tuple[Ints, tuple[str, ...]]:
    """Number the adapters anew in order of first use by a good row."""
    present, first = np.unique(adapter[adapter >= 0], return_index=True)
    ranked = present[np.argsort(first)]
    lookup = np.full(len(adapters) + 1, -1, dtype=np.int64)  # the last entry is for -1
    lookup[ranked] = np.arange(len(ranked))
    return lookup[adapter], tuple(adapters[i] for i in ranked)


def _with_doubts(trace: Trace, table: Table) -> Trace:
    """Note what is possible but unlikely to be meant."""
    from dataclasses import replace

    notes = list(trace.notes)
    whole = bool(np.all(trace.arrival_s == np.floor(trace.arrival_s)))
    if (
        table.layout.arrival == "arrival_s"
        and len(trace) >= _SLOW_REQUESTS
        and 0 < trace.rate_rps < _SLOW_RPS
        and whole
    ):
        days = trace.duration_s / 86400
        notes.append(
            f"arrivals span {days:,.0f} days at {trace.rate_rps:.2g} requests/s; if the column counts "
            f"milliseconds, map it as arrival_ms={table.layout.columns['arrival_s']}"
        )
    return replace(trace, notes=tuple(notes))
