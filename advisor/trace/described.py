"""The figures of a trace as text for a terminal."""

from __future__ import annotations

import json

from advisor.trace.describe import Description


def described(figures: Description) -> str:
    """One line a figure; nothing in it moves the cursor, whatever the trace's names hold."""
    rows = [
        ("trace", figures.name),
        ("requests", f"{figures.requests:,} in {figures.duration_s:,.0f} s"),
        ("rate", f"{figures.rate_rps:.4g} requests/s, {figures.peak_rate_rps:.4g} in the busiest minute"),
        ("gaps", f"coefficient of variation {_or_dash(figures.gap_cv)} (1 is Poisson)"),
        ("dispersion", ", ".join(f"{_or_dash(d.index)} at {d.window_s:g} s" for d in figures.dispersion)),
    ]
    for name, length in (("prompt tokens", figures.prompt_tokens), ("output tokens", figures.output_tokens)):
        if length is not None:
            shown = f"mean {length.mean:,.0f}, p50 {length.p50:,.0f}, p90 {length.p90:,.0f}"
            rows.append((name, f"{shown}, p99 {length.p99:,.0f}, max {length.max:,}"))
    rows.append(
        (
            "correlation",
            f"{_or_dash(figures.rank_correlation)} between the ranks of prompt and output lengths",
        )
    )
    if figures.adapters is not None:
        top = ", ".join(f"{_printable(row.name)} {row.share:.1%}" for row in figures.adapters.top[:3])
        zipf = _or_dash(figures.adapters.zipf_exponent)
        rows.append(
            (
                "adapters",
                f"{figures.adapters.count:,} ({top}), Zipf {zipf}, base {figures.adapters.base_share:.1%}",
            )
        )
    if figures.prefixes is not None:
        found = f"{figures.prefixes.hit_ratio:.1%} of prompt tokens found by an endless cache"
        rows.append(("prefixes", f"{found}, blocks of {figures.prefixes.block_tokens}"))
    rows.extend(("note", _printable(note)) for note in figures.notes)
    return "\n".join(f"{name:<16} {value}" for name, value in rows)


def written_json(figures: Description, out: str) -> str:
    """One JSON object: the file that was written, and the figures of the trace in it."""
    content = {"schema_version": 1, "written": out, "trace": json.loads(figures.model_dump_json())}
    return json.dumps(content, indent=1)


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _printable(text: str) -> str:
    """A name from a file must not move the cursor."""
    return "".join(character if character.isprintable() else "?" for character in text)
