"""Why it is as fast as it is: steps from the base, causes, memory, and how sure the terms are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from advisor.plots import theme
from advisor.recommendation import Explanation, MemoryPlan, Outcome, TermOrigin, cause_word
from advisor.spec.spec import Origin
from advisor.tables import units
from advisor.tables.reasons import memory_parts

if TYPE_CHECKING:
    from advisor.plots.theme import Drawn

_KINDS = {"base": theme.GREY, "slower": theme.RED, "faster": theme.GREEN, "this deployment": theme.BLUE}


def waterfall_rows(why: Explanation, metric: Literal["ttft", "tpot"]) -> list[dict[str, Any]]:
    """From the base's mean to the deployment's: one bar a cause, each from where the last ended, in ms."""
    first, last = getattr(why.base, metric).mean_s, getattr(why.deployment, metric).mean_s
    rows = [
        {"step": "base model", "from": 0.0, "to": first * 1e3, "kind": "base", "text": units.duration(first)}
    ]
    at = first
    for delta in why.deltas:
        part = getattr(delta, f"{metric}_mean_s")
        rows.append(
            {
                "step": delta.cause,
                "from": at * 1e3,
                "to": (at + part) * 1e3,
                "kind": "faster" if part < 0 else "slower",
                "text": units.signed(part * 1e3),
            }
        )
        at += part
    end = {
        "step": "this deployment",
        "from": 0.0,
        "to": last * 1e3,
        "kind": "this deployment",
        "text": units.duration(last),
    }
    return [*rows, end]


def waterfall(why: Explanation, metric: Literal["ttft", "tpot"]) -> Drawn:
    """How the base's mean latency becomes the deployment's, cause by cause."""
    import altair as alt

    rows = waterfall_rows(why, metric)
    for row in rows:
        row["end"] = max(row["from"], row["to"])
    room = max(row["end"] for row in rows) * 1.18 or 1.0
    base = alt.Chart(theme.values(rows)).encode(
        y=alt.Y("step:N", title=None, sort=[row["step"] for row in rows])
    )
    bars = base.mark_bar(height={"band": 0.7}).encode(
        x=alt.X("from:Q", title=f"mean {metric.upper()} (ms)", scale=alt.Scale(domain=[0, room], nice=False)),
        x2="to:Q",
        color=alt.Color(
            "kind:N", title=None, scale=alt.Scale(domain=[*_KINDS], range=[*_KINDS.values()]), legend=None
        ),
    )
    labels = base.mark_text(align="left", dx=4).encode(x="end:Q", text="text:N")
    return alt.layer(bars, labels).properties(width=theme.WIDTH - 220, height=alt.Step(26))


def causes(base: Outcome | None, own: Outcome, part: Literal["ttft", "decode"]) -> Drawn:
    """Mean time of a request by cause, base above deployment, to the first token or from it to the last."""
    import altair as alt

    rows: list[dict[str, Any]] = []
    for name, out in (("base", base), ("this deployment", own)):
        found = {} if out is None else out.ttft_causes_s if part == "ttft" else out.decode_causes_s
        for order, (cause, seconds) in enumerate(found.items()):
            if seconds > 0:
                rows.append({"who": name, "cause": cause_word(cause), "ms": seconds * 1e3, "order": order})
    present = {row["cause"] for row in rows}
    colours = {cause_word(c): colour for c, colour in theme.CAUSE_COLOURS.items() if cause_word(c) in present}
    title = (
        "mean time to the first token (ms)" if part == "ttft" else "mean time from first to last token (ms)"
    )
    chart: Drawn = (
        alt.Chart(theme.values(rows))
        .mark_bar(height={"band": 0.75})
        .encode(
            x=alt.X("ms:Q", title=title, stack="zero"),
            y=alt.Y("who:N", title=None, sort=["base", "this deployment"]),
            color=alt.Color(
                "cause:N",
                title=None,
                scale=alt.Scale(domain=[*colours], range=[*colours.values()]),
                legend=alt.Legend(orient="bottom", columns=3),
            ),
            order="order:O",
            tooltip=["who:N", "cause:N", "ms:Q"],
        )
        .properties(width=theme.WIDTH, height=alt.Step(38))
    )
    return chart


def memory(plan: MemoryPlan) -> Drawn:
    """Device memory as one bar."""
    import altair as alt

    colours = (theme.BLUE, theme.GREY, theme.PURPLE, theme.GREEN, theme.CYAN, "#dddddd")
    parts = [
        (name, size, colour)
        for (name, size), colour in zip(memory_parts(plan), colours, strict=True)
        if size > 0
    ]
    rows: list[dict[str, Any]] = [
        {"part": f"{name} {units.gib(size)} GiB", "gib": size / 2**30, "order": order, "row": "device"}
        for order, (name, size, _) in enumerate(parts)
    ]
    chart: Drawn = (
        alt.Chart(theme.values(rows))
        .mark_bar(height=34)
        .encode(
            x=alt.X(
                "gib:Q",
                title="device memory (GiB)",
                stack="zero",
                scale=alt.Scale(domain=[0, plan.device_bytes / 2**30]),
            ),
            y=alt.Y("row:N", title=None, axis=None),
            color=alt.Color(
                "part:N",
                title=None,
                scale=alt.Scale(domain=[row["part"] for row in rows], range=[colour for *_, colour in parts]),
                legend=alt.Legend(orient="bottom", columns=3),
            ),
            order="order:O",
        )
        .properties(width=theme.WIDTH, height=44)
    )
    return chart


def terms(origins: tuple[TermOrigin, ...]) -> Drawn:
    """Share of the busy time by term, coloured by origin, with the term's interval as a line."""
    import altair as alt

    ordered = sorted(origins, key=lambda term: -term.share_of_busy_time)
    rows: list[dict[str, Any]] = [
        {
            "term": cause_word(t.term),
            "share": t.share_of_busy_time * 100,
            "low": t.share_of_busy_time * t.interval[0] * 100,
            "high": t.share_of_busy_time * t.interval[1] * 100,
            "origin": t.origin.value,
        }
        for t in ordered
    ]
    used = [origin for origin in Origin if any(t.origin == origin for t in ordered)]
    scale = alt.Scale(domain=[o.value for o in used], range=[theme.ORIGIN_COLOURS[o] for o in used])
    base = alt.Chart(theme.values(rows)).encode(
        y=alt.Y("term:N", title=None, sort=[row["term"] for row in rows])
    )
    bars = base.mark_bar(height={"band": 0.65}, fillOpacity=0.75).encode(
        x=alt.X("share:Q", title="share of the busy time (%)"),
        color=alt.Color("origin:N", title="figure is", scale=scale),
    )
    lines = base.mark_rule(strokeWidth=2).encode(
        x="low:Q", x2="high:Q", color=alt.Color("origin:N", scale=scale)
    )
    ends = base.mark_tick(thickness=2, size=9).encode(x="low:Q", color=alt.Color("origin:N", scale=scale))
    return alt.layer(bars, lines, ends, ends.encode(x="high:Q")).properties(
        width=theme.WIDTH - 130, height=alt.Step(24)
    )
