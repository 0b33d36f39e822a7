"""Measured beside fitted, as text and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from advisor.errors import InputError
from advisor.files import write_text
from advisor.fitted import Fitted, FittedStep
from advisor.profile import Profile
from advisor.spec.engine import EngineLimits
from advisor.steptime.clock import ProfileClock
from calibration.microbench.curves import curves, points_of
from calibration.microbench.samples import Samples
from calibration.microbench.steps import HELD_OUT, batch_of


def read_samples(profile: Profile, path: Path) -> Samples:
    """The raw samples that a profile names; the file stays as it is.

    Raises:
        InputError: it names none, or they are missing or damaged.
    """
    name = profile.raw.get("samples")
    file = path.parent / name if name else None
    if file is None or not file.exists():
        raise InputError(
            f"{path}: its samples {name or ''} are missing; allowed: a profile of `calibrate run` with its "
            ".samples.jsonl beside it."
        )
    return Samples.read(file)


def limits_of(samples: Samples) -> EngineLimits:
    """Limits of the engine that was measured."""
    from advisor.errors import validated

    return validated(EngineLimits, samples.fingerprint.get("limits"), "samples: limits")


def pairs(profile: Profile, samples: Samples) -> list[dict[str, Any]]:
    """Each engine step: measured and predicted seconds, and whether a fit saw it."""
    clock = ProfileClock(profile, profile.models[0], limits_of(samples))
    found = []
    for step in samples.steps:
        if step["gamma"]:
            continue
        batch = batch_of(step)
        kind = "prompts" if batch.chunks else "decodes"
        found.append(
            {
                "measured_ms": 1e3 * step["s"],
                "predicted_ms": 1e3 * clock.parts(batch).total,
                "steps": f"{kind}{', adapters' if batch.adapters else ''}",
                "run": step["run"],
                "tokens": batch.tokens,
            }
        )
    return found


def report(profile: Profile, samples: Samples) -> str:
    """Points and spread of each operation, and predicted over measured by kind of step."""
    lines = [f"{profile.name}: {profile.device.name}, {profile.engine} {profile.engine_version}"]
    lines += [f"  {note}" for note in profile.notes]
    lines.append("")
    lines.append(f"{'operation':20s} {'points':>6s} {'samples':>8s}  {'median spread':>13s}")
    for operation in sorted(samples.operations):
        points = samples.of(operation)
        several = [values for _, values in points if len(values) > 2]
        spread = [float(np.subtract(*np.percentile(v, [75, 25])) / np.median(v)) for v in several]
        count = sum(len(values) for _, values in points)
        said = f"{np.median(spread):13.1%}" if spread else f"{'-':>13s}"
        lines.append(f"{operation:20s} {len(points):6d} {count:8d}  {said}")
    lines += ["", f"{'steps of the engine':28s} {'steps':>6s} {'median':>8s} {'9 in 10 within':>15s}"]
    rows = pairs(profile, samples)
    for kind in sorted({row["steps"] for row in rows}):
        mine = [row["predicted_ms"] / row["measured_ms"] - 1 for row in rows if row["steps"] == kind]
        within = np.quantile(np.abs(mine), 0.9)
        lines.append(f"{kind:28s} {len(mine):6d} {np.median(mine):+8.1%} {within:15.1%}")
    return "\n".join(lines)


def fitted(profile: Profile, samples: Samples) -> Fitted:
    """Measured beside fitted as data: each term's points, and the engine's steps."""
    steps = tuple(
        FittedStep(
            kind=row["steps"],
            tokens=row["tokens"],
            seen=not row["run"].startswith(HELD_OUT),
            measured_s=row["measured_ms"] / 1e3,
            predicted_s=row["predicted_ms"] / 1e3,
        )
        for row in pairs(profile, samples)
    )
    return Fitted(profile=profile.name, points=points_of(samples, profile.models[0].model), steps=steps)


def write_plot(profile: Profile, samples: Samples, path: Path) -> None:
    """Predicted over measured seconds of every step, and each term's points with its fitted curve.

    Raises:
        InputError: an ending other than .html and .svg.
    """
    import altair as alt
    import pandas as pd

    if path.suffix not in (".html", ".svg"):
        raise InputError(f"--plot is {path}; allowed: a name that ends in .html or .svg.")
    rows = pd.DataFrame(pairs(profile, samples))
    top = float(max(rows["measured_ms"].max(), rows["predicted_ms"].max()))
    low = float(min(rows["measured_ms"].min(), rows["predicted_ms"].min()))
    scale = alt.Scale(type="log", domain=[low * 0.9, top * 1.1])
    dots = (
        alt.Chart(rows)
        .mark_circle(size=18, opacity=0.5)
        .encode(
            x=alt.X("measured_ms", scale=scale, title="measured step, ms"),
            y=alt.Y("predicted_ms", scale=scale, title="predicted step, ms"),
            color=alt.Color("steps", title="steps of"),
        )
    )
    ends = pd.DataFrame({"x": [low, top], "y": [low, top]})
    line = alt.Chart(ends).mark_line(color="#999").encode(x="x", y="y")
    chart = (line + dots).properties(width=520, height=420, title=f"{profile.name}: engine steps")
    parts = curves(samples, profile.models[0].model)
    chart = (chart & parts).resolve_scale(color="independent")
    if path.suffix == ".html":
        write_text(path, chart.to_html(inline=True))
        return
    import vl_convert as vlc

    write_text(path, vlc.vegalite_to_svg(chart.to_json()))
