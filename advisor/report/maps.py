"""Break-even curves as sections: words, a map with the user's own point, the table behind it."""

from __future__ import annotations

from advisor.breakeven.answer import BreakEven, Crossing
from advisor.report import breakeven as text
from advisor.report.section import Figure, Section
from advisor.tables import units


def maps(answer: BreakEven, batch: float | None = None) -> tuple[Section, ...]:
    """Every map that the scenario has something to say about.

    Args:
        answer: the curves.
        batch: running requests of a replica of the recommended option, for the user's point.
    """
    return (*_merging(answer), *_packing(answer), *_drafts(answer, batch), *_tokens(answer), *_notes(answer))


def _merging(answer: BreakEven) -> tuple[Section, ...]:
    from advisor.plots import breakeven as plots

    curve = answer.merge
    if curve is None:
        return ()
    words = tuple(
        f"With {units.counted(p.adapters, 'adapter')} merging costs no more {said(p.crossing_rps)}."
        for p in curve.points
        if p.adapters == answer.workload.adapters_deployed
    )
    figure = Figure(
        "map-merging",
        "From which load merging costs no more than one pool, by number of adapters. The ring is yours.",
        lambda: plots.merging(curve, answer),
    )
    figures = (figure,) if any(p.crossing_rps.value for p in curve.points) else ()
    title = f"Merge, or one pool? On {answer.device}"
    return (Section("map-merging", title, words, (), figures, (text.merging(curve), text.replicas(curve))),)


def _packing(answer: BreakEven) -> tuple[Section, ...]:
    from advisor.plots import breakeven as plots

    curve = answer.packing
    if curve is None:
        return ()
    each = units.significant(curve.rps_per_adapter)
    words = f"If each adapter brings {each} requests/s, one replica carries {said(curve.crossing_adapters)}."
    figure = Figure(
        "map-packing",
        "What one replica carries beside what its adapters ask for. The ring is yours.",
        lambda: plots.packing(curve, answer),
    )
    return (
        Section(
            "map-packing", "How many adapters on one replica", (words,), (), (figure,), (text.packing(curve),)
        ),
    )


def _drafts(answer: BreakEven, batch: float | None) -> tuple[Section, ...]:
    from advisor.plots import breakeven as plots

    found = []
    for number, curve in enumerate(answer.drafts):
        name = f"map-draft-{number}"
        yields = f"A verify step yields {curve.tokens_per_step:.2f} tokens here ({curve.origin})"
        words = f"{yields}; it pays {said(curve.crossing_batch)}."
        figure = Figure(
            name,
            "Below the dashes it pays. The ring is the recommended deployment's mean batch.",
            lambda curve=curve: plots.drafting(curve, batch),  # type: ignore[misc]
        )
        title = f"Speculation by {curve.draft}, {units.counted(curve.draft_length, 'token')}, on {curve.way}"
        found.append(Section(name, title, (words,), (), (figure,), (text.drafting(curve),)))
    return tuple(found)


def _tokens(answer: BreakEven) -> tuple[Section, ...]:
    lines = tuple(
        f"{one.provider} (${units.significant(1e3 * one.usd_per_request)} a thousand requests): replicas are "
        f"never dearer {said(one.crossing_rps)}."
        for one in answer.tokens
    )
    return (Section("map-tokens", "Own replicas, or tokens?", bullets=lines),) if lines else ()


def _notes(answer: BreakEven) -> tuple[Section, ...]:
    return (Section("map-notes", "How these were computed", bullets=answer.notes, detail=True),)


def said(crossing: Crossing) -> str:
    """The crossing in words, with its interval where there is one."""
    if crossing.low is None or crossing.high is None or crossing.low == crossing.high:
        return crossing.words
    return f"{crossing.words} (90 %: {units.significant(crossing.low)} to {units.significant(crossing.high)})"
