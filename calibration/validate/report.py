"""The report: text for a terminal, one HTML file with pictures, Markdown rows for the documentation."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Final

import numpy as np

from advisor.files import write_text
from calibration.validate.charts import distributions, scatter
from calibration.validate.run import CaseResult, OptionResult
from calibration.validate.verdict import MOST_UTILISATION
from calibration.validate.whole import Validation

_SHOWN: Final = ("ttft p50", "ttft p99", "tpot p50", "tpot p99", "e2e p50", "e2e p99", "throughput")
_MS: Final = 1e3


def text(result: Validation) -> str:
    """For a terminal: every scenario, then the sums."""
    lines = [f"{result.model} on {result.device}", f"profile: {result.profile_residual or 'given'}", ""]
    for case in result.cases:
        lines += _case(case)
    return "\n".join([*lines, *_sums(result)])


def _case(case: CaseResult) -> list[str]:
    lines = [f"{case.name}: {case.requests} requests at {case.rate_rps:.3g}/s for {case.duration_s:.0f} s"]
    for option in case.options:
        late = ", ".join(f"{slow:.2f}" for slow in option.slowness)
        late = f"; the machine was {late} times as slow as in the profile" if late else ""
        late += "  CLIENT LATE" if option.client_late else ""
        lines.append(f"  {option.name} (utilisation {option.utilisation:.0%}){late}")
        lines.append(f"    {'':12s} {'predicted':>11s} {'measured':>11s} {'error':>8s} {'noise':>7s}")
        for cell in option.cells:
            if cell.name in (*_SHOWN, "acceptance length", "adapter loads"):
                left, right = value(option, cell.name, "predicted"), value(option, cell.name, "measured")
                mark = " " if cell.holds else "!"
                lines.append(
                    f"  {mark} {cell.name:14s} {left:>9s} {right:>11s} {cell.error:+8.1%} {cell.noise:7.1%}"
                )
    decision = case.decision
    verdict = "right" if decision.right else "WRONG"
    if decision.right and decision.chosen != decision.best:
        verdict = "not told apart by the replays"
    lines.append(
        f"  choice by {decision.objective}: {decision.chosen}; measured best {decision.best}; {verdict}, "
        f"regret {decision.regret:.1%}"
    )
    return [*lines, ""]


def value(option: OptionResult, cell: str, side: str) -> str:
    """A figure as text: milliseconds (loads: of all of them), tokens a second, or tokens a step."""
    figures = getattr(option, side)
    if cell == "throughput":
        return f"{figures.output_tokens_per_s:.4g}/s"
    if cell == "acceptance length":
        return f"{figures.acceptance_length:.3f}"
    if cell == "adapter loads":
        return f"{_MS * figures.load_s:.4g} ms"
    latency, percentile = cell.split()
    return f"{_MS * getattr(figures, f'{latency}_s')[percentile]:.4g} ms"


def _sums(result: Validation) -> list[str]:
    lines = []
    for below, said in ((True, "at or below"), (False, "above")):
        cells = result.cells(below=below)
        if not cells:
            continue
        held = sum(holds for holds, _, _ in cells)
        lines.append(f"Options {said} {MOST_UTILISATION:.0%} utilisation: {held} of {len(cells)} cells hold.")
        for name in sorted({name for _, _, name in cells}):
            mine = [error for _, error, other in cells if other == name]
            lines.append(
                f"  {name:18s} median |error| {np.median(np.abs(mine)):6.1%}, "
                f"largest {np.max(np.abs(mine)):6.1%}"
            )
    lines.append(
        f"First choice right in {result.right_choices} of {len(result.cases)} scenarios "
        f"({result.not_told_apart} that replays cannot tell apart among them), "
        f"largest regret {result.worst_regret:.1%}."
    )
    return lines


def write_report(result: Validation, folder: Path) -> Path:
    """Write report.html into the folder."""
    path = folder / "report.html"
    write_text(path, html(result))
    return path


def html(result: Validation) -> str:
    """One page without network: the picture of all cells, then a table a scenario."""
    parts = [
        f"<h1>Predicted beside measured: {escape(result.model)}</h1>",
        (
            f"<p>{escape(result.device)}. Profile against engine steps: {escape(result.profile_residual)}. "
            f"{escape(result.producer)}, {result.created:%Y-%m-%d}.</p>"
        ),
        f"<pre>{escape(chr(10).join(_sums(result)))}</pre>",
        scatter(result.cases),
    ]
    for case in result.cases:
        parts.append(f"<h2>{escape(case.name)}</h2>")
        for option in case.options:
            parts += [_table(option), distributions(option)]
        decision = case.decision
        parts.append(
            f"<p>By {escape(decision.objective)}: chosen {escape(decision.chosen)}, measured best "
            f"{escape(decision.best)}, regret {decision.regret:.1%}.</p>"
        )
    return _PAGE.replace("BODY", "\n".join(parts))


def _table(option: OptionResult) -> str:
    rows = []
    for cell in option.cells:
        sides = "".join(f"<td>{value(option, cell.name, side)}" for side in ("predicted", "measured"))
        rows.append(
            f"<tr class={'ok' if cell.holds else 'off'}><td>{escape(cell.name)}{sides}"
            f"<td>{cell.error:+.1%}<td>{cell.noise:.1%}<td>{cell.allowed:.1%}"
        )
    for name, found in option.distances.items():
        noise = option.noise.get(name)
        beside = "" if noise is None else f" (between replays {noise.kolmogorov_smirnov:.3f})"
        rows.append(
            f"<tr><td>{name}: distance of distributions<td colspan=5>Kolmogorov-Smirnov "
            f"{found.kolmogorov_smirnov:.3f}{beside}, Wasserstein {found.wasserstein:.1%} of the mean"
        )
    names = ("figure", "predicted", "measured", "error", "noise floor", "allowed")
    head = "".join(f"<th>{name}" for name in names)
    return (
        f"<h3>{escape(option.name)}, utilisation {option.utilisation:.0%}</h3>"
        f"<table><tr>{head}</tr>{''.join(rows)}</table>"
    )


def markdown(result: Validation) -> str:
    """A row an option for the documentation: error of every figure, what fails in bold."""
    head = "| scenario | option | utilisation | " + " | ".join(_SHOWN) + " |"
    lines = [head, "|" + "---|" * 2 + "---:|" * (len(_SHOWN) + 1)]
    for case in result.cases:
        for option in case.options:
            known = {cell.name: cell for cell in option.cells}
            cells = []
            for name in _SHOWN:
                cell = known.get(name)
                said = "" if cell is None else f"{cell.error:+.1%}"
                cells.append(said if cell is None or cell.holds else f"**{said}**")
            lines.append(
                f"| {case.name} | {option.name} | {option.utilisation:.0%} | " + " | ".join(cells) + " |"
            )
    return "\n".join(lines)


_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
_CSS: Final = """body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:.5rem 0}td,th{padding:.15rem .7rem;text-align:right}
td:first-child{text-align:left}tr:nth-child(even){background:#f4f4f4}
tr.off,tr.off:nth-child(even){background:#fdd}pre{background:#f4f4f4;padding:.7rem;overflow:auto}"""
_PAGE: Final = (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Predicted beside measured</title>\n'
    f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n<style>{_CSS}</style></head>\n'
    "<body>\nBODY\n</body></html>\n"
)
