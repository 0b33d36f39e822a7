"""The answer as one HTML file: no script, no network, charts as SVG, light and dark, all text escaped."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Final

from advisor.recommendation import Recommendation
from advisor.report.section import Figure, Section
from advisor.report.sections import sections
from advisor.tables import ranking, units
from advisor.tables.table import Column, Table

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_CSS: Final = Path(__file__).with_name("page.css")
_LONG: Final = 42  # a text column with a longer cell may wrap


def html(rec: Recommendation, *, scenario_yaml: str = "", created: str = "") -> str:
    """The report as one page.

    Args:
        rec: the answer.
        scenario_yaml: the question as asked, shown at the end.
        created: a date to print; left out, the same answer gives the same bytes.
    """
    said = sections(rec)
    body = [_header(rec, said), *(_section(section, rec) for section in said)]
    if scenario_yaml:
        body.append(_details("scenario", "The scenario", f"<pre>{escape(scenario_yaml)}</pre>"))
    body.append(_footer(rec, created))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(rec.scenario)}: how to serve it</title>\n"
        f"<style>\n{_CSS.read_text(encoding='utf-8')}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def _header(rec: Recommendation, said: tuple[Section, ...]) -> str:
    facts = (
        f"{rec.model} · {rec.workload.adapters_deployed:,} adapters · "
        f"{units.significant(rec.workload.rate_rps)} requests/s"
    )
    links = "".join(f'<a href="#{s.key}">{escape(_short(s.title))}</a>' for s in said if s.key != "answer")
    return (
        f'<header><p class="over">LoRA Advisor · {escape(facts)}</p><h1>{escape(ranking.headline(rec))}</h1>'
        f'<p class="soft">Scenario {escape(rec.scenario)}. Objective: {escape(rec.objective)}.</p>'
        f"<nav>{links}</nav></header>"
    )


def _short(title: str) -> str:
    return title.split(":")[0].removesuffix(", and why")


def _tiles(rec: Recommendation) -> str:
    best = ranking.recommended(rec)
    if best is None:
        return ""
    tiles = []
    if best.usd_per_hour is not None:
        mtok = "" if best.usd_per_mtok is None else f"${units.usd(best.usd_per_mtok)} per million tokens"
        tiles.append(_tile("cost", f"${units.usd(best.usd_per_hour)}/h", mtok))
    tiles.append(
        _tile(
            "devices",
            ranking.hardware(best),
            f"{units.counted(best.replicas, 'replica')}, {best.engine} {best.engine_version}",
        )
    )
    for check in best.checks:
        kind = "good" if check.holds else "bad"
        asked = f"{'holds' if check.holds else 'broken'}: asked {ranking.limit_value(check, check.limit)}"
        tiles.append(_tile(ranking.limit_name(check), ranking.limit_value(check, check.value), asked, kind))
    if best.outcome is not None:
        tiles.append(
            _tile("goodput", f"{units.share(best.outcome.goodput_share)} %", "requests within every limit")
        )
    if best.headroom is not None:
        tiles.append(_tile("headroom", units.times(best.headroom), "the asked load before a limit breaks"))
    tiles.append(_tile("figures are", best.origin.value, "least certain of the terms that matter"))
    return f'<div class="tiles">{"".join(tiles)}</div>'


def _tile(name: str, value: str, note: str, kind: str = "") -> str:
    return (
        f'<div class="tile {kind}"><div class="name">{escape(name)}</div>'
        f'<div class="value">{escape(value)}</div><div class="note">{escape(note)}</div></div>'
    )


def _section(section: Section, rec: Recommendation) -> str:
    if section.key == "answer":
        lead = "".join(f'<p class="lead">{escape(words)}</p>' for words in section.words)
        rest = _bullets(section) + "".join(
            map(_table, section.tables if not ranking.recommended(rec) else ())
        )
        return f'<section id="answer">{_tiles(rec)}{lead}{rest}</section>'
    inner = "".join(f"<p>{escape(words)}</p>" for words in section.words) + _bullets(section)
    tables, figures = "".join(map(_table, section.tables)), _figures(section.figures)
    inner += tables + figures if section.tables_first else figures + tables
    if section.detail:
        return _details(section.key, section.title, inner)
    return f'<section id="{section.key}"><h2>{escape(section.title)}</h2>{inner}</section>'


def _details(key: str, title: str, inner: str) -> str:
    return f'<section id="{key}"><details><summary>{escape(title)}</summary>{inner}</details></section>'


def _bullets(section: Section) -> str:
    items = "".join(f"<li>{escape(bullet)}</li>" for bullet in section.bullets)
    return f"<ul>{items}</ul>" if items else ""


def _figures(figures: tuple[Figure, ...]) -> str:
    from advisor.plots.theme import svg

    drawn = "".join(
        f'<figure><div class="chart">{svg(figure.draw(), figure.name, figure.caption)}</div>'
        f"<figcaption>{escape(figure.caption)}</figcaption></figure>"
        for figure in figures
    )
    return f'<div class="figures">{drawn}</div>' if drawn else ""


def _table(content: Table) -> str:
    cells = content.written()
    wide = [
        column.kind == "text" and any(len(row[i]) > _LONG for row in cells)
        for i, column in enumerate(content.columns)
    ]
    rows = []
    for index, row in enumerate(cells):
        inner = "".join(
            f'<td class="{_class(c, long)}">{escape(cell)}</td>'
            for c, cell, long in zip(content.columns, row, wide, strict=True)
        )
        rows.append(f'<tr class="{content.mark(index)}">{inner}</tr>')
        if content.notes and content.notes[index]:
            rows.append(f'<tr class="note"><td colspan="{len(row)}">{escape(content.notes[index])}</td></tr>')
    return (
        f'<div class="table"><table><thead>{_heads(content.columns)}</thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
        f'<p class="caption">{escape(content.caption)}</p>'
    )


def _heads(columns: tuple[Column, ...]) -> str:
    if not any(column.group for column in columns):
        names = "".join(f'<th class="{_class(c)}">{escape(c.heading)}</th>' for c in columns)
        return f"<tr>{names}</tr>"
    upper, lower, index = "", "", 0
    while index < len(columns):
        column = columns[index]
        run = [c for c in columns[index:] if c.group == column.group] if column.group else [column]
        if column.group:
            unit = f" ({column.shown_unit})" if column.shown_unit else ""
            upper += f'<th colspan="{len(run)}">{escape(column.group + unit)}</th>'
            lower += "".join(f'<th class="{_class(c)}">{escape(c.title)}</th>' for c in run)
        else:
            upper += f'<th rowspan="2" class="{_class(column)}">{escape(column.heading)}</th>'
        index += len(run)
    return f"<tr>{upper}</tr><tr>{lower}</tr>"


def _class(column: Column, long: bool = False) -> str:
    return "n" if column.kind != "text" else "wide" if long else ""


def _footer(rec: Recommendation, created: str) -> str:
    best = ranking.recommended(rec)
    source = f" Price: {best.price_source}." if best is not None and best.price_source else ""
    when = f" Written {created}." if created else ""
    text = (
        f"{rec.candidates:,} configurations considered, {rec.simulations:,} simulations, seed {rec.seed}; "
        f"{rec.producer}.{source}{when}"
    )
    return f'<footer class="soft">{escape(text)}</footer>'
