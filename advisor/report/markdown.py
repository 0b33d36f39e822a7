"""The answer as Markdown; pictures are files beside it, or left out."""

from __future__ import annotations

from advisor.recommendation import Recommendation
from advisor.report.section import Section
from advisor.report.sections import sections
from advisor.tables import ranking
from advisor.tables.table import escape


def markdown(rec: Recommendation, *, scenario_yaml: str = "", pictures: str = "", created: str = "") -> str:
    """The report in Markdown.

    Args:
        rec: the answer.
        scenario_yaml: the question as asked, shown at the end.
        pictures: folder of the figures relative to the file, such as `figures`; empty leaves them out.
        created: a date to print; left out, the same answer gives the same bytes.
    """
    parts = [f"# {escape(rec.scenario)}: how to serve it"]
    for section in sections(rec):
        parts += _section(section, pictures)
    if scenario_yaml:
        fence = "`" * max(3, _longest_run(scenario_yaml) + 1)
        parts += ["## The scenario", f"{fence}yaml\n{scenario_yaml.rstrip()}\n{fence}"]
    parts.append(escape(_provenance(rec, created)))
    return "\n\n".join(parts) + "\n"


def _section(section: Section, pictures: str) -> list[str]:
    parts = [f"## {escape(section.title)}"]
    parts += [escape(words) for words in section.words]
    if section.bullets:
        parts.append("\n".join(f"- {escape(bullet)}" for bullet in section.bullets))
    if pictures:
        parts += [f"![{escape(figure.caption)}]({pictures}/{figure.name}.png)" for figure in section.figures]
    for content in section.tables:
        parts += [content.markdown(), f"*{escape(content.caption)}*"]
        reasons = [(row, note) for row, note in zip(content.written(), content.notes, strict=False) if note]
        parts += (
            ["\n".join(f"- {escape(' on '.join(row[:2]))}: {escape(note)}" for row, note in reasons)]
            if reasons
            else []
        )
    return parts


def _longest_run(text: str) -> int:
    runs, run = 0, 0
    for char in text:
        run = run + 1 if char == "`" else 0
        runs = max(runs, run)
    return runs


def _provenance(rec: Recommendation, created: str) -> str:
    best = ranking.recommended(rec)
    source = f" Price: {best.price_source}." if best is not None and best.price_source else ""
    when = f" Written {created}." if created else ""
    return (
        f"{rec.candidates:,} configurations considered, {rec.simulations:,} simulations, seed {rec.seed}; "
        f"{rec.producer}.{source}{when}"
    )
