"""What came out of a replay, in figures and in a few lines."""

from __future__ import annotations

from typing import Any

import numpy as np

from advisor.replayed import ReplayResult

PERCENTILES = (50, 90, 99)


def figures(result: ReplayResult) -> dict[str, Any]:
    """Percentiles of the latencies in ms, output tokens/s, errors by kind; latencies of answered requests."""
    done = result.done
    found: dict[str, Any] = {"requests": len(result), "answered": int(done.sum()), "errors": result.errors}
    if not done.any():
        return found
    several = done & (result.output_tokens > 1)
    for name, values in (
        ("TTFT", result.ttft_s[done]),
        ("TPOT", result.tpot_s[several]),
        ("ITL", result.itl_s),
        ("E2E", result.e2e_s[done]),
    ):
        if len(values):
            at = 1e3 * np.percentile(values, PERCENTILES)
            found[f"{name.lower()}_ms"] = {f"p{p}": float(v) for p, v in zip(PERCENTILES, at, strict=True)}
    total = float(result.output_tokens[done].sum())
    found["output_tokens_per_s"] = total / float(np.nanmax(result.last_token_s))
    return found


def summary(result: ReplayResult) -> str:
    """The figures, the client's lateness, errors by kind and the notes, to be read."""
    found, header = figures(result), result.header
    lines = [f"{found['answered']} of {found['requests']} requests answered by {header.target}"]
    if found["answered"]:
        lines.append(f"{'ms':6s}" + "".join(f"{f'p{p}':>10s}" for p in PERCENTILES))
        for name in ("TTFT", "TPOT", "ITL", "E2E"):
            if values := found.get(f"{name.lower()}_ms"):
                lines.append(f"{name:6s}" + "".join(f"{value:10.4g}" for value in values.values()))
        lines.append(f"{found['output_tokens_per_s']:.4g} output tokens/s")
    lines.append(
        f"client late by {1e3 * header.lateness_p50_s:.2g} ms (median), "
        f"{1e3 * header.lateness_p99_s:.2g} ms (p99)"
    )
    lines += [f"{kind}: {count}" for kind, count in result.errors.items()]
    lines += [f"note: {note}" for note in header.notes]
    return "\n".join(lines)
