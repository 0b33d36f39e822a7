"""What came out of a replay, in a few lines."""

from __future__ import annotations

import numpy as np

from advisor.replayed import ReplayResult

PERCENTILES = (50, 90, 99)


def summary(result: ReplayResult) -> str:
    """Percentiles of the latencies, throughput, lateness, errors by kind."""
    done = result.done
    header = result.header
    lines = [f"{int(done.sum())} of {len(result)} requests answered by {header.target}"]
    if done.any():
        lines.append(f"{'ms':6s}" + "".join(f"{f'p{p}':>10s}" for p in PERCENTILES))
        several = done & (result.output_tokens > 1)
        for name, values in (
            ("TTFT", result.ttft_s[done]),
            ("TPOT", result.tpot_s[several]),
            ("ITL", result.itl_s),
            ("E2E", result.e2e_s[done]),
        ):
            if len(values):
                found = 1e3 * np.percentile(values, PERCENTILES)
                lines.append(f"{name:6s}" + "".join(f"{value:10.4g}" for value in found))
        tokens = result.output_tokens[done].sum() / float(np.nanmax(result.last_token_s))
        lines.append(f"{tokens:.4g} output tokens/s")
    lines.append(
        f"client late by {1e3 * header.lateness_p50_s:.2g} ms (median), "
        f"{1e3 * header.lateness_p99_s:.2g} ms (p99)"
    )
    lines += [f"{kind}: {count}" for kind, count in result.errors.items()]
    return "\n".join(lines)
