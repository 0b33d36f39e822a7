"""The answer for a terminal: ranking first, then the paragraph, then short sections."""

from __future__ import annotations

from typing import Final

from advisor.profile import Profile
from advisor.recommendation import Explanation, Option, Recommendation
from advisor.report.section import Section
from advisor.report.sections import sections
from advisor.tables import detail, known, ranking, reasons, units
from advisor.text import Style, bullet, heading, paragraph, table

_LATER: Final = ("why", "knee", "slots", "run", "turns", "sure", "tokens", "terms", "next")


def answer(rec: Recommendation, style: Style, top: int = 10) -> str:
    """The whole recommendation as text.

    Args:
        rec: the answer.
        style: width and colour.
        top: rows of each ranking; 0 shows all.
    """
    said = {section.key: section for section in sections(rec)}
    rate = units.significant(rec.workload.rate_rps)
    title = f"{rec.scenario}: {rec.model}, {rec.workload.adapters_deployed:,} adapters, {rate} requests/s"
    parts = [f"{heading(title, style)}\n{paragraph(f'Objective: {rec.objective}.', style)}"]
    parts += _ranked(rec, style, top)
    parts += _refused(rec, style, top)
    parts.append(_section(said["answer"], style))
    parts += [_section(said[key], style) for key in _LATER if key in said]
    parts.append(
        style.dim(
            paragraph(
                f"{rec.candidates:,} configurations considered, {rec.simulations:,} simulations, "
                f"seed {rec.seed}, {rec.producer}.",
                style,
            )
        )
    )
    return "\n\n".join(parts)


def _ranked(rec: Recommendation, style: Style, top: int) -> list[str]:
    content = ranking.ranking(rec, top)
    if not content.rows:
        return []
    ways = sum(option.feasible and not option.is_reference for option in rec.options)
    words = ["→ recommended."] if rec.recommended is not None else []
    if "reference" in content.marks:
        words.append("ref: the base model on the same device, which cannot serve the adapters.")
    words += [f"{ways - top} more: --top 0 shows all."] if top and ways > top else []
    return [f"{table(content, style)}\n{style.dim(paragraph(' '.join(words), style))}"]


def _refused(rec: Recommendation, style: Style, top: int) -> list[str]:
    content = ranking.refused(rec)
    if not content.rows:
        return []
    shown = content.head(min(top, _REFUSED)) if top else content
    left = len(content.rows) - len(shown.rows)
    text = f"{heading('Does not meet the objective', style)}\n{table(shown, style)}"
    if left:
        text += "\n" + style.dim(paragraph(f"{left} more: --top 0 shows all.", style))
    return [text]


_REFUSED: Final = 6


def _section(section: Section, style: Style) -> str:
    lines = [heading(section.title, style)]
    lines += [paragraph(words, style) for words in section.words]
    lines += [bullet(item, style) for item in section.bullets]
    said = "\n".join(lines)
    gap = "\n\n" if section.words or section.bullets else "\n"
    return gap.join((said, "\n\n".join(table(content, style) for content in section.tables))).rstrip()


def option(one: Option, style: Style) -> str:
    """One simulated option as text."""
    price = f", ${units.usd(one.usd_per_hour)} an hour" if one.usd_per_hour is not None else ""
    parts = [heading(f"{ranking.label(one)}{price}", style)]
    if not one.feasible:
        parts.append(style.bad(paragraph(f"Does not meet the objective: {one.reason}", style)))
    parts += [table(ranking.checks(one), style)] if one.checks else []
    if one.outcome is not None:
        out = one.outcome
        facts = (
            f"{out.requests:,} requests at {units.significant(out.throughput_rps)}/s, "
            f"{units.significant(out.output_tokens_per_s)} output tokens/s, replicas busy "
            f"{units.share(out.utilisation)} % of the time, {units.significant(out.mean_batch)} requests "
            f"in the mean batch, {out.preemptions:,} preemptions, {out.loads_to_slot:,} adapter loads "
            f"({out.loads_from_disk:,} from disk), {units.share(out.goodput_share)} % within every limit."
        )
        parts += [table(detail.outcome(out), style), paragraph(facts, style)]
        parts.append(table(reasons.causes(None, out), style))
    parts.append(table(detail.settings(one), style))
    parts += [table(reasons.memory(one.memory), style)] if one.memory is not None else []
    parts += [paragraph(f"Mind: {warning}", style) for warning in one.warnings]
    return "\n\n".join(parts)


def explanation(why: Explanation, style: Style) -> str:
    """Why a deployment differs from its base, as text."""
    queue = (
        f"Idle base replica: {units.duration(why.unloaded_ttft_s)} to the first token; the load adds "
        f"{units.duration(why.queueing_ttft_s)} to the base's mean."
    )
    parts = [
        heading(f"Why {why.option} differs from its base", style),
        table(reasons.differences(why), style),
    ]
    parts += [
        paragraph(why.text, style),
        paragraph(queue, style),
        table(reasons.causes(why.base, why.deployment), style),
    ]
    return "\n\n".join(parts)


def profile(one: Profile, style: Style) -> str:
    """A device profile as text: where each term comes from, and how the sum was checked."""
    parts = [heading(f"{one.name}: {one.device.name}, {one.engine} {one.engine_version}", style)]
    parts.append(paragraph(f"{one.method}, {one.created.date().isoformat()}, by {one.producer}.", style))
    parts.append(table(known.profile_terms(one), style))
    if one.residual is not None:
        r = one.residual
        checked = (
            f"Held against {r.points:,} end-to-end points: median error {r.median_relative:+.1%}, 90 % of "
            f"them within {r.p90_absolute_relative:.1%} ({r.source})."
        )
        parts.append(paragraph(checked, style))
    parts += [bullet(note, style) for note in one.notes]
    return "\n".join(parts)
