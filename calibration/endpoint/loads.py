"""Seconds of an adapter's hops from first tokens: cold less warm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import numpy as np

from advisor.profile import LoadTerm
from advisor.spec.spec import Origin
from calibration.endpoint.samples import Heat, Load

_AT_ONCE: Final = 1e15
"""Bytes a second where all of a load is in its fixed part, because adapters of one size were seen."""
_RESAMPLES: Final = 200


def load_terms(loads: Sequence[Load], source: str) -> tuple[LoadTerm, LoadTerm]:
    """Both hops. What no adapter's first token showed is 0, an estimate, and its source says so.

    disk = TTFT(from disk) - TTFT(in host memory, or else warm); slot = TTFT(in host memory) - TTFT(warm).
    Where only loads from disk were seen, disk holds both hops: servers do them one after the other.
    """
    warm, slot, disk = (_seconds(loads, heat) for heat in ("warm", "slot", "disk"))
    disk = disk if disk.size else _seconds(loads, "churn")
    one = "; for the adapters' own size"
    if not warm.size or not (slot.size or disk.size):
        return _unseen("disk_to_cpu", source), _unseen("cpu_to_slot", source)
    if not slot.size:
        whole = _term("disk_to_cpu", disk, warm, f"{source}{one}; with the copy into the slot")
        return whole, _unseen("cpu_to_slot", f"{source}; within disk_to_cpu")
    copy = _term("cpu_to_slot", slot, warm, source + one)
    return (
        _term("disk_to_cpu", disk, slot, source + one) if disk.size else _unseen("disk_to_cpu", source)
    ), copy


def _seconds(loads: Sequence[Load], heat: Heat) -> Any:
    return np.array([load.seconds for load in loads if load.heat == heat])


def _term(hop: Literal["disk_to_cpu", "cpu_to_slot"], cold: Any, warm: Any, source: str) -> LoadTerm:
    """Difference of medians, with the 5th and 95th percentile of the same over resampled first tokens."""
    value = float(np.median(cold) - np.median(warm))
    draws = np.random.default_rng(0)
    found = [
        np.median(draws.choice(cold, cold.size)) - np.median(draws.choice(warm, warm.size))
        for _ in range(_RESAMPLES)
    ]
    low, high = np.quantile(found, [0.05, 0.95])
    if value <= 0 or low <= 0:
        return LoadTerm(
            hop=hop,
            origin=Origin.ESTIMATED,
            source=f"{source}; not pinned down: {value:.3g} s ({low:.3g} to {high:.3g})",
            interval=(0.05, 20.0),
            fixed_s=max(value, 0.0),
            bandwidth_bytes_per_s=_AT_ONCE,
        )
    around = (float(np.clip(low / value, 0.05, 1.0)), float(np.clip(high / value, 1.0, 20.0)))
    return LoadTerm(
        hop=hop,
        origin=Origin.FITTED,
        source=source,
        interval=around,
        fixed_s=value,
        bandwidth_bytes_per_s=_AT_ONCE,
    )


def _unseen(hop: Literal["disk_to_cpu", "cpu_to_slot"], source: str) -> LoadTerm:
    return LoadTerm(
        hop=hop,
        origin=Origin.ESTIMATED,
        source=source if "within" in source else f"{source}; no adapter was seen cold",
        interval=(0.05, 20.0),
        fixed_s=0.0,
        bandwidth_bytes_per_s=_AT_ONCE,
    )
