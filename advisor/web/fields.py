"""Fields of the scenario as widgets: each reads one field of the text, writes it, and shows its faults."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import streamlit as st

from advisor.spec.quantities import parse
from advisor.spec.yamlfile import write_mapping
from advisor.web import show, state

_CLAIMED: Final = "faults shown"
_MISSING: Final = object()
UNITS: Final = {"rate": "req/s", "duration": "s", "price per hour": "USD/h"}


def begin() -> None:
    """Start a form: no fault has been shown yet."""
    st.session_state[_CLAIMED] = set()


def value(path: str, default: Any = None) -> Any:
    """What the text has at a path such as `workload.arrivals.rate`; the default where it has nothing."""
    found: Any = state.mapping()
    for name in path.split("."):
        found = found.get(name, _MISSING) if isinstance(found, Mapping) else _MISSING
        if found is _MISSING:
            return default
    return found


def put(changes: Mapping[str, Any]) -> None:
    """Write fields into the text; None takes a field away. Comments of the text are lost."""
    raw = _copied(state.mapping())
    for path, new in changes.items():
        *outer, last = path.split(".")
        at = raw
        for name in outer:
            if not isinstance(at.get(name), dict):
                at[name] = {}
            at = at[name]
        if new is None:
            at.pop(last, None)
        else:
            at[last] = new
    state.set_scenario_text(write_mapping(raw))


def _copied(value_: Any) -> Any:
    if isinstance(value_, dict):
        return {key: _copied(inner) for key, inner in value_.items()}
    return [_copied(inner) for inner in value_] if isinstance(value_, list) else value_


def key_of(path: str) -> str:
    """The widget's key: another one for every text that was put in as a whole."""
    return f"{path}@{state.edition()}"


def faults(*paths: str) -> None:
    """Show what is wrong with these fields and what is inside them, once."""
    claimed: set[int] = st.session_state[_CLAIMED]
    for index, problem in enumerate(state.problems()):
        inside = any(
            problem.field == path or problem.field.startswith((f"{path}.", f"{path}[")) for path in paths
        )
        if inside and index not in claimed:
            claimed.add(index)
            st.error(show.plain(replace(problem, source="").sentence))


def other_faults() -> None:
    """Show what no field of the form has shown, with its line in the text."""
    claimed: set[int] = st.session_state[_CLAIMED]
    for index, problem in enumerate(state.problems()):
        if index not in claimed:
            st.error(show.plain(problem.sentence))


def number(
    label: str, path: str, default: float | None = None, *, unit: str = "", whole: bool = True, help: str = ""
) -> None:
    """A number that is typed; not bounded here: the field's own rule says what is wrong, beside it.

    Args:
        label: shown above.
        path: the field.
        default: shown where the text has nothing; None shows an empty box.
        unit: a kind of `spec.quantities` such as "rate"; empty: a bare number.
        whole: whole numbers only.
        help: shown on request.
    """
    shown = magnitude(value(path), unit, default)
    key = key_of(path)
    box(
        label,
        key,
        None if shown is None else (int if whole else float)(shown),
        lambda typed: put({path: written(typed, unit)}),
        whole=whole,
        help=help,
    )
    faults(path)


def box(
    label: str,
    key: str,
    shown: float | None,
    write: Callable[[Any], None],
    *,
    whole: bool = False,
    help: str = "",
    placeholder: str = "",
) -> None:
    """A number box that can be emptied, which one that is given a value as its default could not.

    Args:
        label: shown above.
        key: of the widget.
        shown: what it holds at first.
        write: called with the number that was typed, or None.
        whole: whole numbers only.
        help: shown on request.
        placeholder: shown in an empty box.
    """
    if key not in st.session_state:
        st.session_state[key] = shown
    st.number_input(
        label,
        value=None,
        step=1 if whole else None,
        format=None if whole else "%.6g",
        key=key,
        help=help or None,
        placeholder=placeholder or None,
        on_change=lambda: write(st.session_state[key]),
    )


def magnitude(raw: Any, unit: str, default: float | None) -> float | None:
    """A field's value as a number in the form's unit; the default where it is none."""
    if unit and isinstance(raw, str):
        try:
            return parse(raw, unit)
        except ValueError:
            return default
    if isinstance(raw, bool) or not isinstance(raw, int | float) or unit:
        return default
    return raw


def written(number_: float | None, unit: str) -> str | float | None:
    """A number of the form as the text writes it."""
    return number_ if number_ is None or not unit else f"{number_:.10g} {UNITS[unit]}"


def slider(
    label: str, path: str, steps: Sequence[float], default: float, *, unit: str = "", help: str = ""
) -> None:
    """A number chosen on a ladder; the text's own value is always a step of it."""
    own = magnitude(value(path), unit, default)
    assert own is not None  # the default is a number
    ladder = sorted({*steps, own})
    key = key_of(path)
    st.select_slider(
        label,
        ladder,
        own,
        format_func=lambda step: f"{step:,.6g}" + (f" {UNITS[unit]}" if unit else ""),
        key=key,
        help=help or None,
        on_change=lambda: put({path: written(st.session_state[key], unit)}),
    )
    faults(path)


def choice(
    label: str,
    path: str,
    names: Mapping[str, str],
    default: str,
    *,
    help: str = "",
    changes: Callable[[str], Mapping[str, Any]] | None = None,
) -> str:
    """One of several; what the text has is always among them. Returns it.

    Args:
        label: shown above.
        path: the field.
        names: value -> words.
        default: chosen where the text has nothing.
        help: shown on request.
        changes: all that a choice writes; the field alone if left out.
    """
    own = value(path, default)
    options = [*names] if own in names else [str(own), *names]
    key = key_of(path)

    def write() -> None:
        chosen = st.session_state[key]
        put({path: chosen} if changes is None else changes(chosen))
        if changes is not None:
            state.renew()

    st.selectbox(
        label,
        options,
        options.index(str(own)),
        format_func=lambda name: names.get(name, name),
        key=key,
        help=help or None,
        on_change=write,
    )
    faults(path)
    return str(own)


def several(
    label: str,
    path: str,
    names: Mapping[str, str],
    default: Sequence[str],
    *,
    help: str = "",
    placeholder: str = "",
) -> None:
    """Any of several."""
    raw = value(path, list(default))
    own = [str(name) for name in raw] if isinstance(raw, list) else list(default)
    key = key_of(path)
    st.multiselect(
        label,
        [*names, *(name for name in own if name not in names)],
        own,
        format_func=lambda name: names.get(name, name),
        key=key,
        help=help or None,
        placeholder=placeholder or None,
        on_change=lambda: put({path: list(st.session_state[key]) or None}),
    )
    faults(path)
