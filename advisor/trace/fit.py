"""From a trace to its statistics, and from them to a trace like it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import numpy as np

from advisor import __version__
from advisor.errors import InputError
from advisor.trace.arrivals import Clock, unit_renewals
from advisor.trace.assign import to_base
from advisor.trace.cascade import cascade_clock, clock_of, fit_arrivals
from advisor.trace.describe import describe, gap_cv
from advisor.trace.draw import checked_count, generator
from advisor.trace.fitted import ArrivalModel, Client, FittedModel
from advisor.trace.joint import COARSE, draw_ranks, fit_lengths, quantiles
from advisor.trace.lengths import lengths
from advisor.trace.reuse import draw_prefixes, fit_reuse
from advisor.trace.trace import BASE, Floats, Trace

FEWEST_REQUESTS: Final = 100
_MOST_CLIENTS: Final = 10_000
_RATE_TOLERANCE: Final = 0.05
_DESCRIBED_CLIENTS: Final = 300  # with burstiness and lengths of their own, by share
_REQUESTS_FOR_CV: Final = 30
_REQUESTS_FOR_LENGTHS: Final = 100


def fit_workload(
    trace: Trace, *, name: str | None = None, source: str | None = None, created: datetime | None = None
) -> FittedModel:
    """Fit a generator to a trace.

    Kept: rate, rate profile, dispersion of counts down to a second, marginal and joint lengths, share (and,
    where there are enough requests, burstiness and lengths) of each adapter, depth and age of shared
    prefixes. Not kept: any request, the order of lengths in time, priorities.

    Args:
        trace: at least 100 requests over some time, arrivals from 0.
        name: of the workload; the trace's if None.
        source: where the trace is from.
        created: when; now if None.

    Raises:
        InputError: too few requests, no time between them, or more than 10,000 adapters.
    """
    if len(trace) < FEWEST_REQUESTS or trace.rate_rps <= 0:
        raise InputError(
            f"{trace.name}: holds {len(trace):,} requests over {trace.duration_s:g}s; allowed: at least "
            f"{FEWEST_REQUESTS} requests at different times. Fit a longer trace."
        )
    if len(trace.adapters) > _MOST_CLIENTS:
        raise InputError(
            f"{trace.name}: names {len(trace.adapters):,} adapters; allowed: at most {_MOST_CLIENTS:,}."
        )
    shifted = replace(trace, arrival_s=trace.arrival_s - trace.arrival_s[0])
    arrivals = fit_arrivals(shifted.arrival_s)
    return FittedModel(
        schema_version=1,
        name=name or trace.name,
        source=source or trace.name,
        created=created or datetime.now(UTC).replace(microsecond=0),
        producer=f"lora-advisor {__version__}",
        arrivals=arrivals,
        lengths=fit_lengths(trace.prompt_tokens, trace.output_tokens),
        base_share=float(np.mean(trace.adapter == BASE)) if trace.adapters else 0.0,
        clients=_clients(shifted, arrivals),
        reuse=fit_reuse(trace),
        measured=describe(shifted),
    )


def _clients(trace: Trace, arrivals: ArrivalModel) -> tuple[Client, ...]:
    number = np.bincount(trace.adapter[trace.adapter != BASE], minlength=len(trace.adapters))
    order = [int(i) for i in np.argsort(-number, kind="stable") if number[i]]
    clock = clock_of(np.asarray(arrivals.profile), arrivals.window_s, trace.duration_s, 1.0)
    clients = []
    for place, adapter in enumerate(order):
        mine = (
            np.flatnonzero(trace.adapter == adapter)
            if place < _DESCRIBED_CLIENTS
            else np.zeros(0, dtype=np.int64)
        )
        points = np.interp(trace.arrival_s[mine], clock.time_s, clock.expected)
        cv = gap_cv(points) if len(mine) >= _REQUESTS_FOR_CV else None
        own = len(mine) >= _REQUESTS_FOR_LENGTHS
        clients.append(
            Client(
                name=trace.adapters[adapter],
                share=float(number[adapter] / number.sum()),
                gap_cv=round(min(max(cv or 1.0, 0.05), 20.0), 4),
                prompt_tokens=quantiles(trace.prompt_tokens[mine], COARSE) if own else None,
                output_tokens=quantiles(trace.output_tokens[mine], COARSE) if own else None,
            )
        )
    return tuple(clients)


def generate_fitted(
    model: FittedModel,
    *,
    rate_rps: float | None = None,
    duration_s: float | None = None,
    seed: int,
    tenants: FittedModel | None = None,
) -> Trace:
    """Draw a trace like the fitted one.

    Args:
        model: the fitted workload: arrivals, lengths, prefixes, clients.
        rate_rps: mean rate; the fitted one if None. Relative burstiness stays.
        duration_s: the fitted duration if None; the profile starts over beyond it.
        seed: any whole number of at least 0.
        tenants: take clients, with their burstiness and lengths, from here.

    Returns:
        Requests whose adapters are the clients; base model only where there are none.

    Raises:
        InputError: more than 20 million requests.
    """
    rate = model.arrivals.rate_rps if rate_rps is None else rate_rps
    span_s = model.arrivals.duration_s if duration_s is None else duration_s
    checked_count(rate * span_s)
    mix = tenants or model
    if mix.clients:
        trace = _of_clients(model, mix, rate, span_s, seed)
    else:
        clock = cascade_clock(model.arrivals, rate, span_s, generator(seed, "cascade"))
        arrival_s = _on_grid(clock.seconds(unit_renewals(1.0, clock.total, generator(seed, "gaps"))), model)
        prompt, output = draw_ranks(model.lengths, len(arrival_s), seed)
        trace = Trace(
            arrival_s,
            lengths(model.lengths.prompt_tokens, prompt),
            lengths(model.lengths.output_tokens, output),
            np.full(len(arrival_s), BASE, dtype=np.int64),
            name=model.name,
        )
    trace = replace(trace, notes=_rate_note(trace, rate, span_s))
    if model.reuse is None:
        return trace
    return replace(trace, prefixes=draw_prefixes(model.reuse, trace, seed))


def _rate_note(trace: Trace, rate_rps: float, duration_s: float) -> tuple[str, ...]:
    drawn = len(trace) / duration_s
    if abs(drawn / rate_rps - 1) < _RATE_TOLERANCE:
        return ()
    return (
        f"{rate_rps:.3g} requests/s asked, {drawn:.3g} drawn in {duration_s:,.0f} s: bursts; draw longer",
    )


def _on_grid(arrival_s: Floats, model: FittedModel) -> Floats:
    tick_s = model.arrivals.tick_s
    return np.floor(arrival_s / tick_s) * tick_s if tick_s else arrival_s


def _of_clients(model: FittedModel, mix: FittedModel, rate_rps: float, duration_s: float, seed: int) -> Trace:
    """One stationary renewal process a client, on the clock of the profiles; then some go to the base."""
    total = float(np.cumsum([client.share for client in mix.clients])[-1])  # in order, on every Python
    parts = []
    for place, client in enumerate(mix.clients):
        expected = rate_rps * duration_s * client.share / total
        clock = _clock_of(model, mix, client, duration_s, expected)
        points = (
            unit_renewals(client.gap_cv, clock.total, generator(seed, "gaps", place))
            if expected
            else np.zeros(0)
        )
        prompt, output = draw_ranks(model.lengths, len(points), seed, place)
        laws = (
            client.prompt_tokens or model.lengths.prompt_tokens,
            client.output_tokens or model.lengths.output_tokens,
        )
        adapter = np.full(len(points), place, dtype=np.int64)
        parts.append(
            (
                _on_grid(clock.seconds(points), model),
                lengths(laws[0], prompt),
                lengths(laws[1], output),
                adapter,
            )
        )
    arrival_s, prompt_tokens, output_tokens, adapter = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    order = np.argsort(arrival_s, kind="stable")
    adapter = adapter[order].astype(np.int64)
    adapter[to_base(len(adapter), mix.base_share, seed)] = BASE
    names = tuple(client.name for client in mix.clients)
    return Trace(
        arrival_s[order],
        prompt_tokens[order].astype(np.int64),
        output_tokens[order].astype(np.int64),
        adapter,
        names,
        name=model.name,
    )


def _clock_of(
    model: FittedModel, mix: FittedModel, client: Client, duration_s: float, expected: float
) -> Clock:
    """The workload's profile times the client's drift.

    A profile counts only where the drawn time holds at least two of its windows; a shorter time is drawn at
    the mean.
    """
    profile, window_s = np.asarray(model.arrivals.profile), model.arrivals.window_s
    drift, drift_window_s = np.asarray(client.profile or (1.0,)), mix.client_window_s or window_s
    if duration_s < 2 * window_s:
        profile = np.ones(1)
    if duration_s < 2 * drift_window_s:
        drift = np.ones(1)
    width_s = min(window_s, drift_window_s, duration_s)
    middle_s: Floats = (np.arange(int(np.ceil(duration_s / width_s)), dtype=float) + 0.5) * width_s
    rates = np.asarray(_at(profile, window_s, middle_s) * _at(drift, drift_window_s, middle_s), dtype=float)
    return clock_of(rates, width_s, duration_s, expected)


def _at(profile: Floats, window_s: float, time_s: Floats) -> Floats:
    return np.asarray(profile[(time_s // window_s).astype(np.int64) % len(profile)], dtype=float)
