"""Any workload of a scenario as a trace: the one way in for everything above."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from advisor.errors import InputError
from advisor.spec.workload import FittedWorkload, Generator, Streams, TraceFile, Workload
from advisor.trace.assign import assign
from advisor.trace.fit import generate_fitted
from advisor.trace.fitted import load_fitted
from advisor.trace.generate import generate, generate_streams
from advisor.trace.readers import load_trace
from advisor.trace.scale import between, faster
from advisor.trace.tenants import as_adapters
from advisor.trace.trace import BASE, Trace


def trace_of(
    workload: Workload,
    adapters: Sequence[str],
    shares: Sequence[float] | None,
    base_share: float = 0.0,
    *,
    seed: int,
    folder: Path,
) -> Trace:
    """Draw or read the requests of a workload.

    A workload that names its adapters (a trace with an adapter column, streams, a fitted workload with
    clients or tenants) keeps their popularity, whatever `shares` says; `notes` tells so. Any other gets
    `adapters` by `shares`.

    Args:
        workload: what the scenario says.
        adapters: names of the deployed adapters; none: every request goes to the base model.
        shares: one weight an adapter; None: the workload must name its adapters itself.
        base_share: share of requests to the plain base model, where the workload does not name its adapters.
        seed: equal seeds give equal bytes.
        folder: where relative paths start.

    Raises:
        InputError: a file that cannot be used, a workload without the adapters that were asked of it, or
            more than 20 million requests.
    """
    if isinstance(workload, Generator) and (shares is not None or not adapters):
        return generate(workload, adapters, shares or (), base_share=base_share, seed=seed)
    trace = _drawn(workload, adapters, base_share, seed, folder)
    if not adapters:
        return _all_to_base(trace)
    if trace.adapters:
        return _with_notes(trace, adapters, shares)
    if shares is None:
        raise InputError(
            "adapters.popularity.kind is 'trace', but the workload names no adapter; allowed: a trace with "
            "an adapter column, streams, or a fitted workload with tenants. Write popularity as zipf or "
            "shares, or map a column."
        )
    return assign(trace, adapters, shares, base_share=base_share, seed=seed)


def _drawn(workload: Workload, adapters: Sequence[str], base_share: float, seed: int, folder: Path) -> Trace:
    match workload:
        case TraceFile():
            return _read(workload, folder)
        case Generator():
            return generate(workload, seed=seed)
        case Streams():
            return generate_streams(workload, seed=seed)
        case FittedWorkload():
            return _fitted(workload, adapters, base_share, seed, folder)


def _read(file: TraceFile, folder: Path) -> Trace:
    trace = load_trace(folder / Path(file.path).expanduser(), format=file.format, columns=file.columns)
    if file.start is not None or file.duration is not None:
        trace = between(trace, file.start or 0.0, file.duration)
    return faster(trace, file.rate_scale) if file.rate_scale != 1.0 else trace


def _fitted(
    law: FittedWorkload, adapters: Sequence[str], base_share: float, seed: int, folder: Path
) -> Trace:
    model = load_fitted(law.name, folder)
    tenants = load_fitted(law.tenants, folder) if law.tenants is not None else model
    if law.tenants is not None and not tenants.clients:
        raise InputError(
            f"workload.tenants is {law.tenants!r}, which has no clients; allowed: a fitted tenant mix."
        )
    if tenants.clients:
        own = law.tenants is None or law.tenant_lengths
        names = adapters or [client.name for client in tenants.clients]
        tenants = as_adapters(tenants, names, own_lengths=own, base_share=base_share)
    return generate_fitted(model, rate_rps=law.rate, duration_s=law.duration, seed=seed, tenants=tenants)


def _all_to_base(trace: Trace) -> Trace:
    if not trace.adapters:
        return trace
    note = f"{len(trace.adapters):,} adapters of the workload ignored: none is deployed, all is for the base"
    return replace(
        trace, adapter=np.full(len(trace), BASE, dtype=np.int64), adapters=(), notes=(*trace.notes, note)
    )


def _with_notes(trace: Trace, adapters: Sequence[str], shares: Sequence[float] | None) -> Trace:
    notes = list(trace.notes)
    if shares is not None:
        notes.append("the workload names its adapters: its popularity counts, not adapters.popularity")
    unknown = [name for name in trace.adapters if name not in set(adapters)]
    if unknown:
        notes.append(
            f"{len(unknown):,} adapters of the workload are not named in the scenario ({unknown[0]}, ...)"
        )
    return replace(trace, notes=tuple(notes))
