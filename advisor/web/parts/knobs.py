"""What may be different: sliders that start where the scenario is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Any, Final

import streamlit as st

from advisor.recommendation import Option
from advisor.spec.adapter import Adapters, TracePopularity, ZipfPopularity
from advisor.spec.scenario import Scenario
from advisor.whatif.changes import Changes

_CHANGES: Final = "changes"
_LOADS: Final = (
    0.1,
    0.2,
    0.3,
    0.5,
    0.6,
    0.7,
    0.8,
    0.9,
    1.0,
    1.1,
    1.25,
    1.5,
    1.75,
    2.0,
    2.5,
    3.0,
    4.0,
    5.0,
    10.0,
)
_COUNTS: Final = (1, 2, 3, 4, 6, 8, 10, 16, 24, 32, 40, 64, 100, 150, 250, 500, 1000)
_RANKS: Final = (4, 8, 16, 32, 64, 128, 256)
_ACCEPTED: Final = (0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5)
_LIMITS: Final = (0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0)


class Knobs:
    """The sliders of one answer; what they say is kept while the visitor is on other pages.

    Args:
        key: of the answer; another answer starts anew.
        scenario: its question.
        options: the option and its rivals, whose devices have a price to change.
    """

    def __init__(self, key: str, scenario: Scenario, options: Sequence[Option]) -> None:
        self._scenario, self._options = scenario, options
        if st.session_state.get(_CHANGES, ("",))[0] != key:
            st.session_state[_CHANGES] = (key, Changes(), 0)
        self._key = key
        self._places: Iterator[Any] = iter(())

    @property
    def changes(self) -> Changes:
        """What is different now."""
        found: Changes = st.session_state[_CHANGES][1]
        return found

    def reset(self) -> None:
        """Back to the scenario."""
        self._put(Changes(), 1)

    def show(self) -> None:
        """All sliders that this scenario has a place for, two in a row."""
        now = self.changes
        self._places = cycle(st.columns(2))
        self._slider("Load, times the asked", _LOADS, 1.0, now.load, "load", lambda x: f"{x:g}×")
        if isinstance(self._scenario.adapters, Adapters) and self._scenario.adapters.count:
            self._adapters(self._scenario.adapters, now)
        if self._scenario.speculation.drafts:
            name = "Accepted drafts, times as estimated"
            self._slider(name, _ACCEPTED, 1.0, now.accepted, "accepted", lambda x: f"{x:g}×")
        for slo in self._scenario.objective.limits:
            ladder = [slo.limit * factor for factor in _LIMITS]
            label = f"{slo.metric.value.upper()} p{slo.percentile:g} limit"
            at = now.limits_s.get(slo.metric, slo.limit)

            def put(value: float, metric: Any = slo.metric, own: float = slo.limit) -> dict[str, Any]:
                rest = {m: v for m, v in self.changes.limits_s.items() if m is not metric}
                return {"limits_s": rest if value == own else {**rest, metric: value}}

            self._slider(label, ladder, slo.limit, at, f"limit {slo.metric.value}", _ms, put)
        self._prices(now)

    def _adapters(self, own: Adapters, now: Changes) -> None:
        count = now.adapters or own.count
        self._slider("Adapters", _COUNTS, own.count, count, "adapters", str, _unless(own.count, "adapters"))
        rank = own.max_rank
        self._slider("Rank", _RANKS, rank, now.rank or rank, "rank", str, _unless(rank, "rank"))
        if isinstance(own.popularity, TracePopularity):
            return
        exponent = own.popularity.exponent if isinstance(own.popularity, ZipfPopularity) else 1.0
        ladder = [step / 10 for step in range(21)]
        at = exponent if now.zipf is None else now.zipf
        write = _unless(exponent, "zipf") if isinstance(own.popularity, ZipfPopularity) else None
        self._slider("Popularity (Zipf exponent)", ladder, exponent, at, "zipf", lambda x: f"{x:g}", write)

    def _prices(self, now: Changes) -> None:
        usd = {o.device: o.usd_per_device_hour for o in self._options if o.usd_per_device_hour is not None}
        for device, own in usd.items():
            key = self._widget(f"price {device}")

            def write(device: str = device, own: float = own, key: str = key) -> None:
                rest = {d: p for d, p in self.changes.usd_per_device_hour.items() if d != device}
                price = st.session_state[key]
                new = rest if price is None or price == own else {**rest, device: price}
                self._put(self.changes.model_copy(update={"usd_per_device_hour": new}))

            next(self._places).number_input(
                f"Price of {device}, USD/h",
                min_value=0.01,
                value=float(now.usd_per_device_hour.get(device, own)),
                step=0.1,
                format="%.2f",
                key=key,
                on_change=write,
            )

    def _slider(
        self,
        label: str,
        ladder: Sequence[float],
        own: float,
        at: float,
        name: str,
        words: Callable[[Any], str],
        changes: Callable[[Any], dict[str, Any]] | None = None,
    ) -> None:
        key = self._widget(name)
        put = changes or (lambda value: {name: value})

        def write() -> None:
            self._put(self.changes.model_copy(update=put(st.session_state[key])))

        next(self._places).select_slider(
            label, sorted({*ladder, own, at}), at, format_func=words, key=key, on_change=write
        )

    def _widget(self, name: str) -> str:
        return f"what if {name}@{self._key[:8]}@{st.session_state[_CHANGES][2]}"

    def _put(self, changes: Changes, renewed: int = 0) -> None:
        st.session_state[_CHANGES] = (self._key, changes, st.session_state[_CHANGES][2] + renewed)


def _unless(own: float, name: str) -> Callable[[Any], dict[str, Any]]:
    """Writes a value, or nothing where it is the scenario's own."""
    return lambda value: {name: None if value == own else value}


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:,.4g} ms"
