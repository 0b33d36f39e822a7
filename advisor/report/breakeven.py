"""Break-even curves for a terminal."""

from __future__ import annotations

from advisor.breakeven.answer import BreakEven, Crossing, DraftCurve, MergeCurve, PackingCurve
from advisor.tables import units
from advisor.tables.table import Cell, Column, Mark, Table
from advisor.text import Style, bullet, heading, paragraph, table


def break_even(answer: BreakEven, style: Style) -> str:
    """All curves as text."""
    tp = f", tensor parallel {answer.tensor_parallel}" if answer.tensor_parallel > 1 else ""
    title = f"{answer.scenario}: break-even on {answer.device}{tp}"
    parts = [f"{heading(title, style)}\n{paragraph(f'Objective: {answer.objective}.', style)}"]
    if answer.merge is not None:
        parts += [_merging(answer.merge, bool(answer.draws), style), _map(answer.merge, style)]
    if answer.packing is not None:
        parts.append(_packing(answer.packing, bool(answer.draws), style))
    if answer.tokens:
        parts.append(_tokens(answer, style))
    parts += [_drafts(curve, style) for curve in answer.drafts]
    parts.append("\n".join(bullet(note, style) for note in answer.notes))
    done = f"{answer.simulations:,} simulations, {answer.draws} draws, seed {answer.seed}, {answer.producer}."
    return "\n\n".join([*parts, style.dim(paragraph(done, style))])


def _tokens(answer: BreakEven, style: Style) -> str:
    lines = [
        f"{one.provider} (${units.significant(1e3 * one.usd_per_request)} a thousand requests): replicas are "
        f"never dearer {_between(one.crossing_rps, 'req/s', 'never', bool(answer.draws))}."
        for one in answer.tokens
    ]
    title = heading("Dedicated, or by the token? From which mean load on multi-LoRA replicas pay", style)
    return "\n".join([title, *(bullet(line, style) for line in lines)])


def _between(crossing: Crossing, unit: str, beyond: str, drawn: bool = True) -> str:
    """The crossing in words, with the interval where there is one; `beyond` names an end that is null."""
    if not drawn:
        return crossing.words
    low, high = (beyond if end is None else units.significant(end) for end in (crossing.low, crossing.high))
    return f"{crossing.words} (90 %: {low if low == high else f'{low} to {high}'} {unit})"


def _merging(curve: MergeCurve, drawn: bool, style: Style) -> str:
    own = curve.points
    words = [
        f"With {units.counted(p.adapters, 'adapter')} merging costs no more "
        f"{_between(p.crossing_rps, 'req/s', 'never', drawn)}."
        for p in own
    ]
    merged = (
        f"One merged replica carries {units.significant(curve.merged_rps)} req/s alone, "
        f"{units.significant(curve.merged_large_pool_rps)} in a pool."
    )
    lines = [heading("Merge, or serve unmerged? From which load on merging pays", style)]
    lines += [bullet(line, style) for line in words]
    return "\n".join([*lines, paragraph(merged, style), "", table(merging(curve), style)])


def merging(curve: MergeCurve) -> Table:
    """What replicas carry, and the load from which on merging pays, by number of adapters."""
    return Table(
        "merging",
        "Load that one multi-LoRA replica carries, and the load from which on merging costs no more.",
        (
            Column("adapters", "count"),
            Column("max_loras", "count"),
            Column("alone", "number", "one replica carries", unit="req/s"),
            Column("in a pool", "number", "one replica carries", unit="req/s"),
            Column("low", "number", "one replica carries", unit="req/s", weight=1),
            Column("high", "number", "one replica carries", unit="req/s", weight=1),
            Column("from", "number", "merging pays from", unit="req/s"),
            Column("low", "number", "merging pays from", unit="req/s"),
            Column("high", "number", "merging pays from", unit="req/s"),
        ),
        tuple(
            (
                p.adapters,
                p.max_loras,
                p.multi_lora_rps,
                p.multi_lora_large_pool_rps,
                p.multi_lora_large_pool_low_rps,
                p.multi_lora_large_pool_high_rps,
                p.crossing_rps.value,
                p.crossing_rps.low,
                p.crossing_rps.high,
            )
            for p in curve.points
        ),
    )


def _map(curve: MergeCurve, style: Style) -> str:
    title = heading("Replicas over adapters and load: multi-LoRA / merged", style)
    return f"{title}\n{table(replicas(curve), style)}"


def replicas(curve: MergeCurve) -> Table:
    """Replicas of both ways at each load; one row a number of adapters."""

    def cell(pair: tuple[int | None, int | None]) -> Cell:
        multi, merged = ("–" if count is None else f"{count:,}" for count in pair)
        return f"{multi} / {merged}"

    return Table(
        "replicas",
        "Replicas of a multi-LoRA pool / of merged pools, at each load.",
        (
            Column("adapters", "count"),
            *(Column(f"{units.significant(load)} req/s") for load in curve.loads_rps),
        ),
        tuple((point.adapters, *(cell(pair) for pair in point.replicas)) for point in curve.points),
    )


def _packing(curve: PackingCurve, drawn: bool, style: Style) -> str:
    words = (
        f"If each adapter brings {units.significant(curve.rps_per_adapter)} req/s, one multi-LoRA replica "
        f"carries {_between(curve.crossing_adapters, 'adapters', f'over {curve.adapters[-1]:,}', drawn)}."
    )
    title = heading("How many adapters on one replica", style)
    return f"{title}\n{paragraph(words, style)}\n\n{table(packing(curve), style)}"


def packing(curve: PackingCurve) -> Table:
    """What one replica carries beside what its adapters ask for."""
    rows = tuple(zip(curve.adapters, curve.carried_rps, curve.asked_rps, strict=True))
    marks: tuple[Mark, ...] = tuple("" if carried >= asked else "bad" for _, carried, asked in rows)
    return Table(
        "packing",
        "One multi-LoRA replica: the load that it carries, and what so many adapters ask for.",
        (
            Column("adapters", "count"),
            Column("carried", "number", unit="req/s"),
            Column("asked", "number", unit="req/s"),
        ),
        rows,
        marks,
    )


def _drafts(curve: DraftCurve, style: Style) -> str:
    title = f"Speculation by {curve.draft}, {units.counted(curve.draft_length, 'token')}, on {curve.way}"
    words = (
        f"A verify step yields {curve.tokens_per_step:.2f} tokens here ({curve.origin}); it pays "
        f"{_between(curve.crossing_batch, 'in the batch', f'over {curve.points[-1].batch}')}."
    )
    return f"{heading(title, style)}\n{paragraph(words, style)}\n\n{table(drafting(curve), style)}"


def drafting(curve: DraftCurve) -> Table:
    """Tokens a verify step, or acceptance, that speculation needs to pay, by batch size."""
    marks: tuple[Mark, ...] = tuple(
        "" if point.tokens_needed <= curve.tokens_per_step else "bad" for point in curve.points
    )
    return Table(
        "drafting",
        "What speculation needs to pay, by batch size; marked where this draft does not reach it.",
        (
            Column("batch", "count"),
            Column("adapters in it", "count", weight=1),
            Column("plain", "ms", "step"),
            Column("verify", "ms", "step"),
            Column("needed", "number", "tokens a verify step"),
            Column("low", "number", "tokens a verify step"),
            Column("high", "number", "tokens a verify step"),
            Column("acceptance needed", "share"),
        ),
        tuple(
            (
                p.batch,
                p.adapters,
                p.plain_step_s,
                p.verify_step_s,
                p.tokens_needed,
                p.tokens_needed_low,
                p.tokens_needed_high,
                p.acceptance_needed,
            )
            for p in curve.points
        ),
        marks,
    )
