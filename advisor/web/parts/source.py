"""Where the scenario comes from: a case, nothing, a file; and the same as a file for the command line."""

from __future__ import annotations

from typing import Final

import streamlit as st

from advisor.spec.yamlfile import MAX_BYTES
from advisor.web import show, state

SCRATCH: Final = "from scratch"
_BLANK: Final = """\
schema_version: 1
name: my deployment
model: Llama-3.1-8B
adapters:
  count: 10
  rank: 16
  popularity: {kind: zipf, exponent: 1.0}
workload:
  kind: generator
  arrivals: {kind: poisson, rate: 5 req/s}
  prompt_tokens: {kind: lognormal, median: 500, p95: 2000, maximum: 8000}
  output_tokens: {kind: lognormal, median: 150, p95: 500, maximum: 2000}
  duration: 10min
objective:
  slos:
    - {metric: ttft, percentile: 95, limit: 500ms}
    - {metric: tpot, percentile: 95, limit: 50ms}
devices: [L40S, A100-80-SXM, H100-80-SXM]
search:
  ways: [base, multi-lora, merged]
  requests: 1000
seed: 1
"""


def start() -> None:
    """A case to start from, or a file to open."""
    names = [SCRATCH, *state.examples()]
    own = state.example_name()
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    key = f"start@{state.edition()}"
    left.selectbox(
        "Start from",
        names,
        None if own is None else names.index(own),
        format_func=lambda name: name if name == SCRATCH else _title(name),
        placeholder=state.origin(),
        key=key,
        on_change=lambda: _load(st.session_state[key]),
        help="The cases come with the program; each is a scenario that people have. Change anything below.",
    )
    with right.popover("Open a scenario file", icon=":material/upload_file:", width="stretch"):
        st.file_uploader(
            "A scenario (YAML), as for the command line",
            type=["yaml", "yml"],
            key="scenario file",
            on_change=_open,
        )
    st.caption(show.plain(f"In the form: {state.origin()}." if own is None else _asks(own)))


def yaml() -> None:
    """The scenario's text, to read, edit and take away."""
    key = f"editor@{state.edition()}@{hash(state.scenario_text())}"
    st.text_area(
        "The scenario as YAML",
        state.scenario_text(),
        key=key,
        height=420,
        help="What the form above says, as `advisor recommend` reads it. Both stay the same.",
        on_change=lambda: state.set_scenario_text(st.session_state[key], "your own text"),
    )
    st.download_button(
        "Download the scenario",
        state.scenario_text(),
        "scenario.yaml",
        "application/yaml",
        key="download scenario",
        icon=":material/download:",
        on_click="ignore",
    )


def _title(name: str) -> str:
    title = name.replace("-", " ")
    return title[0].upper() + title[1:]


def _asks(name: str) -> str:
    """What an example's first comment says."""
    lines = state.examples()[name].read_text(encoding="utf-8").splitlines()
    words: list[str] = []
    for line in lines:
        if not line.startswith("# "):
            break
        words.append(line.removeprefix("# "))
    return " ".join(words)


def _load(name: str | None) -> None:
    if name == SCRATCH:
        state.set_scenario_text(_BLANK, "a new scenario")
    elif name is not None:
        state.set_scenario_text(state.examples()[name].read_text(encoding="utf-8"), f"the example {name}")


def _open() -> None:
    given = st.session_state["scenario file"]
    if given is None:
        return
    if given.size > MAX_BYTES:
        state.set_failed(
            f"{given.name}: holds {given.size:,} bytes; allowed: at most {MAX_BYTES:,}. Cut it down."
        )
        return
    try:
        text = given.getvalue().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        state.set_failed(f"{given.name}: is not UTF-8 text (byte {error.start}); allowed: a YAML text file.")
        return
    state.set_scenario_text(text, f"the file {given.name}")
