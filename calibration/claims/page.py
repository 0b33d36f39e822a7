"""The claims as a page: a row each, then the figures and a picture of each."""

from __future__ import annotations

from pathlib import Path

from advisor.files import write_text
from calibration.claims.result import ClaimResult, Claims

_HEAD = """# The field's claims, tried

`{command}` writes this page: every claim is an experiment on the live engine (`calibration/engine`), and the
simulator stands beside it, with the profile that `calibrate run` made of the same machine. Device: {device};
model: {model}; {date}. A small model on a CPU has other ratios than a large one on a GPU: read which way
things go, and how near the simulator comes. For an H100 it speaks on [its own page](claims-h100.md).
"""


def write_page(result: Claims, path: Path, command: str) -> list[Path]:
    """Write the page, and its pictures into `<name>-figures/` beside it."""
    folder = path.parent / f"{path.stem}-figures"
    parts = [
        _HEAD.format(
            command=command, device=result.device, model=result.model, date=result.created.date().isoformat()
        ),
        "| | claim | verdict | measured here | where it stops being true |\n|---|---|---|---|---|\n"
        + "\n".join(
            f"| {c.number} | {c.claim} | **{c.verdict}** | {c.why} | {c.stops} |" for c in result.claims
        )
        + "\n",
    ]
    written = [path]
    for claim in result.claims:
        picture = folder / f"{claim.number.lower()}.svg"
        write_text(picture, svg(claim))
        written.append(picture)
        parts.append(
            f"## {claim.number}: {claim.claim}\n\n{table(claim)}\n\n"
            f"![simulated beside measured]({folder.name}/{picture.name})\n"
        )
    write_text(path, "\n".join(parts))
    return written


def table(claim: ClaimResult) -> str:
    """Rows in Markdown."""
    lines = [
        "| setting | figure | simulated | measured | error | spread | ratio simulated | measured |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in claim.rows:
        ratios = ["" if r is None else f"{r:.2f}" for r in (row.simulated_ratio, row.ratio)]
        lines.append(
            f"| {row.setting} | {row.figure} | {row.simulated:.4g} | {row.measured:.4g} | {row.error:+.1%} | "
            f"{row.spread:.1%} | {ratios[0]} | {ratios[1]} |"
        )
    return "\n".join(lines)


def svg(claim: ClaimResult) -> str:
    """Bars: simulated and measured of every row."""
    import altair as alt
    import pandas as pd
    import vl_convert as vlc

    rows = [
        {"setting": f"{row.setting}: {row.figure}", "who": who, "value": value}
        for row in claim.rows
        for who, value in (("simulated", row.simulated), ("measured", row.measured))
    ]
    order = [f"{row.setting}: {row.figure}" for row in claim.rows]
    chart = (
        alt.Chart(pd.DataFrame(rows))
        .mark_bar()
        .encode(
            x=alt.X("value", title=None),
            y=alt.Y("setting", sort=order, title=None, axis=alt.Axis(labelLimit=360)),
            yOffset=alt.YOffset("who", sort=["simulated", "measured"]),
            color=alt.Color("who", sort=["simulated", "measured"], title=None),
        )
        .properties(width=420, height=alt.Step(14))
    )
    found: str = vlc.vegalite_to_svg(chart.to_json())
    return found
