"""The page that looks into a simulated replica: its states over time, and its requests."""

from __future__ import annotations

from typing import Any, Final

import streamlit as st

from advisor.inside.run import Inside
from advisor.plots.inside import BRUSH
from advisor.recommendation import Option, Recommendation
from advisor.tables import ranking
from advisor.web import asking, show
from advisor.web.parts.simulated import simulated

_FIRST_S: Final = 60.0
_STRETCH: Final = "inside stretch"
_KEPT: Final = "inside stretch that was shown last"
_MOST_POOLS: Final = 200


def page() -> None:
    """Batch, queue, KV cache, slots and requests of one replica; a stretch of time to zoom into."""
    found = asking.whole_answer()
    if found is None:
        return
    question, rec = found
    st.title("Inside a replica", anchor=False)
    options = [o for o in rec.options if o.pools and o.limits is not None]
    if not options:
        st.warning("No option of the answer was simulated, so there is nothing to look into.")
        return
    option, pool = _chosen(options, rec)
    inside = simulated(question, option, pool)
    if inside is not None:
        _look(inside)


def _chosen(options: list[Option], rec: Recommendation) -> tuple[Option, str | None]:
    """Which option, and which of its pools."""
    best = ranking.recommended(rec)
    by_key = {option.key: option for option in options}
    left, right = st.columns(2)
    keys = list(by_key)
    key = left.selectbox(
        "Option",
        keys,
        index=keys.index(best.key) if best is not None and best.key in by_key else 0,
        format_func=lambda one: f"{ranking.serving(by_key[one])} · {ranking.hardware(by_key[one])}",
        key="inside option",
    )
    option = by_key[key]
    pools = [pool.name for pool in option.pools if pool.share_of_requests > 0][:_MOST_POOLS]
    if len(pools) < 2:
        return option, None
    return option, right.selectbox("Pool", [None, *pools], format_func=lambda one: one or "the busiest")


def _look(inside: Inside) -> None:
    """The whole run to choose a stretch of, and the stretch."""
    from advisor.inside.states import states_of
    from advisor.plots.inside import overview
    from advisor.report.inside import timeline
    from advisor.report.section import Figure

    replica = 0
    if inside.replicas > 1:
        names = range(inside.replicas)
        replica = st.selectbox("Replica", names, format_func=lambda i: f"{i + 1} of {inside.replicas}")
    end_s = float(inside.result.end_s)
    run = (inside.option, inside.pool)
    if st.session_state.get("inside run") != run:
        st.session_state["inside run"] = run
        st.session_state[_STRETCH] = (0.0, min(_FIRST_S, end_s))
    elif _STRETCH not in st.session_state:  # the slider was not shown for a while, and forgot
        st.session_state[_STRETCH] = st.session_state[_KEPT]
    whole = states_of(inside, replica)
    show.chart(
        Figure(
            "overview", "The whole run: requests of the batch. Drag over it to zoom.", lambda: overview(whole)
        ),
        on_select=lambda chosen: _zoom(chosen, end_s),
    )
    st.session_state[_KEPT] = st.session_state[_STRETCH]
    chosen: Any = st.slider("Stretch of time (s)", 0.0, end_s, step=_step(end_s), key=_STRETCH)
    from_s, to_s = chosen
    if not to_s > from_s:
        from_s, to_s = 0.0, end_s
    for section in timeline(inside, replica, from_s, to_s):
        show.section(section)


def _step(end_s: float) -> float:
    return 0.1 if end_s < 600.0 else 1.0


def _zoom(chosen: Any, end_s: float) -> None:
    """Take the brushed stretch; nothing brushed leaves it."""
    stretch = dict(chosen.get("selection", {}).get(BRUSH) or {}).get("s")
    if stretch and len(stretch) == 2 and stretch[1] > stretch[0]:
        low, high = (round(min(max(float(edge), 0.0), end_s), 1) for edge in stretch)
        st.session_state[_STRETCH] = (low, min(max(high, low + _step(end_s)), end_s))
